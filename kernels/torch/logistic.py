"""Logistic regression over a batch's pairs in PyTorch: own pairs have label 1, shared ones 0."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from w2vfast.kernels.torch.objectives import Gradient


def gradient(own: Tensor, scores: Tensor, shared_weight: Tensor) -> Gradient:
    """Return the gradient of scores [B, T, P + C] with weights `own` [B, T, P] and `shared_weight` [B, T, C or 1]."""
    pairs = own.shape[2]
    weight = torch.empty_like(scores)
    weight[:, :, :pairs] = own
    weight[:, :, pairs:] = shared_weight
    loss = (weight * softplus(scores)).sum(dtype=torch.float64)
    loss -= (own * scores[:, :, :pairs]).sum(dtype=torch.float64)
    result = torch.sigmoid(scores).neg_()
    result[:, :, :pairs] += 1.0
    result *= weight
    return Gradient(result, weight, loss)
