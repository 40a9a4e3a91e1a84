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
        Windows &windows = tile.windows;
        windows.begin(tile.halo());
        for (int p = 0; p < windows.places; ++p) {
            const int32_t word = plan.word[tile.halo_begin + p];
            windows.id[p] = job.in_row ? job.in_row[word] : word;
        }
        tile.numbering.begin();
        tile.numbering.insert(windows.id.data(), windows.places, windows.number.data(), tile.input_id.data());
        tile.inputs = tile.numbering.count();
        for (int i = tile.begin; i < tile.end; ++i) {
            if (plan.last[i] == plan.first[i]) continue;
            windows.add(plan.first[i] - tile.halo_begin, i - tile.halo_begin, plan.last[i] - tile.halo_begin, job.cbow_mean);
        }
        windows.end_rows(columns.weight_per_pair());
        std::fill(tile.input_weight.begin(), tile.input_weight.begin() + tile.inputs, 0.0f);
        for (int p = 0; p < windows.places; ++p) tile.input_weight[windows.number[p]] += windows.weight[p];
    }

    static void read(Workspace &w, const Tile &tile) { read_rows(w, w.w_in, tile.input_id, tile.inputs, w.input); }

    static void make(const Job &job, Workspace &w, const Tile &tile, Ahead &ahead) {
        make_windows(
            tile.windows, job.cbow_mean, w.input.data(), w.ld, w.sum_blocks, w.sums.data(), w.left.data(),
            [&] { ahead.tick(PAIRS_AHEAD); }
        );
    }

    static void give_back(const Job &, Workspace &w, const Tile &tile) {
        const Windows &windows = tile.windows;
        // A wide window's input has many places, whose small steps the table would round one by one.
        const bool direct = !windows.wide && !w.w_in.writes_down();
        float *scale = w.input_scale.data();
        for (int c = 0; c < tile.inputs && direct; ++c) {
            scale[c] = w.w_in.scale(tile.input_id[c], tile.input_weight[c], tile.lr);
        }
        const float *steps = w.step_left.data();
        w.sum_blocks.each([&](auto size, int v) {
            constexpr int VECTORS = size;
            Vec open[VECTORS] = {};
            int change = 0, inputs = 0;
            const auto run = [&](int p) {
                const int count = windows.change_end[p] - change;
                const auto share = [&](int i) { return windows.change_share[change + i]; };
                add_rows(windows.change_row.data() + change, count, share, steps, w.ld, v, open);
                change += count;
            };
            const auto step_of = [&](int p, Vec(&step)[VECTORS]) {
                const float *own = steps + static_cast<size_t>(windows.own_row[p]) * w.ld + v * LANES;
                const Vec own_share = splat(windows.own_share[p]);
#pragma GCC unroll 8
                for (int j = 0; j < VECTORS; ++j) step[j] = open[j] - own_share * load(own + j * LANES);
            };
            if (direct) {
                w.w_in.each(windows.id, windows.places, [&](int p) {
                    run(p);
                    if (windows.weight[p] == 0) return;
                    Vec step[VECTORS];
                    step_of(p, step);
                    w.w_in.add_vectors(w.w_in.at(windows.id[p]), v, scale[windows.number[p]], step);
                });
                return;
            }
            for (int p = 0; p < windows.places; ++p) {
                run(p);
                Vec step[VECTORS] = {}, sum[VECTORS] = {};
                if (windows.weight[p] != 0) step_of(p, step);
                float *to = w.row(w.step_input, windows.number[p]);
                if (windows.number[p] < inputs) load_vectors(to, v, sum);
                inputs = std::max(inputs, windows.number[p] + 1);
#pragma GCC unroll 8
                for (int j = 0; j < VECTORS; ++j) sum[j] += step[j];
                store_vectors(to, v, sum);
            }
        });
        if (direct) return;
        w.w_in.each(tile.input_id, tile.inputs, [&](int c) {
            if (tile.input_weight[c] == 0) return;
            w.w_in.add(tile.input_id[c], w.row(w.step_input, c), tile.input_weight[c], tile.lr);
        });
    }
};

}  // namespace w2v
