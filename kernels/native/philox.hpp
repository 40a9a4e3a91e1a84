// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a block of counters at a time.
#pragma once

#include <cstdint>

namespace w2v {

// What the counters' last word parts (kernels/philox.py).
constexpr uint32_t PURPOSE_TOKEN = 0;   // p = position: word 0 subsampling, word 1 window radius
constexpr uint32_t PURPOSE_SHARED = 1;  // p = chunk << 32 | tile ordinal, k = pair of shared words

// Philox of COUNT counters at once; c[w][i] is word w of counter i, replaced by word w of the result. Plain loops over
// the counters, which compilers turn into 32 x 32 -> 64 bit vector products.
template <int COUNT>
inline void philox(uint64_t seed, uint32_t (&c)[4][COUNT]) {
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < COUNT; ++i) {
            const uint64_t p0 = static_cast<uint64_t>(c[0][i]) * 0xD2511F53u;
            const uint64_t p1 = static_cast<uint64_t>(c[2][i]) * 0xCD9E8D57u;
            c[0][i] = static_cast<uint32_t>(p1 >> 32) ^ c[1][i] ^ k0;
            c[1][i] = static_cast<uint32_t>(p1);
            c[2][i] = static_cast<uint32_t>(p0 >> 32) ^ c[3][i] ^ k1;
            c[3][i] = static_cast<uint32_t>(p0);
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

inline uint32_t mulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32); }

}  // namespace w2v
