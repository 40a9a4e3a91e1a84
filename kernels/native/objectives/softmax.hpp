// The exact softmax (kernels/objectives/softmax.py), streamed over blocks of W_out's rows.
//
// Scores stand transposed, S [V, rows]: the rows' panel is made once a tile, W_out's rows are read as they lie, and
// what a row needs over all words, largest and sum, is a lane of a vector.
//
//     pass 1    S = W_out . V^T, left as e^(S - largest so far); the rows' largest and sums
//     pass 2    P = -lr n p from it; dV += P^T W_out; dW_out = P V, with the targets' own pairs, capped and added
//
// S is kept between the passes for as many words as SCORE_FLOATS hold and computed again for the rest.
#pragma once

#include "../drawn.hpp"
#include "../step.hpp"

namespace w2v {

class Softmax {
  public:
    Softmax(const Fields &, int64_t V) : words_(static_cast<int>(V)) {}

    int own_per_target() const { return 1; }
    int shared_columns(const Job &, int) const { return 0; }

    class Columns : public TargetColumns {
      public:
        Columns(const Softmax &objective, const TileShape &) : words(objective.words_) {}

        const int words;                                       // V
        std::vector<std::pair<int32_t, int32_t>> of_word;  // of the columns: word and column, by word

        float weight_per_pair() const { return 2; }
        void draw(const Job &, int64_t, uint32_t, int) {}

        void name_shared(Tile &tile) {
            tile.numbering.begin();
            tile.shared = 0;
        }

        void finish(Tile &tile) {
            TargetColumns::finish(tile);
            of_word.resize(tile.columns);
            for (int c = 0; c < tile.columns; ++c) of_word[c] = {tile.column_id[c], c};
            std::sort(of_word.begin(), of_word.end());
        }
    };

  private:
    int words_;
};

// Streams the words of one tile; `scratch` of the workspace is cut into its arrays.
class SoftmaxStream {
  public:
    SoftmaxStream(Workspace &w, const Tile &tile, const Softmax::Columns &columns)
        : w_(w),
          tile_(tile),
          columns_(columns),
          rows_(tile.rows),
          vectors_((tile.rows + LANES - 1) / LANES),
          ld_(padded(tile.rows)),
          blocks_((columns.words + BLOCK - 1) / BLOCK),
          kept_(std::min<int>(blocks_, static_cast<int>(SCORE_FLOATS / (static_cast<size_t>(BLOCK) * ld_)))) {
        const size_t ld = static_cast<size_t>(ld_), row = static_cast<size_t>(w.ld);
        const size_t panel = static_cast<size_t>(w.vectors) * LANES * ld, scores = (kept_ + 1) * BLOCK * ld;
        const size_t floats = panel + scores + blocks_ * ld + 4 * ld + 2 * BLOCK * row;
        if (w.scratch.size() < floats) w.scratch.resize(floats);
        float *at = w.scratch.data();
        const auto take = [&](size_t count) { return at += count, at - count; };
        panel_ = take(panel);
        scores_ = take(scores);
        block_largest_ = take(blocks_ * ld);
        largest_ = take(ld);
        sum_ = take(ld);
        mass_ = take(ld);
        factor_ = take(ld);
        words_ = take(BLOCK * row);
        step_ = take(BLOCK * row);
    }

    // Pass 1.
    void normalise() {
        transpose_rows(w_.left.data(), w_.ld, rows_, static_cast<int>(w_.D), panel_, ld_);
        for (int v = 0; v < vectors_; ++v) {
            store(largest_ + v * LANES, splat(-3e38f));
            store(sum_ + v * LANES, Vec{});
        }
        for (int block = 0; block < blocks_; ++block) {
            float *score = block_scores(block);
            score_block_of(block, score);
            const int count = words_in(block);
            float *of_block = block_largest_ + static_cast<size_t>(block) * ld_;
            for (int v = 0; v < vectors_; ++v) {
                const Vec before = load(largest_ + v * LANES);
                Vec largest = before, total{};
                for (int c = 0; c < count; ++c) largest = max(load(score + c * ld_ + v * LANES), largest);
                for (int c = 0; c < count; ++c) {
                    float *at = score + c * ld_ + v * LANES;
                    const Vec share = exp_negative(load(at) - largest);
                    store(at, share);
                    total += share;
                }
                store(sum_ + v * LANES, load(sum_ + v * LANES) * exp_negative(before - largest) + total);
                store(largest_ + v * LANES, largest);
                store(of_block + v * LANES, largest);
            }
        }
    }

    // Returns the loss of the own pairs; their scores are left as gradients.
    float own_gradients() {
        for (int v = 0; v < vectors_; ++v) {
            store(factor_ + v * LANES, load(largest_ + v * LANES) + log_from_one(load(sum_ + v * LANES)));
        }
        double loss = 0;
        float *score = w_.own_score.data();
        for (int p = 0; p < tile_.own.count; ++p) {
            loss += factor_[tile_.own.row[p]] - score[p];
            score[p] = tile_.lr;
        }
        return static_cast<float>(loss);
    }

