"""Hierarchical softmax in PyTorch (kernels/objectives/hierarchical_softmax.py)."""

import torch
from torch import Tensor

from w2vfast.kernels.objectives.hierarchical_softmax import HierarchicalSoftmax
from w2vfast.kernels.torch import paths
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    def __init__(self, objective: HierarchicalSoftmax, device: torch.device, dtype: torch.dtype) -> None:
        self._paths = paths.Paths(objective.tree, device, dtype)
        self.own_per_target = objective.tree.longest

    def own(self, targets: Tensor) -> Tensor:
        """The nodes of a target's path."""
        return self._paths.nodes(targets).flatten(1)

    def shared(self, shared_words: Tensor) -> Tensor:
        """None: no words are drawn."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the logistic gradient."""
        label, weight = self._paths.labels(inputs.targets)
        return paths.gradient(inputs, scores, label.flatten(1), weight.flatten(1), inputs.n)
