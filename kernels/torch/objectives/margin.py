"""The margin loss in PyTorch (kernels/objectives/margin.py): P pairs of a batch, picked out of its windows."""

import torch
from torch import Tensor

from w2vfast.kernels.objectives.margin import Margin
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    own_per_target = 1

    def __init__(self, objective: Margin, device: torch.device, dtype: torch.dtype) -> None:
        self._hard, self._share = objective.hard, objective.share

    def own(self, targets: Tensor) -> Tensor:
        """A target is its own column."""
        return targets

    def shared(self, shared_words: Tensor) -> Tensor:
        """So is a word drawn."""
        return shared_words

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the hinge's gradient."""
        T, H, M = scores.shape[1], inputs.targets.shape[1], self._hard + 1
        N = scores.shape[2] - H - M
        tile, row, place = inputs.own.nonzero(as_tuple=True)  # [P] each
        target = inputs.targets[tile, place, None]
        drawn = columns[:, H : H + N][tile] != target  # [P, N] whether each is wrong
        mined = columns[:, H + N :].unflatten(1, (T, M))[tile, row] != target  # [P, M]
        mined[:, -1] &= ~mined[:, :-1].all(1)
        weight = torch.cat([drawn, mined], 1).to(scores.dtype)
        weight[:, :N] *= (1 - self._share) / max(N, 1)
        weight[:, N:] *= self._share / self._hard
        short = 1 + scores[tile, row, H:] - scores[tile, row, place, None]
        loss = (weight * short.clamp(min=0)).sum(dtype=torch.float64)
        push = weight * (short > 0)
        own, wrong = torch.zeros_like(scores).split([H, N + M], 2)
        own[tile, row, place] = push.sum(1)
        wrong.index_put_((tile, row), -push, accumulate=True)
        gradient = torch.cat([own, wrong], 2)
        return Gradient(gradient, gradient.abs(), loss)
