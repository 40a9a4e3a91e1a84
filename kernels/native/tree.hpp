// A Huffman tree of the vocabulary: the paths of words, its top nodes, and what is left of a path below them.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "fields.hpp"
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
        int32_t rank;  // of the word among the leaves, from left to right
        int16_t length, exit;
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
        above_.resize(exits);
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
            above_[exit] = static_cast<int16_t>(i - begin);
            tails_[word] = {i, 0, static_cast<int16_t>(end - i), static_cast<int16_t>(exit)};
        }
        rank_leaves(V);
    }

    int longest() const { return longest_; }
    double mean_length() const { return mean_length_; }
    const std::vector<int32_t> &top() const { return top_; }  // rows of W_out
    // How many of them are shared columns in a job, or in its tiles.
    template <class Of>
    int top_nodes(const Of &of) const {
        return of.cbow ? 0 : static_cast<int>(top_.size());
    }

    // Of an exit, [top]: 1 for each node that paths pass before with bit 0, or at all.
    const float *ones(int32_t exit) const { return ones_.data() + exit * top_.size(); }
    const float *all(int32_t exit) const { return all_.data() + exit * top_.size(); }

    // What is left of a word's path below the top, or the path.
    W2V_INLINE Tail tail(int32_t word, bool below_top) const {
        Tail tail = tails_[word];
        if (!below_top) {
            tail.begin -= above_[tail.exit];
            tail.length = static_cast<int16_t>(tail.length + above_[tail.exit]);
        }
        return tail;
    }
    // The row of W_out of node 0, and a tail's nodes.
    int32_t first_row() const { return first_row_; }
    W2V_INLINE const int32_t *nodes(const Tail &tail) const { return nodes_ + tail.begin; }

    // Appends to `to` the rows of W_out of a tail's nodes from depth k on; writes up to LANES beyond. Returns the end.
    W2V_INLINE int32_t *append(const Tail &tail, int k, int32_t *to) const {
        const int32_t *from = nodes(tail);
        int i = k;
        for (; i < tail.length && tail.begin + i + LANES <= entries_; i += LANES) store(to + i - k, load(from + i) + first_row_);
        for (; i < tail.length; ++i) to[i - k] = from[i] + first_row_;
        return to + tail.length - k;
    }

    // Of LANES of its nodes from depth k on: 1 for label 1 (bit 0), -1 for label 0; beyond the tail's end any number.
    W2V_INLINE Vec signs(const Tail &tail, int k) const {
        typedef uint8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
        const int64_t at = tail.begin + k;
        Bytes bits{};
        if (at + LANES <= entries_) {
            bits = *reinterpret_cast<const Bytes *>(bits_ + at);
        } else {
            std::memcpy(&bits, bits_ + at, entries_ - at);
        }
        return 1.0f - 2.0f * __builtin_convertvector(bits, Vec);
    }

    void prefetch_tail(int32_t word) const { __builtin_prefetch(tails_.data() + word, 0, 3); }
    void prefetch_path(const Tail &tail) const {
        __builtin_prefetch(nodes_ + tail.begin, 0, 3);
        __builtin_prefetch(nodes_ + tail.begin + tail.length - 1, 0, 3);
        __builtin_prefetch(bits_ + tail.begin, 0, 3);
    }

  private:
    // Ranks the words in the order of their codes.
    void rank_leaves(int64_t V) {
        std::vector<std::pair<uint64_t, int32_t>> leaves(V);  // the first 64 bits, word
        for (int64_t word = 0; word < V; ++word) {
            const int64_t begin = offsets_[word], bits = std::min<int64_t>(offsets_[word + 1] - begin, 64);
            uint64_t key = 0;
            for (int64_t i = 0; i < bits; ++i) key |= static_cast<uint64_t>(bits_[begin + i]) << (63 - i);
            leaves[word] = {key, static_cast<int32_t>(word)};
        }
        const auto code = [&](int32_t word) { return std::pair(bits_ + offsets_[word], bits_ + offsets_[word + 1]); };
        std::sort(leaves.begin(), leaves.end(), [&](const auto &a, const auto &b) {
            if (a.first != b.first) return a.first < b.first;
            const auto [a_begin, a_end] = code(a.second);
            const auto [b_begin, b_end] = code(b.second);
            return std::lexicographical_compare(a_begin, a_end, b_begin, b_end);
        });
        for (int64_t i = 0; i < V; ++i) tails_[leaves[i].second].rank = static_cast<int32_t>(i);
    }

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
    std::vector<int16_t> above_;     // of each exit, how many top nodes a path passes before
    std::vector<float> ones_, all_;  // [exits, top]
};

}  // namespace w2v
