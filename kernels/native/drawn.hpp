// Columns of a tile that are words: N drawn ones shared by all rows, and each row's targets as own pairs of weight 1
// and label 1. With the logistic gradient, what the objectives share that tell targets from K draws a pair.
#pragma once

#include "logistic.hpp"
#include "noise.hpp"
#include "tile.hpp"

namespace w2v {

// Own pairs of a tile's rows with their targets, each target a column.
class TargetColumns {
  public:
    // Gives the words that are targets of the tile's rows their columns.
    void name_targets(Tile &tile, const int32_t *words, int count) {
        target_number_.resize(std::max(target_number_.size(), static_cast<size_t>(count) + PAIR_SLACK));
        tile.numbering.insert(words, count, target_number_.data(), tile.column_id.data());
        tile.columns = tile.numbering.count();
    }

    // Pairs a row with `length` of those words, from the first-th on.
    W2V_INLINE void add_targets(Tile &tile, int32_t row, int first, int length) {
        tile.own.append(row, target_number_.data() + first, length);
    }

    // Indexes the own pairs when all are there, and weighs their columns.
    void finish(Tile &tile) {
        tile.own.index_columns(tile.columns);
        for (int c = 0; c < tile.columns; ++c) tile.own_weight[c] = static_cast<float>(tile.own.in_column(c));
    }

  private:
    std::vector<int32_t> target_number_;
};

// What a tile holds of an objective that draws; `noise` is the job's. The words drawn follow `first` other shared
// columns, a multiple of LANES, which whoever derives from this names and turns into gradients.
class DrawnColumns : public TargetColumns {
  public:
    DrawnColumns(const Noise &noise, double negative, const TileShape &shape, int first = 0)
        : noise_(noise),
          first_(first),
          shared_words_(shape.shared - first),
          share_(static_cast<float>(negative / shared_words_)),
          weight_per_pair_(static_cast<float>(1 + negative)) {
        draws_.resize(shared_words_);
        drawn_.resize(shared_words_);
        drawn_number_.resize(shared_words_);
        draws_of_.resize(shape.shared + LANES);
    }

    float weight_per_pair() const { return weight_per_pair_; }

    // Draws the words of a tile, whose `name_shared` may follow at once or, better, a while later. What was named for
    // an earlier tile stays.
    void draw(const Job &job, int64_t chunk, uint32_t draw_epoch, int ordinal) {
        draws_.draw(noise_, job.seed, chunk, ordinal, draw_epoch);
    }

    // Begins the tile's numbering of columns with the words drawn.
    void name_shared(Tile &tile) {
        tile.numbering.begin();
        name_drawn(tile);
    }

    // Continues it with them.
    void name_drawn(Tile &tile) {
        draws_.resolve(noise_, drawn_.data());
        tile.numbering.insert(drawn_.data(), shared_words_, drawn_number_.data(), tile.column_id.data());
        std::fill(draws_of_.begin(), draws_of_.end(), 0.0f);
        for (int j = 0; j < shared_words_; ++j) draws_of_[drawn_number_[j]] += 1;
        tile.shared = tile.numbering.count();
        uniform_ = tile.shared == first_ + shared_words_ && tile.shared % LANES == 0;
    }

    // Ends a tile. With `mask` a pair of a row with a shared column that is a target of it weighs less, so that not all
    // weigh alike.
    void finish(Tile &tile, bool mask) {
        TargetColumns::finish(tile);
        masked_.clear();
        if (!mask) return;
        for (int i = 0; i < tile.own.start[tile.shared]; ++i) {
            const int p = tile.own.by_col_pair[i];
            mask_pair(tile.own.row[p], tile.own.col[p]);
        }
    }

    // Turns scores into gradients and fills shared_weight. Shared pairs weigh K / N times the row's targets, masked ones
    // without those that the word is. Returns the loss.
    float logistic_gradients(Workspace &w, const Tile &tile) {
        const float loss = shared_gradients(w, tile);
        return loss + positive_gradients(w.own_score.data(), tile.own.count, tile.lr);
    }

    // Likewise of the words drawn alone.
    float shared_gradients(Workspace &w, const Tile &tile) {
        const int vectors = w.shared_vectors(tile) - first_ / LANES, width = vectors * LANES, ld = w.ld_shared;
        float *sums = w.shared_weight.data() + first_, *score = w.shared_score.data() + first_;
        float *pair_weight = w.pair_weight.data() + first_;
        if (uniform_) {
            float total = 0;
            for (int r = 0; r < tile.rows; ++r) total += tile.targets[r];
            std::fill(sums, sums + width, total * share_);
            return uniform_negative_gradients(
                score, ld, tile.rows, vectors, tile.targets.data(), share_, tile.lr
            );
        }
        for (int k = 0; k < width; ++k) w.column_factor.data()[k] = share_ * draws_of_[first_ + k];
        for (int r = 0; r < tile.rows; ++r) {
            float *row = pair_weight + static_cast<size_t>(r) * ld;
            std::fill(row, row + width, tile.targets[r]);
        }
        for (const auto &[row, column] : masked_) pair_weight[static_cast<size_t>(row) * ld + column - first_] -= 1;
        const float loss = negative_gradients(
            score, pair_weight, ld, tile.rows, vectors, w.column_factor.data(), tile.lr
        );
        std::fill(sums, sums + width, 0.0f);
        for (int r = 0; r < tile.rows; ++r) {
            const float *row = pair_weight + static_cast<size_t>(r) * ld;
            for (int k = 0; k < width; ++k) sums[k] += row[k];
        }
        return loss;
    }

    // See TaughtColumns.
    const float *shared_weights(Workspace &w, const Tile &tile, int r) const {
        float *row = w.pair_weight.data() + static_cast<size_t>(r) * w.ld_shared;
        if (uniform_) std::fill_n(row, tile.shared, tile.targets[r] * share_);
        return row;
    }

  protected:
    float draws_of(int column) const { return draws_of_[column]; }

  private:
    void mask_pair(int32_t row, int32_t column) {
        masked_.emplace_back(row, column);
        uniform_ = false;
    }

    const Noise &noise_;
    int first_, shared_words_;
    float share_, weight_per_pair_;  // K / N; 1 + K
    bool uniform_ = false;           // every shared pair of a row weighs the same
    Draws draws_;
    std::vector<int32_t> drawn_, drawn_number_;
    std::vector<std::pair<int32_t, int32_t>> masked_;  // row, shared column; once for each target that the word is
    std::vector<float> draws_of_;  // [shared] how often a shared column was drawn
};

}  // namespace w2v
