"""Probabilities where hierarchical softmax was trained with negative sampling: the tree's, which sum to 1.

Negative sampling's scores are of other rows of W_out and are left out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.objectives.hierarchical_softmax__negative_sampling import HierarchicalSoftmaxNegativeSampling
from w2vfast.predictions.hierarchical_softmax import log_probabilities

PROBABILITIES = True


def scores(
    objective: HierarchicalSoftmaxNegativeSampling, left: NDArray[np.float64], w_out: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the log probability of every word for rows `left` [B, D] and `w_out` [2 V - 1, D], float64 [B, V]."""
    return log_probabilities(objective.tree, left, w_out[len(objective.noise.prob) :])
