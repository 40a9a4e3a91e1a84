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

    int own_per_target() const { return 1; }
    int shared_columns(const Job &job, int shared_words) const { return tree_.top_nodes(job) + shared_words; }

    class Columns : public PathColumns {
      public:
        Columns(const HierarchicalSoftmaxNegativeSampling &objective, const TileShape &shape)
            : PathColumns(objective.tree_, shape),
              drawn_(objective.noise_, objective.negative_, shape, objective.tree_.top_nodes(shape)),
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

        void name_targets(Tile &tile, const int32_t *words, int count) {
            drawn_.name_targets(tile, words, count);
            PathColumns::name_targets(tile, words, count);
        }

        W2V_INLINE void add_targets(Tile &tile, int32_t row, int first, int length) {
            drawn_.add_targets(tile, row, first, length);
            PathColumns::add_targets(tile, row, first, length);
        }

        void finish(Tile &tile) {
            drawn_.finish(tile, mask_);
            finish_targets(tile);
        }

        float gradients(Workspace &w, const Tile &tile) {
            return top_gradients(w, tile) + drawn_.logistic_gradients(w, tile);
        }

      private:
        DrawnColumns drawn_;
        bool mask_;
        float weight_per_pair_;
    };

  private:
    Tree tree_;
    Noise noise_;
    double negative_;
    bool mask_;
};

}  // namespace w2v
