// Noise contrastive estimation (kernels/objectives/nce.py): a column's bias is taken from its scores.
#pragma once

#include "../drawn.hpp"

namespace w2v {

class Nce {
  public:
    Nce(const Fields &fields, int64_t V)
        : noise_(fields, V), negative_(fields.number("negative")), bias_(fields.array<float>("bias")) {}

    int own_per_target() const { return 1; }
    int shared_columns(const Job &, int shared_words) const { return shared_words; }

    class Columns : public DrawnColumns {
      public:
        Columns(const Nce &objective, const TileShape &shape)
            : DrawnColumns(objective.noise_, objective.negative_, shape), bias_(objective.bias_) {
            of_column_.resize(shape.columns + LANES);
        }

        void finish(Tile &tile) {
            DrawnColumns::finish(tile, false);
            for (int c = 0; c < tile.columns; ++c) of_column_[c] = bias_[tile.column_id[c]];
        }

        float gradients(Workspace &w, const Tile &tile) {
            for (int r = 0; r < tile.rows; ++r) {
                float *score = w.shared_score.data() + static_cast<size_t>(r) * w.ld_shared;
                for (int v = 0; v < w.shared_vectors(tile); ++v) {
                    store(score + v * LANES, load(score + v * LANES) - load(of_column_.data() + v * LANES));
                }
            }
            float *own = w.own_score.data();
            for (int p = 0; p < tile.own.count; ++p) own[p] -= of_column_[tile.own.col[p]];
            return logistic_gradients(w, tile);
        }

      private:
        const float *bias_;  // [V]
        std::vector<float> of_column_;
    };

  private:
    Noise noise_;
    double negative_;
    const float *bias_;
};

}  // namespace w2v
