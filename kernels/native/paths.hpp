// Paths of a tree as columns of a tile: its top nodes, which most paths pass, are shared columns, always the same ones;
// what is left of a target's path below them, its tail, is stepped in place.
//
// A row has one score with each top node, however many of its targets pass it: they are counted, apart by label. Below
// the top two targets of a row seldom meet again: each has a score of its own there.
#pragma once

#include <algorithm>
#include <vector>

#include "logistic.hpp"
#include "tree.hpp"

namespace w2v {

// What a tile holds of a tree: its targets in the order of the leaves, so that those whose paths pass a node stand side by
// side. A node is opened at the first of them and closed behind the last: it is scored with each, then stepped once with
// all. Its row of W_out is read and changed where it lies; it has no number, is no column and never copied.
class PathColumns : public GroupedColumns {
  public:
    PathColumns(const Tree &tree, const TileShape &shape)
        : tree_(tree),
          top_(tree.top_nodes(shape)),
          most_rows_(shape.rows_per_target),
          begins_rows_(shape.cbow && shape.columns == 0) {
        top_number_.resize(top_);
        ones_.resize(static_cast<size_t>(shape.tokens) * top_);
        all_.resize(ones_.size());
        tail_.resize(shape.targets);
        rows_of_.resize(shape.targets);
        row_.resize(static_cast<size_t>(shape.targets) * most_rows_);
        sorted_.resize(shape.targets);
        unsorted_.resize(shape.targets + 1);
        rank_.resize(shape.targets + LANES);
        path_.resize(shape.targets);
        shared_.resize(shape.targets + 1);
        pairs_.resize(shape.targets + 1);
        pair_row_.resize(shape.pairs);
        pair_at_.resize(shape.pairs + 1);
        distinct_.resize(static_cast<size_t>(shape.targets) * tree.longest() + LANES);
        opened_.resize(tree.longest());
        gradient_.resize(shape.pairs * tree.longest() + LANES);
        sign_.resize(shape.pairs * tree.longest() + LANES);
    }

    // Begins a tile's numbering of columns with the top nodes.
    void name_top(Tile &tile) {
        tile.numbering.begin();
        tile.numbering.insert(tree_.top().data(), top_, top_number_.data(), tile.column_id.data());
        tile.columns = tile.shared = tile.numbering.count();
        rows_ = 0;
    }

    // Finds the tails of the words that are targets of the tile's rows.
    void name_targets(Tile &, const int32_t *words, int count) {
        for (int j = 0; j < count; ++j) tree_.prefetch_tail(words[j]);
        for (int j = 0; j < count; ++j) {
            tail_[j] = tree_.tail(words[j], top_ > 0);
            tree_.prefetch_path(tail_[j]);
        }
        std::fill(rows_of_.begin(), rows_of_.begin() + count, 0);
        named_ = count;
    }

    // Pairs a row with the paths of `length` of those words, from the first-th on. No row comes before a lower one has.
    W2V_INLINE void add_targets(Tile &, int32_t row, int first, int length) {
        float *ones = ones_.data() + static_cast<size_t>(row) * top_, *all = all_.data() + static_cast<size_t>(row) * top_;
        if (row >= rows_) {
            std::fill(ones, ones + top_, 0.0f);
            std::fill(all, all + top_, 0.0f);
            rows_ = row + 1;
        }
        for (int t = 0; t < top_; t += LANES) {
            Vec ones_sum = load(ones + t), all_sum = load(all + t);
            for (int j = first; j < first + length; ++j) {
                ones_sum += load(tree_.ones(tail_[j].exit) + t);
                all_sum += load(tree_.all(tail_[j].exit) + t);
            }
            store(ones + t, ones_sum);
            store(all + t, all_sum);
        }
        for (int j = first; j < first + length; ++j) row_[static_cast<size_t>(j) * most_rows_ + rows_of_[j]++] = row;
    }

