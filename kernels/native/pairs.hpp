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
        int32_t *to_col = col.data() + count, *to_row = row.data() + count;
        for (int i = 0; i < length; i += LANES) {
            store(to_col + i, load(cols + i));
            store(to_row + i, splat(r));
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

    // Sorts by column (a counting sort, stable), and ends the list.
    void index_columns(int cols) {
        const int n = count;
        int32_t *__restrict first = start.data(), *__restrict to_row = by_col_row.data();
        int32_t *__restrict of_row = row.data(), *__restrict of_col = col.data();
        int32_t *__restrict to_pair = by_col_pair.data();
        std::fill(first, first + cols + 2, 0);
        for (int p = 0; p < n; ++p) ++first[of_col[p] + 2];
        for (int c = 2; c < cols + 2; ++c) first[c] += first[c - 1];
        for (int p = 0; p < n; ++p) {
            const int at = first[of_col[p] + 1]++;
            to_row[at] = of_row[p];
            to_pair[at] = p;
        }
        end();
    }

    // Points the padding of the last group of dots at row and column 0.
    void end() {
        for (int i = 0; i < LANES; ++i) row[count + i] = col[count + i] = 0;
    }

    int in_column(int c) const { return start[c + 1] - start[c]; }
};

constexpr int DOTS = 4;  // at a time: as many pairs of pointers as the integer registers hold

// out[p] = a[row[p]] . b[col[p]]; out has room for whole groups of LANES.
template <class Product = Floats, class Tick>
inline void pair_dots(
    const PairList &pairs, const float *__restrict a, int ld_a, const float *__restrict b, int ld_b, int vectors,
    float *__restrict out, Tick &&tick
) {
    for (int p = 0; p < pairs.count; p += LANES) {
        Vec dots[LANES];
        for (int i = 0; i < LANES; i += DOTS) {
            const float *x[DOTS], *y[DOTS];
            Vec acc[DOTS] = {};
#pragma GCC unroll 4
            for (int j = 0; j < DOTS; ++j) {
                x[j] = a + static_cast<size_t>(pairs.row[p + i + j]) * ld_a;
                y[j] = b + static_cast<size_t>(pairs.col[p + i + j]) * ld_b;
            }
            if (x[0] == x[1] && x[1] == x[2] && x[2] == x[3]) {  // five loads for eight
                for (int v = 0; v < vectors; ++v) {
                    const Vec common = held(load(x[0] + v * LANES));
#pragma GCC unroll 4
                    for (int j = 0; j < DOTS; ++j) acc[j] = Product::add(acc[j], common, load(y[j] + v * LANES));
                }
            } else {
                for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 4
                    for (int j = 0; j < DOTS; ++j) acc[j] = Product::add(acc[j], load(x[j] + v * LANES), load(y[j] + v * LANES));
                }
            }
#pragma GCC unroll 4
            for (int j = 0; j < DOTS; ++j) dots[i + j] = acc[j];
        }
        store(out + p, sums(dots));
        tick();
    }
}

// out[k] = a . rows[k]; whole groups of LANES are computed: `rows` and `out` have that many.
inline void dots(
    const float *__restrict a, const float *__restrict rows, int ld, int count, int vectors, float *__restrict out
) {
    for (int k = 0; k < count; k += LANES) {
        Vec each[LANES];
        for (int i = 0; i < LANES; i += DOTS) {
            const float *x = rows + static_cast<size_t>(k + i) * ld;
            Vec acc[DOTS] = {};
            for (int v = 0; v < vectors; ++v) {
                const Vec of_a = load(a + v * LANES);
#pragma GCC unroll 4
                for (int j = 0; j < DOTS; ++j) acc[j] += of_a * load(x + static_cast<size_t>(j) * ld + v * LANES);
            }
#pragma GCC unroll 4
            for (int j = 0; j < DOTS; ++j) each[i + j] = acc[j];
        }
        store(out + k, sums(each));
    }
}

// acc[j] += vector v + j of the sum over i of weight(i) * rows[index[i]].
template <int VECTORS, class Weight>
W2V_INLINE void add_rows(
    const int32_t *index, int count, Weight &&weight, const float *__restrict rows, int ld, int v, Vec (&acc)[VECTORS]
) {
    for (int i = 0; i < count; ++i) {
        const float *x = rows + static_cast<size_t>(index[i]) * ld + v * LANES;
        const Vec w = splat(weight(i));
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; ++j) acc[j] += w * load(x + j * LANES);
    }
}

// out (+)= sum over i of weight(i) * rows[index[i]]; WEIGHT maps i to a factor.
template <bool ADD, class Weight>
W2V_INLINE void sum_rows(
    const int32_t *index, int count, Weight &&weight, const float *__restrict rows, int ld, Blocks<SUM_VECTORS> blocks,
    float *__restrict out
) {
    blocks.each([&](auto size, int v) {
        constexpr int VECTORS = size;
        Vec acc[VECTORS] = {};
        if constexpr (ADD) load_vectors(out, v, acc);
        add_rows(index, count, weight, rows, ld, v, acc);
        store_vectors(out, v, acc);
    });
}

}  // namespace w2v
