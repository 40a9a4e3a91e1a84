"""What the margin objective predicts: ranks, since a hinge knows no probabilities."""

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.objectives.margin import Margin

PROBABILITIES = False


def scores(objective: Margin, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the inner products, by which targets rank above wrong words; float64 [B, V]."""
    return left @ w_out.astype(np.float64).T
