"""Class-based softmax in PyTorch (kernels/objectives/class_softmax.py): a block of all classes, then one a class."""

from collections.abc import Iterator

import torch
from torch import Tensor

from w2vfast.kernels.objectives.class_softmax import ClassSoftmax
from w2vfast.kernels.torch.inputs import Input
from w2vfast.kernels.torch.objectives import Block, InBlocks


class Columns(InBlocks):
    """See w2vfast.kernels.torch.objectives."""

    def __init__(self, objective: ClassSoftmax, device: torch.device, dtype: torch.dtype) -> None:
        class_of, members, start = (
            torch.from_numpy(array).to(device).long()
            for array in (objective.class_of, objective.members, objective.start)
        )
        self._class_of, self._members, self._start = class_of, members, objective.start.tolist()
        self._classes = objective.classes
        self._place = torch.empty_like(members)  # of each word in its class
        self._place[members] = torch.arange(len(members), device=device) - start[class_of[members]]

    def blocks(self, inputs: Input, w_out: Tensor) -> Iterator[Block]:
        """Yield the blocks of the classes of a batch's targets."""
        row, target = inputs.pairs()
        if not len(row):
            return
        left, C = inputs.left.flatten(0, 1), self._classes
        of_pair = self._class_of[target]
        every = torch.arange(C, device=row.device)
        rows = torch.arange(len(left), device=row.device)
        yield _block(left, w_out, rows, every, row * C + of_pair)
        key, order = (of_pair * len(left) + row).sort(stable=True)
        place = self._place[target[order]]
        groups, group = torch.unique_consecutive(key, return_inverse=True)  # a class and a row
        edges = torch.arange(C + 1, device=row.device) * len(left)
        pair_edges, group_edges = (torch.searchsorted(of, edges).tolist() for of in (key, groups))
        for number in range(C):
            first, last = pair_edges[number], pair_edges[number + 1]
            if first == last:
                continue
            rows = groups[group_edges[number] : group_edges[number + 1]] % len(left)
            words = self._members[self._start[number] : self._start[number + 1]]
            ones = (group[first:last] - group_edges[number]) * len(words) + place[first:last]
            yield _block(left, w_out, rows, C + words, ones)


def _block(left: Tensor, w_out: Tensor, rows: Tensor, columns: Tensor, ones: Tensor) -> Block:
    """Return the softmax over `columns` of `rows`; `ones` are the places [P] in [rows, columns] of their targets."""
    log_p = torch.log_softmax(left[rows] @ w_out[columns].T, 1)
    wanted = torch.zeros_like(log_p)
    wanted.view(-1).index_add_(0, ones, wanted.new_ones(len(ones)))
    mass = torch.exp(log_p) * wanted.sum(1, keepdim=True)
    loss = -(wanted * log_p).sum(dtype=torch.float64)
    return Block(rows, columns, wanted - mass, wanted + mass, loss)
