// The skip-gram tile: left operands are the distinct centres' rows of W_in, outputs the negatives and all targets.
//
//     S = V . [U; Neg]^T    dV = G . [U; Neg]    d[U; Neg] = G^T . V      (DESIGN.md, The tile step)
#pragma once

#include "tile.hpp"

namespace w2v {

inline float skip_gram_tile(const Job &job, Workspace &w, const TilePlan &tile, Ahead &ahead) {
    const PairList &pairs = tile.pairs;
    if (tile.rows == 0) return 0;
    read_rows(w, w.w_in, tile.in_id, tile.in_count, w.left);
    read_rows(w, w.w_out, tile.out_id, tile.out_count, w.out);
    float loss = negatives_side(w, tile, pairs, job.target_mask, ahead);
    float *g = w.pair_score.data();
    pair_dots(pairs, w.left.data(), w.ld, w.out.data(), w.ld, w.vectors, g, [&] { ahead.tick(PAIRS_AHEAD); });
    loss += positive_gradients(g, pairs.count, tile.lr);

    rank_update(
        w.score.data(), w.ld_negatives, 1, tile.rows, tile.negatives, w.out.data(), w.ld, w.vectors, w.step_left.data(),
        w.ld, [&] { ahead.tick(UPDATE_AHEAD); }
    );
    for (int s = 0, p = 0; s < pairs.segments; p = pairs.segment_end[s++]) {
        const auto weight = [&](int i) { return g[p + i]; };
        float *step = w.row(w.step_left, pairs.segment_row[s]);
        sum_rows<true>(pairs.col.data() + p, pairs.segment_end[s] - p, weight, w.out.data(), w.ld, w.sum_blocks, step);
    }
    update_outputs(w, tile, pairs, g, ahead);
    w.w_in.each(tile.in_id, tile.in_count, [&](int r) {
        w.w_in.add(tile.in_id[r], w.row(w.step_left, r), tile.in_weight[r], tile.lr);
    });
    return loss;
}

}  // namespace w2v
