// A tile: what it touches and with which weight, and the buffers that its step works in.
//
// Words as in kernels/contract.py. Distinct rows of a table that a tile touches are numbered: *inputs* are those of
// W_in, *columns* those of W_out. Columns begin with the distinct shared ones, so that those are a dense block; a
// target that is also shared is the same column.
#pragma once

#include "bfloat16.hpp"
#include "dense.hpp"
#include "numbering.hpp"
#include "pairs.hpp"
#include "plan.hpp"
#include "table.hpp"
#include "windows.hpp"

namespace w2v {

// Sizes that bound a tile: `shared` columns, and for each target of a row so many own pairs.
struct TileShape {
    bool cbow, contended;
    int tokens, halo, shared, inputs, columns;
    size_t windows, pairs, own;  // pairs of a window and its token, of a row and its targets, own pairs
    int targets, own_per_target, rows_per_target;

    TileShape(const Job &job, int shared_columns, int own_per_target)
        : cbow(job.cbow), contended(job.contended), shared(shared_columns), own_per_target(own_per_target) {
        const int64_t longest = std::min<int64_t>(job.n, job.chunk_size);
        const int window = static_cast<int>(std::min<int64_t>(job.window, longest));
        tokens = static_cast<int>(std::min<int64_t>(job.tile, longest));
        halo = static_cast<int>(std::min<int64_t>(tokens + 2 * static_cast<int64_t>(window), longest));
        windows = static_cast<size_t>(tokens) * static_cast<size_t>(std::min(2 * window, halo));
        inputs = job.cbow ? halo : tokens;
        targets = job.cbow ? tokens : halo;
        rows_per_target = job.cbow ? 1 : std::min(2 * window, tokens);
        columns = shared + targets * own_per_target;
        pairs = job.cbow ? static_cast<size_t>(tokens) : windows;
        own = pairs * static_cast<size_t>(own_per_target);
    }
};

// Integers and weights only; made one tile ahead of the arithmetic, so that its rows can be fetched meanwhile. Weights
// leave lr out.
struct Tile {
    float lr = 0;
    int rows = 0, inputs = 0, shared = 0, columns = 0;
    int64_t pairs = 0;  // the sum of n
    std::vector<int32_t> input_id, column_id;
    std::vector<float> targets;                   // [rows] n
    std::vector<float> input_weight, own_weight;  // [inputs], [columns] without what shared pairs weigh
    PairList own;                                 // row, column; by column too
    std::vector<int32_t> grouped_id;              // rows of W_out that the objective steps by itself, to be fetched
    Windows windows;                              // CBOW

    // What a tile is built from: kept tokens begin .. end - 1 of the chunk, and all that their windows reach.
    int begin = 0, end = 0, halo_begin = 0, halo_end = 0;
    Numbering numbering;
    std::vector<int32_t> word, number;  // of the tokens at hand

    Tile(const Job &job, const TileShape &shape)
        : windows(
              job.window > DIRECT_WINDOW, job.cbow ? shape.tokens : 0, job.cbow ? shape.halo : 0,
              job.cbow ? shape.windows : 0
          ) {
        input_id.resize(shape.inputs);
        column_id.resize(shape.columns);
        targets.resize(shape.tokens);
        input_weight.resize(shape.inputs);
        own_weight.resize(shape.columns);
        own.resize(shape.own, shape.tokens, shape.columns);
        numbering.resize(std::max(shape.inputs, shape.columns));
        word.resize(shape.tokens);
        number.resize(shape.halo + PAIR_SLACK);
    }

    void start(const Job &job, const ChunkPlan &plan, int ordinal) {
        begin = ordinal * job.tile;
        end = std::min(begin + job.tile, plan.kept);
        rows = inputs = 0;
        own.clear();
        grouped_id.clear();
        halo_begin = plan.kept;
        halo_end = 0;
        for (int i = begin; i < end; ++i) {
            halo_begin = std::min(halo_begin, plan.first[i]);
            halo_end = std::max(halo_end, plan.last[i] + 1);
        }
    }

    int halo() const { return std::max(0, halo_end - halo_begin); }
};

// Tables and buffers of one worker; rows are `ld` floats apart, their padding beyond D is always 0.
struct Workspace {
    Table w_in, w_out;
    int64_t D;
    int ld, vectors, ld_shared;
    Blocks<SUM_VECTORS> sum_blocks;
    Buffer input, left, right;          // snapshots of inputs (CBOW), rows, columns
    Buffer panel;                       // the shared columns transposed, [D, ld_shared]
    Buffer shared_score, pair_weight;   // [rows, ld_shared]: scores, then gradients; weights
    Buffer own_score;                   // one an own pair: scores, then gradients
    Buffer step_left, step_columns, step;  // updates of the rows, of columns, of one table row
    Buffer shared_weight, column_factor;  // [ld_shared]: a shared column's summed weight; a factor of its weights
    Buffer sums;                        // CBOW: of all rows up to a place, where windows are wide
    Buffer input_scale, step_input;     // CBOW: the factor of an input's steps; steps that are added up before the table
    Buffer scratch;                     // what an objective with a step of its own sizes for itself
    Halves halves;                      // operands rounded to bfloat16, where the build has them

