// A tile's own buffers: rows of floats padded to whole vectors, aligned to cache lines.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

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
    // Makes room for more; what is there stays.
    void grow(size_t floats) {
        Buffer larger;
        larger.resize(floats);
        if (floats_ > 0) std::memcpy(larger.data(), data_.get(), floats_ * sizeof(float));
        *this = std::move(larger);
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

}  // namespace w2v
