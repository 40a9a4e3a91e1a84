// Negative sampling (kernels/objectives/negative_sampling.py).
#pragma once

#include "../drawn.hpp"
#include "../step.hpp"

namespace w2v {

class NegativeSampling {
  public:
    NegativeSampling(const Fields &fields, int64_t V)
        : noise_(fields, V), negative_(fields.number("negative")), mask_(fields.number("mask") != 0) {}

    int own_per_target() const { return 1; }
    int shared_columns(const Job &, int shared_words) const { return shared_words; }

    class Columns : public DrawnColumns, public TaughtColumns {
      public:
        Columns(const NegativeSampling &objective, const TileShape &shape)
            : DrawnColumns(objective.noise_, objective.negative_, shape), mask_(objective.mask_) {}

        void finish(Tile &tile) { DrawnColumns::finish(tile, mask_); }
        float gradients(Workspace &w, const Tile &tile) { return logistic_gradients(w, tile); }

      private:
        bool mask_;
    };

  private:
    Noise noise_;
    double negative_;
    bool mask_;
};

}  // namespace w2v
