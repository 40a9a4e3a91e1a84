"""Negative sampling (Mikolov et al., "Distributed representations of words and phrases", 2013, equation 4).

A row's loss is, over its n targets, -log sigmoid(s(target)), and over the tile's N shared words, each for K / N of the
row's negatives, -(n - e) K / N log sigmoid(-s(word)). In expectation these are K negatives a pair. With `mask`, e is
how often the word is among the row's targets: like gensim, which skips a negative that is the target.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.objectives import drawn, logistic


@dataclass(frozen=True, eq=False)
class NegativeSampling:
    """See contract.Objective."""

    noise: NoiseTable
    negative: int  # K
    mask: bool

    name: ClassVar[str] = "negative-sampling"

    @property
    def weight_per_pair(self) -> float:
        """1 for the target, K for its negatives."""
        return 1.0 + self.negative

    def out_rows(self, V: int) -> int:
        """A row a word."""
        return V

    def check(self, V: int) -> None:
        """Raise ValueError if K is below 1 or the noise is not of V words."""
        drawn.check(self.noise, self.negative, V)

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair as target, and K a pair as negative."""
        return drawn.static_out_weight(self.noise, self.negative, pairs)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """The shared words; each row's targets with label 1."""
        return drawn.columns(tile)

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the logistic gradient."""
        weight = drawn.shared_weight(tile, self.negative, self.mask)
        return logistic.gradient(own, own_scores, shared_scores, weight)
