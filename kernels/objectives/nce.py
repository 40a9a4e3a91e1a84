"""Noise contrastive estimation (Mnih & Teh, "A fast and simple algorithm for training neural probabilistic language
models", ICML 2012).

A word's log probability given the row is modelled as score - log Z, with log Z a constant of the run. Logistic
regression tells data from K draws of the noise q: the logit of a column w is score - log Z - log(K q(w)), for targets
with label 1 and for the tile's N shared words, each with weight n K / N, with label 0. A draw that hits a target counts
as any other.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.objectives import drawn, logistic


@dataclass(frozen=True, eq=False)
class Nce:
    """See contract.Objective."""

    noise: NoiseTable
    negative: int  # K
    log_z: float
    bias: NDArray[np.float32] = field(init=False)  # [V], log Z + log(K q(w)), taken from a column's scores

    name: ClassVar[str] = "nce"

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore"):
            bias = self.log_z + np.log(self.negative * self.noise.distribution)
        object.__setattr__(self, "bias", bias.astype(np.float32))

    @property
    def weight_per_pair(self) -> float:
        """1 for the target, K for its draws of noise."""
        return 1.0 + self.negative

    def out_rows(self, V: int) -> int:
        """A row a word."""
        return V

    def check(self, V: int) -> None:
        """Raise ValueError if K is below 1, the noise is not of V words, or it gives a word no chance."""
        drawn.check(self.noise, self.negative, V)
        if not np.isfinite(self.bias).all():
            raise ValueError("nce needs a finite log Z and a noise distribution that gives every word a chance")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair as target, and K a pair as noise."""
        return drawn.static_out_weight(self.noise, self.negative, pairs)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """The shared words; each row's targets with label 1."""
        return drawn.columns(tile)

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the logistic gradient of the scores less each column's bias."""
        weight = drawn.shared_weight(tile, self.negative, False)
        own_bias = self.bias[[pair.column for pair in own]].astype(np.float64)
        return logistic.gradient(own, own_scores - own_bias, shared_scores - self.bias[tile.shared_words], weight)
