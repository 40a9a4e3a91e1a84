// The plan of a chunk, kept tokens and the limits of their windows; the job and the visit that it is made for.
//
// kernels/contract.py is the definition; every decision is made in integers, so the plan equals the reference's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "levels.hpp"
#include "philox.hpp"

namespace w2v {

// Tables of another model, [V, D].
struct TeacherModel {
    const float *w_in, *w_out;
    int64_t D;
};

// kernels/teacher.py; without models there is none.
struct Teacher {
    std::vector<TeacherModel> models;
    const uint8_t *known;  // [V]
    float weight, temperature;
};

struct Job {
    const int32_t *tokens;  // [n], sign bit on a sentence's last token
    bool mapped;            // they lie in a file
    int64_t n;
    int64_t V;
    const uint32_t *keep_threshold;  // [V]
    const float *in_weight;          // [V] or null
    const float *out_weight;         // [out_rows] or null
    const float *in_scale;           // [V] or null
    const int32_t *in_row = nullptr;  // [V] the row of W_in that a word has, or null: its own
    float *w_in;                     // [V, D]
    float *w_out;                    // [out_rows, D]
    int64_t D;
    bool cbow, cbow_mean, shrink_windows;
    int window, tile, chunk_size;
    uint64_t seed;
    double cap;
    bool contended = false;  // several workers share the tables, each changing them as it goes
    Levels levels;           // of W_in, as a tile reads it
    Teacher teacher;
    int batch_tiles = 0, group_chunks = 0;  // tiles computed from one snapshot, chunks that they are of; or 0
};

// Chunks to train on, and where the run stands while it does.
struct Visit {
    const int64_t *chunks;  // [count]
    const int64_t *done;    // [count] tokens of `total` before each chunk
    int64_t count, total;
    double start_rate, end_rate;
    uint32_t draw_epoch;
    int shared_words;  // N

    double learning_rate(int64_t place, int64_t offset) const {
        const double at = static_cast<double>(done[place]) + static_cast<double>(offset);
        return start_rate - (start_rate - end_rate) * std::min(1.0, at / static_cast<double>(total));
    }
};

struct ChunkPlan {
    int kept = 0;
    std::vector<int32_t> word, offset, radius, first, last;  // [kept]; the window of i is first[i] .. last[i] without i

    void compute(const Job &job, int64_t chunk, uint32_t draw_epoch);

  private:
    std::vector<int32_t> sentence_;
};

inline void ChunkPlan::compute(const Job &job, int64_t chunk, uint32_t draw_epoch) {
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
            c[2][i] = draw_epoch;
            c[3][i] = PURPOSE_TOKEN;
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

}  // namespace w2v
