// Paths of a tree as columns of a tile: its top nodes, which most paths pass, are shared columns, always the same ones;
// what is left of a target's path below them, its tail, is a block of own pairs.
//
// A row has one score with each top node, however many of its targets pass it: they are counted, apart by label. Below
// the top two targets of a row seldom meet again, and each has its own pair; a node's column is common to all.
#pragma once

#include <cmath>
#include <numeric>

#include "fields.hpp"
#include "logistic.hpp"
#include "tile.hpp"

namespace w2v {

// Shared columns: whole vectors on every target. In skip-gram a level of the tree more, twice as many columns for one
// own pair a target less, breaks even by the cycles that a column and a pair take.
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
          first_row_(first_row),
          longest_(static_cast<int>(fields.number("tree_longest"))),
          mean_length_(0),
          tails_(V) {
        const int64_t *offsets = fields.array<int64_t>("tree_offsets");
        const std::vector<int32_t> number = choose_top(offsets, V);
        const size_t exits = top_.size() + 1;
        ones_.resize(exits * top_.size());
        all_.resize(ones_.size());
        // Exits by the turn taken last: the node at the top, and which way. Two turns a node, of which one leads to each
        // node but the root.
        std::vector<int32_t> exit_of(2 * top_.size() + 1, -1);
        int32_t found = 0;
        for (int64_t word = 0; word < V; ++word) {
            const int64_t begin = offsets[word], end = offsets[word + 1];
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

    // Of an exit, [top]: 1 for each node that paths pass before with bit 0, or at all.
    const float *ones(int32_t exit) const { return ones_.data() + exit * top_.size(); }
    const float *all(int32_t exit) const { return all_.data() + exit * top_.size(); }

    const Tail &tail(int32_t word) const { return tails_[word]; }
    int32_t row(int64_t i) const { return first_row_ + nodes_[i]; }
    float sign(int64_t i) const { return static_cast<float>(1 - 2 * bits_[i]); }  // 1 for bit 0, label 1

    void prefetch_tail(int32_t word) const { __builtin_prefetch(tails_.data() + word, 0, 3); }
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
    int32_t first_row_;
    int longest_;
    double mean_length_;
    std::vector<Tail> tails_;  // [V]
    std::vector<int32_t> top_;
    std::vector<float> ones_, all_;  // [exits, top]
};

// What a tile holds of a tree. With WORDS a block has, before a target's tail, a column with label 1 for the target: row
// w of W_out for word w.
template <bool WORDS>
class PathColumns {
  public:
    PathColumns(const Tree &tree, const TileShape &shape) : tree_(tree), top_(static_cast<int>(tree.top().size())) {
        top_number_.resize(top_);
        ones_.resize(static_cast<size_t>(shape.tokens) * top_);
        all_.resize(ones_.size());
        id_.resize(static_cast<size_t>(shape.targets) * shape.own_per_target);
        sign_of_.resize(id_.size() + PAIR_SLACK);
        exit_.resize(shape.targets);
        sign_.resize(shape.own + PAIR_SLACK);
    }

    // Begins a tile's numbering of columns with the top nodes.
    void name_top(Tile &tile) {
        tile.numbering.begin();
        tile.numbering.insert(tree_.top().data(), top_, top_number_.data(), tile.column_id.data());
        tile.shared = tile.numbering.count();
        rows_ = 0;
    }

    // Gives the paths of these words their columns, a block a word.
    void name_targets(Tile &tile, const int32_t *words, int count) {
        for (int j = 0; j < count; ++j) tree_.prefetch_tail(words[j]);
        for (int j = 0; j < count; ++j) tree_.prefetch_path(tree_.tail(words[j]));
        PairBlocks &blocks = tile.blocks;
        blocks.begin(count);
        int at = 0;
        for (int j = 0; j < count; ++j) {
            blocks.start[j] = at;
            const Tree::Tail tail = tree_.tail(words[j]);
            exit_[j] = tail.exit;
            if (WORDS) {
                id_[at] = words[j];
                sign_of_[at++] = 1;
            }
            for (int64_t i = tail.begin; i < tail.begin + tail.length; ++i) {
                id_[at] = tree_.row(i);
                sign_of_[at++] = tree_.sign(i);
            }
        }
        blocks.start[count] = at;
        tile.numbering.insert(id_.data(), at, blocks.column.data(), tile.column_id.data());
        tile.columns = tile.numbering.count();
    }

    // Pairs a row with the paths of `length` of those words, from the first-th on. No row comes before a lower one has.
    W2V_INLINE void add_targets(Tile &tile, int32_t row, int first, int length) {
        float *ones = ones_.data() + static_cast<size_t>(row) * top_, *all = all_.data() + static_cast<size_t>(row) * top_;
        if (row >= rows_) {
            std::fill(ones, ones + top_, 0.0f);
            std::fill(all, all + top_, 0.0f);
            rows_ = row + 1;
        }
        PairBlocks &blocks = tile.blocks;
        const int from = blocks.start[first], pairs = blocks.start[first + length] - from;
        for (int t = 0; t < top_; t += LANES) {
            Vec ones_sum = load(ones + t), all_sum = load(all + t);
            for (int j = first; j < first + length; ++j) {
                ones_sum += load(tree_.ones(exit_[j]) + t);
                all_sum += load(tree_.all(exit_[j]) + t);
            }
            store(ones + t, ones_sum);
            store(all + t, all_sum);
        }
        for (int j = first; j < first + length; ++j) blocks.add_row(j, row, tile.own.count + blocks.start[j] - from);
        float *sign = sign_.data() + tile.own.count;
        for (int i = 0; i < pairs; i += LANES) store(sign + i, load(sign_of_.data() + from + i));
        tile.own.append(row, blocks.column.data() + from, pairs);
    }

    // Weighs the columns of own pairs, 1 a pair.
    void weigh_columns(Tile &tile) {
        const PairBlocks &blocks = tile.blocks;
        std::fill(tile.own_weight.begin(), tile.own_weight.begin() + tile.columns, 0.0f);
        for (int b = 0; b < blocks.count; ++b) {
            const float pairs = static_cast<float>(blocks.rows[b]);
            for (int e = blocks.start[b]; e < blocks.start[b + 1]; ++e) tile.own_weight[blocks.column[e]] += pairs;
        }
        tile.own.end();
    }

    // Turns the scores of the top nodes and of own pairs into gradients, and fills the top's shared_weight. Returns the
    // loss.
    float path_gradients(Workspace &w, const Tile &tile) {
        const float *all = all_.data();
        float *sums = w.shared_weight.data();
        std::fill(sums, sums + top_, 0.0f);
        for (int r = 0; r < tile.rows; ++r) {
            for (int t = 0; t < top_; ++t) sums[t] += all[static_cast<size_t>(r) * top_ + t];
        }
        const float loss =
            counted_gradients(w.shared_score.data(), w.ld_shared, tile.rows, top_, ones_.data(), all, tile.lr);
        const float *sign = sign_.data();
        return loss + signed_gradients(w.own_score.data(), tile.own.count, tile.lr, [&](int p) {
                   return load(sign + p);
               });
    }

  private:
    const Tree &tree_;
    int top_, rows_ = 0;
    std::vector<int32_t> top_number_, id_;
    std::vector<int32_t> exit_;        // of each word named
    std::vector<float> sign_of_, sign_;  // of the blocks' columns, of own pairs: 1 for label 1, -1 for 0
    std::vector<float> ones_, all_;    // [rows, top] how many of a row's targets pass with bit 0, at all
};

}  // namespace w2v
