// Paths of a tree as columns of a tile: its top nodes, which most paths pass, are shared columns, always the same ones;
// what is left of a target's path below them, its tail, is stepped in place.
//
// A row has one score with each top node, however many of its targets pass it: they are counted, apart by label. Below
// the top two targets of a row seldom meet again: each has a score of its own there.
#pragma once

#include <cmath>
#include <numeric>

#include "fields.hpp"
#include "logistic.hpp"
#include "tile.hpp"

namespace w2v {

// Shared columns: whole vectors on every target. In skip-gram a level of the tree more, twice as many columns for one
// pair a target less, breaks even by the cycles that a column and a pair take, and no top at all is 5 % slower. In CBOW,
// where a row has one target, it is 12 % faster, but writes the root once a token and not once a tile, which several
// workers would wait for.
constexpr int TOP_NODES = 16;

// A tree (kernels/huffman.py); `first_row` is node 0's row of W_out.
//
// The top is a tree itself, which paths leave by one of TOP_NODES + 1 *exits*: what they pass before is known by it. A
// tree of fewer nodes has no top, and one exit.
class Tree {
  public:
    // Where a word's path leaves the top, and what is left of it.
    struct Tail {
        int64_t begin;
        int32_t length, exit;
    };

    Tree(const Fields &fields, int64_t V, int32_t first_row)
        : nodes_(fields.array<int32_t>("tree_nodes")),
          bits_(fields.array<uint8_t>("tree_bits")),
          offsets_(fields.array<int64_t>("tree_offsets")),
          entries_(offsets_[V]),
          first_row_(first_row),
          longest_(static_cast<int>(fields.number("tree_longest"))),
          mean_length_(0),
          tails_(V) {
        const std::vector<int32_t> number = choose_top(offsets_, V);
        const size_t exits = top_.size() + 1;
        ones_.resize(exits * top_.size());
        all_.resize(ones_.size());
        // Exits by the turn taken last: the node at the top, and which way. Two turns a node, of which one leads to each
        // node but the root.
        std::vector<int32_t> exit_of(2 * top_.size() + 1, -1);
        int32_t found = 0;
        for (int64_t word = 0; word < V; ++word) {
            const int64_t begin = offsets_[word], end = offsets_[word + 1];
            const double length = static_cast<double>(end - begin);
            mean_length_ += length * std::exp2(-length);
            int64_t i = begin;
            size_t turn = 0;  // none
            for (; i < end && number[nodes_[i]] >= 0; ++i) turn = 2 * number[nodes_[i]] + bits_[i] + 1;
            int32_t &exit = exit_of[turn];
            if (exit < 0) {
                exit = found++;
                for (int64_t j = begin; j < i; ++j) {
                    const size_t at = exit * top_.size() + number[nodes_[j]];
                    ones_[at] = static_cast<float>(1 - bits_[j]);
                    all_[at] = 1;
                }
            }
            tails_[word] = {i, static_cast<int32_t>(end - i), exit};
        }
    }

    int longest() const { return longest_; }
    double mean_length() const { return mean_length_; }
    const std::vector<int32_t> &top() const { return top_; }  // rows of W_out
    // How many of them are shared columns in a job, or in its tiles.
    template <class Of>
    int top_nodes(const Of &of) const {
        return of.cbow && !of.contended ? 0 : static_cast<int>(top_.size());
    }

    // Of an exit, [top]: 1 for each node that paths pass before with bit 0, or at all.
    const float *ones(int32_t exit) const { return ones_.data() + exit * top_.size(); }
    const float *all(int32_t exit) const { return all_.data() + exit * top_.size(); }

    // What is left of a word's path below the top, or the path.
    W2V_INLINE Tail tail(int32_t word, bool below_top) const {
        if (below_top) return tails_[word];
        return {offsets_[word], static_cast<int32_t>(offsets_[word + 1] - offsets_[word]), 0};
    }
    // The rows of W_out of a tail, and 1 for label 1 (bit 0), -1 for label 0; writes up to LANES beyond.
    W2V_INLINE void copy(const Tail &tail, int32_t *row, float *sign) const {
        typedef uint8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
        int i = 0;
        for (; i < tail.length && tail.begin + i + LANES <= entries_; i += LANES) {
            store(row + i, load(nodes_ + tail.begin + i) + first_row_);
            const Bytes bits = *reinterpret_cast<const Bytes *>(bits_ + tail.begin + i);
            store(sign + i, 1.0f - 2.0f * __builtin_convertvector(bits, Vec));
        }
        for (; i < tail.length; ++i) {
            row[i] = first_row_ + nodes_[tail.begin + i];
            sign[i] = static_cast<float>(1 - 2 * bits_[tail.begin + i]);
        }
    }