    // Puts the targets in order, a word that was named several times as one, and says which nodes are to be fetched.
    void finish_targets(Tile &tile) {
        const int words = sort_words();
        int32_t *distinct = distinct_.data();
        int pair = 0, at = 0;
        targets_ = 0;
        for (int i = 0; i < words; ++i) {
            const int j = sorted_[i];
            const Tree::Tail &tail = tail_[j];
            if (targets_ == 0 || tail.rank != path_[targets_ - 1].rank) {
                const int p = targets_++;
                path_[p] = tail;
                pairs_[p] = pair;
                shared_[p] = 0;
                if (p > 0) {
                    const Tree::Tail &before = path_[p - 1];
                    shared_[p] = common(tree_.nodes(tail), tree_.nodes(before), std::min(tail.length, before.length));
                }
                distinct = tree_.append(tail, shared_[p], distinct);
            }
            const int32_t *row = row_.data() + static_cast<size_t>(j) * most_rows_;
            for (int r = 0; r < rows_of_[j]; ++r, at += tail.length) {
                pair_row_[pair] = row[r];
                pair_at_[pair++] = at;
            }
        }
        pairs_[targets_] = pair;
        pair_at_[pair] = at;
        shared_[targets_] = 0;
        tile.grouped_id.assign(distinct_.data(), distinct);
    }

    // Whether `step_groups` is the first to step the rows, each once.
    bool begins_rows() const { return begins_rows_; }

    // Turns the scores of the top nodes into gradients, and fills their shared_weight. Returns the loss.
    float top_gradients(Workspace &w, const Tile &tile) {
        const float *all = all_.data();
        float *sums = w.shared_weight.data();
        std::fill(sums, sums + top_, 0.0f);
        for (int r = 0; r < tile.rows; ++r) {
            for (int t = 0; t < top_; ++t) sums[t] += all[static_cast<size_t>(r) * top_ + t];
        }
        return counted_gradients(w.shared_score.data(), w.ld_shared, tile.rows, top_, ones_.data(), all, tile.lr);
    }

    float step_groups(Workspace &w, const Tile &tile, Ahead &ahead) {
        SignedLoss loss;
        for (int b = 0, end; b < targets_; b = end) {
            end = b;
            for (int nodes = 0; end < targets_ && nodes < NODES_TOGETHER; nodes += path_[end++].length) score_tail(w, end);
            float *g = gradients_of(pairs_[b]), *sign = sign_.data();
            for (int p = b; p < end; ++p) sign = write_signs(p, sign);
            const int scores = static_cast<int>(sign - sign_.data());
            for (int i = 0; i < scores; i += LANES) {
                store(g + i, loss.gradient(load(g + i), load(sign_.data() + i), scores - i, tile.lr));
            }
            for (int p = b; p < end; ++p) {
                if (pairs_[p + 1] - pairs_[p] > 1 || w.w_out.writes_down()) {
                    teach_rows(w, p);
                    close_nodes(w, p, path_[p].length, tile.lr);
                } else {
                    close_nodes(w, p, teach_row_and_nodes(w, p, tile.lr), tile.lr);
                }
            }
            ahead.tick(ahead.left() * (end - b) / (targets_ - b));
        }
        return loss.total();
    }

  private:
    static constexpr int NODES_TOGETHER = 32;  // whose rows of W_out stay in the first level from their scores on
    static constexpr int TOGETHER = REGISTERS >= 32 ? 3 : 1;  // rows, or nodes, that share what is loaded of the other

    // The tree's rows of W_out, as a local value: what a vector is stored to might otherwise be a pointer, for the compiler.
    struct Nodes {
        float *first;
        int64_t D;
        W2V_INLINE float *operator[](int32_t number) const { return first + number * D; }
    };
    // The row cap's factor of nodes that so many pairs weigh: one for all, but for static weights.
    struct NodeScale {
        const Table &table;
        int32_t first_row;
        float weight, lr, uniform;
        bool varies;
        W2V_INLINE NodeScale(const Table &table, int32_t first_row, float weight, float lr)
            : table(table),
              first_row(first_row),
              weight(weight),
              lr(lr),
              uniform(table.scale(first_row, weight, lr)),
              varies(table.scales_vary()) {}
        W2V_INLINE float operator[](int32_t number) const {
            return varies ? table.scale(first_row + number, weight, lr) : uniform;
        }
    };
    W2V_INLINE Nodes nodes_of(Workspace &w) const { return {w.w_out.at(tree_.first_row()), w.D}; }
    // Scores, then gradients, of a pair with the nodes of its tail; those of the next pair follow.
    float *gradients_of(int pair) { return gradient_.data() + pair_at_[pair]; }

