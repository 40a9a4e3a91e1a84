"""The von Mises-Fisher loss in PyTorch (kernels/objectives/von_mises_fisher.py)."""

import math

import torch
from torch import Tensor

from w2vfast.kernels.objectives.von_mises_fisher import VonMisesFisher
from w2vfast.kernels.torch.bessel import Bessel
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient

LEAST_KAPPA = 1e-30  # a row below has no direction; lambda_1 over it is finite in float32


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    own_per_target = 1

    def __init__(self, objective: VonMisesFisher, device: torch.device, dtype: torch.dtype) -> None:
        self._lambda_1, self._lambda_2 = objective.norm_penalty, objective.dot_weight
        self._size = objective.targets.shape[1]
        self._bessel = Bessel(self._size)

    def own(self, targets: Tensor) -> Tensor:
        """A target is its own column."""
        return targets

    def shared(self, shared_words: Tensor) -> Tensor:
        """There is none: no word is drawn."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the gradient, the normaliser in float64."""
        kappa = torch.linalg.vector_norm(inputs.left, dim=2, keepdim=True, dtype=torch.float64)
        log_bessel, ratio = self._bessel(kappa)
        n = inputs.n.double()
        of_rows = self._size / 2 * math.log(2 * math.pi) + log_bessel + self._lambda_1 * kappa
        gradient = inputs.own * self._lambda_2
        loss = (n * of_rows).sum() - (gradient * scores).sum(dtype=torch.float64)
        factor = -n * (ratio + self._lambda_1 / kappa.clamp(min=LEAST_KAPPA))
        return Gradient(gradient, inputs.own, loss, factor.to(scores.dtype))
