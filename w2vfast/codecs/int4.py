"""int4: a row is D levels of 16, two a byte, and a scale: x is about scale * (code - 7.5).

The levels stand on both sides of 0 and none on it. The scale is a share of max |x| / 7.5, and of the SHARES that one is
taken which turns the row least: cutting the largest values off makes the steps of all others finer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes

MIDDLE = 7.5
SHARES = (1.0, 0.85, 0.72)
LEAST = 1e-35  # as in int8.py


@dataclass(frozen=True)
class Codec:
    """`codes` uint8 [ceil(D / 2)], the first of two in the low half; `scales` float32."""

    vector_size: int

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"scales": (np.float32, (rows,)), "codes": (np.uint8, (rows, -(-self.vector_size // 2)))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return codes and scales; a row of zeros has the scale 0."""
        largest = np.abs(rows).max(axis=1)
        best = np.full(len(rows), -np.inf, dtype=np.float32)
        levels, scales = np.zeros(rows.shape, dtype=np.float32), np.zeros(len(rows), dtype=np.float32)
        for share in SHARES:
            scale = np.maximum(largest, np.float32(LEAST)) * np.float32(share / MIDDLE)
            tried = np.clip(np.floor(rows / scale[:, None]) + np.float32(0.5), -MIDDLE, MIDDLE)
            along = np.einsum("nd,nd->n", rows / scale[:, None], tried)
            square = np.einsum("nd,nd->n", tried, tried)
            better = along / np.sqrt(square) * scale > best
            # Along the levels' direction the scale of least squares is another: lengths are kept as well as may be.
            best[better] = (along / np.sqrt(square) * scale)[better]
            levels[better], scales[better] = tried[better], (along / square * scale)[better]
        scales[largest == 0] = 0
        codes = (levels + np.float32(MIDDLE)).astype(np.uint8)
        if self.vector_size % 2:
            codes = np.pad(codes, ((0, 0), (0, 1)))
        return {"scales": scales, "codes": codes[:, ::2] | codes[:, 1::2] << 4}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return scale * (code - 7.5)."""
        packed = arrays["codes"]
        codes = np.stack([packed & 15, packed >> 4], axis=2).reshape(len(packed), -1)[:, : self.vector_size]
        return np.ascontiguousarray((codes - np.float32(MIDDLE)) * arrays["scales"][:, None], dtype=np.float32)


def fit(passes: Passes) -> Codec:
    """Return the codec; nothing is learnt from the vectors."""
    with passes() as stream:
        return Codec(stream.vector_size)
