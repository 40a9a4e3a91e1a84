// Hierarchical softmax (kernels/objectives/hierarchical_softmax.py).
#pragma once

#include "../paths.hpp"

namespace w2v {

class HierarchicalSoftmax {
  public:
    HierarchicalSoftmax(const Fields &fields, int64_t V) : tree_(fields, V, 0) {}

    int own_per_target() const { return 0; }
    int shared_columns(const Job &job, int) const { return tree_.top_nodes(job); }

    class Columns : public PathColumns {
      public:
        Columns(const HierarchicalSoftmax &objective, const TileShape &shape)
            : PathColumns(objective.tree_, shape),
              weight_per_pair_(static_cast<float>(objective.tree_.mean_length())) {}

        float weight_per_pair() const { return weight_per_pair_; }
        void draw(const Job &, int64_t, uint32_t, int) {}
        void name_shared(Tile &tile) { name_top(tile); }
        void finish(Tile &tile) {
            tile.own.end();
            finish_targets(tile);
        }
        float gradients(Workspace &w, const Tile &tile) { return top_gradients(w, tile); }

      private:
        float weight_per_pair_;
    };

  private:
    Tree tree_;
};

}  // namespace w2v
