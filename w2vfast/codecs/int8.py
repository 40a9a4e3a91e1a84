"""int8: a row is D whole numbers from -127 to 127 and a scale: x is about scale * code.

The scale is max |x| / 127, so that nothing is cut off; rounding moves a value by half a scale at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes

LARGEST = 127
LEAST = 1e-35  # below it a row counts as this long: 127 / max |x| would be infinite


@dataclass(frozen=True)
class Codec:
    """`codes` int8 [D], `scales` float32."""

    vector_size: int

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"scales": (np.float32, (rows,)), "codes": (np.int8, (rows, self.vector_size))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return codes and scales."""
        largest = np.maximum(np.maximum(rows.max(axis=1), -rows.min(axis=1)), np.float32(LEAST))
        codes = rows * (np.float32(LARGEST) / largest)[:, None]
        return {"scales": largest / np.float32(LARGEST), "codes": np.rint(codes, out=codes).astype(np.int8)}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return scale * code."""
        rows: NDArray[np.float32] = np.multiply(arrays["codes"], arrays["scales"][:, None], dtype=np.float32)
        return rows


def fit(passes: Passes) -> Codec:
    """Return the codec; nothing is learnt from the vectors."""
    with passes() as stream:
        return Codec(stream.vector_size)
