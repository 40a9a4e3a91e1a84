// Columns of a tile that are words: N drawn ones shared by all rows, and each row's targets as own pairs of weight 1
// and label 1. With the logistic gradient, what the objectives share that tell targets from K draws a pair.
#pragma once

#include "logistic.hpp"
#include "noise.hpp"
#include "tile.hpp"

namespace w2v {

// What a tile holds of such an objective; `noise` is the job's.
class DrawnColumns {
  public:
    DrawnColumns(const Noise &noise, double negative, const TileShape &shape)
        : noise_(noise),
          shared_words_(shape.shared),
          share_(static_cast<float>(negative / shape.shared)),
          weight_per_pair_(static_cast<float>(1 + negative)) {
        draws_.resize(shared_words_);
        drawn_.resize(shared_words_);
        drawn_number_.resize(shared_words_);
        draws_of_.resize(shared_words_ + LANES);
    }

    float weight_per_pair() const { return weight_per_pair_; }

    // Draws the words of a tile, whose `name_shared` may follow at once or, better, a while later. What was named for
    // an earlier tile stays.
    void draw(const Job &job, int64_t chunk, uint32_t draw_epoch, int ordinal) {
        draws_.draw(noise_, job.seed, chunk, ordinal, draw_epoch);
    }

    // Begins the tile's numbering of columns with the words drawn.
    void name_shared(Tile &tile) {
        draws_.resolve(noise_, drawn_.data());
        tile.numbering.begin();
        tile.numbering.insert(drawn_.data(), shared_words_, drawn_number_.data(), tile.column_id.data());
        std::fill(draws_of_.begin(), draws_of_.end(), 0.0f);
        for (int j = 0; j < shared_words_; ++j) draws_of_[drawn_number_[j]] += 1;
        tile.shared = tile.numbering.count();
        uniform_ = tile.shared == shared_words_ && tile.shared % LANES == 0;
    }

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

    // Indexes the own pairs when all are there, and weighs their columns. With `mask` a pair of a row with a shared
    // column that is a target of it weighs less, so that not all weigh alike.
    void finish(Tile &tile, bool mask) {
        tile.own.index_columns(tile.columns);
        for (int c = 0; c < tile.columns; ++c) tile.own_weight[c] = static_cast<float>(tile.own.in_column(c));
        if (mask && tile.own.start[tile.shared] > 0) uniform_ = false;
    }

    // Turns scores into gradients and fills shared_weight. Shared pairs weigh K / N times the row's targets, with
    // `mask` without those that the word is. Returns the loss.
    float logistic_gradients(Workspace &w, const Tile &tile, bool mask) {
        const float loss = shared_gradients(w, tile, mask);
        return loss + positive_gradients(w.own_score.data(), tile.own.count, tile.lr);
    }

  private:
    float shared_gradients(Workspace &w, const Tile &tile, bool mask) {
        const int vectors = w.shared_vectors(tile), width = vectors * LANES, ld = w.ld_shared;
        float *sums = w.shared_weight.data();
        if (uniform_) {
            float total = 0;
            for (int r = 0; r < tile.rows; ++r) total += tile.targets[r];
            std::fill(sums, sums + width, total * share_);
            return uniform_negative_gradients(
                w.shared_score.data(), ld, tile.rows, vectors, tile.targets.data(), share_, tile.lr
            );
        }
        for (int k = 0; k < width; ++k) w.column_factor.data()[k] = share_ * draws_of_[k];
        for (int r = 0; r < tile.rows; ++r) {
            float *row = w.pair_weight.data() + static_cast<size_t>(r) * ld;
            std::fill(row, row + width, tile.targets[r]);
        }
        if (mask) {
            const int touched = tile.own.start[tile.shared];
            for (int i = 0; i < touched; ++i) {
                const int p = tile.own.by_col_pair[i];
                w.pair_weight.data()[static_cast<size_t>(tile.own.row[p]) * ld + tile.own.col[p]] -= 1;
            }
        }
        const float loss = negative_gradients(
            w.shared_score.data(), w.pair_weight.data(), ld, tile.rows, vectors, w.column_factor.data(), tile.lr
        );
        std::fill(sums, sums + width, 0.0f);
        for (int r = 0; r < tile.rows; ++r) {
            const float *row = w.pair_weight.data() + static_cast<size_t>(r) * ld;
            for (int k = 0; k < width; ++k) sums[k] += row[k];
        }
        return loss;
    }

    const Noise &noise_;
    int shared_words_;
    float share_, weight_per_pair_;  // K / N; 1 + K
    bool uniform_ = false;           // every shared pair of a row weighs the same
    Draws draws_;
    std::vector<int32_t> drawn_, drawn_number_, target_number_;
    std::vector<float> draws_of_;  // [shared] how often a shared column was drawn
};

}  // namespace w2v
