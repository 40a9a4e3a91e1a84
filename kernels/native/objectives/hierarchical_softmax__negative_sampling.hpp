// Hierarchical softmax with negative sampling (kernels/objectives/hierarchical_softmax__negative_sampling.py): the
// columns of both in one tile, the tree's top first, then the words drawn.
#pragma once

#include "../drawn.hpp"
#include "../paths.hpp"

namespace w2v {

class HierarchicalSoftmaxNegativeSampling {
  public:
    HierarchicalSoftmaxNegativeSampling(const Fields &fields, int64_t V)
        : tree_(fields, V, static_cast<int32_t>(V)),
          noise_(fields, V),
          negative_(fields.number("negative")),
          mask_(fields.number("mask") != 0) {}

    int own_per_target() const { return 1 + tree_.longest(); }
    int shared_columns(int shared_words) const { return top() + shared_words; }

    class Columns : public PathColumns<true> {
      public:
        Columns(const HierarchicalSoftmaxNegativeSampling &objective, const TileShape &shape)
            : PathColumns(objective.tree_, shape),
              drawn_(objective.noise_, objective.negative_, shape, objective.top()),
              mask_(objective.mask_),
              weight_per_pair_(static_cast<float>(1 + objective.negative_ + objective.tree_.mean_length())) {}

        float weight_per_pair() const { return weight_per_pair_; }

        void draw(const Job &job, int64_t chunk, uint32_t draw_epoch, int ordinal) {
            drawn_.draw(job, chunk, draw_epoch, ordinal);
        }

        void name_shared(Tile &tile) {
            name_top(tile);
            drawn_.name_drawn(tile);
        }

        void finish(Tile &tile) {
            weigh_columns(tile);
            drawn_.finish_blocks(tile, mask_);
        }

        float gradients(Workspace &w, const Tile &tile) {
            return path_gradients(w, tile) + drawn_.shared_gradients(w, tile);
        }

      private:
        DrawnColumns drawn_;
        bool mask_;
        float weight_per_pair_;
    };

  private:
    int top() const { return static_cast<int>(tree_.top().size()); }

    Tree tree_;
    Noise noise_;
    double negative_;
    bool mask_;
};

}  // namespace w2v
