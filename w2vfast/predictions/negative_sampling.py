"""Negative sampling: at its optimum a score is log(p(word | row) / (K q(word))), so that p is softmax of s + log q.

Source: Levy & Goldberg, "Neural word embedding as implicit matrix factorization", NeurIPS 2014, equation 7. gensim's
`predict_output_word` takes softmax of s.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from w2vfast.kernels.objectives.negative_sampling import NegativeSampling

PROBABILITIES = True


def scores(objective: NegativeSampling, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return softmax's logarithm of s + log q; a word that the noise never draws counts as if drawn least often."""
    q = objective.noise.distribution
    return _log_softmax(left @ w_out.T.astype(np.float64) + np.log(np.maximum(q, q[q > 0].min())))


def uncorrected(
    objective: NegativeSampling, left: NDArray[np.float64], w_out: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return softmax's logarithm of s."""
    return _log_softmax(left @ w_out.T.astype(np.float64))


def _log_softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = log_softmax(x, axis=1)
    return result