    Workspace(const Job &job, const TileShape &shape)
        : w_in(job.w_in, job.in_weight, job.in_scale, job.D, static_cast<float>(job.cap), job.contended, job.levels),
          w_out(job.w_out, job.out_weight, nullptr, job.D, static_cast<float>(job.cap), job.contended),
          D(job.D),
          ld(padded(job.D)),
          vectors(vectors_of(job.D)),
          ld_shared(padded(shape.shared)),
          sum_blocks(vectors),
          halves(job.D, ld, whole_blocks(shape.tokens), shape.columns, ld_shared) {
        const size_t row = static_cast<size_t>(ld), score_row = static_cast<size_t>(ld_shared);
        const size_t rows = static_cast<size_t>(whole_blocks(shape.tokens));
        if (job.cbow) input.resize(shape.inputs * row);
        if (job.cbow) step_input.resize(shape.inputs * row);
        if (job.cbow && job.window > DIRECT_WINDOW) sums.resize((shape.halo + 1) * row);
        left.resize(rows * row);
        right.resize(shape.columns * row);
        panel.resize(static_cast<size_t>(vectors) * LANES * score_row);
        shared_score.resize(rows * score_row);
        pair_weight.resize(rows * score_row);
        own_score.resize(shape.own + PAIR_SLACK);
        step_left.resize(rows * row);
        step_columns.resize(shape.columns * row);
        step.resize(row);
        shared_weight.resize(score_row);
        column_factor.resize(score_row);
        input_scale.resize(shape.inputs);
    }

    // Rows that `scores` computes for so many.
    static int whole_blocks(int rows) { return (rows / SCORE_ROWS + 1) * SCORE_ROWS; }

    // Fills with NaN all that a tile must not read before it is written: for tests.
    void poison() {
        const float nan = std::numeric_limits<float>::quiet_NaN();
        for (Buffer *rows : {&input, &sums, &left, &right, &step_left, &step_columns, &step_input, &step}) {
            for (size_t i = 0; i < rows->size(); ++i) {
                if (static_cast<int64_t>(i % ld) < D) rows->data()[i] = nan;
            }
        }
        for (Buffer *flat :
             {&panel, &shared_score, &pair_weight, &own_score, &shared_weight, &column_factor, &input_scale, &scratch}
        ) {
            std::fill(flat->data(), flat->data() + flat->size(), nan);
        }
        halves.each_buffer([&](Buffer &each) { std::fill(each.data(), each.data() + each.size(), nan); });
    }

    float *row(Buffer &rows, int r) { return rows.data() + static_cast<size_t>(r) * ld; }
    int shared_vectors(const Tile &tile) const { return (tile.shared + LANES - 1) / LANES; }
};

// Fetches the rows of a tile, a few at each tick of the arithmetic of the tile before: all at once they would wait
// for each other in the queue of outstanding misses, and the arithmetic behind them.
class Ahead {
  public:
    Ahead(Table &w_in, Table &w_out, const Tile *tile)
        : w_in_(w_in),
          w_out_(w_out),
          tile_(tile),
          rows_(tile ? tile->inputs + tile->columns + static_cast<int>(tile->grouped_id.size()) : 0) {}

    W2V_INLINE void tick(int rows) {
        const int end = std::min(at_ + rows, rows_);
        for (; at_ < end; ++at_) {
            const int column = at_ - tile_->inputs;
            if (column < 0) {
                w_in_.prefetch(tile_->input_id[at_]);
            } else if (column < tile_->columns) {
                w_out_.prefetch(tile_->column_id[column]);
            } else {
                w_out_.prefetch(tile_->grouped_id[column - tile_->columns]);
            }
        }
    }

    int left() const { return rows_ - at_; }
    void finish() { tick(rows_); }

  private:
    Table &w_in_, &w_out_;
    const Tile *tile_;
    int rows_, at_ = 0;
};

// Rows to fetch a block of each kind of work: in proportion to what a block takes at T = N = 32, about three rows a
// thousand cycles, so that the misses spread over the tile.
constexpr int SCORES_AHEAD = 6, UPDATE_AHEAD = 3, PAIRS_AHEAD = 1;

// Copies the rows of a table that a tile names into a buffer.
inline void read_rows(Workspace &w, Table &table, const std::vector<int32_t> &id, int count, Buffer &to) {
    table.each(id, count, [&](int r) { table.read(id[r], w.row(to, r)); });
}

}  // namespace w2v
