"""Huffman trees (Huffman, "A method for the construction of minimum-redundancy codes", 1952) as arrays."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree over V words: a word's path is the inner nodes from the root down, and at each which way it turns.

    The path of word w is the entries offsets[w] .. offsets[w + 1] - 1 of `nodes` and `bits`.
    """

    offsets: NDArray[np.int64]  # [V + 1]
    nodes: NDArray[np.int32]  # [P] 0 .. V - 2
    bits: NDArray[np.uint8]  # [P] 0 or 1
    longest: int = field(init=False)  # nodes of the longest path

    def __post_init__(self) -> None:
        object.__setattr__(self, "longest", int(np.diff(self.offsets).max(initial=0)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Nodes of each word's path, int64 [V]."""
        return np.diff(self.offsets)

    @property
    def mean_length(self) -> float:
        """Expected nodes of a path where each turn is as likely as the other, as it about is at the tree's counts."""
        return float((self.lengths * 0.5**self.lengths).sum())

    def path(self, word: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return a word's nodes and bits."""
        span = slice(int(self.offsets[word]), int(self.offsets[word + 1]))
        return self.nodes[span], self.bits[span]

    def weight_of_nodes(self, words: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how often each node is passed, float64 [V - 1], where each word is reached so often, float64 [V]."""
        passed = np.bincount(self.nodes, np.repeat(words, self.lengths), len(words) - 1)
        return passed.astype(np.float64)

    def check(self, V: int) -> None:
        """Raise ValueError unless this is a tree of V words that kernels can walk unchecked."""
        kinds = ((self.offsets, np.int64), (self.nodes, np.int32), (self.bits, np.uint8))
        if any(array.dtype != kind or array.ndim != 1 or not array.flags.c_contiguous for array, kind in kinds):
            raise ValueError("a tree is C-contiguous arrays of one axis: int64 offsets, int32 nodes, uint8 bits")
        if len(self.offsets) != V + 1:
            raise ValueError(f"the tree is of {len(self.offsets) - 1} words, the vocabulary has {V}")
        ends = int(self.offsets[0]), int(self.offsets[-1])
        if ends != (0, len(self.nodes)) or len(self.bits) != len(self.nodes) or int(self.lengths.min()) < 1:
            raise ValueError("the tree's offsets do not cut its nodes and bits into a path a word")
        if int(self.nodes.min()) < 0 or int(self.nodes.max()) >= V - 1 or int(self.bits.max()) > 1:
            raise ValueError(f"a tree of {V} words has nodes 0 to {V - 2} and bits 0 and 1")
        # A node that stood twice on a path, or at two depths, would be no tree; so would paths that share an end.
        depth = np.arange(len(self.nodes)) - np.repeat(self.offsets[:-1], self.lengths)
        of_node = np.full(V - 1, -1)
        of_node[self.nodes] = depth
        turned = np.zeros((V - 1, 2), bool)
        turned[self.nodes, self.bits] = True
        if (of_node[self.nodes] != depth).any() or not turned.all():
            raise ValueError("the paths do not form one binary tree: each of V - 1 nodes must be left by both ways")


def huffman_tree(counts: NDArray[np.int64]) -> Tree:
    """Return a tree of least summed count * path length for words of these counts, int64 [V], V at least 2.

    As in word2vec, the two rarest are joined until one is left; nodes are numbered as they are made, so that the root
    is V - 2. All that is no more than the sum of the two rarest can be joined at once, in order: what is made of it is
    at least that sum. So each round doubles the least count or better, and there are O(log total) of them.
    """
    V = len(counts)
    parent, bit = np.empty(2 * V - 1, np.int64), np.zeros(2 * V - 1, np.uint8)
    order = np.argsort(counts, kind="stable")
    weight, made = counts[order].astype(np.int64), V
    while len(order) > 1:
        joined = max(2, int(np.searchsorted(weight, weight[0] + weight[1], "right")) // 2 * 2)
        nodes = made + np.arange(joined // 2)
        made += len(nodes)
        parent[order[0:joined:2]] = parent[order[1:joined:2]] = nodes
        bit[order[1:joined:2]] = 1
        sums = weight[0:joined:2] + weight[1:joined:2]
        order, weight = np.concatenate([order[joined:], nodes]), np.concatenate([weight[joined:], sums])
        sort = np.argsort(weight, kind="stable")
        order, weight = order[sort], weight[sort]
    return _tree(parent - V, bit, V)


def _tree(parent: NDArray[np.int64], bit: NDArray[np.uint8], V: int) -> Tree:
    """Return the tree of words 0 .. V - 1 and nodes V .. 2 V - 2, whose parents are counted from node V."""
    root, level = V - 2, np.arange(V)
    lengths = np.zeros(V, np.int64)
    steps = []  # from the words up: (words, their ancestors, bits)
    words = level
    while len(words):
        above = parent[level]
        steps.append((words, above, bit[level]))
        lengths[words] += 1
        go_on = above != root
        words, level = words[go_on], above[go_on] + V
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    nodes, bits = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.uint8)
    for up, (words, above, turn) in enumerate(steps):
        at = offsets[words + 1] - 1 - up
        nodes[at], bits[at] = above, turn
    return Tree(offsets, nodes, bits)
