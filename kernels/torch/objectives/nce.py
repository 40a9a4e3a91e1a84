"""Noise contrastive estimation in PyTorch (kernels/objectives/nce.py)."""

import torch
from torch import Tensor

from w2vfast.kernels.objectives.nce import Nce
from w2vfast.kernels.torch import logistic
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    own_per_target = 1

    def __init__(self, objective: Nce, device: torch.device, dtype: torch.dtype) -> None:
        self._negative = objective.negative
        self._bias = torch.from_numpy(objective.bias).to(device, dtype)

    def own(self, targets: Tensor) -> Tensor:
        """A target is its own column."""
        return targets

    def shared(self, shared_words: Tensor) -> Tensor:
        """So is a word drawn."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the logistic gradient of the scores less each column's bias."""
        words = columns[:, inputs.targets.shape[1] :]
        scores = scores - inputs.of_columns(self._bias[columns])
        return logistic.gradient(inputs.own, scores, inputs.n * (self._negative / words.shape[1]))
