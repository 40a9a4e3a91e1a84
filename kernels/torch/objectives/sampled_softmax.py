"""Softmax with a sampled normaliser in PyTorch (kernels/objectives/sampled_softmax.py)."""

import math

import torch
from torch import Tensor

from w2vfast.kernels.objectives.sampled_softmax import SampledSoftmax
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    own_per_target = 1

    def __init__(self, objective: SampledSoftmax, device: torch.device, dtype: torch.dtype) -> None:
        self._log_q = torch.from_numpy(objective.noise.distribution).log().to(device, dtype)

    def own(self, targets: Tensor) -> Tensor:
        """A target is its own column."""
        return targets

    def shared(self, shared_words: Tensor) -> Tensor:
        """So is a word drawn."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the softmax's gradient, each pair over its target and the draws that are not its target."""
        words = columns[:, inputs.targets.shape[1] :]
        pairs = inputs.own.shape[2]
        own, draws = scores[:, :, :pairs], scores[:, :, pairs:]
        draws = draws - (self._log_q[words] + math.log(words.shape[1]))[:, None, :]
        # In units of e^largest, the largest of a row's draws. Where a pair leaves that draw out since it is the target,
        # the target's own term is q N times as much: nothing that counts can underflow.
        largest = draws.amax(2, keepdim=True)
        share = torch.exp(draws - largest)
        apart = inputs.apart(words, scores.dtype)
        top = torch.maximum(own, largest)
        of_draws, of_own = torch.exp(largest - top), torch.exp(own - top)
        others = inputs.over_draws(share, apart) * of_draws
        z = others + of_own
        share *= inputs.over_targets(inputs.own * of_draws / z, apart)
        loss = (inputs.own * (top - own + torch.log(z))).sum(dtype=torch.float64)
        gradient = torch.cat([inputs.own * (others / z), -share], 2)
        return Gradient(gradient, torch.cat([inputs.own, share], 2), loss)
