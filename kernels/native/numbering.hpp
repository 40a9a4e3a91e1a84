// Numbers for the distinct ids of a tile: what names its rows and columns in its own buffers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "simd.hpp"

namespace w2v {

// Numbers distinct ids in order of first appearance; one table serves many tiles through a stamp.
class Numbering {
  public:
    void resize(size_t most_ids) {
        size_t size = 64;
        shift_ = 32 - 6;
        while (size < 4 * most_ids) size *= 2, --shift_;
        keys_.assign(size, 0);
        numbers_.assign(size, 0);
        stamp_ = 0;
    }

    void begin() {
        count_ = 0;
        if (++stamp_ == 0) {
            std::fill(keys_.begin(), keys_.end(), 0);
            stamp_ = 1;
        }
    }

    // Gives each of from[0 .. n) its number in `number`, appending new ids to ids[count()].
    W2V_INLINE void insert(const int32_t *__restrict from, int n, int32_t *__restrict number, int32_t *__restrict ids) {
        uint64_t *__restrict keys = keys_.data();
        int32_t *__restrict numbers = numbers_.data();
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
                    numbers[at] = count;
                    ids[count++] = from[i];
                    break;
                }
                at = (at + 1) & mask;
            }
            number[i] = numbers[at];
        }
        count_ = count;
    }

    int32_t count() const { return count_; }

  private:
    std::vector<uint64_t> keys_;  // stamp << 32 | id
    std::vector<int32_t> numbers_;
    uint32_t stamp_ = 0;
    int32_t count_ = 0;
    int shift_ = 0;
};

}  // namespace w2v
