"""int4: a row is D levels of 16, two a byte, and a scale: x is about scale * (code - 7.5).

The levels stand on both sides of 0 and none on it. The scale is a share of max |x| / 7.5, and of the shares tried that
one is taken which turns the row least: cutting the largest values off makes the steps of all others finer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes

LEAST = 1e-35  # as in int8.py


@dataclass(frozen=True)
class Codec:
    """`codes` uint8 [ceil(D / 2)], the first of two in the low half; `scales` float32."""

    vector_size: int

    bits: ClassVar[int] = 4
    shares: ClassVar[tuple[float, ...]] = (1.0, 0.85, 0.72)

    @property
    def _middle(self) -> float:
        return ((1 << self.bits) - 1) / 2

    @property
    def _in_byte(self) -> int:
        return 8 // self.bits

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"scales": (np.float32, (rows,)), "codes": (np.uint8, (rows, -(-self.vector_size // self._in_byte)))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return codes and scales; a row of zeros has the scale 0."""
        middle = self._middle
        largest = np.abs(rows).max(axis=1)
        best = np.full(len(rows), -np.inf, dtype=np.float32)
        levels, scales = np.zeros(rows.shape, dtype=np.float32), np.zeros(len(rows), dtype=np.float32)
        for share in self.shares:
            scale = np.maximum(largest, np.float32(LEAST)) * np.float32(share / middle)
            tried = np.clip(np.floor(rows / scale[:, None]) + np.float32(0.5), -middle, middle)
            along = np.einsum("nd,nd->n", rows / scale[:, None], tried)
            square = np.einsum("nd,nd->n", tried, tried)
            better = along / np.sqrt(square) * scale > best
            # Along the levels' direction the scale of least squares is another: lengths are kept as well as may be.
            best[better] = (along / np.sqrt(square) * scale)[better]
            levels[better], scales[better] = tried[better], (along / square * scale)[better]
        scales[largest == 0] = 0
        codes = (levels + np.float32(middle)).astype(np.uint8)
        codes = np.pad(codes, ((0, 0), (0, -self.vector_size % self._in_byte)))
        packed: NDArray[Any] = codes[:, :: self._in_byte]
        for place in range(1, self._in_byte):
            packed = packed | codes[:, place :: self._in_byte] << (place * self.bits)
        return {"scales": scales, "codes": packed}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return scale times the level."""
        packed = arrays["codes"]
        parts = [packed >> (place * self.bits) & ((1 << self.bits) - 1) for place in range(self._in_byte)]
        codes = np.stack(parts, axis=2).reshape(len(packed), -1)[:, : self.vector_size]
        return np.ascontiguousarray((codes - np.float32(self._middle)) * arrays["scales"][:, None], dtype=np.float32)


def fit(passes: Passes) -> Codec:
    """Return the codec; nothing is learnt from the vectors."""
    with passes() as stream:
        return Codec(stream.vector_size)
