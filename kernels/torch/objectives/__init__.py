"""The torch backend's objectives, one file each, named as in w2vfast.kernels.objectives.

A file has `Columns(objective, device, dtype)`, which names a batch's columns and turns their scores into gradients:

    own_per_target              L, own pairs of a row for each of its targets
    own(targets)                int64 [B, S] words -> columns [B, S L], the L of a target beside each other
    shared(shared_words)        int64 [B, N] words drawn -> columns [B, C]
    gradient(inputs, scores, columns) -> Gradient      may overwrite the scores
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gradient:
    """What an objective makes of the scores [B, T, own + C] of a batch."""

    gradient: Tensor  # as the scores: weight * (label - prediction)
    weight: Tensor  # as the scores, in the row cap; 0 where there is no pair
    loss: Tensor  # float64, a scalar
    factor: Tensor | None = None  # [B, T, 1] times the row is added to the row's own gradient
