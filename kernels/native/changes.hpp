// What a tile would add to the rows of a table, written down to be added later (batch.hpp).
#pragma once

#include <algorithm>
#include <vector>

#include "buffers.hpp"

namespace w2v {

// A step of one tile for one row; `weight` is lr times what touches the row.
struct Change {
    float weight, lr;
    const float *step;
};

// Changes of one row, of several tiles, as a list.
struct Link {
    const Change *change;
    const Link *next;
};

// All that one tile has for one table. Rows are parted by their ids into 2^bits parts.
class Changes {
  public:
    // A matrix of steps [rows, ld] for a worker to borrow and to give back: `add` leaves where they are what stands there.
    Buffer matrix;

    void begin(const float *borrowed, int ld, float lr) {
        borrowed_ = borrowed;
        ld_ = ld;
        lr_ = lr;
        entries_.clear();
        used_ = 0;
    }

    // Where the next step may be written, to be left there by `add`.
    W2V_INLINE float *room() {
        const size_t end = (used_ + 1) * ld_;
        if (end > steps_.size()) steps_.grow(std::max<size_t>(2 * steps_.size(), 64 * static_cast<size_t>(ld_)));
        return steps_.data() + used_ * ld_;
    }

    // Adds a step of `ld` floats, its weight without lr.
    W2V_INLINE void add(int32_t id, const float *step, float weight) {
        const size_t at = (reinterpret_cast<uintptr_t>(step) - reinterpret_cast<uintptr_t>(borrowed_)) / sizeof(float);
        if (at < matrix.size()) {
            entries_.push_back({id, weight, static_cast<int64_t>(at)});
            return;
        }
        float *to = room();
        if (step != to) {
            for (int d = 0; d < ld_; d += LANES) store(to + d, load(step + d));
        }
        entries_.push_back({id, weight, ~static_cast<int64_t>(used_++ * ld_)});
    }

    // Sorts what was added by part, within each in the order of adding.
    void finish(int bits) {
        const int parts = 1 << bits;
        start_.assign(parts + 2, 0);
        for (const Entry &entry : entries_) ++start_[part(entry.id, bits) + 2];
        for (int p = 2; p < parts + 2; ++p) start_[p] += start_[p - 1];
        sorted_.resize(entries_.size());
        ids_.resize(entries_.size());
        fetch_to_write(sorted_);
        fetch_to_write(ids_);
        for (const Entry &entry : entries_) {
            const float *step = entry.at < 0 ? steps_.data() + ~entry.at : matrix.data() + entry.at;
            const int32_t to = start_[part(entry.id, bits) + 1]++;
            sorted_[to] = {lr_ * entry.weight, lr_, step};
            ids_[to] = entry.id;
        }
    }

    // What a part has: so many changes, their rows and they themselves.
    int count_of(int part) const { return start_[part + 1] - start_[part]; }
    const int32_t *ids_of(int part) const { return ids_.data() + start_[part]; }
    const Change *begin_of(int part) const { return sorted_.data() + start_[part]; }

  private:
    struct Entry {
        int32_t id;
        float weight;
        int64_t at;  // of the step, in floats: in `matrix`, or ~ that in `steps_`
    };

    // Others have read it: all lines are asked for at once, not one after another as they are written.
    template <class T>
    static void fetch_to_write(std::vector<T> &to) {
        const char *end = reinterpret_cast<const char *>(to.data() + to.size());
        for (const char *at = reinterpret_cast<const char *>(to.data()); at < end; at += CACHE_LINE) {
            prefetch_to_write(reinterpret_cast<const float *>(at));
        }
    }

    // By other bits than those that `Numbering` takes for its places.
    static uint32_t part(int32_t id, int bits) {
        const uint64_t hash = static_cast<uint32_t>(id) * 0x85EBCA6Bu;
        return static_cast<uint32_t>(hash << bits >> 32);
    }

    const float *borrowed_ = nullptr;
    int ld_ = 0;
    float lr_ = 0;
    size_t used_ = 0;
    Buffer steps_;
    std::vector<Entry> entries_;
    std::vector<Change> sorted_;
    std::vector<int32_t> ids_, start_;
};

}  // namespace w2v
