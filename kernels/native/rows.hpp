// Rows between the shared tables and a tile's own buffers, and the numbering of a tile's distinct rows.
//
// Data races. The tables are shared by all threads without locks, as in word2vec.c ("Hogwild", Niu et al., NIPS 2011).
// Threads may read a row in `gather` while another writes it in `scatter`, and two may write one at once. Each access is
// a plain load or store of 4-byte aligned floats or of whole vectors of them, so what is read is, float by float, some
// value that was written (x86-64 and aarch64 do not tear an aligned 4-byte part), and at worst an update is lost or half
// of a row is one update older: noise of the size of one step. No address, size or branch depends on a table's content:
// row ids come from Job.tokens and the alias table, both read-only and checked to be below V before a run, and every row
// access is cut to the D floats of its row (a row's tail is never written with its neighbour's floats). So no race can
// touch memory outside the tables, and a NaN in a table stays a NaN. Everything else a worker writes is its own. In the
// language of the standard the races are undefined; they are confined to `gather` and `scatter`, whose pointers are not
// marked restrict, and compilers have no licence to do more than reread or split.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "simd.hpp"

namespace w2v {

// Floats of a padded row: whole vectors, and an odd number of cache lines, so that the rows of a tile do not all fall
// in the same few sets of the L1 cache when D is a power of two.
inline int padded(int64_t D) {
    const int lines = static_cast<int>((D + LINE_FLOATS - 1) / LINE_FLOATS);
    return (lines | 1) * LINE_FLOATS;
}

inline int vectors_of(int64_t D) { return static_cast<int>((D + LANES - 1) / LANES); }

// Zeroed floats, aligned to a cache line.
class Buffer {
  public:
    void resize(size_t floats) {
        const size_t bytes = (floats * sizeof(float) / CACHE_LINE + 1) * CACHE_LINE;
        data_.reset(static_cast<float *>(std::aligned_alloc(CACHE_LINE, bytes)));
        if (!data_) throw std::bad_alloc();
        std::memset(data_.get(), 0, bytes);
        floats_ = floats;
    }
    float *data() { return data_.get(); }
    size_t size() const { return floats_; }

  private:
    struct Free {
        void operator()(float *p) const { std::free(p); }
    };
    std::unique_ptr<float, Free> data_;
    size_t floats_ = 0;
};

// Copies a row of D floats to `to`; floats beyond D keep their value, which is 0.
W2V_INLINE void gather(const float *from, int64_t D, float *to) {
    if (D < LANES) {
        for (int64_t d = 0; d < D; ++d) to[d] = from[d];
        return;
    }
    int64_t d = 0;
    for (; d + LANES <= D; d += LANES) store(to + d, load(from + d));
    if (d < D) store(to + D - LANES, load(from + D - LANES));
}

// Adds scale * step to a row of D floats of a table.
W2V_INLINE void scatter(float *to, int64_t D, const float *step, float scale) {
    if (D < LANES) {
        for (int64_t d = 0; d < D; ++d) to[d] += scale * step[d];
        return;
    }
    // The last, overlapping vector is computed from floats read before any is written, so both stores agree.
    const Vec tail = load(to + D - LANES) + scale * load(step + D - LANES);
    for (int64_t d = 0; d + LANES <= D; d += LANES) store(to + d, load(to + d) + scale * load(step + d));
    store(to + D - LANES, tail);
}

// Numbers distinct ids in order of first appearance; one table serves many tiles through a stamp.
class Slots {
  public:
    void resize(size_t most_ids) {
        size_t size = 64;
        shift_ = 32 - 6;
        while (size < 4 * most_ids) size *= 2, --shift_;
        keys_.assign(size, 0);
        slots_.assign(size, 0);
        stamp_ = 0;
    }

    void begin() {
        count_ = 0;
        if (++stamp_ == 0) {
            std::fill(keys_.begin(), keys_.end(), 0);
            stamp_ = 1;
        }
    }

