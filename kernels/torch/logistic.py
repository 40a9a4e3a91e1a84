"""Logistic regression over a batch's pairs in PyTorch: own pairs have label 1, shared ones 0."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from w2vfast.kernels.torch.objectives import Gradient


def gradient(own: Tensor, scores: Tensor, shared_weight: Tensor) -> Gradient:
    """Return the gradient of scores [B, T, P + C] with weights `own` [B, T, P] and `shared_weight` [B, T, C or 1].

    The scores are overwritten.
    """
    pairs, columns = own.shape[2], scores.shape[2] - own.shape[2]
    weight = torch.cat([own, shared_weight.expand(-1, -1, columns)], 2)
    # Against the label, so that one softplus is every pair's loss and one sigmoid the size of its gradient.
    scores[:, :, :pairs].neg_()
    loss = (weight * softplus(scores)).sum(dtype=torch.float64)
    result = torch.sigmoid(scores).mul_(weight)
    result[:, :, pairs:].neg_()
    return Gradient(result, weight, loss)
