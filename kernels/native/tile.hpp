// What both modes share: a tile's buffers, and the negatives' side of a step.
#pragma once

#include "dense.hpp"
#include "gradients.hpp"
#include "tile_plan.hpp"

namespace w2v {

// Tables and buffers of one worker; rows are `ld` floats apart, their padding beyond D is always 0.
struct Workspace {
    Rows w_in, w_out;
    int64_t D;
    int ld, vectors, ld_negatives;
    Blocks<SUM_VECTORS> sum_blocks;
    float share;                        // K / N
    Buffer in, left, out;               // snapshots of W_in rows (CBOW), left operands, W_out rows
    Buffer panel;                       // the negatives transposed, [D, ld_negatives]
    Buffer score, pair_weight;          // [rows, ld_negatives]
    Buffer pair_score, own_score;       // one a pair
    Buffer step_left, step_out, step;   // updates of the left operands, of the negatives, of one row
    Buffer column_share, negative_sum;  // [ld_negatives]: K / N times a negative's draws; its summed weight

    Workspace(const Job &job, bool contended)
        : w_in(job.w_in, job.in_weight, job.D, static_cast<float>(job.cap), contended),
          w_out(job.w_out, job.out_weight, job.D, static_cast<float>(job.cap), contended),
          D(job.D),
          ld(padded(job.D)),
          vectors(vectors_of(job.D)),
          ld_negatives(padded(job.shared_negatives)),
          sum_blocks(vectors),
          share(static_cast<float>(static_cast<double>(job.negative) / job.shared_negatives)) {
        const TileShape shape(job);
        const size_t row = static_cast<size_t>(ld), score_row = static_cast<size_t>(ld_negatives);
        const size_t rows = (shape.tokens / SCORE_ROWS + 1) * SCORE_ROWS;
        if (job.cbow) in.resize(shape.in_rows * row);
        left.resize(rows * row);
        out.resize(shape.out_rows * row);
        panel.resize(static_cast<size_t>(vectors) * LANES * score_row);
        score.resize(rows * score_row);
        pair_weight.resize(rows * score_row);
        pair_score.resize(shape.pairs + PAIR_SLACK);
        own_score.resize(shape.tokens + PAIR_SLACK);
        step_left.resize(rows * row);
        step_out.resize(shape.negatives * row);
        step.resize(row);
        column_share.resize(score_row);
        negative_sum.resize(score_row);
    }

    // Fills with NaN all that a tile must not read before it is written: for tests.
    void poison() {
        const float nan = std::numeric_limits<float>::quiet_NaN();
        for (Buffer *rows : {&in, &left, &out, &step_left, &step_out, &step}) {
            for (size_t i = 0; i < rows->size(); ++i) {
                if (static_cast<int64_t>(i % ld) < D) rows->data()[i] = nan;
            }
        }
        for (Buffer *flat : {&panel, &score, &pair_weight, &pair_score, &own_score, &column_share, &negative_sum}) {
            std::fill(flat->data(), flat->data() + flat->size(), nan);
        }
    }

    float *row(Buffer &rows, int r) { return rows.data() + static_cast<size_t>(r) * ld; }
    int negative_vectors(const TilePlan &tile) const { return (tile.negatives + LANES - 1) / LANES; }
};

// Rows to prefetch a block of each kind of work: in proportion to what a block takes at T = N = 32, about three rows a
// thousand cycles, so that the misses spread over the tile.
constexpr int SCORES_AHEAD = 6, UPDATE_AHEAD = 3, PAIRS_AHEAD = 1;

// Copies the rows of a table that a tile names into a buffer.
inline void read_rows(Workspace &w, Rows &table, const std::vector<int32_t> &id, int count, Buffer &to) {
    table.each(id, count, [&](int r) { table.read(id[r], w.row(to, r)); });
}

// Scores left rows against the negatives and turns them into gradients in `score`; fills negative_sum. Weights lose
// `masked` where `mask` is set. Returns the loss.
inline float negatives_side(Workspace &w, const TilePlan &tile, const PairList &masked, bool mask, Ahead &ahead) {
    const int vectors = w.negative_vectors(tile), width = vectors * LANES, ld = w.ld_negatives;
    transpose_rows(w.out.data(), w.ld, tile.negatives, static_cast<int>(w.D), w.panel.data(), ld);
    scores(
        w.left.data(), w.ld, tile.rows, w.panel.data(), ld, vectors, static_cast<int>(w.D), w.score.data(), ld,
        [&] { ahead.tick(SCORES_AHEAD); }
    );
    float *sums = w.negative_sum.data();
    if (tile.uniform) {
        float total = 0;
        for (int r = 0; r < tile.rows; ++r) total += tile.row_weight[r];
        std::fill(sums, sums + width, total * w.share);
        return uniform_negative_gradients(
            w.score.data(), ld, tile.rows, vectors, tile.row_weight.data(), w.share, tile.lr
        );
    }
    for (int k = 0; k < width; ++k) w.column_share.data()[k] = w.share * tile.negative_count[k];
    for (int r = 0; r < tile.rows; ++r) {
        float *row = w.pair_weight.data() + static_cast<size_t>(r) * ld;
        std::fill(row, row + width, tile.row_weight[r]);
    }
    if (mask) {
        const int touched = masked.start[tile.negatives];
        for (int i = 0; i < touched; ++i) {
            const int p = masked.by_col_pair[i];
            w.pair_weight.data()[static_cast<size_t>(masked.row[p]) * ld + masked.col[p]] -= 1;
        }
    }
    const float loss = negative_gradients(
        w.score.data(), w.pair_weight.data(), ld, tile.rows, vectors, w.column_share.data(), tile.lr
    );
    std::fill(sums, sums + width, 0.0f);
    for (int r = 0; r < tile.rows; ++r) {
        const float *row = w.pair_weight.data() + static_cast<size_t>(r) * ld;
        for (int k = 0; k < width; ++k) sums[k] += row[k];
    }
    return loss;
}

// Adds to W_out what the left rows teach it: through the negatives (gradients in `score`) and through `pairs`.
inline void update_outputs(
    Workspace &w, const TilePlan &tile, const PairList &pairs, const float *g, Ahead &ahead
) {
    rank_update(
        w.score.data(), 1, w.ld_negatives, tile.negatives, tile.rows, w.left.data(), w.ld, w.vectors, w.step_out.data(),
        w.ld, [&] { ahead.tick(UPDATE_AHEAD); }
    );
    ahead.finish();
    w.w_out.each(tile.out_id, tile.out_count, [&](int c) {
        const int32_t *index = pairs.by_col_row.data() + pairs.start[c];
        const int32_t *pair = pairs.by_col_pair.data() + pairs.start[c];
        const int count = pairs.in_column(c);
        const auto weight = [&](int i) { return g[pair[i]]; };
        if (c < tile.negatives) {
            float *step = w.row(w.step_out, c);
            if (count > 0) sum_rows<true>(index, count, weight, w.left.data(), w.ld, w.sum_blocks, step);
            w.w_out.add(tile.out_id[c], step, tile.out_weight[c] + w.negative_sum.data()[c], tile.lr);
        } else if (count > 0) {
            sum_rows<false>(index, count, weight, w.left.data(), w.ld, w.sum_blocks, w.step.data());
            w.w_out.add(tile.out_id[c], w.step.data(), tile.out_weight[c], tile.lr);
        }
    });
}

}  // namespace w2v
