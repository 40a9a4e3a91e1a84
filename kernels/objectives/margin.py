"""Margin (hinge) loss against hard negatives (Neubig, CS11-747, "Efficiency tricks for neural nets").

A pair's loss is sum over wrong words w of q(w) max(0, 1 + s(w) - s(target)). Its wrong words are the `hard` words other
than the target that score best with the row's word in the last snapshot (contract.Mining), which share `share` of the
weight, and the tile's N drawn words, which share the rest; one that is the target weighs nothing. To have `hard` wrong
words whatever the target, one more is mined: the last counts where the target is among those before it.

A pair inside the margin pushes its two columns with its weight, one outside it neither pushes nor weighs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.noise import NoiseTable


@dataclass(frozen=True, eq=False)
class Margin:
    """See contract.Objective and contract.Mining."""

    noise: NoiseTable | None  # None where share is 1
    hard: int  # mined wrong words of a pair
    share: float  # of a pair's weight that they have, above 0
    mine_every: int

    name: ClassVar[str] = "margin"
    weight_per_pair: ClassVar[float] = 2.0  # 1 for the target, 1 for its wrong words together

    @property
    def mined(self) -> int:
        """One more than a pair's wrong words."""
        return self.hard + 1

    def out_rows(self, V: int) -> int:
        """A row a word."""
        return V

    def check(self, V: int) -> None:
        """Raise ValueError if the noise is not of V words, or the settings mean nothing."""
        if self.noise is not None:
            self.noise.check(V)
        if not 1 <= self.hard < V:
            raise ValueError(f"hard must be 1 to {V - 1}, the wrong words of a pair, not {self.hard}")
        if not 0 < self.share <= 1 or (self.share < 1) != (self.noise is not None):
            raise ValueError(f"share must be above 0 and up to 1, where nothing is drawn, not {self.share}")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair as target, 1 - share a pair as drawn; what is mined when cannot be foreseen and is not in it."""
        weight = pairs.copy()
        if self.noise is not None:
            weight += (1 - self.share) * pairs.sum() * self.noise.distribution
        return weight.astype(np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """The shared words; for each row its targets with label 1, then its mined columns with label 0."""
        own = []
        for r, row in enumerate(tile.rows):
            own += [OwnPair(r, target, 1.0, 1.0) for target in row.targets]
            own += [OwnPair(r, column, 0.0, self.share / self.hard * len(row.targets)) for column in row.mined]
        return tile.shared_words, own

    def wrong(self, target: int, mined: list[int], drawn: list[int]) -> NDArray[np.float64]:
        """Return what a pair's mined and drawn words weigh, [M + N]."""
        last = target in mined[:-1]
        hard = [word != target and (last or m < self.hard) for m, word in enumerate(mined)]
        weight = [self.share / self.hard * counts for counts in hard]
        weight += [(1 - self.share) / len(drawn) * (word != target) for word in drawn]
        return np.array(weight)

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the hinge's gradient, pair by pair."""
        g_own, g_shared, loss, p = np.zeros(len(own)), np.zeros(shared_scores.shape), 0.0, 0
        for r, row in enumerate(tile.rows):
            first_mined, stop = p + len(row.targets), p + len(row.targets) + len(row.mined)
            scores = np.concatenate([own_scores[first_mined:stop], shared_scores[r]])
            for target in row.targets:
                weight = self.wrong(target, row.mined, tile.shared_words)
                short = 1 + scores - own_scores[p]
                loss += float(weight @ np.maximum(short, 0))
                push = weight * (short > 0)
                g_own[p] += push.sum()
                g_own[first_mined:stop] -= push[: len(row.mined)]
                g_shared[r] -= push[len(row.mined) :]
                p += 1
            p = stop
        return Gradient(own=g_own, shared=g_shared, own_weight=abs(g_own), shared_weight=abs(g_shared), loss=loss)
