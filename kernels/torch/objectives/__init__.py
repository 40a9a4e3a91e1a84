"""The torch backend's objectives, one file each, named as in w2vfast.kernels.objectives.

A file has `Columns(objective, device, dtype)`, which names a batch's columns and turns their scores into gradients:

    own_per_target              L, own pairs of a row for each of its targets
    own(targets)                int64 [B, S] words -> columns [B, S L], the L of a target beside each other
    shared(shared_words)        int64 [B, N] words drawn -> columns [B, C]
    gradient(inputs, scores, columns) -> Gradient      may overwrite the scores

or, where a tile's columns are too many to be named, is of `InBlocks`.
Where the objective mines (contract.Mining), each row's M mined columns come last: columns [B, S L + C + T M], scores
[B, T, own + C + M].
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from w2vfast.kernels.torch.inputs import Input


@dataclass(frozen=True, eq=False)
class Gradient:
    """What an objective makes of the scores [B, T, own + C] of a batch."""

    gradient: Tensor  # as the scores: weight * (label - prediction)
    weight: Tensor  # as the scores, in the row cap; 0 where there is no pair
    loss: Tensor  # float64, a scalar
    factor: Tensor | None = None  # [B, T, 1] times the row is added to the row's own gradient


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a batch against some rows of W_out."""

    rows: Tensor  # int64 [R], of the batch's B T
    columns: Tensor  # int64 [C], rows of W_out
    gradient: Tensor  # [R, C]
    weight: Tensor  # [R, C], in the row cap
    loss: Tensor  # float64, a scalar


class InBlocks(ABC):
    """`Columns` of an objective that goes through W_out by itself."""

    own_per_target = 1

    @abstractmethod
    def blocks(self, inputs: Input, w_out: Tensor) -> Iterator[Block]:
        """Yield a batch's blocks, no column in two of them; a block's columns are changed before the next is made."""
