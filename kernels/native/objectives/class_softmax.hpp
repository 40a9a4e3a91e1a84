// Class-based softmax (kernels/objectives/class_softmax.py): the classes are columns of every tile, the words of a
// class are scored once for all rows that have a target among them.
#pragma once

#include "../fields.hpp"
#include "../normalise.hpp"
#include "../step.hpp"

namespace w2v {

class ClassSoftmax {
  public:
    ClassSoftmax(const Fields &fields, int64_t V)
        : class_of_(fields.array<int32_t>("class_of")),
          members_(fields.array<int32_t>("members")),
          start_(fields.array<int32_t>("start")),
          classes_(static_cast<int>(fields.number("classes"))),
          largest_(static_cast<int>(fields.number("largest"))),
          place_(V) {
        for (int32_t c = 0; c < classes_; ++c) {
            for (int32_t i = start_[c]; i < start_[c + 1]; ++i) place_[members_[i]] = i - start_[c];
        }
    }

    int own_per_target() const { return 0; }
    int shared_columns(const Job &, int) const { return classes_; }

    class Columns : public GroupedColumns {
      public:
        Columns(const ClassSoftmax &objective, const TileShape &shape) : objective_(objective) {
            const size_t pairs = shape.pairs;
            pairs_.resize(pairs, shape.tokens, objective.classes_);
            place_.resize(pairs + PAIR_SLACK);
            class_of_target_.resize(shape.halo + PAIR_SLACK);
            place_of_target_.resize(shape.halo + PAIR_SLACK);
            slot_of_.resize(shape.tokens, -1);
            row_of_.resize(shape.tokens);
            n_.resize(shape.tokens);
            log_z_.resize(shape.tokens);
        }

        float weight_per_pair() const { return 4; }
        void draw(const Job &, int64_t, uint32_t, int) {}

        void name_shared(Tile &tile) {
            tile.shared = tile.columns = objective_.classes_;
            for (int c = 0; c < tile.columns; ++c) tile.column_id[c] = c;
            pairs_.clear();
        }

        void name_targets(Tile &, const int32_t *words, int count) {
            for (int j = 0; j < count; ++j) {
                class_of_target_[j] = objective_.class_of_[words[j]];
                place_of_target_[j] = objective_.place_[words[j]];
            }
        }

        W2V_INLINE void add_targets(Tile &, int32_t row, int first, int length) {
            for (int i = 0; i < length; i += LANES) {
                store(place_.data() + pairs_.count + i, load(place_of_target_.data() + first + i));
            }
            pairs_.append(row, class_of_target_.data() + first, length);
        }

        void finish(Tile &) { pairs_.index_columns(objective_.classes_); }

        // The softmax over classes.
        float gradients(Workspace &w, const Tile &tile) {
            const int vectors = w.shared_vectors(tile), ld = w.ld_shared;
            float *sums = w.shared_weight.data(), *scores = w.shared_score.data();
            std::fill(sums, sums + ld, 0.0f);
            float loss = 0;
            for (int p = 0; p < pairs_.count; ++p) {
                loss -= scores[static_cast<size_t>(pairs_.row[p]) * ld + pairs_.col[p]];
            }
            for (int r = 0; r < tile.rows; ++r) {
                float *score = scores + static_cast<size_t>(r) * ld;
                hide_tail(score, tile.shared);
                const float log_z = log_sum_exp(score, vectors);
                softmax_gradients(score, vectors, log_z, tile.targets[r], tile.lr, sums);
                loss += tile.targets[r] * log_z;
            }
            for (int p = 0; p < pairs_.count; ++p) {
                scores[static_cast<size_t>(pairs_.row[p]) * ld + pairs_.col[p]] += tile.lr;
                sums[pairs_.col[p]] += 1;
            }
            return loss;
        }

        // The softmaxes within classes: adds to `step_left`, steps the words' rows of W_out, returns the loss.
        float step_groups(Workspace &w, const Tile &tile, Ahead &) {
            if (left_.size() == 0) make_buffers(w);
            float loss = 0;
            for (int c = 0; c < objective_.classes_; ++c) {
                if (pairs_.in_column(c) > 0) loss += step_class(w, tile, c);
            }
            return loss;
        }

      private:
        void make_buffers(const Workspace &w) {
            const size_t row = static_cast<size_t>(w.ld), rows = (slot_of_.size() / SCORE_ROWS + 1) * SCORE_ROWS;
            block_ = std::min(MOST_BLOCK, objective_.largest_);
            ld_block_ = padded(block_);
            id_.resize(block_);
            left_.resize(rows * row);
            step_left_.resize(rows * row);
            right_.resize((block_ + LANES) * row);
            step_right_.resize(block_ * row);
            panel_.resize(static_cast<size_t>(w.vectors) * LANES * ld_block_);
            score_.resize(rows * ld_block_);
            weight_.resize(ld_block_);
        }

