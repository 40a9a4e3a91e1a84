"""The exact softmax over the whole vocabulary: the yardstick for objectives that go around it.

A row's loss is, over its n targets, -log p(target), with p = softmax of the row's scores against all of W_out; its
gradient is 1 for each target and -n p(w) for every word w.

Every row of W_out is a column of every tile, and learns from each of its rows. In the row cap a pair weighs what it
puts there: 1 on its target and p(w) on every word, hence 2 in its inputs. (A weight of 1 on every word would be V a
pair, and the cap would stop all rows for what touches each of them by 1 / V.)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile


@dataclass(frozen=True, eq=False)
class Softmax:
    """See contract.Objective."""

    words: int  # V

    name: ClassVar[str] = "softmax"
    noise: ClassVar[None] = None
    weight_per_pair: ClassVar[float] = 2.0

    def out_rows(self, V: int) -> int:
        """A row a word."""
        return V

    def check(self, V: int) -> None:
        """Raise ValueError if the columns are not the V words."""
        if self.words != V:
            raise ValueError(f"the softmax is over {self.words} words, the vocabulary has {V}")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair as target, and as much as what the softmax puts there once it has learnt how often that is."""
        return (2.0 * pairs).astype(np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """All words; each row's targets with label 1."""
        own = [OwnPair(r, target, 1.0, 1.0) for r, row in enumerate(tile.rows) for target in row.targets]
        return list(range(self.words)), own

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the softmax's gradient: that of the targets as own pairs, of the normaliser as shared ones."""
        n = np.array([[len(row.targets)] for row in tile.rows], np.float64)
        log_z = np.logaddexp.reduce(shared_scores, axis=1)
        mass = n * np.exp(shared_scores - log_z[:, None])
        ones = np.ones(len(own))
        loss = float((log_z[[pair.row for pair in own]] - own_scores).sum())
        return Gradient(own=ones, shared=-mass, own_weight=ones, shared_weight=mass, loss=loss)
