// Rows between the shared tables and a tile's own buffers.
//
// Data races, of which batches (batch.hpp) have none. The tables are shared by all threads without locks, as in
// word2vec.c ("Hogwild", Niu et al., NIPS 2011). Threads may read a row in `gather` while another writes it in
// `scatter` or `add_vectors`, and two may write one at once. Each access is a plain load or store of 4-byte aligned
// floats or of whole vectors of them, so what is read is, float by float, some value that was written (x86-64 and
// aarch64 do not tear an aligned 4-byte part), and at worst an update is lost or half of a row is one update older:
// noise of the size of one step. No address, size or branch depends on a table's content: row ids come from Job.tokens
// and the objective's arrays, all read-only and checked before a run, and every row access is cut to the D floats of
// its row (a row's tail is never written with its neighbour's floats). So no race can touch memory outside the tables,
// and a NaN in a table stays a NaN. Everything else a worker writes is its own. In the language of the standard the
// races are undefined; they are confined to these three, whose pointers to tables are not marked restrict, and to the
// nodes of a tree (paths.hpp), and compilers have no licence to do more than reread or split.
#pragma once

#include <algorithm>
#include <vector>

#include "changes.hpp"
#include "levels.hpp"

namespace w2v {

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

// The factor of the row cap: min(1, cap / x), x = lr * weight, or lr * the row's static weight if that is more.
W2V_INLINE float cap_scale(float weight, const float *static_weight, int32_t id, float lr, float cap) {
    const float x = lr * (static_weight ? std::max(weight, static_weight[id]) : weight);
    return x > cap ? cap / x : 1.0f;
}

constexpr int ROWS_AHEAD = 12;  // rows that `each` fetches again before the one at hand

// A table as one worker reads and changes it. `contended` says that other workers change it meanwhile. Where changes are
// written down, nobody changes it while it is read.
class Table {
  public:
    Table(
        float *table, const float *static_weight, const float *step_scale, int64_t D, float cap, bool contended,
        const Levels &levels = {}
    )
        : levels_(levels),
          table_(table),
          static_weight_(static_weight),
          step_scale_(step_scale),
          D_(D),
          cap_(cap),
          contended_(contended) {}

    W2V_INLINE void read(int32_t id, float *to) {
        gather(row(id), D_, to);
        if (levels_.step > 0) levels_.quantise(to, D_);
    }

    // From now on `add` writes down what it is given.
    void write_down(Changes &changes) { changes_ = &changes; }
    bool writes_down() const { return changes_ != nullptr; }

    // Where a step may be written that `add` is to be given: at `step` or, better, where it is written down.
    W2V_INLINE float *room(float *step) { return changes_ ? changes_->room() : step; }

    // Adds a step of summed weight `weight` (lr left out), scaled by the row cap, and by the row's own scale.
    W2V_INLINE void add(int32_t id, const float *step, float weight, float lr) {
        if (changes_) return changes_->add(id, step, weight);
        scatter(row(id), D_, step, scale(id, weight, lr));
    }

    // Likewise of a step that is made in registers: make(v, acc) puts its vectors from the v-th on into `acc`. Written down
    // it is left at `step`, as above.
    template <class Make>
    W2V_INLINE void add_made(int32_t id, float *step, float weight, float lr, Blocks<SUM_VECTORS> blocks, Make &&make) {
        const float factor = changes_ ? 0.0f : scale(id, weight, lr);
        float *to = changes_ ? step : row(id);
        blocks.each([&](auto size, int v) {
            constexpr int VECTORS = size;
            Vec acc[VECTORS] = {};
            make(v, acc);
            if (changes_) {
                store_vectors(to, v, acc);
            } else {
                add_vectors(to, v, factor, acc);
            }
        });
        if (changes_) changes_->add(id, step, weight);
    }

    // Adds factor * acc to a row of the table from its v-th vector on, of which the row's last may have fewer lanes.
    template <int VECTORS>
    W2V_INLINE void add_vectors(float *row, int v, float factor, const Vec (&acc)[VECTORS]) const {
        const int whole = static_cast<int>(D_ / LANES) - v, rest = static_cast<int>(D_ % LANES);
        float *to = row + v * LANES;
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; ++j, to += LANES) {
            if (j < VECTORS - 1 || j < whole) {
                store(to, load(to) + factor * acc[j]);
            } else {
                store_first(to, load_first(to, rest) + factor * acc[j], rest);
            }
        }
    }

    // For those that read and change a row by themselves: where it lies, and the factor of a step as above.
    W2V_INLINE float *at(int32_t id) { return row(id); }
    W2V_INLINE float scale(int32_t id, float weight, float lr) const {
        const float scale = cap_scale(weight, static_weight_, id, lr, cap_);
        return step_scale_ ? scale * step_scale_[id] : scale;
    }

    // Whether rows of one weight may have different ones.
    bool scales_vary() const { return static_weight_ || step_scale_; }

    // Adds changes of one row, whose weights sum to `weight`, scaled as if they were one step. `sum` has room for a row.
    W2V_INLINE void add_all(int32_t id, const Link *first, float weight, Buffer &sum) {
        const float own = step_scale_ ? step_scale_[id] : 1.0f;
        const auto scale = [&](const Change &change) {
            const float x = static_weight_ ? std::max(weight, change.lr * static_weight_[id]) : weight;
            return x > cap_ ? own * (cap_ / x) : own;
        };
        if (!first->next) return scatter(row(id), D_, first->change->step, scale(*first->change));
        const float whole = static_weight_ ? 1.0f : scale(*first->change);
        Blocks<SUM_VECTORS>(vectors_of(D_)).each([&](auto size, int v) {
            constexpr int VECTORS = size;
            Vec acc[VECTORS] = {};
            for (const Link *link = first; link; link = link->next) {
                const float *x = link->change->step + v * LANES, factor = static_weight_ ? scale(*link->change) : 1.0f;
#pragma GCC unroll 8
                for (int j = 0; j < VECTORS; ++j) acc[j] += factor * load(x + j * LANES);
            }
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j) store(sum.data() + (v + j) * LANES, acc[j]);
        });
        scatter(row(id), D_, sum.data(), whole);
    }

    // Fetches what the next `read` and `add` of a row will touch.
    W2V_INLINE void prefetch(int32_t id) {
        if (static_weight_) __builtin_prefetch(static_weight_ + id, 0, 3);
        fetch(id);
    }

    // Fetches the row that `add_all` will write, and a step that it will read.
    W2V_INLINE void fetch_to_add(int32_t id) { fetch_to_write(row(id)); }
    W2V_INLINE void fetch_step(const float *step) {
        asm volatile("");
        for (int64_t d = 0; d < D_; d += LINE_FLOATS) __builtin_prefetch(step + d, 0, 3);
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
        if (changes_) {
            for (const float *line = line_of(at); line < at + D_; line += LINE_FLOATS) __builtin_prefetch(line, 0, 2);
            return;
        }
        fetch_to_write(at);
    }

    W2V_INLINE void fetch_to_write(const float *at) {
        asm volatile("");
        for (const float *line = line_of(at); line < at + D_; line += LINE_FLOATS) prefetch_to_write(line);
    }

    static W2V_INLINE const float *line_of(const float *at) {
        return reinterpret_cast<const float *>(reinterpret_cast<uintptr_t>(at) / CACHE_LINE * CACHE_LINE);
    }

    Levels levels_;
    float *table_;
    const float *static_weight_;  // [rows] or null
    const float *step_scale_;     // [rows] or null
    int64_t D_;
    float cap_;
    bool contended_;
    Changes *changes_ = nullptr;
};

}  // namespace w2v
