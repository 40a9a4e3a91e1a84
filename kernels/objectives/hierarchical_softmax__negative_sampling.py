"""Hierarchical softmax and negative sampling at once, as gensim and word2vec.c do it with hs=1 and negative > 0.

A pair's loss is the sum of the two (hierarchical_softmax.py, negative_sampling.py); both see the same snapshot. W_out
has 2 V - 1 rows: row w < V is the word w's, as with negative sampling alone, and row V + i the tree's node i's.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.huffman import Tree
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.objectives import drawn, logistic
from w2vfast.kernels.objectives.hierarchical_softmax import path_pairs


@dataclass(frozen=True, eq=False)
class HierarchicalSoftmaxNegativeSampling:
    """See contract.Objective."""

    tree: Tree
    noise: NoiseTable
    negative: int  # K
    mask: bool  # as NegativeSampling's

    name: ClassVar[str] = "hierarchical-softmax,negative-sampling"

    @property
    def weight_per_pair(self) -> float:
        """1 for the target, K for its negatives, and 1 for each node of a path."""
        return 1.0 + self.negative + self.tree.mean_length

    def out_rows(self, V: int) -> int:
        """A row a word, then a row an inner node."""
        return 2 * V - 1

    def check(self, V: int) -> None:
        """Raise ValueError if K is below 1, or noise or tree are not of V words."""
        drawn.check(self.noise, self.negative, V)
        self.tree.check(V)

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """Each part's own."""
        words = drawn.static_out_weight(self.noise, self.negative, pairs)
        return np.concatenate([words, self.tree.weight_of_nodes(pairs).astype(np.float32)])

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """The shared words; each row's targets with label 1, then the nodes of their paths."""
        shared, own = drawn.columns(tile)
        return shared, own + path_pairs(self.tree, tile, len(self.noise.prob))

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the logistic gradient of both."""
        weight = drawn.shared_weight(tile, self.negative, self.mask)
        return logistic.gradient(own, own_scores, shared_scores, weight)
