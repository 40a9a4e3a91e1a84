"""Softmax with a normaliser estimated from samples (Bengio & Senecal, "Quick training of probabilistic neural nets by
importance sampling", AISTATS 2003; Jean et al., "On using very large target vocabulary for neural machine translation",
ACL 2015).

A pair's loss is -log(e^s(target) / Z), with the tile's N shared words, drawn from q, standing for all others:

    Z = e^s(target) + sum over draws k other than the target of e^s(k) / (N q(k))

A word drawn twice counts twice. The draws' sum is a row's, but for those that are the target; so with p(k) the share of
a draw in Z, a row of n targets has the gradient 1 - p(target) for each target and minus the sum of p(k) over its
targets, those that k is left out, for each draw. In expectation Z is the whole softmax's; the gradient has a bias of
order 1 / N.

In the row cap a target weighs 1, and a draw the p(k) that it has in its pairs, its gradient's size: draws have very
unequal shares, and one weight for all would cap rows that hardly move. So a pair weighs 1 and at most another 1: 2 in
its inputs.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.objectives import drawn


@dataclass(frozen=True, eq=False)
class SampledSoftmax:
    """See contract.Objective."""

    noise: NoiseTable
    log_q: NDArray[np.float32] = field(init=False)  # [V], for backends in float32

    name: ClassVar[str] = "sampled-softmax"
    weight_per_pair: ClassVar[float] = 2.0

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore"):
            object.__setattr__(self, "log_q", np.log(self.noise.distribution).astype(np.float32))

    def out_rows(self, V: int) -> int:
        """A row a word."""
        return V

    def check(self, V: int) -> None:
        """Raise ValueError if the noise is not of V words, or gives a word no chance."""
        self.noise.check(V)
        if not np.isfinite(self.log_q).all():
            raise ValueError("sampled-softmax needs a noise distribution that gives every word a chance")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair as target; for each pair of another word, its share of the targets: what a softmax learns first."""
        weight: NDArray[np.float64] = pairs * (2.0 - pairs / pairs.sum())
        return weight.astype(np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """The shared words; each row's targets with label 1."""
        return drawn.columns(tile)

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the softmax's gradient, each pair over its target and the draws that are not its target."""
        words = np.array(tile.shared_words)
        logits = shared_scores - np.log(len(words) * self.noise.distribution[words])
        rows = np.array([pair.row for pair in own])
        targets = np.array([pair.column for pair in own])
        terms = np.column_stack([own_scores, np.where(words == targets[:, None], -np.inf, logits[rows])])
        log_z = np.logaddexp.reduce(terms, axis=1)
        prediction = np.exp(terms - log_z[:, None])  # [P, 1 + N]
        shared = np.zeros(shared_scores.shape)
        np.add.at(shared, rows, prediction[:, 1:])
        return Gradient(
            own=1.0 - prediction[:, 0],
            shared=-shared,
            own_weight=np.ones(len(own)),
            shared_weight=shared,
            loss=float((log_z - own_scores).sum()),
        )
