// What a tile touches and with which weight: distinct rows, pairs, negatives. Integers only; made one tile ahead of the
// arithmetic, so that the rows can be prefetched meanwhile.
#pragma once

#include "pairs.hpp"
#include "plan.hpp"
#include "rows.hpp"

namespace w2v {

// Sizes that bound a tile of a job.
struct TileShape {
    int tokens, halo, negatives, in_rows, out_rows;
    size_t pairs;

    explicit TileShape(const Job &job) {
        const int64_t longest = std::min<int64_t>(job.n, job.chunk_size);
        const int window = static_cast<int>(std::min<int64_t>(job.window, longest));
        tokens = static_cast<int>(std::min<int64_t>(job.tile, longest));
        halo = static_cast<int>(std::min<int64_t>(tokens + 2 * static_cast<int64_t>(window), longest));
        negatives = job.shared_negatives;
        in_rows = job.cbow ? halo : tokens;
        out_rows = negatives + (job.cbow ? tokens : halo);
        pairs = static_cast<size_t>(tokens) * static_cast<size_t>(std::min(2 * window, halo));
    }
};

// Rows: the left operands of the tile's dense product, distinct centres (skip-gram) or windows (CBOW). Output slots
// begin with the distinct negatives, so that those are a dense block; a target or centre that is also a negative shares
// its slot. Weights leave lr out.
struct TilePlan {
    float lr = 0;
    int tokens = 0, rows = 0, negatives = 0, in_count = 0, out_count = 0;
    int64_t positives = 0;
    bool uniform = false;  // every negative has weight row_weight * share in every row
    std::vector<int32_t> in_id, out_id;
    std::vector<float> in_weight, out_weight;  // out_weight without the negatives' part
    std::vector<float> row_weight, negative_count;
    PairList pairs;  // skip-gram: centre's row, target's output slot; CBOW: window's row, target's input slot
    PairList own;    // CBOW: window's row, its centre's output slot

    void resize(const Job &job) {
        const TileShape shape(job);
        in_id.resize(shape.in_rows);
        out_id.resize(shape.out_rows);
        in_weight.resize(shape.in_rows);
        out_weight.resize(shape.out_rows);
        row_weight.resize(shape.tokens);
        negative_count.resize(shape.negatives + LANES);
        pairs.resize(shape.pairs, shape.tokens, job.cbow ? shape.in_rows : shape.out_rows);
        own.resize(job.cbow ? shape.tokens : 0, shape.tokens, shape.out_rows);
        draws_.resize(shape.negatives);
        drawn_.resize(shape.negatives);
        halo_slot_.resize(shape.halo + PAIR_SLACK);
        active_.resize(shape.tokens);
        token_slot_.resize(std::max(shape.tokens, shape.negatives));
        slots_.resize(std::max(shape.in_rows, shape.out_rows));
    }

    // Draws the negatives of a tile, whose `build` may follow at once or, better, a while later. What was built of
    // an earlier tile stays.
    void draw(const Job &job, int64_t chunk, uint32_t epoch, int ordinal) { draws_.draw(job, chunk, ordinal, epoch); }

    // Tile `ordinal` of a chunk whose rank of visit is `rank`, after its `draw`.
    void build(const Job &job, const ChunkPlan &plan, int64_t rank, uint32_t epoch, int ordinal) {
        begin_ = ordinal * job.tile;
        end_ = std::min(begin_ + job.tile, plan.kept);
        tokens = end_ - begin_;
        lr = static_cast<float>(job.learning_rate(epoch, rank, plan.offset[begin_]));
        rows = in_count = 0;
        positives = 0;
        pairs.clear();
        own.clear();
        halo_begin_ = plan.kept;
        halo_end_ = 0;
        for (int i = begin_; i < end_; ++i) {
            halo_begin_ = std::min(halo_begin_, plan.first[i]);
            halo_end_ = std::max(halo_end_, plan.last[i] + 1);
        }
        draws_.resolve(job, drawn_.data());
        slots_.begin();
        slots_.insert(drawn_.data(), job.shared_negatives, token_slot_.data(), out_id.data());
        std::fill(negative_count.begin(), negative_count.end(), 0.0f);
        for (int j = 0; j < job.shared_negatives; ++j) negative_count[token_slot_[j]] += 1;
        negatives = slots_.count();
        uniform = negatives == job.shared_negatives && negatives % LANES == 0;
        if (job.cbow) {
            build_cbow(job, plan);
        } else {
            build_skip_gram(job, plan);
        }
    }

