// The plan of a chunk: kept tokens, the limits of their windows, and the shared negatives of a tile.
//
// kernels/contract.py is the definition; every decision is made in integers, so the plan equals the reference's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "philox.hpp"

namespace w2v {

// A column of the alias table, together so that a draw touches one cache line.
struct Noise {
    uint32_t prob;
    int32_t alias;
};

struct Job {
    const int32_t *tokens;  // [n], sign bit on a sentence's last token
    int64_t n;
    int64_t V;
    const uint32_t *keep_threshold;  // [V]
    const Noise *noise;              // [V]
    const float *in_weight;          // [V] or null
    const float *out_weight;         // [V] or null
    float *w_in;                     // [V, D]
    float *w_out;                    // [V, D]
    int64_t D;
    bool cbow, cbow_mean, shrink_windows, target_mask;
    int window, negative, tile, shared_negatives, chunk_size;
    uint64_t seed;
    int epochs;
    double cap, alpha, min_alpha;

    int64_t chunks() const { return (n + chunk_size - 1) / chunk_size; }

    double learning_rate(int64_t epoch, int64_t rank, int64_t offset) const {
        const double at = static_cast<double>(epoch) * n + static_cast<double>(rank) * chunk_size + offset;
        const double done = std::min(1.0, at / (static_cast<double>(epochs) * n));
        return alpha - (alpha - min_alpha) * done;
    }
};

struct ChunkPlan {
    int kept = 0;
    std::vector<int32_t> word, offset, radius, first, last;  // [kept]; targets of i are first[i] .. last[i] without i

    void compute(const Job &job, int64_t chunk, uint32_t epoch);

  private:
    std::vector<int32_t> sentence_;
};

inline void ChunkPlan::compute(const Job &job, int64_t chunk, uint32_t epoch) {
    constexpr int BLOCK = 32;
    const int64_t start = chunk * job.chunk_size;
    const int length = static_cast<int>(std::min<int64_t>(job.chunk_size, job.n - start));
    for (auto *column : {&word, &offset, &radius, &first, &last, &sentence_}) {
        if (column->size() < static_cast<size_t>(length) + 1) column->resize(length + 1);
    }
    const int32_t least = job.shrink_windows ? 1 : job.window;
    const uint32_t spread = job.shrink_windows ? job.window : 0;
    int count = 0;
    int32_t sentence = 0;
    uint32_t c[4][BLOCK];
    for (int block = 0; block < length; block += BLOCK) {
        for (int i = 0; i < BLOCK; ++i) {
            const uint64_t p = static_cast<uint64_t>(start) + block + i;
            c[0][i] = static_cast<uint32_t>(p);
            c[1][i] = static_cast<uint32_t>(p >> 32);
            c[2][i] = epoch;
            c[3][i] = 0;
        }
        philox(job.seed, c);
        const int32_t *tokens = job.tokens + start + block;
        const int stop = std::min(BLOCK, length - block);
        const int ahead = std::min(2 * BLOCK, length - block);
        for (int i = BLOCK; i < ahead; ++i) {
            __builtin_prefetch(job.keep_threshold + (tokens[i] & INT32_MAX), 0, 3);
        }
        for (int i = 0; i < stop; ++i) {
            // Written whether kept or not, and kept decided by a borrow: a branch would be mispredicted.
            const int32_t id = tokens[i] & INT32_MAX;
            word[count] = id;
            offset[count] = block + i;
            radius[count] = least + static_cast<int32_t>(mulhi(c[1][i], spread));
            sentence_[count] = sentence;
            const uint64_t borrow = (static_cast<uint64_t>(job.keep_threshold[id]) - c[0][i]) >> 63;
            count += 1 - static_cast<int>(borrow);
            sentence += static_cast<int32_t>(static_cast<uint32_t>(tokens[i]) >> 31);
        }
    }
    kept = count;
    for (int i = 0, begin = 0; i < kept; ++i) {
        begin = i > 0 && sentence_[i] == sentence_[i - 1] ? begin : i;
        first[i] = std::max(i - radius[i], begin);
    }
    for (int i = kept - 1, end = kept - 1; i >= 0; --i) {
        end = i + 1 < kept && sentence_[i] == sentence_[i + 1] ? end : i;
        last[i] = std::min(i + radius[i], end);
    }
}

// The shared negatives of a tile, in two steps, so that the table's cache lines are on their way in between.
class NegativeDraws {
  public:
    void resize(int negatives) {
        const size_t size = (negatives + BLOCK - 1) / BLOCK * BLOCK;
        column_.resize(size);
        chance_.resize(size);
    }

    void draw(const Job &job, int64_t chunk, uint32_t tile, uint32_t epoch) {
        constexpr int CALLS = BLOCK / 2;
        uint32_t c[4][CALLS];
        for (int begin = 0; begin < job.shared_negatives; begin += BLOCK) {
            for (int i = 0; i < CALLS; ++i) {
                c[0][i] = tile;
                c[1][i] = static_cast<uint32_t>(chunk);
                c[2][i] = epoch;
                c[3][i] = 1u | static_cast<uint32_t>(begin / 2 + i) << 8;
            }
            philox(job.seed, c);
            for (int i = 0; i < CALLS; ++i) {
                for (int half = 0; half < 2; ++half) {
                    const uint32_t column = mulhi(c[2 * half][i], static_cast<uint32_t>(job.V));
                    __builtin_prefetch(job.noise + column, 0, 2);
                    column_[begin + 2 * i + half] = column;
                    chance_[begin + 2 * i + half] = c[2 * half + 1][i];
                }
            }
        }
    }

    // Writes the ids of what was drawn to ids[0 .. N).
    void resolve(const Job &job, int32_t *ids) const {
        for (int j = 0; j < job.shared_negatives; ++j) {
            const Noise noise = job.noise[column_[j]];
            // All ones where the column is accepted: a branch here would be a coin toss for the predictor.
            const int64_t below = static_cast<int64_t>(chance_[j]) - static_cast<int64_t>(noise.prob);
            const int32_t accepted = static_cast<int32_t>(below >> 63);
            ids[j] = (static_cast<int32_t>(column_[j]) & accepted) | (noise.alias & ~accepted);
        }
    }

  private:
    static constexpr int BLOCK = 32;
    std::vector<uint32_t> column_, chance_;
};

}  // namespace w2v
