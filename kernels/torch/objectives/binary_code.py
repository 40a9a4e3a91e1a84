"""Binary codes for words in PyTorch (kernels/objectives/binary_code.py)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from w2vfast.kernels.objectives.binary_code import BinaryCode
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Gradient


class Columns:
    """See w2vfast.kernels.torch.objectives."""

    own_per_target = 0

    def __init__(self, objective: BinaryCode, device: torch.device, dtype: torch.dtype) -> None:
        self._softmax = objective.softmax
        self._all = torch.arange(objective.softmax + objective.bits, device=device)
        self._codes = torch.from_numpy(objective.codes).to(device)
        self._rank = torch.from_numpy(objective.rank).to(device).long()
        self._code_words = objective.code_words
        self._bias = torch.from_numpy(objective.bias).to(device, dtype)
        self._bit_weight = objective.bit_weight
        self._dtype = dtype

    def own(self, targets: Tensor) -> Tensor:
        """None."""
        return targets[:, :0]

    def shared(self, shared_words: Tensor) -> Tensor:
        """All rows of W_out."""
        return self._all.expand(len(shared_words), -1)

    def gradient(self, inputs: Input, scores: Tensor, columns: Tensor) -> Gradient:
        """Return the logistic gradient of the bits and that of the softmax."""
        scores = scores + self._bias
        words, bits = scores.split([self._softmax, scores.shape[2] - self._softmax], 2)
        rank = self._rank[inputs.targets]
        has_code = (rank >= self._code_words).to(self._dtype)[:, :, None]
        of_target = torch.cat([has_code, self._codes[inputs.targets].to(self._dtype)], 2)
        coded, ones = inputs.of_targets(of_target).split([1, bits.shape[2]], 2)
        loss = (coded * softplus(bits) - ones * bits).sum(dtype=torch.float64)
        gradient, weight = ones - coded * torch.sigmoid(bits), (self._bit_weight * coded).expand_as(bits)
        if self._code_words:
            column = torch.arange(self._softmax, device=rank.device)
            one_hot = (rank.clamp(max=self._code_words)[:, :, None] == column).to(self._dtype)
            wanted, log_p = inputs.of_targets(one_hot), torch.log_softmax(words, 2)
            mass = inputs.n * torch.exp(log_p)
            loss = loss - (wanted * log_p).sum(dtype=torch.float64)
            gradient = torch.cat([wanted - mass, gradient], 2)
            weight = torch.cat([wanted + mass, weight], 2)
        return Gradient(gradient, weight, loss)