    // Pass 2: adds to the rows' steps and to W_out.
    void update() {
        std::fill(mass_, mass_ + ld_, 0.0f);
        std::copy(tile_.targets.begin(), tile_.targets.begin() + rows_, mass_);
        for (int v = 0; v < vectors_; ++v) {
            store(mass_ + v * LANES, load(mass_ + v * LANES) * -tile_.lr / load(sum_ + v * LANES));
        }
        auto target = columns_.of_word.begin();
        for (int block = 0; block < blocks_; ++block) {
            float *score = block_scores(block), weight[BLOCK];
            if (block < kept_) {
                read_words(block);
            } else {
                score_block_of(block, score);
            }
            probabilities(block, score, weight);
            const int count = words_in(block);
            rank_update<true>(
                score, 1, ld_, rows_, count, words_, w_.ld, w_.vectors, w_.step_left.data(), w_.ld, [] {}
            );
            rank_update(score, ld_, 1, count, rows_, w_.left.data(), w_.ld, w_.vectors, step_, w_.ld, [] {});
            for (int c = 0; c < count; ++c) {
                const int32_t word = block * BLOCK + c;
                float *step = step_ + static_cast<size_t>(c) * w_.ld;
                if (target != columns_.of_word.end() && target->first == word) {
                    const PairList &own = tile_.own;
                    const int column = target++->second;
                    const auto lr = [&](int) { return tile_.lr; };
                    sum_rows<true>(
                        own.by_col_row.data() + own.start[column], own.in_column(column), lr, w_.left.data(), w_.ld,
                        w_.sum_blocks, step
                    );
                    weight[c] += tile_.own_weight[column];
                }
                w_.w_out.add(word, step, weight[c], tile_.lr);
            }
        }
    }

  private:
    static constexpr int BLOCK = 48;                   // words: their rows and scores stay in the caches next the core
    static constexpr size_t SCORE_FLOATS = 1u << 24;  // 64 MiB a worker
    static_assert(BLOCK % SCORE_ROWS == 0 && BLOCK % UPDATE_ROWS == 0 && BLOCK % LANES == 0);

    int words_in(int block) const { return std::min(BLOCK, columns_.words - block * BLOCK); }

    // Scores that are not kept share the last block.
    float *block_scores(int block) const {
        return scores_ + static_cast<size_t>(std::min(block, kept_)) * BLOCK * static_cast<size_t>(ld_);
    }

    void read_words(int block) {
        for (int c = 0; c < words_in(block); ++c) {
            w_.w_out.read(block * BLOCK + c, words_ + static_cast<size_t>(c) * w_.ld);
        }
    }

    void score_block_of(int block, float *score) {
        read_words(block);
        scores(
            words_, w_.ld, words_in(block), panel_, ld_, vectors_, static_cast<int>(w_.D), score, ld_, [] {}
        );
    }

    // Turns e^(S - largest), or S where it is not kept, into -lr n p, and sums n p of each word.
    void probabilities(int block, float *score, float *weight) {
        const int count = words_in(block);
        const float *of_block = block_largest_ + static_cast<size_t>(block) * ld_;
        for (int v = 0; v < vectors_; ++v) {
            const Vec largest = load(largest_ + v * LANES), mass = load(mass_ + v * LANES);
            if (block < kept_) {
                store(factor_ + v * LANES, mass * exp_negative(load(of_block + v * LANES) - largest));
                continue;
            }
            store(factor_ + v * LANES, mass);
            for (int c = 0; c < count; ++c) {
                float *at = score + c * ld_ + v * LANES;
                store(at, exp_negative(load(at) - largest));
            }
        }
        const float per_step = tile_.lr > 0 ? -1 / tile_.lr : 0;
        for (int first = 0; first < count; first += LANES) {
            Vec total[LANES] = {};
            for (int c = 0; c < std::min(LANES, count - first); ++c) {
                float *at = score + static_cast<size_t>(first + c) * ld_;
                for (int v = 0; v < vectors_; ++v) {
                    const Vec p = load(at + v * LANES) * load(factor_ + v * LANES);
                    store(at + v * LANES, p);
                    total[c] += p;
                }
            }
            store(weight + first, sums(total) * per_step);
        }
    }

    Workspace &w_;
    const Tile &tile_;
    const Softmax::Columns &columns_;
    const int rows_, vectors_, ld_, blocks_, kept_;
    float *panel_, *scores_, *block_largest_;  // [D, ld], [kept + 1, BLOCK, ld], [blocks, ld]
    float *largest_, *sum_, *mass_, *factor_;  // [ld]
    float *words_, *step_;                     // [BLOCK, w.ld] rows of W_out, their steps
};

// See step.hpp; this is the step of a tile whose columns are all of W_out.
template <class Input>
inline float tile_step(
    const Job &job, Workspace &w, const Tile &tile, Softmax::Columns &columns, Ahead &ahead, Lesson *
) {
    if (tile.rows == 0) return 0;
    const PairList &own = tile.own;
    Input::read(w, tile);
    read_rows(w, w.w_out, tile.column_id, tile.columns, w.right);
    Input::make(job, w, tile, ahead);
    pair_dots(own, w.left.data(), w.ld, w.right.data(), w.ld, w.vectors, w.own_score.data(), [] {});

    SoftmaxStream stream(w, tile, columns);
    stream.normalise();
    const float loss = stream.own_gradients();
    std::fill(w.step_left.data(), w.step_left.data() + static_cast<size_t>(tile.rows) * w.ld, 0.0f);
    for (int s = 0, p = 0; s < own.segments; p = own.segment_end[s++]) {
        const auto lr = [&](int) { return tile.lr; };
        float *step = w.row(w.step_left, own.segment_row[s]);
        sum_rows<true>(own.col.data() + p, own.segment_end[s] - p, lr, w.right.data(), w.ld, w.sum_blocks, step);
    }
    stream.update();
    Input::give_back(job, w, tile);
    return loss;
}

}  // namespace w2v
