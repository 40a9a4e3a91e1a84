"""The von Mises-Fisher loss (Kumar & Tsvetkov, "Von Mises-Fisher loss for training sequence to sequence models with
continuous outputs", ICLR 2019): a row predicts the unit vector u of its target, which is given and stays.

A pair's loss is -log C(kappa) - lambda_2 row . u + lambda_1 kappa, with kappa = |row| and

    C(kappa) = kappa^v / ((2 pi)^(D/2) I_v(kappa)),  v = D / 2 - 1,

I_v the modified Bessel function. With lambda_1 = 0 and lambda_2 = 1 it is the negative log likelihood of u (the paper's
equation 2); lambda_1 keeps the norm down (its NLLvMF_reg1), lambda_2 below 1 does it otherwise (NLLvMF_reg2). The
gradient of -log C(kappa) by the row is A(kappa) row / kappa, A = I_(v+1) / I_v, at most 1 / D times the row: that
bounds its curvature too, and so is what a pair weighs in the row cap.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile


@dataclass(frozen=True, eq=False)
class VonMisesFisher:
    """See contract.Objective and contract.FixedOut."""

    targets: NDArray[np.float32]  # [V, D] of length 1
    norm_penalty: float  # lambda_1
    dot_weight: float  # lambda_2

    name: ClassVar[str] = "von-mises-fisher"
    noise: ClassVar[None] = None

    @property
    def fixed_out(self) -> NDArray[np.float32]:
        """The targets are W_out."""
        return self.targets

    @property
    def weight_per_pair(self) -> float:
        """The bound on a pair's curvature, 1 / D."""
        return 1.0 / int(self.targets.shape[1])

    def out_rows(self, V: int) -> int:
        """A row a word."""
        return V

    def check(self, V: int) -> None:
        """Raise ValueError if there is not a unit vector a word, or a setting means nothing."""
        if self.targets.shape[:1] != (V,) or self.targets.dtype != np.float32:
            raise ValueError(f"targets must be float32 [{V}, D], not {self.targets.dtype} {self.targets.shape}")
        length = np.linalg.norm(self.targets, axis=1)
        if not (np.abs(length - 1) < 1e-3).all():
            raise ValueError("targets must be of length 1")
        if not (0 <= self.norm_penalty < np.inf and 0 < self.dot_weight < np.inf):
            raise ValueError("norm_penalty must not be negative, dot_weight must be positive")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """Nothing: W_out takes no steps."""
        return np.zeros(len(pairs), np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """Each row's targets."""
        return [], [OwnPair(r, target, 1.0, 1.0) for r, row in enumerate(tile.rows) for target in row.targets]

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the gradient: own pairs pull with lambda_2, the factor is that of the row's norm."""
        assert tile.left is not None
        kappa = np.linalg.norm(tile.left, axis=1)
        n = np.array([len(row.targets) for row in tile.rows], float)
        log_bessel, ratio = np.array([bessel(tile.left.shape[1], k) for k in kappa]).T
        penalty = np.divide(self.norm_penalty, kappa, out=np.zeros(len(kappa)), where=kappa > 0)
        loss = n @ (tile.left.shape[1] / 2 * math.log(2 * math.pi) + log_bessel + self.norm_penalty * kappa)
        return Gradient(
            own=np.full(len(own), self.dot_weight),
            shared=np.zeros(shared_scores.shape),
            own_weight=np.ones(len(own)),
            shared_weight=np.zeros(shared_scores.shape),
            loss=float(loss - self.dot_weight * own_scores.sum()),
            factor=-n * (ratio + penalty),
        )


def bessel(D: int, kappa: float) -> tuple[float, float]:
    """Return log(I_v(kappa) / kappa^v) and A(kappa) / kappa for v = D / 2 - 1.

    The first from the series that defines I_v, sum_k (kappa / 2)^(2k + v) / (k! Gamma(k + v + 1)), whose terms are
    positive, summed as logarithms; the second from Gauss's continued fraction (DLMF 10.33.1), from its far end.
    """
    v, terms = D / 2 - 1, int(kappa) + 100
    k = np.arange(1, terms)
    with np.errstate(divide="ignore"):
        series = np.logaddexp.reduce(np.cumsum(2 * np.log(kappa / 2) - np.log(k) - np.log(v + k)), initial=0.0)
    ratio = 0.0
    for order in range(terms, 0, -1):
        ratio = 1 / (2 * (v + order) + kappa**2 * ratio)
    return float(series) - v * math.log(2) - math.lgamma(v + 1), ratio
