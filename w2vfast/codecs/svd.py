"""svd: the table as a product of two, [V, r] and [r, D], of all such products the nearest (Eckart & Young 1936).

With the eigenvectors W of X^T X that have the largest r eigenvalues: X is about (X W) W^T. X^T X is summed in float64
while the rows stream by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes
from w2vfast.errors import InputError
from w2vfast.moments import moments


@dataclass(frozen=True)
class Codec:
    """`factors` float32 [r]."""

    vector_size: int
    directions: NDArray[np.float32]  # [r, D]

    def __post_init__(self) -> None:
        if self.directions.ndim != 2 or self.directions.shape[1] != self.vector_size:
            raise ValueError(f"directions are {self.directions.shape}, not [r, {self.vector_size}]")

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"factors": (np.float32, (rows, len(self.directions)))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return factors."""
        return {"factors": rows @ self.directions.T}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return factors times directions."""
        rows: NDArray[np.float32] = arrays["factors"] @ self.directions
        return rows


def fit(passes: Passes, *, rank: int) -> Codec:
    """Return the codec of a rank. Raises InputError for one that the vectors cannot have."""
    with passes() as stream:
        D = stream.vector_size
        if not 1 <= rank <= D:
            raise InputError(f"the rank must be from 1 to the {D} dimensions of the vectors, not {rank}")
        found = moments((rows for _, rows in stream.blocks), D)
    second = found.covariance + np.outer(found.mean, found.mean)
    return Codec(D, np.ascontiguousarray(np.linalg.eigh(second)[1][:, ::-1][:, :rank].T, dtype=np.float32))