    // Fills sorted_ with the words named that have rows, in the order of their leaves. Returns how many there are.
    int sort_words() {
        int words = 0;
        for (int j = 0; j < named_; ++j) {
            rank_[words] = tail_[j].rank;
            unsorted_[words] = j;
            words += rows_of_[j] > 0;
        }
        // Each one's place is the number of those before it.
        IVec lane;
        for (int i = 0; i < LANES; ++i) lane[i] = i;
        for (int p = 0; p < words; p += LANES) {
            const IVec rank = load(rank_.data() + p), number = lane + p;
            const int end = std::min(p + LANES, words);
            IVec place{};
            int i = 0;
            for (; i < p; ++i) place -= splat(rank_[i]) <= rank;
            for (; i < end; ++i) {
                const IVec other = splat(rank_[i]);
                place -= (other < rank) | ((other == rank) & (splat(i) < number));
            }
            for (; i < words; ++i) place -= splat(rank_[i]) < rank;
            for (int j = p; j < end; ++j) sorted_[place[j - p]] = unsorted_[j];
        }
        return words;
    }

    // Writes what the labels of the p-th target's pairs are, as their scores lie. Returns the end.
    W2V_INLINE float *write_signs(int target, float *to) const {
        const Tree::Tail &path = path_[target];
        const int pairs = pairs_[target + 1] - pairs_[target];
        if (path.length <= LANES) {
            const Vec sign = tree_.signs(path, 0);
            for (int i = 0; i < pairs; ++i, to += path.length) store(to, sign);
            return to;
        }
        for (int i = 0; i < pairs; ++i, to += path.length) {
            for (int k = 0; k < path.length; k += LANES) store(to + k, tree_.signs(path, k));
        }
        return to;
    }

    // How many of the first `most` numbers, of both, are equal.
    static W2V_INLINE int common(const int32_t *a, const int32_t *b, int most) {
        int k = 0;
        while (k < most && a[k] == b[k]) ++k;
        return k;
    }

    // Calls body(Int<n>, i) for `count` items, n of them from the i-th on: three at a time, and two rather than one.
    template <class Body>
    static W2V_INLINE void together(int count, Body &&body) {
        int i = 0;
        if constexpr (TOGETHER == 3) {
            for (; count - i > 4 || count - i == 3; i += 3) body(Int<3>{}, i);
            for (; count - i >= 2; i += 2) body(Int<2>{}, i);
        }
        for (; i < count; ++i) body(Int<1>{}, i);
    }

    // Calls body(Int<n>, k) for `count` items, n of them from the k-th on: what is beyond whole groups of four, then these.
    template <class Body>
    static W2V_INLINE void each_four(int count, Body &&body) {
        const int whole = count / 4 * 4;
        switch (count - whole) {
            case 1: body(Int<1>{}, whole); break;
            case 2: body(Int<2>{}, whole); break;
            case 3: body(Int<3>{}, whole); break;
            default: break;
        }
        for (int k = 0; k < whole; k += 4) body(Int<4>{}, k);
    }

