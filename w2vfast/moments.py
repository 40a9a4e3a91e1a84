"""What is learnt from rows that stream by, in float64: mean and covariance; and a sample of rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.vectors import VectorStream


@dataclass(frozen=True)
class Moments:
    """Of `rows` rows: `mean` float64 [D] and `covariance` float64 [D, D], the mean of centred rows' outer products."""

    rows: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments(blocks: Iterable[NDArray[np.float32]], size: int) -> Moments:
    """Return the moments of blocks of rows, [n, size].

    Each block is centred by its own mean and joined to those before it (Chan, Golub & LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances", 1979): no large numbers are subtracted.
    """
    n, mean, scatter = 0, np.zeros(size), np.zeros((size, size))
    for block in blocks:
        rows = block.astype(np.float64)
        here = rows.mean(axis=0)
        rows -= here
        off = here - mean
        both = n + len(rows)
        scatter += rows.T @ rows + np.outer(off, off) * (n * len(rows) / both)
        mean += off * (len(rows) / both)
        n = both
    return Moments(n, mean, scatter / max(n, 1))


def sample(stream: VectorStream, count: int, seed: int) -> NDArray[np.float32]:
    """Return `count` rows of a stream, [count, D], or all if it has no more, in the stream's order."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(stream.rows, count, replace=False)) if count < stream.rows else np.arange(stream.rows)
    parts, start = [], 0
    for _, rows in stream.blocks:
        low, high = np.searchsorted(chosen, (start, start + len(rows)))
        parts.append(rows[chosen[low:high] - start])
        start += len(rows)
    return np.concatenate(parts)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length 1. Raises InputError for one that is all zeros, or too short or long for float32."""
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    if not ((norms > 0) & np.isfinite(norms)).all():
        raise InputError(
            "a vector is all zeros, or too short or too long for float32: it has no direction; leave its word out"
        )
    scaled: NDArray[np.float32] = rows / norms[:, None]
    return scaled
