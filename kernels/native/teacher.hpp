// Soft labels (kernels/teacher.py): other models score a tile's pairs, in float32, and its gradients are moved towards
// what they say.
#pragma once

#include "logistic.hpp"
#include "products.hpp"

namespace w2v {

class Lesson {
  public:
    Lesson(const Job &job, const TileShape &shape, int ld_shared)
        : job_(job), teacher_(job.teacher), ld_shared_(ld_shared) {
        const size_t rows = static_cast<size_t>(Workspace::whole_blocks(shape.tokens));
        for (const TeacherModel &tables : teacher_.models) models_.emplace_back(job, shape, tables, rows, ld_shared);
        for (Buffer *each : {&shared_score_, &shared_soft_, &shared_asked_}) each->resize(rows * ld_shared);
        for (Buffer *each : {&own_score_, &own_soft_, &own_asked_}) each->resize(shape.own + PAIR_SLACK);
        if (job.cbow) unknown_up_to_.resize(shape.halo + 1);
        row_weight_.resize(shape.tokens);
        column_weight_.resize(shape.columns + LANES);
    }

    // Asks the models about a tile, whose scores are those of the workspace.
    void ask(Workspace &w, const Tile &tile) {
        const size_t shared = static_cast<size_t>(tile.rows) * ld_shared_, own = whole_vectors(tile.own.count);
        std::copy_n(w.shared_score.data(), shared, shared_score_.data());
        std::copy_n(w.own_score.data(), own, own_score_.data());
        std::fill_n(shared_soft_.data(), shared, 0.0f);
        std::fill_n(own_soft_.data(), own, 0.0f);
        for (Model &model : models_) {
            model.score(job_, tile, w.shared_vectors(tile), shared_asked_, own_asked_, ld_shared_);
            for (int r = 0; r < tile.rows; ++r) {
                const size_t at = static_cast<size_t>(r) * ld_shared_;
                add_soft(shared_asked_.data() + at, w.shared_vectors(tile) * LANES, shared_soft_.data() + at);
            }
            add_soft(own_asked_.data(), tile.own.count, own_soft_.data());
        }
        weigh(tile);
    }

    // Moves the gradients that stand where the scores stood, lr in them, and returns what that adds to the loss.
    // `shared_weights(r)` are the weights of row r's shared pairs; own pairs weigh 1 and have label 1.
    template <class Weights>
    float soften(Workspace &w, const Tile &tile, Weights &&shared_weights) {
        Vec loss{};
        const int width = w.shared_vectors(tile) * LANES;
        for (int r = 0; r < tile.rows; ++r) {
            const size_t at = static_cast<size_t>(r) * ld_shared_;
            const float *weights = shared_weights(r);
            for (int k = 0; k < width; k += LANES) {
                const Vec share = row_weight_.data()[r] * load(column_weight_.data() + k);
                const Vec moved = load(weights + k) * share * load(shared_soft_.data() + at + k);
                loss -= moved * load(shared_score_.data() + at + k);
                float *g = w.shared_score.data() + at + k;
                store(g, load(g) + tile.lr * moved);
            }
        }
        float own = 0, *g = w.own_score.data();
        for (int p = 0; p < tile.own.count; ++p) {
            const float share = row_weight_.data()[tile.own.row[p]] * column_weight_.data()[tile.own.col[p]];
            const float moved = share * (own_soft_.data()[p] - 1);
            own -= moved * own_score_.data()[p];
            g[p] += tile.lr * moved;
        }
        return sum(loss) + own;
    }

    // See Workspace.
    void poison() {
        const float nan = std::numeric_limits<float>::quiet_NaN();
        for (Buffer *each :
             {&shared_score_, &shared_soft_, &shared_asked_, &own_score_, &own_soft_, &own_asked_, &row_weight_,
              &column_weight_}) {
            std::fill_n(each->data(), each->size(), nan);
        }
        for (Model &model : models_) model.poison();
    }

  private:
    static constexpr int AHEAD = 4;  // rows that are fetched before the one that is copied

    // The tables of a model, and a tile's rows of them.
    struct Model {
        const float *w_in, *w_out;
        int64_t D;
        int ld, vectors;
        Blocks<SUM_VECTORS> sum_blocks;
        Buffer input, sums, left, right, panel;

