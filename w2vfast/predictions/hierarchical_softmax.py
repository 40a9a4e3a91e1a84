"""Probabilities by hierarchical softmax: the tree walked for all words at once, level by level."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.huffman import Tree
from w2vfast.kernels.objectives.hierarchical_softmax import HierarchicalSoftmax

PROBABILITIES = True


def scores(objective: HierarchicalSoftmax, left: NDArray[np.float64], w_out: NDArray[Any]) -> NDArray[np.float64]:
    """Return the log probability of every word for rows `left` [B, D] and nodes `w_out` [V - 1, D], float64 [B, V]."""
    return log_probabilities(objective.tree, left, w_out)


def log_probabilities(tree: Tree, left: NDArray[np.float64], nodes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum of each word's log turns; a level of the tree at a time, so that memory is [B, V]."""
    s = left @ nodes.T.astype(np.float64)
    turn = -np.logaddexp(0, -s), -np.logaddexp(0, s)  # log of bit 0's and of bit 1's probability
    result = np.zeros((len(left), len(tree.lengths)))
    for level in range(tree.longest):
        words = np.flatnonzero(tree.lengths > level)
        at = tree.offsets[words] + level
        result[:, words] += np.where(tree.bits[at] == 0, turn[0][:, tree.nodes[at]], turn[1][:, tree.nodes[at]])
    return result
