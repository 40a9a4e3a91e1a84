"""Hierarchical softmax with negative sampling (kernels/objectives/hierarchical_softmax__negative_sampling.py)."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from w2vfast.kernels.objectives.hierarchical_softmax__negative_sampling import HierarchicalSoftmaxNegativeSampling
from w2vfast.kernels.torch import paths
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives; a target's own columns are its word and the nodes of its path."""

    def __init__(
        self, objective: HierarchicalSoftmaxNegativeSampling, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._paths = paths.Paths(objective.tree, device, dtype)
        self._words = len(objective.noise.prob)
        self._negative, self._mask = objective.negative, objective.mask
        self.own_per_target = 1 + objective.tree.longest

    def own(self, targets: Tensor) -> Tensor:
        """A target's own row, and those of its nodes, which begin behind the words'."""
        return torch.cat([targets[:, :, None], self._words + self._paths.nodes(targets)], 2).flatten(1)

    def shared(self, shared_words: Tensor) -> Tensor:
        """A word drawn is its own column."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the logistic gradient."""
        label, weight = (pad(each, (1, 0), value=1.0).flatten(1) for each in self._paths.labels(inputs.targets))
        words = columns[:, label.shape[1] :]
        times = inputs.n - inputs.hits(words) if self._mask else inputs.n
        return paths.gradient(inputs, scores, label, weight, times * (self._negative / words.shape[1]))