    // Gives each of from[0 .. n) its slot in `slot`, appending new ids to ids[count()].
    W2V_INLINE void insert(const int32_t *__restrict from, int n, int32_t *__restrict slot, int32_t *__restrict ids) {
        uint64_t *__restrict keys = keys_.data();
        int32_t *__restrict slots = slots_.data();
        const uint32_t mask = static_cast<uint32_t>(keys_.size()) - 1;
        const uint64_t stamp = static_cast<uint64_t>(stamp_) << 32;
        int32_t count = count_;
        for (int i = 0; i < n; ++i) {
            const uint32_t id = static_cast<uint32_t>(from[i]);
            const uint64_t key = stamp | id;
            uint32_t at = (id * 0x9E3779B1u) >> shift_;
            while (keys[at] != key) {
                if ((keys[at] & ~uint64_t{UINT32_MAX}) != stamp) {
                    keys[at] = key;
                    slots[at] = count;
                    ids[count++] = from[i];
                    break;
                }
                at = (at + 1) & mask;
            }
            slot[i] = slots[at];
        }
        count_ = count;
    }

    int32_t count() const { return count_; }

  private:
    std::vector<uint64_t> keys_;  // stamp << 32 | id
    std::vector<int32_t> slots_;
    uint32_t stamp_ = 0;
    int32_t count_ = 0;
    int shift_ = 0;
};

// The factor of the row cap: min(1, cap / x), x = lr * weight, or lr * the row's static weight if that is more.
W2V_INLINE float cap_scale(float weight, const float *static_weight, int32_t id, float lr, float cap) {
    const float x = lr * (static_weight ? std::max(weight, static_weight[id]) : weight);
    return x > cap ? cap / x : 1.0f;
}

constexpr int ROWS_AHEAD = 12;  // rows that `each` fetches again before the one at hand

// A table as one worker reads and changes it. `contended` says that other workers change it meanwhile.
class Rows {
  public:
    Rows(float *table, const float *static_weight, int64_t D, float cap, bool contended)
        : table_(table), static_weight_(static_weight), D_(D), cap_(cap), contended_(contended) {}

    W2V_INLINE void read(int32_t id, float *to) { gather(row(id), D_, to); }

    // Adds a step of summed weight `weight` (lr left out), scaled by the row cap.
    W2V_INLINE void add(int32_t id, const float *step, float weight, float lr) {
        scatter(row(id), D_, step, cap_scale(weight, static_weight_, id, lr, cap_));
    }

    // Fetches what the next `read` and `add` of a row will touch.
    W2V_INLINE void prefetch(int32_t id) {
        if (static_weight_) __builtin_prefetch(static_weight_ + id, 0, 3);
        fetch(id);
    }

    // Calls body(i) for 0 .. count - 1, which reads or adds to row ids[i]. A row fetched a tile ago may since have been
    // taken by another worker, and waiting for one row after another to come back takes longer than memory does between
    // cores that have no cache in common: so rows are fetched once more, just before their turn.
    template <class Body>
    W2V_INLINE void each(const std::vector<int32_t> &ids, int count, Body &&body) {
        const int ahead = contended_ ? ROWS_AHEAD : count;
        if (contended_) {
            for (int i = 0; i < std::min(ahead, count); ++i) fetch(ids[i]);
        }
        for (int i = 0; i < count; ++i) {
            if (i + ahead < count) fetch(ids[i + ahead]);
            body(i);
        }
    }

  private:
    float *row(int32_t id) { return table_ + static_cast<int64_t>(id) * D_; }

    W2V_INLINE void fetch(int32_t id) {
        // GCC takes a function that only prefetches for one without effect and drops its calls; the empty asm is one.
        asm volatile("");
        const float *at = row(id);
        for (int64_t d = 0; d < D_; d += LINE_FLOATS) prefetch_to_write(at + d);
        prefetch_to_write(at + D_ - 1);
    }

    float *table_;
    const float *static_weight_;  // [V] or null
    int64_t D_;
    float cap_;
    bool contended_;
};

}  // namespace w2v