    // Scores the rows of the p-th target with the nodes of its tail. Four scores are stored at once, the last ones of a
    // pair first: what they write beyond it, into the next pairs, is written after.
    W2V_INLINE void score_tail(Workspace &w, int target) {
        if (pairs_[target + 1] - pairs_[target] == 1 && w.sum_blocks.count == 1) return score_tail_with_row(w, target);
        float *g = gradients_of(pairs_[target]);
        const int32_t *row = pair_row_.data() + pairs_[target], *id = tree_.nodes(path_[target]);
        const int length = path_[target].length, whole = static_cast<int>(w.D / LANES) * LANES;
        const int rest = static_cast<int>(w.D) - whole;
        const Nodes node = nodes_of(w);
        together(pairs_[target + 1] - pairs_[target], [&](auto size, int first) {
            constexpr int ROWS = size;
            const float *l[ROWS];
#pragma GCC unroll 3
            for (int i = 0; i < ROWS; ++i) l[i] = w.row(w.left, row[first + i]);
            const auto score = [&](auto nodes, int k) {
                constexpr int NODES = nodes;
                const float *u[NODES];
                Vec acc[ROWS][4] = {};
#pragma GCC unroll 4
                for (int j = 0; j < NODES; ++j) u[j] = node[id[k + j]];
                const auto step = [&](int d, auto &&load_node) {
                    Vec x[NODES];
#pragma GCC unroll 4
                    for (int j = 0; j < NODES; ++j) x[j] = held(load_node(u[j] + d));
#pragma GCC unroll 3
                    for (int i = 0; i < ROWS; ++i) {
                        const Vec y = held(load(l[i] + d));
#pragma GCC unroll 4
                        for (int j = 0; j < NODES; ++j) acc[i][j] += y * x[j];
                    }
                };
                for (int d = 0; d < whole; d += LANES) step(d, [](const float *p) { return load(p); });
                if (rest) step(whole, [&](const float *p) { return load_first(p, rest); });
#pragma GCC unroll 3
                for (int i = 0; i < ROWS; ++i) store_four_sums(acc[i], g + (first + i) * length + k);
            };
            each_four(length, score);
        });
    }

    // The same for one row, which the registers hold.
    W2V_INLINE void score_tail_with_row(Workspace &w, int target) {
        float *g = gradients_of(pairs_[target]);
        const int32_t *id = tree_.nodes(path_[target]);
        const int nodes = path_[target].length, rest = static_cast<int>(w.D) % LANES;
        const float *left = w.row(w.left, pair_row_[pairs_[target]]);
        const Nodes node = nodes_of(w);
        w.sum_blocks.each([=](auto vectors, int) W2V_INLINE_BODY {
            constexpr int VECTORS = vectors;
            Vec y[VECTORS];
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) y[v] = held(load(left + v * LANES));
            const auto score = [&](auto size, int k) W2V_INLINE_BODY {
                constexpr int NODES = size;
                Vec acc[4] = {};
#pragma GCC unroll 4
                for (int j = 0; j < NODES; ++j) {
                    const float *u = node[id[k + j]];
#pragma GCC unroll 8
                    for (int v = 0; v < VECTORS; ++v) {
                        acc[j] += y[v] * (v + 1 < VECTORS || rest == 0 ? load(u + v * LANES) : load_first(u + v * LANES, rest));
                    }
                }
                store_four_sums(acc, g + k);
            };
            each_four(nodes, score);
        });
    }

