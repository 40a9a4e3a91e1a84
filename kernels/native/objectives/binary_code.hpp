// Binary codes for words (kernels/objectives/binary_code.py): all rows of W_out are columns of every tile.
#pragma once

#include "../fields.hpp"
#include "../normalise.hpp"
#include "../step.hpp"

namespace w2v {

class BinaryCode {
  public:
    BinaryCode(const Fields &fields, int64_t V)
        : rank_(fields.array<int32_t>("rank")),
          code_words_(static_cast<int32_t>(fields.number("code_words"))),
          softmax_(static_cast<int>(fields.number("softmax"))),
          bits_(static_cast<int>(fields.number("bits"))),
          bit_weight_(static_cast<float>(fields.number("bit_weight"))),
          code_ints_((bits_ + 31) / 32),
          codes_(static_cast<size_t>(V) * code_ints_),
          bias_(softmax_ + width()) {
        std::copy_n(fields.array<float>("bias"), softmax_ + bits_, bias_.begin());
        const uint8_t *codes = fields.array<uint8_t>("codes");
        for (int64_t word = 0; word < V; ++word) {
            for (int b = 0; b < bits_; ++b) {
                const uint32_t bit = codes[word * bits_ + b];
                codes_[word * code_ints_ + b / 32] |= bit << (b % 32);
            }
        }
    }

    int own_per_target() const { return 0; }
    // With room for the last bits to be handled as a whole vector.
    int shared_columns(const Job &, int) const { return softmax_ + width(); }

    class Columns {
      public:
        Columns(const BinaryCode &objective, const TileShape &shape) : code_(objective) {
            ones_.resize(static_cast<size_t>(shape.tokens) * code_.width());
            before_.resize((static_cast<size_t>(shape.halo) + 1) * code_.width());
            coded_.resize(shape.tokens);
            coded_before_.resize(shape.halo + 1);
            column_.resize(shape.halo);
        }

        float weight_per_pair() const {
            return code_.bit_weight_ * static_cast<float>(code_.bits_) + (code_.softmax_ ? 2.0f : 0.0f);
        }

        void draw(const Job &, int64_t, uint32_t, int) {}

        void name_shared(Tile &tile) {
            tile.shared = tile.columns = code_.softmax_ + code_.bits_;
            for (int c = 0; c < tile.columns; ++c) tile.column_id[c] = c;
            std::fill(ones_.begin(), ones_.end(), 0.0f);
            std::fill(coded_.begin(), coded_.end(), 0.0f);
            wanted_.clear();
        }

        // Sums codes from the first word on, so that those of a window are a difference of two sums.
        void name_targets(Tile &, const int32_t *words, int count) {
            IVec lane;
            for (int i = 0; i < LANES; ++i) lane[i] = i;
            const int width = code_.width();
            for (int j = 0; j < count; ++j) {
                const float *before = before_.data() + static_cast<size_t>(j) * width;
                float *after = before_.data() + static_cast<size_t>(j + 1) * width;
                const uint32_t *code = code_.codes_.data() + static_cast<int64_t>(words[j]) * code_.code_ints_;
                for (int k = 0; k < width; k += LANES) {
                    const IVec bits = (splat(static_cast<int32_t>(code[k / 32] >> (k % 32))) >> lane) & 1;
                    store(after + k, load(before + k) + __builtin_convertvector(bits, Vec));
                }
                const int32_t rank = code_.rank_[words[j]];
                coded_before_[j + 1] = coded_before_[j] + (rank >= code_.code_words_ ? 1.0f : 0.0f);
                column_[j] = std::min(rank, code_.code_words_);
            }
        }

        W2V_INLINE void add_targets(Tile &, int32_t row, int first, int length) {
            const int width = code_.width();
            float *ones = ones_.data() + static_cast<size_t>(row) * width;
            const float *before = before_.data() + static_cast<size_t>(first) * width;
            const float *after = before_.data() + static_cast<size_t>(first + length) * width;
            for (int k = 0; k < width; k += LANES) {
                store(ones + k, load(ones + k) + (load(after + k) - load(before + k)));
            }
            coded_[row] += coded_before_[first + length] - coded_before_[first];
            if (code_.softmax_) {
                for (int j = first; j < first + length; ++j) wanted_.push_back({row, column_[j]});
            }
        }

