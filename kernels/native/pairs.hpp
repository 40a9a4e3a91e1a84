// The sparse products of a tile: (centre, target) pairs as lists, dots over them, and sums of rows along either side.
//
// A window holds about W + 1 of the 2 W + T columns of its tile, each centre its own: lists waste no product, and a dot
// with both operands in L1 runs at the same two loads a cycle that bound a dense block.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.hpp"

namespace w2v {

constexpr int PAIR_SLACK = 32;  // entries that vector copies and whole groups of dots may write past the end
constexpr int SUM_VECTORS = REGISTERS >= 32 ? 8 : 7;

// Pairs in order of their rows' segments, and the same pairs by column.
struct PairList {
    int count = 0, segments = 0;
    std::vector<int32_t> row, col;                  // [count]
    std::vector<int32_t> segment_row, segment_end;  // [segments]; a row may own several segments
    std::vector<int32_t> start, by_col_row, by_col_pair;

    void resize(size_t pairs, size_t rows, size_t cols) {
        row.resize(pairs + PAIR_SLACK);
        col.resize(pairs + PAIR_SLACK);
        by_col_row.resize(pairs + PAIR_SLACK);
        by_col_pair.resize(pairs + PAIR_SLACK);
        segment_row.resize(rows);
        segment_end.resize(rows);
        start.resize(cols + 2);
    }

    void clear() { count = segments = 0; }

    // Appends `length` pairs of `r` with cols[0 .. length); reads and writes up to PAIR_SLACK beyond.
    W2V_INLINE void append(int32_t r, const int32_t *cols, int length) {
        for (int i = 0; i < length; i += LANES) {
            store(col.data() + count + i, load(cols + i));
            store(row.data() + count + i, splat(r));
        }
        count += length;
    }

    void push(int32_t r, int32_t c) {
        row[count] = r;
        col[count++] = c;
    }

    W2V_INLINE void end_segment(int32_t r) {
        segment_row[segments] = r;
        segment_end[segments++] = count;
    }

    // Sorts by column (a counting sort, stable), and points the padding of the last group of dots at row and column 0.
    void index_columns(int cols) {
        std::fill(start.begin(), start.begin() + cols + 2, 0);
        for (int p = 0; p < count; ++p) ++start[col[p] + 2];
        for (int c = 2; c < cols + 2; ++c) start[c] += start[c - 1];
        for (int p = 0; p < count; ++p) {
            const int at = start[col[p] + 1]++;
            by_col_row[at] = row[p];
            by_col_pair[at] = p;
        }
        for (int i = 0; i < LANES; ++i) row[count + i] = col[count + i] = 0;
    }

    int in_column(int c) const { return start[c + 1] - start[c]; }
};

// out[p] = a[row[p]] . b[col[p]]; out has room for whole groups of LANES.
inline void pair_dots(
    const PairList &pairs, const float *__restrict a, int ld_a, const float *__restrict b, int ld_b, int vectors,
    float *__restrict out
) {
    for (int p = 0; p < pairs.count; p += LANES) {
        const float *x[LANES], *y[LANES];
        for (int i = 0; i < LANES; ++i) {
            x[i] = a + static_cast<size_t>(pairs.row[p + i]) * ld_a;
            y[i] = b + static_cast<size_t>(pairs.col[p + i]) * ld_b;
        }
        Vec acc[LANES] = {};
        for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 16
            for (int i = 0; i < LANES; ++i) acc[i] += load(x[i] + v * LANES) * load(y[i] + v * LANES);
        }
        store(out + p, sums(acc));
    }
}

// out (+)= sum over i of weight(i) * rows[index[i]]; WEIGHT maps i to a factor.
template <bool ADD, class Weight>
W2V_INLINE void sum_rows(
    const int32_t *index, int count, Weight &&weight, const float *__restrict rows, int ld, int vectors,
    float *__restrict out
) {
    for_blocks<SUM_VECTORS>(vectors, [&](auto size, int v) {
        constexpr int VECTORS = size;
        Vec acc[VECTORS] = {};
        if constexpr (ADD) {
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j) acc[j] = load(out + (v + j) * LANES);
        }
        for (int i = 0; i < count; ++i) {
            const float *x = rows + static_cast<size_t>(index[i]) * ld + v * LANES;
            const Vec w = splat(weight(i));
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j) acc[j] += w * load(x + j * LANES);
        }
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; ++j) store(out + (v + j) * LANES, acc[j]);
    });
}

}  // namespace w2v
