// From bytes to words: white space, hashes and keys of words, and what is wrong with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace w2v {

constexpr int GROUP = 64;  // bytes whose flags make one word of the machine

struct Masks {
    uint64_t space;    // bit i: byte i is white space
    uint64_t newline;  // bit i: byte i is '\n'
};

// Flags the white space among GROUP bytes.
#if defined(__SSE2__)
inline Masks classify(const unsigned char *p) {
    const __m128i blank = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    const __m128i nine = _mm_set1_epi8(9), four = _mm_set1_epi8(4);
    Masks masks{0, 0};
    for (int i = 0; i < GROUP; i += 16) {
        const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p + i));
        const __m128i from_tab = _mm_sub_epi8(c, nine);  // \t \n \v \f \r are 9 to 13
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(from_tab, four), from_tab);
        const __m128i space = _mm_or_si128(_mm_cmpeq_epi8(c, blank), control);
        const __m128i ends = _mm_cmpeq_epi8(c, newline);
        masks.space |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(space))) << i;
        masks.newline |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(ends))) << i;
    }
    return masks;
}
#else
// The compare is vectorised by the compiler; a multiplication gathers the eight flags of eight bytes.
inline Masks classify(const unsigned char *p) {
    unsigned char space[GROUP], newline[GROUP];
    for (int i = 0; i < GROUP; ++i) {
        const unsigned char c = p[i];
        space[i] = static_cast<unsigned char>((c == ' ') | (static_cast<unsigned char>(c - 9) <= 4));
        newline[i] = static_cast<unsigned char>(c == '\n');
    }
    Masks masks{0, 0};
    for (int i = 0; i < GROUP; i += 8) {
        uint64_t s = 0, n = 0;
        for (int k = 0; k < 8; ++k) {  // becomes one load on a little-endian machine
            s |= static_cast<uint64_t>(space[i + k]) << (8 * k);
            n |= static_cast<uint64_t>(newline[i + k]) << (8 * k);
        }
        masks.space |= ((s * 0x0102040810204080ULL) >> 56) << i;
        masks.newline |= ((n * 0x0102040810204080ULL) >> 56) << i;
    }
    return masks;
}
#endif

inline bool is_space(char c) { return c == ' ' || static_cast<unsigned char>(c - 9) <= 4; }

inline uint64_t load64(const char *p) {
    uint64_t x;
    std::memcpy(&x, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

// The mixing step of the hashes: a product of 128 bits, its halves joined.
inline uint64_t fold(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t HASH_0 = 0x9e3779b97f4a7c15ULL, HASH_1 = 0xd1b54a32d192ed03ULL, HASH_2 = 0x8cb92ba72f3d8dd7ULL;

constexpr uint32_t SHORT_WORD = 16;  // bytes
constexpr size_t WORD_PAD = 16;      // bytes behind a word that must be readable

// A word of up to SHORT_WORD bytes is its own key; a longer one has its hash in `lo` and is compared in the arena.
struct Word {
    const char *text;
    uint64_t lo, hi, hash;
    uint32_t length;
};

// What keeps the bytes of a short word, and nothing behind it, of the two halves that were read.
struct ShortMasks {
    uint64_t lo[SHORT_WORD + 1], hi[SHORT_WORD + 1];

    ShortMasks() {
        for (unsigned n = 0; n <= SHORT_WORD; ++n) {
            lo[n] = low_bytes(n);
            hi[n] = n > 8 ? low_bytes(n - 8) : 0;
        }
    }

    static uint64_t low_bytes(unsigned count) {
        return count >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * count)) - 1;
    }
};
inline const ShortMasks SHORT_MASKS;

inline uint64_t hash_short(uint64_t lo, uint64_t hi) { return fold(lo ^ HASH_0, hi ^ HASH_1); }

inline uint64_t hash_long(const char *p, size_t n) {
    uint64_t h = HASH_2 ^ n;
    for (size_t i = 0; i + 16 < n; i += 16) h = fold(load64(p + i) ^ HASH_0 ^ h, load64(p + i + 8) ^ HASH_1);
    return fold(load64(p + n - 16) ^ HASH_0 ^ h, load64(p + n - 8) ^ HASH_1 ^ (h << 1));
}

// Reads 16 bytes from `text` on, whatever the length.
inline Word make_word(const char *text, uint32_t length) {
    Word word;
    word.text = text;
    word.length = length;
    if (__builtin_expect(length <= SHORT_WORD, 1)) {
        word.lo = load64(text) & SHORT_MASKS.lo[length];
        word.hi = load64(text + 8) & SHORT_MASKS.hi[length];
        word.hash = hash_short(word.lo, word.hi);
    } else {
        word.hash = word.lo = hash_long(text, length);
        word.hi = 0;
    }
    return word;
}

// The word of a text that may end where it ends: it is copied to `storage`, which must outlive the word.
inline Word make_padded_word(std::string_view text, std::string &storage) {
    storage.assign(text);
    storage.append(WORD_PAD, ' ');
    return make_word(storage.data(), static_cast<uint32_t>(text.size()));
}

// The bytes of the valid UTF-8 character that begins at p, of at most n; 0 if none does. As CPython decodes: no overlong
// forms, no surrogates, nothing above U+10FFFF.
inline size_t utf8_length(const unsigned char *p, size_t n) {
    const auto follows = [&](size_t i, unsigned lo = 0x80, unsigned hi = 0xBF) {
        return i < n && p[i] >= lo && p[i] <= hi;
    };
    const unsigned c = p[0];
    if (c < 0x80) return 1;
    if (c >= 0xC2 && c <= 0xDF && follows(1)) return 2;
    if (c >= 0xE0 && c <= 0xEF && follows(1, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF) && follows(2)) return 3;
    if (c >= 0xF0 && c <= 0xF4 && follows(1, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF) && follows(2) &&
        follows(3)) {
        return 4;
    }
    return 0;
}

// What is wrong with a word; w2vfast/no_text.py says what it is for.
struct Flaws {
    bool undecodable;  // not valid UTF-8
    bool binary;       // more than one in 32 bytes is a control character
    bool foreign;      // two in five bytes belong to no valid UTF-8
};

inline Flaws flaws(std::string_view word) {
    const auto *p = reinterpret_cast<const unsigned char *>(word.data());
    const size_t n = word.size();
    size_t control = 0, stray = 0;
    for (size_t i = 0; i < n;) {
        const unsigned c = p[i];
        // Bell, backspace and escape do no harm; 9 to 13 are white space.
        control += (c < 0x20 && !(c >= 7 && c <= 13) && c != 0x1B) || c == 0x7F;
        const size_t length = utf8_length(p + i, n - i);
        stray += length == 0;
        i += length ? length : 1;
    }
    return {stray > 0, control * 32 > n, n > 0 && stray * 5 >= 2 * n};
}

// How many words have which flaw.
struct FlawCounts {
    int64_t undecodable = 0, binary = 0, foreign = 0;

    void add(const Flaws &flaws, int64_t count) {
        undecodable += flaws.undecodable ? count : 0;
        binary += flaws.binary ? count : 0;
        foreign += flaws.foreign ? count : 0;
    }
};

}  // namespace w2v
