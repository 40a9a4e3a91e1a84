"""Negative sampling in PyTorch (kernels/objectives/negative_sampling.py)."""

import torch
from torch import Tensor

from w2vfast.kernels.objectives.negative_sampling import NegativeSampling
from w2vfast.kernels.torch import logistic
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    own_per_target = 1

    def __init__(self, objective: NegativeSampling, device: torch.device, dtype: torch.dtype) -> None:
        self._negative, self._mask = objective.negative, objective.mask

    def own(self, targets: Tensor) -> Tensor:
        """A target is its own column."""
        return targets

    def shared(self, shared_words: Tensor) -> Tensor:
        """So is a word drawn."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the logistic gradient."""
        words = columns[:, inputs.targets.shape[1] :]
        weight = inputs.n - inputs.hits(words) if self._mask else inputs.n
        return logistic.gradient(inputs.own, scores, weight * (self._negative / words.shape[1]))
