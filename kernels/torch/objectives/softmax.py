"""The exact softmax in PyTorch (kernels/objectives/softmax.py), streamed over blocks of W_out's rows."""

from collections.abc import Iterator

import torch
from torch import Tensor

from w2vfast.kernels.objectives.softmax import Softmax
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Block, InBlocks

BLOCK_SCORES = 1 << 22  # rows of a batch times words of a block: 16 MiB a matrix


class Columns(InBlocks):
    """See w2vfast.kernels.torch.objectives."""

    def __init__(self, objective: Softmax, device: torch.device, dtype: torch.dtype) -> None:
        self._words = objective.words

    def blocks(self, inputs: Input, w_out: Tensor) -> Iterator[Block]:
        """Yield the softmax's gradient block by block; a block's loss is that of the targets in it."""
        left, n = inputs.left.flatten(0, 1), inputs.n.flatten(0, 1)
        size = max(1, BLOCK_SCORES // len(left))
        spans = [slice(start, min(start + size, self._words)) for start in range(0, self._words, size)]
        log_z = torch.full_like(n, -torch.inf)
        for span in spans:
            log_z = torch.logaddexp(log_z, (left @ w_out[span].T).logsumexp(1, keepdim=True))
        row, target = inputs.pairs()
        target, order = target.sort(stable=True)
        row = row[order]
        ends = torch.searchsorted(target, torch.tensor([span.stop for span in spans], device=target.device)).tolist()
        rows = torch.arange(len(left), device=target.device)
        first = 0
        for span, last in zip(spans, ends, strict=True):
            scores = left @ w_out[span].T
            own_row, own_column = row[first:last], target[first:last] - span.start
            loss = (log_z[own_row, 0] - scores[own_row, own_column]).sum(dtype=torch.float64)
            mass = (scores - log_z).exp_().mul_(n)
            gradient, ones = mass.neg(), torch.ones(last - first, dtype=mass.dtype, device=mass.device)
            place = own_row * mass.shape[1] + own_column
            for matrix in (gradient, mass):
                matrix.view(-1).index_add_(0, place, ones)
            columns = torch.arange(span.start, span.stop, device=target.device)
            yield Block(rows, columns, gradient, mass, loss)
            first = last
