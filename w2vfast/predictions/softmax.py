"""The exact softmax's distribution: what was trained."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBABILITIES = True


def scores(objective: Any, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return every word's log probability, float64 [B, V]: the log softmax of the scores."""
    score: NDArray[np.float64] = left @ w_out.T.astype(np.float64)
    return score - np.logaddexp.reduce(score, axis=1, keepdims=True)
