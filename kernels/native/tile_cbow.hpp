// The CBOW tile: left operands are the windows' sums (or means) of W_in rows, outputs the negatives and the centres.
//
// gensim's convention, not the true gradient: a W_in row receives dh whole under cbow_mean, dh / n_t otherwise.
#pragma once

#include "tile.hpp"

namespace w2v {

inline float cbow_tile(const Job &job, Workspace &w, const TilePlan &tile, Ahead &ahead) {
    const PairList &pairs = tile.pairs, &own = tile.own;
    if (tile.rows == 0) return 0;
    read_rows(w, w.w_in, tile.in_id, tile.in_count, w.in);
    read_rows(w, w.w_out, tile.out_id, tile.out_count, w.out);
    for (int s = 0, p = 0; s < pairs.segments; p = pairs.segment_end[s++]) {
        const int n = pairs.segment_end[s] - p;
        const float share = job.cbow_mean ? 1.0f / static_cast<float>(n) : 1.0f;
        const auto weight = [share](int) { return share; };
        sum_rows<false>(pairs.col.data() + p, n, weight, w.in.data(), w.ld, w.sum_blocks, w.row(w.left, s));
        ahead.tick(PAIRS_AHEAD);
    }
    float loss = negatives_side(w, tile, own, true, ahead);
    float *g = w.own_score.data();
    pair_dots(own, w.left.data(), w.ld, w.out.data(), w.ld, w.vectors, g, [&] { ahead.tick(PAIRS_AHEAD); });
    loss += positive_gradients(g, own.count, tile.lr);

    rank_update(
        w.score.data(), w.ld_negatives, 1, tile.rows, tile.negatives, w.out.data(), w.ld, w.vectors, w.step_left.data(),
        w.ld, [&] { ahead.tick(UPDATE_AHEAD); }
    );
    for (int r = 0; r < tile.rows; ++r) {
        const auto weight = [&](int) { return g[r]; };
        sum_rows<true>(own.col.data() + r, 1, weight, w.out.data(), w.ld, w.sum_blocks, w.row(w.step_left, r));
    }
    update_outputs(w, tile, own, g, ahead);
    float *share = w.pair_score.data();
    for (int s = 0, p = 0; s < pairs.segments; p = pairs.segment_end[s++]) {
        share[s] = job.cbow_mean ? 1.0f : 1.0f / static_cast<float>(pairs.segment_end[s] - p);
    }
    w.w_in.each(tile.in_id, tile.in_count, [&](int c) {
        const int count = pairs.in_column(c);
        if (count == 0) return;
        const int32_t *index = pairs.by_col_row.data() + pairs.start[c];
        const auto weight = [&](int i) { return share[index[i]]; };
        sum_rows<false>(index, count, weight, w.step_left.data(), w.ld, w.sum_blocks, w.step.data());
        w.w_in.add(tile.in_id[c], w.step.data(), tile.in_weight[c], tile.lr);
    });
    return loss;
}

}  // namespace w2v
