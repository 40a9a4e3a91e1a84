// Softmax with a sampled normaliser (kernels/objectives/sampled_softmax.py).
#pragma once

#include <cmath>

#include "../drawn.hpp"

namespace w2v {

class SampledSoftmax {
  public:
    SampledSoftmax(const Fields &fields, int64_t V) : noise_(fields, V), log_q_(fields.array<float>("log_q")) {}

    int own_per_target() const { return 1; }
    int shared_columns(const Job &, int shared_words) const { return shared_words; }

    class Columns : public DrawnColumns {
      public:
        Columns(const SampledSoftmax &objective, const TileShape &shape)
            : DrawnColumns(objective.noise_, 1, shape), log_q_(objective.log_q_) {
            const size_t width = shape.shared + LANES, pairs = shape.own + PAIR_SLACK, rows = shape.tokens + LANES;
            of_column_.resize(width);
            log_expected_.resize(shape.shared + 1);
            for (int j = 1; j <= shape.shared; ++j) {
                log_expected_[j] = static_cast<float>(std::log(static_cast<double>(shape.shared) / j));
            }
            for (std::vector<float> *of_row : {&largest_, &sum_}) of_row->resize(rows);
            for (std::vector<float> *of_pair : {&pair_largest_, &pair_sum_, &inverse_}) of_pair->resize(pairs);
            row_inverse_.resize(rows);
            without_.resize(rows);
        }

        void finish(Tile &tile) {
            DrawnColumns::finish(tile, false);
            for (int c = 0; c < tile.shared; ++c) {
                of_column_[c] = log_q_[tile.column_id[c]] + log_expected_[static_cast<int>(draws_of(c))];
            }
            // Lanes beyond the columns count for nothing in a sum.
            for (int c = tile.shared; c % LANES != 0; ++c) of_column_[c] = 1e30f;
        }

        float gradients(Workspace &w, const Tile &tile) {
            sum_draws(w, tile);
            name_others(w, tile);
            const float loss = own_gradients(w, tile);
            shared_gradients(w, tile);
            return loss;
        }

      private:
        // Leaves e^(s - log(N q) - largest) where a row's scores stood, and the row's largest and sum.
        void sum_draws(Workspace &w, const Tile &tile) {
            const int vectors = w.shared_vectors(tile);
            for (int r = 0; r < tile.rows; r += LANES) {
                Vec most[LANES], sums_of[LANES];
                const int rows = std::min(LANES, tile.rows - r);
                for (int i = 0; i < rows; ++i) {
                    float *score = w.shared_score.data() + static_cast<size_t>(r + i) * w.ld_shared;
                    Vec highest = splat(-3e38f);
                    for (int v = 0; v < vectors; ++v) {
                        const Vec s = load(score + v * LANES) - load(of_column_.data() + v * LANES);
                        store(score + v * LANES, s);
                        highest = max(s, highest);
                    }
                    most[i] = highest;
                }
                for (int i = rows; i < LANES; ++i) most[i] = Vec{};
                store(largest_.data() + r, maxima(most));
                for (int i = 0; i < rows; ++i) {
                    float *score = w.shared_score.data() + static_cast<size_t>(r + i) * w.ld_shared;
                    Vec total{};
                    for (int v = 0; v < vectors; ++v) {
                        const Vec share = exp_negative(load(score + v * LANES) - largest_[r + i]);
                        store(score + v * LANES, share);
                        total += share;
                    }
                    sums_of[i] = total;
                }
                for (int i = rows; i < LANES; ++i) sums_of[i] = Vec{};
                store(sum_.data() + r, sums(sums_of));
            }
        }

