"""Weighted logistic regression over a tile's pairs, in float64: what objectives with labels 0 and 1 share."""

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair


def gradient(
    own: list[OwnPair],
    own_scores: NDArray[np.float64],
    shared_scores: NDArray[np.float64],
    shared_weight: NDArray[np.float64],
) -> Gradient:
    """Return G = weight * (label - sigmoid(score)); shared columns have label 0 and the weights given, [R, S]."""
    label = np.array([pair.label for pair in own])
    weight = np.array([pair.weight for pair in own])
    loss = float((weight * (_softplus(own_scores) - label * own_scores)).sum())
    loss += float((shared_weight * _softplus(shared_scores)).sum())
    return Gradient(
        own=weight * (label - _sigmoid(own_scores)),
        shared=-shared_weight * _sigmoid(shared_scores),
        own_weight=weight,
        shared_weight=shared_weight,
        loss=loss,
    )


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-_softplus(-x))


def _softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.logaddexp(0.0, x)