        void finish(Tile &) {}

        float gradients(Workspace &w, const Tile &tile) {
            const int softmax = code_.softmax_, ld = w.ld_shared;
            float *sums = w.shared_weight.data();
            float loss = 0, coded = 0;
            if (softmax) {
                std::fill(sums, sums + ld, 0.0f);
                for (int r = 0; r < tile.rows; ++r) {
                    float *score = w.shared_score.data() + static_cast<size_t>(r) * ld;
                    for (int k = 0; k < softmax; ++k) score[k] += code_.bias_[k];
                }
                for (const Wanted &pair : wanted_) loss -= w.shared_score.data()[at(pair, ld)];
            }
            for (int r = 0; r < tile.rows; ++r) {
                float *score = w.shared_score.data() + static_cast<size_t>(r) * ld;
                coded += coded_[r];
                if (!softmax) {
                    loss += bit_gradients(score, r, tile.lr, score);
                    continue;
                }
                // Vectors of the softmax end among the bits.
                float bits[MOST_BITS];
                loss += bit_gradients(score + softmax, r, tile.lr, bits);
                const int vectors = (softmax + LANES - 1) / LANES;
                hide_tail(score, softmax);
                const float log_z = log_sum_exp(score, vectors), n = tile.targets[r];
                softmax_gradients(score, vectors, log_z, n, tile.lr, sums);
                loss += n * log_z;
                std::copy(bits, bits + code_.bits_, score + softmax);
            }
            for (const Wanted &pair : wanted_) {
                w.shared_score.data()[at(pair, ld)] += tile.lr;
                sums[pair.column] += 1;
            }
            std::fill(sums + softmax, sums + tile.shared, code_.bit_weight_ * coded);
            return loss;
        }

      private:
        struct Wanted {
            int32_t row, column;
        };

        static size_t at(const Wanted &pair, int ld) { return static_cast<size_t>(pair.row) * ld + pair.column; }

        // From the scores of a row's bits to lr * (ones - n * sigmoid); returns the loss.
        W2V_INLINE float bit_gradients(const float *score, int row, float lr, float *to) {
            const float *ones = ones_.data() + static_cast<size_t>(row) * code_.width(), n = coded_[row];
            Vec linear{}, product = splat(1.0f);
            for (int k = 0; k < code_.width(); k += LANES) {
                const Vec biased = load(score + k) + load(code_.bias_.data() + code_.softmax_ + k);
                const Vec s = first_lanes(biased, code_.bits_ - k), one = load(ones + k);
                const Sigmoid sig = sigmoid(s);
                store(to + k, (one - sig.value * n) * lr);
                linear += max(s, Vec{}) * n - one * s;
                product *= first_lanes(sig.one_plus - 1.0f, code_.bits_ - k) + 1.0f;
            }
            return sum(linear + log_from_one(product) * n);
        }

        const BinaryCode &code_;
        std::vector<float> ones_, before_;           // [rows, width], [words + 1, width]
        std::vector<float> coded_, coded_before_;    // [rows], [words + 1] targets that have a code
        std::vector<int32_t> column_;                // [words] of the softmax
        std::vector<Wanted> wanted_;                 // targets as columns of the softmax
    };

  private:
    static constexpr int MOST_BITS = 96;  // 2 (31 + 6), in whole vectors

    int width() const { return (bits_ + LANES - 1) / LANES * LANES; }

    const int32_t *rank_;
    int32_t code_words_;
    int softmax_, bits_;
    float bit_weight_;
    int code_ints_;
    std::vector<uint32_t> codes_;  // [V, code_ints]
    std::vector<float> bias_;      // [softmax + width]
};

}  // namespace w2v