        Model(const Job &job, const TileShape &shape, const TeacherModel &tables, size_t rows, int ld_shared)
            : w_in(tables.w_in),
              w_out(tables.w_out),
              D(tables.D),
              ld(padded(D)),
              vectors(vectors_of(D)),
              sum_blocks(vectors) {
            const size_t row = static_cast<size_t>(ld);
            if (job.cbow) input.resize(shape.inputs * row);
            if (job.cbow && job.window > DIRECT_WINDOW) sums.resize((shape.halo + 1) * row);
            left.resize(rows * row);
            right.resize(shape.columns * row);
            panel.resize(static_cast<size_t>(vectors) * LANES * ld_shared);
        }

        void score(const Job &job, const Tile &tile, int shared_vectors, Buffer &shared, Buffer &own, int ld_shared) {
            read(w_in, tile.input_id, tile.inputs, job.cbow ? input : left);
            read(w_out, tile.column_id, tile.columns, right);
            const auto tick = [] {};
            if (job.cbow) {
                make_windows(
                    tile.windows, job.cbow_mean, input.data(), ld, sum_blocks, sums.data(), left.data(), tick
                );
            }
            transpose_rows(right.data(), ld, tile.shared, static_cast<int>(D), panel.data(), ld_shared);
            scores(
                left.data(), ld, tile.rows, panel.data(), ld_shared, shared_vectors, static_cast<int>(D), shared.data(),
                ld_shared, tick
            );
            pair_dots(tile.own, left.data(), ld, right.data(), ld, vectors, own.data(), tick);
        }

        void read(const float *table, const std::vector<int32_t> &id, int count, Buffer &to) {
            for (int i = 0; i < count; ++i) {
                if (i + AHEAD < count) {
                    const float *next = table + id[i + AHEAD] * D;
                    for (int64_t d = 0; d < D; d += LINE_FLOATS) __builtin_prefetch(next + d, 0, 2);
                }
                gather(table + id[i] * D, D, to.data() + static_cast<size_t>(i) * ld);
            }
        }

        void poison() {
            for (Buffer *rows : {&input, &sums, &left, &right}) {
                for (size_t i = 0; i < rows->size(); ++i) {
                    if (static_cast<int64_t>(i % ld) < D) rows->data()[i] = std::numeric_limits<float>::quiet_NaN();
                }
            }
        }
    };

    static size_t whole_vectors(int count) { return static_cast<size_t>((count + LANES - 1) / LANES) * LANES; }

    // Adds a model's part of the soft labels, from its scores.
    void add_soft(const float *score, int count, float *soft) const {
        const float divisor = 1.0f / teacher_.temperature, part = 1.0f / static_cast<float>(models_.size());
        for (int i = 0; i < count; i += LANES) {
            store(soft + i, load(soft + i) + part * sigmoid(load(score + i) * divisor).value);
        }
    }

    void weigh(const Tile &tile) {
        float *rows = row_weight_.data(), *columns = column_weight_.data();
        const auto known = [&](int32_t word) { return teacher_.known[word] ? 1.0f : 0.0f; };
        std::fill_n(rows, tile.rows, teacher_.weight);
        if (!job_.cbow) {
            for (int r = 0; r < tile.rows; ++r) rows[r] *= known(tile.input_id[r]);
        }
        const Windows &windows = tile.windows;
        for (int p = 0; p < windows.places; ++p) unknown_up_to_[p + 1] = unknown_up_to_[p] + (known(windows.id[p]) == 0);
        for (int r = 0; r < windows.rows; ++r) {
            const int unknown = unknown_up_to_[windows.last[r] + 1] - unknown_up_to_[windows.first[r]];
            if (unknown > (known(windows.id[windows.at[r]]) == 0)) rows[r] = 0;
        }
        std::fill_n(columns, column_weight_.size(), 0.0f);
        for (int c = 0; c < tile.columns; ++c) columns[c] = known(tile.column_id[c]);
    }

    const Job &job_;
    const Teacher &teacher_;
    int ld_shared_;
    std::vector<Model> models_;
    Buffer shared_score_, own_score_;  // the tile's
    Buffer shared_asked_, own_asked_;  // a model's
    Buffer shared_soft_, own_soft_;    // the mean of the models' probabilities
    std::vector<int> unknown_up_to_;   // [places + 1] CBOW: words that the models lack, before a place
    Buffer row_weight_, column_weight_;  // whose product is a pair's share of soft label
};

}  // namespace w2v
