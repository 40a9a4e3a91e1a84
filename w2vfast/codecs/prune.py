"""prune: of each row the largest values stay, the others are 0: where they stand is a bit a dimension.

The same number of each row: a bound on all rows alike would take short vectors whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes
from w2vfast.errors import InputError


@dataclass(frozen=True)
class Codec:
    """`values` float32 [kept], in the order of their dimensions; `mask` uint8 [ceil(D / 8)], as numpy.packbits."""

    vector_size: int
    kept: int

    def __post_init__(self) -> None:
        if not 1 <= self.kept <= self.vector_size:
            raise ValueError(f"{self.kept} values of {self.vector_size} cannot be kept")

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"values": (np.float32, (rows, self.kept)), "mask": (np.uint8, (rows, -(-self.vector_size // 8)))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return values and masks."""
        at = np.sort(np.argpartition(-np.abs(rows), self.kept - 1, axis=1)[:, : self.kept], axis=1)
        mask = np.zeros(rows.shape, dtype=np.bool_)
        np.put_along_axis(mask, at, True, axis=1)
        return {"values": np.take_along_axis(rows, at, axis=1), "mask": np.packbits(mask, axis=1)}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return rows with zeros. Raises InputError for a mask that does not have as many ones as there are values."""
        mask = np.unpackbits(arrays["mask"], axis=1, count=self.vector_size).astype(np.bool_)
        if (mask.sum(axis=1) != self.kept).any():
            raise InputError(f"a row's mask does not hold {self.kept} values; fetch or write the file again")
        rows = np.zeros(mask.shape, dtype=np.float32)
        rows[mask] = arrays["values"].reshape(-1)
        return rows


def fit(passes: Passes, *, keep: float) -> Codec:
    """Return the codec that keeps a share of the values, at least one of a row. Raises InputError for no share."""
    if not 0 < keep <= 1:
        raise InputError(f"the share of values to keep must be above 0 and at most 1, not {keep}")
    with passes() as stream:
        return Codec(stream.vector_size, max(1, round(keep * stream.vector_size)))
