"""Noise contrastive estimation: a score is log p(word | row) + log Z, with log Z a constant only as far as trained."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from w2vfast.kernels.objectives.nce import Nce

PROBABILITIES = True


def scores(objective: Nce, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return softmax's logarithm of s, normalised by the true Z."""
    result: NDArray[np.float64] = log_softmax(left @ w_out.T.astype(np.float64), axis=1)
    return result


def log_z(objective: Nce, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logarithm of the sum of e^s over all words; training takes it to be `objective.log_z`."""
    result: NDArray[np.float64] = logsumexp(left @ w_out.T.astype(np.float64), axis=1)
    return result
