// The tile step: rows of an input side against the columns of an objective, one gradient, two tables updated.
//
//     S = V . U^T    dV = G . U    dU = G^T . V      (kernels/contract.py, "The tile step")
//
// dense over the shared columns, sparse over the own pairs.
#pragma once

#include <type_traits>

#include "inputs.hpp"
#include "products.hpp"
#include "teacher.hpp"

namespace w2v {

// Columns of an objective that steps some rows of W_out by itself, in
//     float step_groups(Workspace &, const Tile &, Ahead &)
// which adds to `step_left` and returns their loss. None of those rows is a column of the tile. Where it begins the rows, it
// writes `step_left`, of which nothing is there yet.
struct GroupedColumns {
    bool begins_rows() const { return false; }
};

// Columns whose labels a job's teacher makes soft, with
//     const float *shared_weights(Workspace &, const Tile &, int row)
// which are what the row's shared pairs weigh, [shared] in whole vectors, once there are gradients.
struct TaughtColumns {};

template <class Columns>
bool begins_rows(const Columns &columns) {
    if constexpr (std::is_base_of_v<GroupedColumns, Columns>) {
        return columns.begins_rows();
    } else {
        return false;
    }
}

// Adds to W_out what the rows teach their columns; gradients stand where the scores stood.
inline void update_columns(Workspace &w, const Tile &tile, Ahead &ahead) {
    const PairList &own = tile.own;
    step_shared(w, tile, ahead);
    ahead.finish();
    const float *g = w.own_score.data();
    const auto shared_weight = [&](int c) { return c < tile.shared ? w.shared_weight.data()[c] : 0.0f; };
    w.w_out.each(tile.column_id, tile.columns, [&](int c) {
        const int32_t *index = own.by_col_row.data() + own.start[c];
        const int32_t *pair = own.by_col_pair.data() + own.start[c];
        const int count = own.in_column(c);
        const auto weight = [&](int i) { return g[pair[i]]; };
        if (c < tile.shared) {
            float *step = w.row(w.step_columns, c);
            const float summed = tile.own_weight[c] + shared_weight(c);
            w.w_out.add_made(tile.column_id[c], step, summed, tile.lr, w.sum_blocks, [&](int v, auto &acc) {
                load_vectors(step, v, acc);
                add_rows(index, count, weight, w.left.data(), w.ld, v, acc);
            });
        } else if (count > 0) {
            float *step = w.w_out.room(w.step.data());
            w.w_out.add_made(tile.column_id[c], step, tile.own_weight[c], tile.lr, w.sum_blocks, [&](int v, auto &acc) {
                add_rows(index, count, weight, w.left.data(), w.ld, v, acc);
            });
        }
    });
}

// Trains on one tile, with soft labels where there is a lesson; returns the loss from the scores before the update.
template <class Input, class Columns>
inline float tile_step(
    const Job &job, Workspace &w, const Tile &tile, Columns &columns, Ahead &ahead, Lesson *lesson
) {
    if (tile.rows == 0) return 0;
    const PairList &own = tile.own;
    Input::read(w, tile);
    read_rows(w, w.w_out, tile.column_id, tile.columns, w.right);
    Input::make(job, w, tile, ahead);

    score_tile(w, tile, ahead);
    if (lesson) lesson->ask(w, tile);
    float loss = columns.gradients(w, tile);
    if constexpr (std::is_base_of_v<TaughtColumns, Columns>) {
        const auto weights = [&](int r) { return columns.shared_weights(w, tile, r); };
        if (lesson) loss += lesson->soften(w, tile, weights);
    }

    if (!begins_rows(columns)) step_rows(w, tile, ahead);
    const float *g = w.own_score.data();
    for (int s = 0, p = 0; own.count > 0 && s < own.segments; p = own.segment_end[s++]) {
        const auto weight = [&](int i) { return g[p + i]; };
        float *step = w.row(w.step_left, own.segment_row[s]);
        sum_rows<true>(own.col.data() + p, own.segment_end[s] - p, weight, w.right.data(), w.ld, w.sum_blocks, step);
    }
    if constexpr (std::is_base_of_v<GroupedColumns, Columns>) loss += columns.step_groups(w, tile, ahead);
    update_columns(w, tile, ahead);
    Input::give_back(job, w, tile);
    return loss;
}

}  // namespace w2v