    void prefetch_tail(int32_t word, bool below_top) const {
        __builtin_prefetch(below_top ? static_cast<const void *>(tails_.data() + word) : offsets_ + word, 0, 3);
    }
    void prefetch_path(const Tail &tail) const {
        __builtin_prefetch(nodes_ + tail.begin, 0, 3);
        __builtin_prefetch(nodes_ + tail.begin + tail.length - 1, 0, 3);
        __builtin_prefetch(bits_ + tail.begin, 0, 3);
    }

  private:
    // Fills top_ with the nodes nearest to the root, and returns each node's number there or -1.
    std::vector<int32_t> choose_top(const int64_t *offsets, int64_t V) {
        std::vector<int32_t> number(V - 1, -1);
        if (V - 1 < TOP_NODES) return number;
        std::vector<int32_t> depth(V - 1);
        for (int64_t word = 0; word < V; ++word) {
            for (int64_t i = offsets[word]; i < offsets[word + 1]; ++i) {
                depth[nodes_[i]] = static_cast<int32_t>(i - offsets[word]);
            }
        }
        top_.resize(V - 1);
        std::iota(top_.begin(), top_.end(), 0);
        const auto above = [&](int32_t a, int32_t b) { return depth[a] != depth[b] ? depth[a] < depth[b] : a < b; };
        std::partial_sort(top_.begin(), top_.begin() + TOP_NODES, top_.end(), above);
        top_.resize(TOP_NODES);
        top_.shrink_to_fit();
        for (int t = 0; t < TOP_NODES; ++t) number[top_[t]] = t;
        for (int32_t &node : top_) node += first_row_;
        return number;
    }

