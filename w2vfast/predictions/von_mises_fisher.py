"""What the von Mises-Fisher objective predicts: ranks. Its density is one of directions, of which words are some."""

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.objectives.von_mises_fisher import VonMisesFisher

PROBABILITIES = False


def scores(objective: VonMisesFisher, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the inner products with the words' unit vectors, which rank as their densities do; float64 [B, V]."""
    return left @ w_out.astype(np.float64).T