        // Gives each pair its row's largest and the sum over the draws that are not its target: summed anew, since the
        // target may be nearly all of the row's sum.
        void name_others(Workspace &w, const Tile &tile) {
            const PairList &own = tile.own;
            for (int s = 0, p = 0; s < own.segments; p = own.segment_end[s++]) {
                const Vec largest = splat(largest_[own.segment_row[s]]), total = splat(sum_[own.segment_row[s]]);
                for (int i = p; i < own.segment_end[s]; i += LANES) {
                    store(pair_largest_.data() + i, largest);
                    store(pair_sum_.data() + i, total);
                }
            }
            const int vectors = w.shared_vectors(tile);
            for (int i = 0; i < own.start[tile.shared]; ++i) {
                const int p = own.by_col_pair[i];
                float *share = w.shared_score.data() + static_cast<size_t>(own.row[p]) * w.ld_shared;
                const float kept = share[own.col[p]];
                share[own.col[p]] = 0;
                Vec total{};
                for (int v = 0; v < vectors; ++v) total += load(share + v * LANES);
                share[own.col[p]] = kept;
                pair_sum_[p] = sum(total);
            }
        }

        // Own scores become lr * (1 - p); `inverse_` what a draw's share is multiplied by to give its p. Returns the loss.
        float own_gradients(Workspace &w, const Tile &tile) {
            float *score = w.own_score.data();
            Vec loss{};
            const int count = tile.own.count;
            for (int p = 0; p < count; p += LANES) {
                const Vec s = load(score + p), largest = load(pair_largest_.data() + p);
                const Vec apart = s - largest, less = exp_negative(as_float(as_int(apart) | INT32_MIN));
                const Vec of_own = apart >= Vec{} ? splat(1.0f) : less, of_draws = apart >= Vec{} ? less : splat(1.0f);
                const Vec others = load(pair_sum_.data() + p) * of_draws;
                const Vec z = of_own + others, inverse = 1.0f / z;
                store(score + p, others * inverse * tile.lr);
                store(inverse_.data() + p, of_draws * inverse);
                const Vec pair_loss = max(-apart, Vec{}) + log_from_one(z);
                loss += count - p < LANES ? first_lanes(pair_loss, count - p) : pair_loss;
            }
            return sum(loss);
        }

        // Shares become -lr times the sum of p over the row's pairs, without those whose target the draw is.
        void shared_gradients(Workspace &w, const Tile &tile) {
            const PairList &own = tile.own;
            std::fill(row_inverse_.begin(), row_inverse_.begin() + tile.rows, 0.0);
            for (int p = 0; p < own.count; ++p) row_inverse_[own.row[p]] += inverse_[p];
            const int vectors = w.shared_vectors(tile), ld = w.ld_shared;
            for (int r = 0; r < tile.rows; ++r) {
                const Vec inverse = splat(static_cast<float>(row_inverse_[r]));
                float *factor = w.pair_weight.data() + static_cast<size_t>(r) * ld;
                for (int v = 0; v < vectors; ++v) store(factor + v * LANES, inverse);
            }
            for (int c = 0; c < tile.shared; ++c) {
                // In double, so that what is left of a sum of floats is exact however small it is.
                const int first = own.start[c], last = own.start[c + 1];
                for (int i = first; i < last; ++i) without_[own.by_col_row[i]] = row_inverse_[own.by_col_row[i]];
                for (int i = first; i < last; ++i) without_[own.by_col_row[i]] -= inverse_[own.by_col_pair[i]];
                for (int i = first; i < last; ++i) {
                    const int r = own.by_col_row[i];
                    w.pair_weight.data()[static_cast<size_t>(r) * ld + c] = static_cast<float>(without_[r]);
                }
            }
            for (int v = 0; v < vectors; ++v) {
                Vec weight{};
                for (int r = 0; r < tile.rows; ++r) {
                    const size_t at = static_cast<size_t>(r) * ld + v * LANES;
                    const Vec p = load(w.shared_score.data() + at) * load(w.pair_weight.data() + at);
                    store(w.shared_score.data() + at, p * -tile.lr);
                    weight += p;
                }
                store(w.shared_weight.data() + v * LANES, weight);
            }
        }

        const float *log_q_;              // [V]
        std::vector<float> log_expected_; // [N + 1] log(N / j) for a word drawn j times
        std::vector<float> of_column_;    // log(N q / draws) of the shared columns
        std::vector<float> largest_, sum_;                     // [rows]
        std::vector<float> pair_largest_, pair_sum_, inverse_;  // [own pairs]
        std::vector<double> row_inverse_, without_;            // [rows]
    };

  private:
    Noise noise_;
    const float *log_q_;
};

}  // namespace w2v