    const int32_t *nodes_;
    const uint8_t *bits_;
    const int64_t *offsets_;
    int64_t entries_;
    int32_t first_row_;
    int longest_;
    double mean_length_;
    std::vector<Tail> tails_;  // [V]
    std::vector<int32_t> top_;
    std::vector<float> ones_, all_;  // [exits, top]
};

// What a tile holds of a tree. A target's tail stays in the first level of the cache while all rows that it is a target
// of are multiplied with it; its nodes, few of which two targets share, are no columns but read from and added to W_out
// where they lie, in two passes: scores and the rows' gradients of all targets first, then the nodes' steps.
class PathColumns : public GroupedColumns {
  public:
    PathColumns(const Tree &tree, const TileShape &shape, int64_t rows)
        : tree_(tree),
          top_(tree.top_nodes(shape)),
          most_rows_(shape.rows_per_target),
          stride_((tree.longest() + LANES - 1) / LANES * LANES) {
        top_number_.resize(top_);
        ones_.resize(static_cast<size_t>(shape.tokens) * top_);
        all_.resize(ones_.size());
        start_.resize(shape.targets + 1);
        exit_.resize(shape.targets);
        id_.resize(static_cast<size_t>(shape.targets) * tree.longest() + PAIR_SLACK);
        sign_.resize(id_.size() + PAIR_SLACK);
        rows_of_.resize(shape.targets);
        row_.resize(static_cast<size_t>(shape.targets) * most_rows_);
        weight_.resize(rows);
        gradient_.resize(shape.pairs * stride_);
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
        for (int j = 0; j < count; ++j) tree_.prefetch_tail(words[j], top_ > 0);
        for (int j = 0; j < count; ++j) tree_.prefetch_path(tree_.tail(words[j], top_ > 0));
        std::fill(rows_of_.begin(), rows_of_.begin() + count, 0);
        int at = 0;
        for (int j = 0; j < count; ++j) {
            start_[j] = at;
            const Tree::Tail tail = tree_.tail(words[j], top_ > 0);
            exit_[j] = tail.exit;
            tree_.copy(tail, id_.data() + at, sign_.data() + at);
            at += tail.length;
        }
        start_[count] = at;
        targets_ = count;
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
                ones_sum += load(tree_.ones(exit_[j]) + t);
                all_sum += load(tree_.all(exit_[j]) + t);
            }
            store(ones + t, ones_sum);
            store(all + t, all_sum);
        }
        for (int j = first; j < first + length; ++j) row_[static_cast<size_t>(j) * most_rows_ + rows_of_[j]++] = row;
    }

    // Sums what the nodes weigh, 1 a pair.
    void weigh_nodes(Tile &tile) {
        int distinct = 0;
        tile.grouped_id.resize(start_[targets_] + 1);
        for (int b = 0; b < targets_; ++b) {
            const float pairs = static_cast<float>(rows_of_[b]);
            if (pairs == 0) continue;
            for (int e = start_[b]; e < start_[b + 1]; ++e) {
                float &weight = weight_[id_[e]];
                tile.grouped_id[distinct] = id_[e];
                distinct += weight == 0;  // most of both kinds come in no order: no branch
                weight += pairs;
            }
        }
        tile.grouped_id.resize(distinct);
    }

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
        float *g = gradient_.data();
        SignedLoss loss;
        for (int b = 0, end; b < targets_; b = end) {
            float *from = g;
            for (end = b; end < targets_ && start_[end] - start_[b] < NODES_TOGETHER; ++end) {
                score_tail(w, end, g);
                g += rows_of_[end] * stride_;
            }
            g = from;
            for (int j = b; j < end; ++j) {
                const int nodes = start_[j + 1] - start_[j], rows = rows_of_[j];
                for (int k = 0; k < nodes; k += LANES) {
                    const Vec sign = load(sign_.data() + start_[j] + k);
                    for (int i = 0; i < rows; ++i) {
                        float *at = g + i * stride_ + k;
                        store(at, loss.gradient(load(at), sign, nodes - k, tile.lr));
                    }
                }
                g += rows * stride_;
            }
            g = from;
            for (int j = b; j < end; ++j) {
                teach_rows(w, j, g);
                g += rows_of_[j] * stride_;
            }
            ahead.tick(SCORES_AHEAD);
        }
        g = gradient_.data();
        for (int b = 0; b < targets_; ++b) {
            if (rows_of_[b] > 0 && w.w_out.writes_down()) {
                write_down_nodes(w, b, g, tile.lr);
            } else if (rows_of_[b] > 0) {
                teach_nodes(w, b, g, tile.lr);
            }
            g += rows_of_[b] * stride_;
            ahead.tick(UPDATE_AHEAD);
        }
        for (const int32_t id : tile.grouped_id) weight_[id] = 0;
        return loss.total();
    }

  private:
    static constexpr int NODES_TOGETHER = 32;  // whose rows of W_out stay in the first level from their scores on
    static constexpr int TOGETHER = REGISTERS >= 32 ? 3 : 1;  // rows, or nodes, that share what is loaded of the other

    const int32_t *rows_of(int target) const { return row_.data() + static_cast<size_t>(target) * most_rows_; }

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

    // g[i][k] = left[i-th row of the target] . node k of its tail, in whole groups of four.
    W2V_INLINE void score_tail(Workspace &w, int target, float *g) const {
        const int32_t *row = rows_of(target), *id = id_.data() + start_[target];
        const int nodes = start_[target + 1] - start_[target], whole = static_cast<int>(w.D / LANES) * LANES;
        const int rest = static_cast<int>(w.D) - whole;
        together(rows_of_[target], [&](auto size, int first) {
            constexpr int ROWS = size;
            const float *l[ROWS];
#pragma GCC unroll 3
            for (int i = 0; i < ROWS; ++i) l[i] = w.row(w.left, row[first + i]);
            const auto score = [&](auto nodes, int k) {
                constexpr int NODES = nodes;
                const float *u[NODES];
                Vec acc[ROWS][4] = {};
#pragma GCC unroll 4
                for (int j = 0; j < NODES; ++j) u[j] = w.w_out.at(id[k + j]);
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
                for (int i = 0; i < ROWS; ++i) store_four_sums(acc[i], g + (first + i) * stride_ + k);
            };
            int k = 0;
            for (; k + 4 <= nodes; k += 4) score(Int<4>{}, k);
            switch (nodes - k) {
                case 1: score(Int<1>{}, k); break;
                case 2: score(Int<2>{}, k); break;
                case 3: score(Int<3>{}, k); break;
                default: break;
            }
        });
    }

    // step_left[i-th row of the target] += sum over its tail's nodes of g[i][k] * node k.
    W2V_INLINE void teach_rows(Workspace &w, int target, const float *g) const {
        const int32_t *row = rows_of(target), *id = id_.data() + start_[target];
        const int nodes = start_[target + 1] - start_[target];
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
                    for (int j = 0; j < VECTORS; ++j) acc[i][j] = load(to[i] + j * LANES);
                }
                for (int k = 0; k < nodes; ++k) {
                    const float *u = w.w_out.at(id[k]) + v * LANES;
                    Vec factor[ROWS];
#pragma GCC unroll 3
                    for (int i = 0; i < ROWS; ++i) factor[i] = splat(g[(first + i) * stride_ + k]);
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
        together(rows_of_[target], [&](auto size, int first) {
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

    // Node k of a target's tail += its factor of the row cap * sum over the target's rows of g[i][k] * left[row].
    W2V_INLINE void teach_nodes(Workspace &w, int target, const float *g, float lr) const {
        const int32_t *row = rows_of(target), *id = id_.data() + start_[target];
        const int rows = rows_of_[target], nodes = start_[target + 1] - start_[target];
        together(nodes, [&](auto size, int first) {
            constexpr int NODES = size;
            float scale[NODES];
#pragma GCC unroll 3
            for (int k = 0; k < NODES; ++k) scale[k] = w.w_out.scale(id[first + k], weight_[id[first + k]], lr);
            w.sum_blocks.each([&](auto vectors, int v) {
                constexpr int VECTORS = vectors;
                const int last = std::min(static_cast<int>(w.D) - (v + VECTORS - 1) * LANES, LANES);
                Vec acc[NODES][VECTORS] = {};
                for (int i = 0; i < rows; ++i) {
                    const float *x = w.row(w.left, row[i]) + v * LANES;
                    Vec factor[NODES];
#pragma GCC unroll 3
                    for (int k = 0; k < NODES; ++k) factor[k] = splat(g[i * stride_ + first + k]);
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) {
                        const Vec y = held(load(x + j * LANES));
#pragma GCC unroll 3
                        for (int k = 0; k < NODES; ++k) acc[k][j] += factor[k] * y;
                    }
                }
#pragma GCC unroll 3
                for (int k = 0; k < NODES; ++k) {
                    float *to = w.w_out.at(id[first + k]) + v * LANES;
#pragma GCC unroll 8
                    for (int j = 0; j < VECTORS; ++j) {
                        float *at = to + j * LANES;
                        if (j + 1 < VECTORS || last == LANES) {
                            store(at, load(at) + scale[k] * acc[k][j]);
                        } else {
                            store_first(at, load_first(at, last) + scale[k] * acc[k][j], last);
                        }
                    }
                }
            });
        });
    }

    // The same, to be added later with what other targets have for a node: each weighs its own pairs.
    void write_down_nodes(Workspace &w, int target, const float *g, float lr) const {
        const int rows = rows_of_[target];
        for (int k = start_[target]; k < start_[target + 1]; ++k) {
            const float *of_node = g + (k - start_[target]);
            const auto weight = [&](int i) { return of_node[i * stride_]; };
            float *step = w.w_out.room(w.step.data());
            sum_rows<false>(rows_of(target), rows, weight, w.left.data(), w.ld, w.sum_blocks, step);
            w.w_out.add(id_[k], step, static_cast<float>(rows), lr);
        }
    }

    const Tree &tree_;
    int top_, most_rows_, stride_, rows_ = 0, targets_ = 0;
    std::vector<int32_t> top_number_;
    std::vector<int32_t> start_, exit_, id_;  // of each word named: its first node's place, its exit; nodes
    std::vector<float> sign_;                 // of those nodes: 1 for label 1, -1 for 0
    std::vector<int32_t> rows_of_, row_;      // of each word named, how many rows and, [words, most_rows], which
    std::vector<float> ones_, all_;           // [rows, top] how many of a row's targets pass with bit 0, at all
    std::vector<float> weight_;               // of each row of W_out
    Buffer gradient_;                         // [pairs, stride]
};

}  // namespace w2v
