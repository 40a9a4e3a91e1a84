"""Hierarchical softmax (Morin & Bengio, "Hierarchical probabilistic neural network language model", AISTATS 2005;
Mikolov et al., "Distributed representations of words and phrases", 2013, equation 3).

Words are the leaves of a binary tree whose V - 1 inner nodes are the rows of W_out. At each node of a target's path a
row's vector tells which way it goes: bit 0 with probability sigmoid(s(node)), bit 1 with sigmoid(-s(node)), so that the
probabilities of all words sum to 1. A pair's loss is -log of the product along the path, its weight 1 a node.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.huffman import Tree
from w2vfast.kernels.objectives import logistic


@dataclass(frozen=True, eq=False)
class HierarchicalSoftmax:
    """See contract.Objective."""

    tree: Tree

    name: ClassVar[str] = "hierarchical-softmax"
    noise: ClassVar[None] = None

    @property
    def weight_per_pair(self) -> float:
        """1 for each node of a path, of which the tree tells how many to expect."""
        return self.tree.mean_length

    def out_rows(self, V: int) -> int:
        """A row an inner node."""
        return V - 1

    def check(self, V: int) -> None:
        """Raise ValueError if the tree is not one of V words."""
        self.tree.check(V)

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair whose path passes the node."""
        return self.tree.weight_of_nodes(pairs).astype(np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """No shared columns; the nodes of each target's path, with label 1 where it has bit 0."""
        return [], path_pairs(self.tree, tile, 0)

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the logistic gradient."""
        return logistic.gradient(own, own_scores, shared_scores, np.zeros(shared_scores.shape))


def path_pairs(tree: Tree, tile: Tile, first_row: int) -> list[OwnPair]:
    """Return each row's pairs with its targets' nodes, whose columns begin at `first_row` of W_out."""
    return [
        OwnPair(r, first_row + node, 1.0 - bit, 1.0)
        for r, row in enumerate(tile.rows)
        for target in row.targets
        for node, bit in zip(*(array.tolist() for array in tree.path(target)), strict=True)
    ]
