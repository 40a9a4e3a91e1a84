// The plan of a chunk: kept tokens, the limits of their windows, and the shared negatives of a tile.
//
// kernels/contract.py is the definition; every decision is made in integers, so the plan equals the reference's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "philox.hpp"

namespace w2v {

struct Job {
    const int32_t *tokens;  // [n], sign bit on a sentence's last token
    int64_t n;
    int64_t V;
    const uint32_t *keep_threshold;  // [V]
    const uint32_t *noise_prob;      // [V]
    const int32_t *noise_alias;      // [V]
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
        for (int i = 0; i < stop; ++i) {
            // Written whether kept or not, so that the loop has no branch to mispredict.
            const int32_t id = tokens[i] & INT32_MAX;
            word[count] = id;
            offset[count] = block + i;
            radius[count] = job.shrink_windows ? 1 + static_cast<int32_t>(mulhi(c[1][i], job.window)) : job.window;
            sentence_[count] = sentence;
            count += c[0][i] <= job.keep_threshold[id];
            sentence += tokens[i] < 0;
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

// Draws the shared negatives of a tile into ids[N]; writes up to a block past N.
constexpr int NEGATIVE_BLOCK = 32;

inline void draw_negatives(const Job &job, int64_t chunk, uint32_t tile, uint32_t epoch, int32_t *ids) {
    constexpr int CALLS = NEGATIVE_BLOCK / 2;
    uint32_t c[4][CALLS];
    for (int begin = 0; begin < job.shared_negatives; begin += NEGATIVE_BLOCK) {
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
                const int32_t alias = job.noise_alias[column];
                const bool accepted = c[2 * half + 1][i] < job.noise_prob[column];
                ids[begin + 2 * i + half] = accepted ? static_cast<int32_t>(column) : alias;
            }
        }
    }
}

}  // namespace w2v
