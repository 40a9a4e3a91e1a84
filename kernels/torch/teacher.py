"""A batch's gradients with soft labels in PyTorch (kernels/teacher.py)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import embedding

from w2vfast.kernels.teacher import Teacher
from w2vfast.kernels.torch.inputs import Input, Read
from w2vfast.kernels.torch.objectives import Gradient


class SoftLabels:
    """The models' tables on the device; memory for the scores of a batch three times over."""

    def __init__(self, teacher: Teacher, device: torch.device, dtype: torch.dtype) -> None:
        self._models = [tuple(torch.from_numpy(table).to(device, dtype) for table in model) for model in teacher.models]
        self._known = torch.from_numpy(teacher.known).to(device, dtype)
        self._unknown = (1 - self._known)[:, None]
        self._weight, self._temperature = teacher.weight, teacher.temperature

    def soften(self, hard: Gradient, scores: Tensor, ids: Tensor, inputs_of: Callable[[Read], Input]) -> Gradient:
        """Return the gradient of `scores` [B, T, own + C] with soft labels, from that with labels 1 of own pairs and 0.

        `ids` [B, P] are the columns' words; `inputs_of` makes the batch's input side with rows that are read otherwise.
        """
        moved = torch.zeros_like(scores)  # from the hard label to the soft one
        for w_in, w_out in self._models:
            theirs = inputs_of(partial(embedding, weight=w_in)).score(embedding(ids, w_out))
            moved += torch.sigmoid(theirs / self._temperature)
        moved /= len(self._models)
        inputs = inputs_of(partial(embedding, weight=self._unknown))
        moved[:, :, : inputs.own.shape[2]] -= 1
        moved *= (inputs.left == 0) * inputs.of_columns(self._weight * self._known[ids]) * hard.weight
        loss = hard.loss - (moved * scores).sum(dtype=torch.float64)
        return Gradient(hard.gradient + moved, hard.weight, loss, hard.factor)
