"""Soft labels from trained tables: distillation, for objectives of logistic regression over pairs (Hinton, Vinyals &
Dean, "Distilling the knowledge in a neural network", 2015).

The label y of a pair, 1 or 0, becomes y + m (p - y), where

    p    the mean over the models of sigmoid(score / temperature), the score a model's own: of its row, made of its W_in
         as the job's rows are of theirs, and its W_out
    m    `weight` if all words of the pair are known, those of the row and that of the column, else 0

which is 1 - m times the cross-entropy of the hard label and m times that of the soft one, both of the prediction
sigmoid(s). Hinton et al. divide the student's score too by the temperature, and multiply the soft part by its square:
at temperature 1 both are the same, above it what is learnt here are log odds divided by the temperature. Weights, and
with them the row cap, stay as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Teacher:
    """See the module's docstring; arrays are C-contiguous and never written."""

    models: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]  # W_in and W_out, [V, a model's dimensions]
    known: NDArray[np.bool_]  # [V] words that all models have; rows of others are not used
    weight: float  # 0 to 1
    temperature: float

    def check(self, V: int) -> None:
        """Raise ValueError if arrays or settings are not as kernels rely on them to be."""
        arrays: list[tuple[NDArray[Any], tuple[int, ...], Any]] = [(self.known, (V,), np.bool_)]
        for w_in, w_out in self.models:
            arrays += [(table, (V, w_in.shape[-1]), np.float32) for table in (w_in, w_out)]
        for array, shape, dtype in arrays:
            if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
                raise ValueError(f"a teacher's array must be {np.dtype(dtype)} {list(shape)}, C-contiguous")
        if not self.models:
            raise ValueError("a teacher has at least one model")
        if not 0 <= self.weight <= 1 or not self.temperature > 0:
            raise ValueError("a teacher's weight lies in 0 .. 1, its temperature above 0")
