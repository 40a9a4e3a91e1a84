"""Paths of a tree in PyTorch: as many nodes a target as the longest path has; those past its own have no weight."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from w2vfast.kernels.huffman import Tree
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Paths:
    """The paths of L nodes, L the longest's, on a device."""

    def __init__(self, tree: Tree, device: torch.device, dtype: torch.dtype) -> None:
        self.longest = tree.longest
        self._offsets, self._nodes = (torch.from_numpy(array).to(device) for array in (tree.offsets, tree.nodes))
        self._label = torch.from_numpy(tree.bits == 0).to(device, dtype)
        self._depth = torch.arange(self.longest, device=device)

    def _entries(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the entries of words' paths are, and whether there are any: [..., L]."""
        depth = self._depth < (self._offsets[words + 1] - self._offsets[words])[..., None]
        return torch.where(depth, self._offsets[words][..., None] + self._depth, 0), depth

    def nodes(self, words: Tensor) -> Tensor:
        """Return the nodes of words' paths, int64 [..., L]; where a path has ended, some node."""
        return self._nodes[self._entries(words)[0]].long()

    def labels(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Return the label of each, 1 where the path has bit 0, and its weight, 0 where it has ended: [..., L]."""
        entries, there = self._entries(words)
        return self._label[entries], there.to(self._label.dtype)


def gradient(inputs: Input, scores: Tensor, label: Tensor, weight: Tensor, shared_weight: Tensor) -> Gradient:
    """Return the logistic gradient of scores [B, T, P + C]; shared columns, C of them, have label 0.

    `label` and `weight` [B, S L] are those of each target's own pairs, `shared_weight` is [B, T, C or 1].
    """
    columns = scores.shape[2] - inputs.own.shape[2]
    none = label.new_zeros((len(label), columns))
    label = inputs.of_columns(torch.cat([label, none], 1))
    weight = inputs.of_columns(torch.cat([weight, none], 1))
    weight = torch.cat([weight[:, :, : inputs.own.shape[2]] * inputs.own, shared_weight.expand(-1, -1, columns)], 2)
    loss = (weight * (softplus(scores) - label * scores)).sum(dtype=torch.float64)
    return Gradient(weight * (label - torch.sigmoid(scores)), weight, loss)