  private:
    void number_halo(const ChunkPlan &plan, int32_t *ids) {
        const int length = std::max(0, halo_end_ - halo_begin_);
        slots_.insert(plan.word.data() + halo_begin_, length, halo_slot_.data(), ids);
    }

    void append_window(const ChunkPlan &plan, int i, int32_t row) {
        const int32_t *slot = halo_slot_.data() - halo_begin_;
        pairs.append(row, slot + plan.first[i], i - plan.first[i]);
        pairs.append(row, slot + i + 1, plan.last[i] - i);
        pairs.end_segment(row);
    }

    void build_skip_gram(const Job &job, const ChunkPlan &plan) {
        number_halo(plan, out_id.data());
        out_count = slots_.count();
        slots_.begin();
        int active = 0;
        for (int i = begin_; i < end_; ++i) {
            if (plan.last[i] > plan.first[i]) active_[active++] = plan.word[i];
        }
        slots_.insert(active_.data(), active, token_slot_.data(), in_id.data());
        in_count = rows = slots_.count();
        std::fill(row_weight.begin(), row_weight.begin() + rows, 0.0f);
        for (int i = begin_, a = 0; i < end_; ++i) {
            const int n = plan.last[i] - plan.first[i];
            if (n == 0) continue;
            const int32_t row = token_slot_[a++];
            row_weight[row] += static_cast<float>(n);
            append_window(plan, i, row);
        }
        positives = pairs.count;
        pairs.index_columns(out_count);
        for (int r = 0; r < rows; ++r) in_weight[r] = row_weight[r] * static_cast<float>(1 + job.negative);
        for (int c = 0; c < out_count; ++c) out_weight[c] = static_cast<float>(pairs.in_column(c));
        // Without the mask a positive that is also a negative changes nothing.
        if (job.target_mask && pairs.start[negatives] > 0) uniform = false;
    }

    void build_cbow(const Job &job, const ChunkPlan &plan) {
        for (int i = begin_; i < end_; ++i) {
            if (plan.last[i] > plan.first[i]) active_[rows++] = plan.word[i];
        }
        slots_.insert(active_.data(), rows, token_slot_.data(), out_id.data());
        for (int r = 0; r < rows; ++r) {
            if (token_slot_[r] < negatives) uniform = false;
            own.push(r, token_slot_[r]);
            own.end_segment(r);
            row_weight[r] = 1;
        }
        out_count = slots_.count();
        positives = rows;
        slots_.begin();
        number_halo(plan, in_id.data());
        in_count = slots_.count();
        for (int i = begin_, row = 0; i < end_; ++i) {
            if (plan.last[i] > plan.first[i]) append_window(plan, i, row++);
        }
        pairs.index_columns(in_count);
        own.index_columns(out_count);
        for (int c = 0; c < in_count; ++c) in_weight[c] = static_cast<float>(pairs.in_column(c) * (1 + job.negative));
        for (int c = 0; c < out_count; ++c) out_weight[c] = static_cast<float>(own.in_column(c));
    }

    int begin_ = 0, end_ = 0, halo_begin_ = 0, halo_end_ = 0;
    NegativeDraws draws_;
    std::vector<int32_t> drawn_, halo_slot_, active_, token_slot_;
    Slots slots_;
};

// Prefetches the rows of a tile, a few at each tick of the arithmetic of the tile before: all at once they would wait
// for each other in the queue of outstanding misses, and the arithmetic behind them.
class Ahead {
  public:
    Ahead(Rows &w_in, Rows &w_out, const TilePlan *tile)
        : w_in_(w_in), w_out_(w_out), tile_(tile), rows_(tile ? tile->in_count + tile->out_count : 0) {}

    W2V_INLINE void tick(int rows) {
        const int end = std::min(at_ + rows, rows_);
        for (; at_ < end; ++at_) {
            const int out = at_ - tile_->in_count;
            if (out < 0) {
                w_in_.prefetch(tile_->in_id[at_]);
            } else {
                w_out_.prefetch(tile_->out_id[out]);
            }
        }
    }

    void finish() { tick(rows_); }

  private:
    Rows &w_in_, &w_out_;
    const TilePlan *tile_;
    int rows_, at_ = 0;
};

}  // namespace w2v
