// Tokens that lie in a file: their pages count as the process's memory from when they are read until they are released.
#pragma once

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace w2v {

// Lets go of the pages of a mapped file. The system maps many around each that is touched, a chunk may bring megabytes;
// other threads may be reading, and their pages come back as they do.
inline void release([[maybe_unused]] const int32_t *tokens, [[maybe_unused]] int64_t n) {
#if defined(__linux__)
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = (reinterpret_cast<uintptr_t>(tokens) + page - 1) / page * page;
    const auto end = reinterpret_cast<uintptr_t>(tokens + n) / page * page;
    if (begin < end) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
#endif
}

}  // namespace w2v