    // step_left of the rows of the p-th target += sum over its tail's nodes of g[i][k] * node k.
    W2V_INLINE void teach_rows(Workspace &w, int target) {
        const float *g = gradients_of(pairs_[target]);
        const int32_t *row = pair_row_.data() + pairs_[target], *id = tree_.nodes(path_[target]);
        const int nodes = path_[target].length;
        const Nodes node = nodes_of(w);
        const auto teach = [&](auto size, int first) {
            constexpr int ROWS = size;
            w.sum_blocks.each([&](auto vectors, int v) {
                constexpr int VECTORS = vectors;
                const int last = std::min(static_cast<int>(w.D) - (v + VECTORS - 1) * LANES, LANES);
                float *to[ROWS];
                Vec acc[ROWS][VECTORS];
#pragma GCC unroll 3
                for (int i = 0; i < ROWS; ++i) {
                    to[i] = w.row(w.step_left, row[first + i]) + v * LANES;
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) acc[i][j] = begins_rows_ ? Vec{} : load(to[i] + j * LANES);
                }
                for (int k = 0; k < nodes; ++k) {
                    const float *u = node[id[k]] + v * LANES;
                    Vec factor[ROWS];
#pragma GCC unroll 3
                    for (int i = 0; i < ROWS; ++i) factor[i] = splat(g[(first + i) * nodes + k]);
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) {
                        const float *at = u + j * LANES;
                        const Vec x = held(j + 1 < VECTORS || last == LANES ? load(at) : load_first(at, last));
#pragma GCC unroll 3
                        for (int i = 0; i < ROWS; ++i) acc[i][j] += factor[i] * x;
                    }
                }
#pragma GCC unroll 3
                for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) store(to[i] + j * LANES, acc[i][j]);
                }
            });
        };
        together(pairs_[target + 1] - pairs_[target], [&](auto size, int first) {
            const int32_t *of = row + first;
            if (repeated(of, size)) {  // a word that stands twice in the target's window
                for (int i = 0; i < size; ++i) teach(Int<1>{}, first + i);
            } else {
                teach(size, first);
            }
        });
    }

    static W2V_INLINE bool repeated(const int32_t *row, int rows) {
        return (rows > 1 && row[0] == row[1]) || (rows > 2 && (row[0] == row[2] || row[1] == row[2]));
    }

    // Steps the nodes that the p-th target, of one row, alone passes, as it teaches that row; returns the first's depth.
    W2V_INLINE int teach_row_and_nodes(Workspace &w, int target, float lr) {
        const float *g = gradients_of(pairs_[target]);
        const int32_t row = pair_row_[pairs_[target]], *id = tree_.nodes(path_[target]);
        const int nodes = path_[target].length;
        const int alone = std::min(std::max(shared_[target], shared_[target + 1]), nodes);
        const Nodes node = nodes_of(w);
        const NodeScale scale(w.w_out, tree_.first_row(), 1, lr);
        float *const step = w.row(w.step_left, row);
        const float *const whole_row = w.row(w.left, row);
        const bool begins = begins_rows_;
        w.sum_blocks.each([=](auto vectors, int v) W2V_INLINE_BODY {
            constexpr int VECTORS = vectors;
            const int last = std::min(static_cast<int>(node.D) - (v + VECTORS - 1) * LANES, LANES);
            float *to = step + v * LANES;
            const float *left = whole_row + v * LANES;
            Vec acc[VECTORS], y[VECTORS];
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j) acc[j] = begins ? Vec{} : load(to + j * LANES);
            for (int k = 0; k < alone; ++k) {
                const float *u = node[id[k]] + v * LANES;
                const Vec factor = splat(g[k]);
#pragma GCC unroll 8
                for (int j = 0; j < VECTORS; ++j) {
                    const float *at = u + j * LANES;
                    acc[j] += factor * (j + 1 < VECTORS || last == LANES ? load(at) : load_first(at, last));
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j) y[j] = held(load(left + j * LANES));
            for (int k = alone; k < nodes; ++k) {
                float *u = node[id[k]] + v * LANES;
                const Vec factor = splat(g[k]), scaled = factor * scale[id[k]];
#pragma GCC unroll 8
                for (int j = 0; j < VECTORS; ++j) {
                    float *at = u + j * LANES;
                    if (j + 1 < VECTORS || last == LANES) {
                        const Vec x = held(load(at));
                        acc[j] += factor * x;
                        store(at, x + scaled * y[j]);
                    } else {
                        const Vec x = held(load_first(at, last));
                        acc[j] += factor * x;
                        store_first(at, x + scaled * y[j], last);
                    }
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j) store(to + j * LANES, acc[j]);
        });
        return alone;
    }

    // Steps those of the first `nodes` nodes of the p-th target that it is the last one to pass.
    W2V_INLINE void close_nodes(Workspace &w, int target, int nodes, float lr) {
        const int32_t *id = tree_.nodes(path_[target]);
        for (int k = shared_[target]; k < nodes; ++k) opened_[k] = target;
        for (int k = std::min(shared_[target + 1], nodes), end; k < nodes; k = end) {
            for (end = k + 1; end < nodes && opened_[end] == opened_[k]; ++end) {
            }
            const int begin = pairs_[opened_[k]];
            if (w.w_out.writes_down()) {
                write_down_nodes(w, id + k, end - k, begin, pairs_[target + 1], k, lr);
            } else {
                teach_nodes(w, id + k, end - k, begin, pairs_[target + 1], k, lr);
            }
        }
    }

    // `nodes` nodes, the first one `depth` below their tails' first, += their factor of the row cap * sum over pairs of
    // its gradient * the pair's left row.
    W2V_INLINE void teach_nodes(Workspace &w, const int32_t *id, int nodes, int begin, int end, int depth, float lr) {
        const int32_t *row = pair_row_.data() + begin, *at = pair_at_.data() + begin;
        const int pairs = end - begin, ld = w.ld;
        const float *const gradient = gradient_.data() + depth, *const left = w.left.data();
        const Nodes node = nodes_of(w);
        const NodeScale scale(w.w_out, tree_.first_row(), static_cast<float>(pairs), lr);
        const Blocks<SUM_VECTORS> blocks = w.sum_blocks;
        together(nodes, [=](auto size, int first) W2V_INLINE_BODY {
            constexpr int NODES = size;
            blocks.each([=](auto vectors, int v) W2V_INLINE_BODY {
                constexpr int VECTORS = vectors;
                const int last = std::min(static_cast<int>(node.D) - (v + VECTORS - 1) * LANES, LANES);
                Vec acc[NODES][VECTORS] = {};
                for (int i = 0; i < pairs; ++i) {
                    const float *x = left + static_cast<size_t>(row[i]) * ld + v * LANES, *g = gradient + at[i] + first;
                    Vec factor[NODES];
#pragma GCC unroll 3
                    for (int k = 0; k < NODES; ++k) factor[k] = splat(g[k]);
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) {
                        const Vec y = held(load(x + j * LANES));
#pragma GCC unroll 3
                        for (int k = 0; k < NODES; ++k) acc[k][j] += factor[k] * y;
                    }
                }
#pragma GCC unroll 3
                for (int k = 0; k < NODES; ++k) {
                    float *to = node[id[first + k]] + v * LANES;
                    const float by = scale[id[first + k]];
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) {
                        float *at = to + j * LANES;
                        if (j + 1 < VECTORS || last == LANES) {
                            store(at, load(at) + by * acc[k][j]);
                        } else {
                            store_first(at, load_first(at, last) + by * acc[k][j], last);
                        }
                    }
                }
            });
        });
    }

    // The same, to be added later with what other tiles have for a node.
    void write_down_nodes(Workspace &w, const int32_t *id, int nodes, int begin, int end, int depth, float lr) {
        const int32_t *at = pair_at_.data() + begin;
        for (int k = 0; k < nodes; ++k) {
            const float *g = gradient_.data() + depth + k;
            const auto weight = [&](int i) { return g[at[i]]; };
            float *step = w.w_out.room(w.step.data());
            sum_rows<false>(
                pair_row_.data() + begin, end - begin, weight, w.left.data(), w.ld, w.sum_blocks, step
            );
            w.w_out.add(tree_.first_row() + id[k], step, static_cast<float>(end - begin), lr);
        }
    }

    const Tree &tree_;
    int top_, most_rows_, rows_ = 0, named_ = 0, targets_ = 0;
    bool begins_rows_;
    std::vector<int32_t> top_number_;
    std::vector<Tree::Tail> tail_;        // of each word named
    std::vector<int32_t> rows_of_, row_;  // of each word named, how many rows and, [words, most_rows], which
    std::vector<int32_t> unsorted_, rank_, sorted_;  // words named that have rows, and in order
    // Of each target in order: its tail, how many nodes it shares with the one before, its first pair; of the pairs, rows
    // and where their gradients begin.
    std::vector<Tree::Tail> path_;
    std::vector<int32_t> shared_, pairs_, pair_row_, pair_at_;
    std::vector<int32_t> distinct_;       // rows of W_out
    std::vector<int32_t> opened_;         // of each depth, the target at which the node at hand was opened
    std::vector<float> ones_, all_;       // [rows, top] how many of a row's targets pass with bit 0, at all
    Buffer gradient_, sign_;              // [sum of the pairs' tails]; the signs of a few targets
};

}  // namespace w2v
