// bfloat16 operands of a tile's products, two to a 32-bit word along the axis that is summed.
//
// Rows are rounded once, when they have been gathered, and G once, after the sigmoid; sums, tables and all else stay
// float32. `vdpbf16ps` multiplies two pairs a lane and adds both products: half the instructions.
#pragma once

#include "buffers.hpp"

namespace w2v {

#if defined(__AVX512BF16__)
// A tile's operands as words, and how they are multiplied: as floats are (dense.hpp), with half the depth.
struct Halves {
    int ld;                          // words from row to row
    Buffer left, right;              // [rows, ld], [columns, ld]: neighbours along a row
    Buffer left_pairs, right_pairs;  // [rows / 2, D], [shared / 2, D]: of two rows
    Buffer gradient, gradient_pairs; // G: [rows, shared / 2] neighbours along a row, [rows / 2, shared] of two rows

    Halves(int64_t D, int row, int rows, int columns, int shared) : ld(padded((D + 1) / 2)) {
        left.resize(static_cast<size_t>(rows) * ld);
        right.resize(static_cast<size_t>(columns) * ld + LANES);
        left_pairs.resize(static_cast<size_t>(rows / 2 + 1) * row);
        right_pairs.resize(static_cast<size_t>(columns / 2 + 1) * row);
        gradient.resize(static_cast<size_t>(rows) * shared);
        gradient_pairs.resize(static_cast<size_t>(rows / 2 + 1) * shared);
    }

    template <class Body>
    void each_buffer(Body &&body) {
        for (Buffer *buffer : {&left, &right, &left_pairs, &right_pairs, &gradient, &gradient_pairs}) body(*buffer);
    }

    static W2V_INLINE Vec splat(const float *word) {
        int32_t bits;
        std::memcpy(&bits, word, sizeof bits);
        return as_float(w2v::splat(bits));
    }
    static W2V_INLINE Vec add(Vec sum, Vec x, Vec y) {
        return reinterpret_cast<Vec>(_mm512_dpbf16_ps(
            reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y)
        ));
    }
};

// Word i is (2 i, 2 i + 1) of the 32 floats.
W2V_INLINE Vec neighbours(Vec first, Vec second) {
    return reinterpret_cast<Vec>(
        _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first))
    );
}

// Word i is (lower[i], upper[i]).
W2V_INLINE Vec pairs_of(Vec lower, Vec upper) {
    alignas(CACHE_LINE) static constexpr int16_t ORDER[2 * LANES] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31,
    };
    const __m512i order = _mm512_load_si512(ORDER), halves = reinterpret_cast<__m512i>(neighbours(lower, upper));
    return reinterpret_cast<Vec>(_mm512_permutexvar_epi16(order, halves));
}

// to[r] = rows[r] with neighbours in one word; behind the last of an odd number of vectors are zeros.
inline void pack_rows(const float *rows, int ld_rows, int count, int vectors, float *to, int ld_to) {
    for (int r = 0; r < count; ++r, rows += ld_rows, to += ld_to) {
        for (int v = 0; v < vectors; v += 2) {
            const Vec second = v + 1 < vectors ? load(rows + (v + 1) * LANES) : Vec{};
            store(to + v / 2 * LANES, neighbours(load(rows + v * LANES), second));
        }
    }
}

// Likewise, and paired[i] = the words of rows 2 i and 2 i + 1; a last single one has zeros beside it.
inline void pack_and_pair(
    const float *rows, int ld_rows, int count, int vectors, float *to, int ld_to, float *paired, int ld_paired
) {
    const Vec zero{};
    for (int r = 0; r + 1 < count; r += 2, rows += 2 * static_cast<size_t>(ld_rows)) {
        const float *below = rows + ld_rows;
        for (int v = 0; v < vectors; v += 2) {
            const bool both = v + 1 < vectors;
            const Vec x0 = load(rows + v * LANES), x1 = both ? load(rows + (v + 1) * LANES) : zero;
            const Vec y0 = load(below + v * LANES), y1 = both ? load(below + (v + 1) * LANES) : zero;
            store(to + v / 2 * LANES, neighbours(x0, x1));
            store(to + ld_to + v / 2 * LANES, neighbours(y0, y1));
            store(paired + v * LANES, pairs_of(x0, y0));
            if (both) store(paired + (v + 1) * LANES, pairs_of(x1, y1));
        }
        to += 2 * static_cast<size_t>(ld_to);
        paired += ld_paired;
    }
    if (count % 2 == 0) return;
    pack_rows(rows, ld_rows, 1, vectors, to, ld_to);
    for (int v = 0; v < vectors; ++v) store(paired + v * LANES, pairs_of(load(rows + v * LANES), zero));
}
#else
struct Halves {
    Halves(int64_t, int, int, int, int) {}
    template <class Body>
    void each_buffer(Body &&) {}
};
#endif

}  // namespace w2v
