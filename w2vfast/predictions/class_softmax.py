"""Class-based softmax: p(word | row) = p(class | row) p(word | class, row), exactly as trained."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from w2vfast.kernels.objectives.class_softmax import ClassSoftmax

PROBABILITIES = True


def scores(objective: ClassSoftmax, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each word's log probability; see w2vfast.predictions."""
    right = w_out.astype(np.float64)
    of_class = log_softmax(left @ right[: objective.classes].T, axis=1)
    result = left @ right[objective.classes :].T
    for number in range(objective.classes):
        words = objective.words_of(number)
        result[:, words] = log_softmax(result[:, words], axis=1) + of_class[:, [number]]
    return result
