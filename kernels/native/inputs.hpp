// The input sides of a tile: how its rows are made from W_in, and how their gradients return to it.
//
// `build` says which rows a tile has and hands their targets to the objective's columns; `read` and `make` form the
// left operands in `left`, `give_back` adds what is in `step_left`.
#pragma once

#include "tile.hpp"

namespace w2v {

// Skip-gram: a row is a distinct row of W_in among those of the tile's tokens; its targets are the words in their windows.
struct WordInput {
    template <class Columns>
    static void build(const Job &job, const ChunkPlan &plan, Tile &tile, Columns &columns) {
        columns.name_targets(tile, plan.word.data() + tile.halo_begin, tile.halo());
        tile.numbering.begin();
        int active = 0;
        for (int i = tile.begin; i < tile.end; ++i) {
            if (plan.last[i] > plan.first[i]) tile.word[active++] = job.in_row ? job.in_row[plan.word[i]] : plan.word[i];
        }
        tile.numbering.insert(tile.word.data(), active, tile.number.data(), tile.input_id.data());
        tile.inputs = tile.rows = tile.numbering.count();
        std::fill(tile.targets.begin(), tile.targets.begin() + tile.rows, 0.0f);
        tile.pairs = 0;
        for (int i = tile.begin, a = 0; i < tile.end; ++i) {
            const int n = plan.last[i] - plan.first[i];
            if (n == 0) continue;
            const int32_t row = tile.number[a++];
            tile.targets[row] += static_cast<float>(n);
            tile.pairs += n;
            columns.add_targets(tile, row, plan.first[i] - tile.halo_begin, i - plan.first[i]);
            columns.add_targets(tile, row, i + 1 - tile.halo_begin, plan.last[i] - i);
            tile.own.end_segment(row);
        }
        for (int r = 0; r < tile.rows; ++r) tile.input_weight[r] = tile.targets[r] * columns.weight_per_pair();
    }

    static void read(Workspace &w, const Tile &tile) { read_rows(w, w.w_in, tile.input_id, tile.inputs, w.left); }

    static void make(const Job &, Workspace &, const Tile &, Ahead &) {}

    static void give_back(const Job &, Workspace &w, const Tile &tile) {
        w.w_in.each(tile.input_id, tile.inputs, [&](int r) {
            w.w_in.add(tile.input_id[r], w.row(w.step_left, r), tile.input_weight[r], tile.lr);
        });
    }
};

// CBOW: a row is the sum (or mean) of a token's window; its target is the token's word. gensim's convention, not the
// true gradient: an input receives the row's step whole under cbow_mean, divided by the window's length otherwise.
struct WindowInput {
    template <class Columns>
    static void build(const Job &job, const ChunkPlan &plan, Tile &tile, Columns &columns) {
        for (int i = tile.begin; i < tile.end; ++i) {
            if (plan.last[i] > plan.first[i]) tile.word[tile.rows++] = plan.word[i];
        }
        columns.name_targets(tile, tile.word.data(), tile.rows);
        for (int r = 0; r < tile.rows; ++r) {
            columns.add_targets(tile, r, r, 1);
            tile.own.end_segment(r);
            tile.targets[r] = 1;
        }
        tile.pairs = tile.rows;
        tile.numbering.begin();
        const int32_t *halo = plan.word.data() + tile.halo_begin;
        if (job.in_row) {
            for (int i = 0; i < tile.halo(); ++i) tile.row[i] = job.in_row[halo[i]];
            halo = tile.row.data();
        }
        tile.numbering.insert(halo, tile.halo(), tile.number.data(), tile.input_id.data());
        tile.inputs = tile.numbering.count();
        const int32_t *number = tile.number.data() - tile.halo_begin;
        for (int i = tile.begin, row = 0; i < tile.end; ++i) {
            if (plan.last[i] == plan.first[i]) continue;
            tile.windows.append(row, number + plan.first[i], i - plan.first[i]);
            tile.windows.append(row, number + i + 1, plan.last[i] - i);
            tile.windows.end_segment(row++);
        }
        tile.windows.index_columns(tile.inputs);
        for (int c = 0; c < tile.inputs; ++c) {
            tile.input_weight[c] = static_cast<float>(tile.windows.in_column(c)) * columns.weight_per_pair();
        }
    }

    static void read(Workspace &w, const Tile &tile) { read_rows(w, w.w_in, tile.input_id, tile.inputs, w.input); }

    static void make(const Job &job, Workspace &w, const Tile &tile, Ahead &ahead) {
        const PairList &windows = tile.windows;
        for (int s = 0, p = 0; s < windows.segments; p = windows.segment_end[s++]) {
            const int n = windows.segment_end[s] - p;
            const float share = job.cbow_mean ? 1.0f / static_cast<float>(n) : 1.0f;
            const auto weight = [share](int) { return share; };
            sum_rows<false>(windows.col.data() + p, n, weight, w.input.data(), w.ld, w.sum_blocks, w.row(w.left, s));
            ahead.tick(PAIRS_AHEAD);
        }
    }

    static void give_back(const Job &job, Workspace &w, const Tile &tile) {
        const PairList &windows = tile.windows;
        float *share = w.input_share.data();
        for (int s = 0, p = 0; s < windows.segments; p = windows.segment_end[s++]) {
            share[s] = job.cbow_mean ? 1.0f : 1.0f / static_cast<float>(windows.segment_end[s] - p);
        }
        w.w_in.each(tile.input_id, tile.inputs, [&](int c) {
            const int count = windows.in_column(c);
            if (count == 0) return;
            const int32_t *index = windows.by_col_row.data() + windows.start[c];
            const auto weight = [&](int i) { return share[index[i]]; };
            float *step = w.w_in.room(w.step.data());
            sum_rows<false>(index, count, weight, w.step_left.data(), w.ld, w.sum_blocks, step);
            w.w_in.add(tile.input_id[c], step, tile.input_weight[c], tile.lr);
        });
    }
};

}  // namespace w2v
