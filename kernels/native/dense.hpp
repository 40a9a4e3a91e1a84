// The dense products of a tile, register-blocked: scores against the negatives, and the two rank-N updates.
//
// Rows are padded to whole vectors and the padding is zero, so no kernel here has a tail along D.
#pragma once

#include "simd.hpp"

namespace w2v {

// Rows and vectors of one block of accumulators: together with the operands they must fit the registers, and there
// must be 8 or more of them, for 2 FMAs a cycle at a latency of 4.
constexpr int SCORE_ROWS = REGISTERS >= 32 ? 8 : 6;
constexpr int SCORE_VECTORS = 2;
constexpr int UPDATE_ROWS = 3;
constexpr int UPDATE_VECTORS = REGISTERS >= 32 ? 7 : 4;

// panel[d][k] = rows[k][d] for d < depth, and 0 from column `count` to the next multiple of LANES.
inline void transpose_rows(const float *rows, int ld_rows, int count, int depth, float *panel, int ld_panel) {
    for (int k = 0; k < count; k += LANES) {
        for (int d = 0; d < depth; d += LANES) {
            Vec x[LANES];
#pragma GCC unroll 16
            for (int i = 0; i < LANES; ++i) {
                x[i] = k + i < count ? load(rows + static_cast<size_t>(k + i) * ld_rows + d) : Vec{};
            }
            transpose(x);
#pragma GCC unroll 16
            for (int i = 0; i < LANES; ++i) store(panel + static_cast<size_t>(d + i) * ld_panel + k, x[i]);
        }
    }
}

// How operands are multiplied: floats, or words of two bfloat16 (bfloat16.hpp).
struct Floats {
    static W2V_INLINE Vec splat(const float *x) { return w2v::splat(*x); }
    static W2V_INLINE Vec add(Vec sum, Vec x, Vec y) { return sum + x * y; }
};

template <class Product, int ROWS, int VECTORS>
W2V_INLINE void score_block(
    const float *__restrict a, int ld_a, const float *__restrict panel, int ld_panel, int depth, float *out, int ld_out
) {
    Vec acc[ROWS][VECTORS] = {};
    for (int d = 0; d < depth; ++d) {
        Vec b[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) b[v] = held(load(panel + static_cast<size_t>(d) * ld_panel + v * LANES));
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r) {
            const Vec x = Product::splat(a + static_cast<size_t>(r) * ld_a + d);
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) acc[r][v] = Product::add(acc[r][v], x, b[v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) store(out + static_cast<size_t>(r) * ld_out + v * LANES, acc[r][v]);
    }
}

// Kernels that run long call tick() once a block of work: see Ahead.

// out[r][k] = a[r] . panel[:, k]. Whole blocks of SCORE_ROWS are computed: `a` and `out` have that many rows.
template <class Product = Floats, class Tick>
inline void scores(
    const float *a, int ld_a, int rows, const float *panel, int ld_panel, int vectors, int depth, float *out,
    int ld_out, Tick &&tick
) {
    Blocks<SCORE_VECTORS>(vectors).each([&](auto size, int v) {
        for (int r = 0; r < rows; r += SCORE_ROWS) {
            score_block<Product, SCORE_ROWS, size>(
                a + static_cast<size_t>(r) * ld_a, ld_a, panel + v * LANES, ld_panel, depth,
                out + static_cast<size_t>(r) * ld_out + v * LANES, ld_out
            );
            tick();
        }
    });
}

template <class Product, bool ADD, int ROWS, int VECTORS>
W2V_INLINE void update_block(
    const float *__restrict g, size_t g_row, size_t g_depth, int depth, const float *__restrict b, int ld_b,
    float *__restrict out, int ld_out
) {
    Vec acc[ROWS][VECTORS] = {};
    if constexpr (ADD) {
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) acc[r][v] = load(out + static_cast<size_t>(r) * ld_out + v * LANES);
        }
    }
    for (int k = 0; k < depth; ++k) {
        Vec x[ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) x[r] = Product::splat(g + r * g_row + k * g_depth);
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) {
            const Vec y = held(load(b + static_cast<size_t>(k) * ld_b + v * LANES));
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) acc[r][v] = Product::add(acc[r][v], x[r], y);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) store(out + static_cast<size_t>(r) * ld_out + v * LANES, acc[r][v]);
    }
}

// out[r] (+)= sum over k of g[r, k] * b[k], with g[r, k] at g + r * g_row + k * g_depth.
template <bool ADD = false, class Product = Floats, class Tick>
inline void rank_update(
    const float *g, size_t g_row, size_t g_depth, int rows, int depth, const float *b, int ld_b, int vectors,
    float *out, int ld_out, Tick &&tick
) {
    static_assert(UPDATE_ROWS == 3, "the rows left over below are one or two");
    Blocks<UPDATE_VECTORS>(vectors).each([&](auto size, int v) {
        const float *b_block = b + v * LANES;
        float *out_block = out + v * LANES;
        int r = 0;
        for (; r + UPDATE_ROWS <= rows; r += UPDATE_ROWS) {
            update_block<Product, ADD, UPDATE_ROWS, size>(
                g + r * g_row, g_row, g_depth, depth, b_block, ld_b, out_block + static_cast<size_t>(r) * ld_out, ld_out
            );
            tick();
        }
        g += r * g_row;
        out_block += static_cast<size_t>(r) * ld_out;
        if (rows - r == 1) update_block<Product, ADD, 1, size>(g, g_row, g_depth, depth, b_block, ld_b, out_block, ld_out);
        if (rows - r == 2) update_block<Product, ADD, 2, size>(g, g_row, g_depth, depth, b_block, ld_b, out_block, ld_out);
        g -= r * g_row;
    });
}

}  // namespace w2v
