// From bytes to words: white space, hashes and keys of words, and what is valid UTF-8.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace scan {

using std::size_t;

struct Masks {
    uint64_t space;    // bit i: byte i is white space
    uint64_t newline;  // bit i: byte i is '\n'
};

#if defined(__SSE2__)
inline Masks classify(const unsigned char* p) {
    const __m128i blank = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    const __m128i nine = _mm_set1_epi8(9), four = _mm_set1_epi8(4);
    Masks masks{0, 0};
    for (int i = 0; i < 4; ++i) {
        const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
        const __m128i from_tab = _mm_sub_epi8(c, nine);  // \t \n \v \f \r are 9 to 13
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(from_tab, four), from_tab);
        const __m128i space = _mm_or_si128(_mm_cmpeq_epi8(c, blank), control);
        masks.space |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(space))) << (16 * i);
        const __m128i ends = _mm_cmpeq_epi8(c, newline);
        masks.newline |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(ends))) << (16 * i);
    }
    return masks;
}
#else
// The compare is vectorised by the compiler; a multiplication gathers the eight flags of eight bytes.
inline Masks classify(const unsigned char* p) {
    unsigned char space[64], newline[64];
    for (int i = 0; i < 64; ++i) {
        const unsigned char c = p[i];
        space[i] = static_cast<unsigned char>((c == ' ') | (static_cast<unsigned char>(c - 9) <= 4));
        newline[i] = static_cast<unsigned char>(c == '\n');
    }
    Masks masks{0, 0};
    for (int i = 0; i < 8; ++i) {
        uint64_t s = 0, n = 0;
        for (int k = 0; k < 8; ++k) {  // becomes one load on a little-endian machine
            s |= static_cast<uint64_t>(space[8 * i + k]) << (8 * k);
            n |= static_cast<uint64_t>(newline[8 * i + k]) << (8 * k);
        }
        masks.space |= ((s * 0x0102040810204080ULL) >> 56) << (8 * i);
        masks.newline |= ((n * 0x0102040810204080ULL) >> 56) << (8 * i);
    }
    return masks;
}
#endif

inline bool is_space(unsigned char c) { return c == ' ' || static_cast<unsigned char>(c - 9) <= 4; }

inline uint64_t load64(const char* p) {
    uint64_t x;
    std::memcpy(&x, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

inline uint64_t fold(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kHash0 = 0x9e3779b97f4a7c15ULL, kHash1 = 0xd1b54a32d192ed03ULL, kHash2 = 0x8cb92ba72f3d8dd7ULL;

// A word of up to 16 bytes is its own key; a longer one has its hash in `lo` and is compared in the arena.
struct Word {
    const char* text;
    uint64_t lo, hi, hash;
    uint32_t length;
};

constexpr uint32_t kInline = 16;
constexpr size_t kWordPad = 16;  // bytes behind a word that must be readable

inline uint64_t low_bytes(unsigned count) { return count >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * count)) - 1; }

struct MaskTable {
    uint64_t lo[kInline + 1], hi[kInline + 1];
    MaskTable() {
        for (unsigned n = 0; n <= kInline; ++n) lo[n] = low_bytes(n), hi[n] = n > 8 ? low_bytes(n - 8) : 0;
    }
};
inline const MaskTable kMasks;

inline uint64_t hash_long(const char* p, size_t n) {
    uint64_t h = kHash2 ^ n;
    size_t i = 0;
    for (; i + 16 < n; i += 16) h = fold(load64(p + i) ^ kHash0 ^ h, load64(p + i + 8) ^ kHash1);
    return fold(load64(p + n - 16) ^ kHash0 ^ h, load64(p + n - 8) ^ kHash1 ^ (h << 1));
}

// Reads 16 bytes from `text` on, whatever the length.
inline Word make_word(const char* text, uint32_t length) {
    Word word;
    word.text = text;
    word.length = length;
    if (__builtin_expect(length <= kInline, 1)) {
        word.lo = load64(text) & kMasks.lo[length];
        word.hi = load64(text + 8) & kMasks.hi[length];
        word.hash = fold(word.lo ^ kHash0, word.hi ^ kHash1);
    } else {
        word.hash = word.lo = hash_long(text, length);
        word.hi = 0;
    }
    return word;
}

// As CPython decodes: no overlong forms, no surrogates, nothing above U+10FFFF.
inline bool valid_utf8(const char* text, size_t n) {
    const auto* p = reinterpret_cast<const unsigned char*>(text);
    const auto follows = [&](size_t i, unsigned lo = 0x80, unsigned hi = 0xBF) {
        return i < n && p[i] >= lo && p[i] <= hi;
    };
    for (size_t i = 0; i < n;) {
        const unsigned c = p[i];
        if (c < 0x80) {
            i += 1;
        } else if (c >= 0xC2 && c <= 0xDF && follows(i + 1)) {
            i += 2;
        } else if (c >= 0xE0 && c <= 0xEF && follows(i + 1, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF) &&
                   follows(i + 2)) {
            i += 3;
        } else if (c >= 0xF0 && c <= 0xF4 && follows(i + 1, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF) &&
                   follows(i + 2) && follows(i + 3)) {
            i += 4;
        } else {
            return false;
        }
    }
    return true;
}

}  // namespace scan