        float step_class(Workspace &w, const Tile &tile, int c) {
            const int first = pairs_.start[c], last = pairs_.start[c + 1];
            rows_ = 0;
            for (int i = first; i < last; ++i) {
                const int32_t row = pairs_.by_col_row[i];
                if (slot_of_[row] < 0) {
                    slot_of_[row] = rows_;
                    n_[rows_] = 0;
                    row_of_[rows_] = row;
                    std::copy_n(w.row(w.left, row), w.ld, w.row(left_, rows_++));
                }
                n_[slot_of_[row]] += 1;
            }
            const int size = objective_.start_[c + 1] - objective_.start_[c], blocks = (size + block_ - 1) / block_;
            for (int b = 0; b < blocks; ++b) {
                const int count = score_block(w, c, b);
                for (int s = 0; s < rows_; ++s) {
                    const float z = log_sum_exp(score_.data() + static_cast<size_t>(s) * ld_block_, vectors_of(count));
                    log_z_[s] = b == 0 ? z : log_add_exp(log_z_[s], z);
                }
            }
            float loss = 0;
            for (int s = 0; s < rows_; ++s) loss += n_[s] * log_z_[s];
            for (int b = blocks - 1; b >= 0; --b) {  // the last one's scores are at hand
                const int count = b == blocks - 1 ? size - b * block_ : score_block(w, c, b);
                loss -= step_block(w, tile, first, last, b, count);
            }
            for (int s = 0; s < rows_; ++s) slot_of_[row_of_[s]] = -1;
            return loss;
        }

        // Reads the b-th block of a class's words and scores the rows at hand against them; returns their number.
        int score_block(Workspace &w, int c, int b) {
            const int32_t begin = objective_.start_[c] + b * block_;
            const int count = std::min(block_, objective_.start_[c + 1] - begin);
            for (int k = 0; k < count; ++k) id_[k] = objective_.classes_ + objective_.members_[begin + k];
            read_rows(w, w.w_out, id_, count, right_);
            if (rows_ <= FEW_ROWS) {
                for (int s = 0; s < rows_; ++s) {
                    dots(
                        w.row(left_, s), right_.data(), w.ld, count, w.vectors,
                        score_.data() + static_cast<size_t>(s) * ld_block_
                    );
                }
            } else {
                transpose_rows(right_.data(), w.ld, count, static_cast<int>(w.D), panel_.data(), ld_block_);
                scores(
                    left_.data(), w.ld, rows_, panel_.data(), ld_block_, vectors_of(count), static_cast<int>(w.D),
                    score_.data(), ld_block_, [] {}
                );
            }
            for (int s = 0; s < rows_; ++s) hide_tail(score_.data() + static_cast<size_t>(s) * ld_block_, count);
            return count;
        }

        // Turns the block's scores into gradients and steps both sides; returns the scores of targets, summed.
        float step_block(Workspace &w, const Tile &tile, int first, int last, int b, int count) {
            float *score = score_.data(), *weight = weight_.data(), wanted = 0;
            const auto each_target = [&](auto &&body) {
                for (int i = first; i < last; ++i) {
                    const int place = place_[pairs_.by_col_pair[i]] - b * block_;
                    if (place < 0 || place >= count) continue;
                    body(score[static_cast<size_t>(slot_of_[pairs_.by_col_row[i]]) * ld_block_ + place], place);
                }
            };
            each_target([&](float &s, int) { wanted += s; });
            std::fill(weight, weight + ld_block_, 0.0f);
            for (int s = 0; s < rows_; ++s) {
                float *of_row = score + static_cast<size_t>(s) * ld_block_;
                softmax_gradients(of_row, vectors_of(count), log_z_[s], n_[s], tile.lr, weight);
            }
            each_target([&](float &g, int place) {
                g += tile.lr;
                weight[place] += 1;
            });
            rank_update(
                score, ld_block_, 1, rows_, count, right_.data(), w.ld, w.vectors, step_left_.data(), w.ld, [] {}
            );
            for (int s = 0; s < rows_; ++s) {
                float *to = w.row(w.step_left, row_of_[s]);
                const float *from = w.row(step_left_, s);
                for (int v = 0; v < w.vectors; ++v) {
                    store(to + v * LANES, load(to + v * LANES) + load(from + v * LANES));
                }
            }
            rank_update(
                score, 1, ld_block_, count, rows_, left_.data(), w.ld, w.vectors, step_right_.data(), w.ld, [] {}
            );
            w.w_out.each(id_, count, [&](int k) { w.w_out.add(id_[k], w.row(step_right_, k), weight[k], tile.lr); });
            return wanted;
        }

        // Words of a block: with their steps and their transpose they fit the second cache level. Classes of more are
        // scored twice.
        static constexpr int MOST_BLOCK = 256;
        // So few rows are scored by dots: to transpose the words takes longer.
        static constexpr int FEW_ROWS = 6;

        const ClassSoftmax &objective_;
        PairList pairs_;                                          // row, class
        std::vector<int32_t> place_;                              // of each pair's target in its class
        std::vector<int32_t> class_of_target_, place_of_target_;  // of the words named
        // Of the class at hand: the rows that have a target there, and each one's slot among them.
        int rows_ = 0, block_ = 0, ld_block_ = 0;
        std::vector<int32_t> slot_of_, row_of_, id_;
        std::vector<float> n_, log_z_;
        Buffer left_, step_left_, right_, step_right_, panel_, score_, weight_;
    };

  private:
    const int32_t *class_of_, *members_, *start_;
    int classes_, largest_;
    std::vector<int32_t> place_;
};

}  // namespace w2v
