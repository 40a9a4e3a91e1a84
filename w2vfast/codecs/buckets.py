"""buckets: words that were trained in common rows (`--buckets`): the rows, and which of them is a word's.

Made by training, not by compressing: rows of words trained apart have nothing in common.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout
from w2vfast.errors import InputError


@dataclass(frozen=True)
class Codec:
    """`codes` int32: the number of a word's row in `table`."""

    vector_size: int
    table: NDArray[np.float32]  # [rows, D]

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or self.table.shape[1] != self.vector_size:
            raise ValueError(f"table is {self.table.shape}, which does not go with {self.vector_size} dimensions")

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"codes": (np.int32, (rows,))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Raise InputError: words are given their rows before training."""
        raise InputError("rows are shared by training with --buckets, not afterwards")

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the words' rows. Raises InputError for a number beyond the table."""
        codes = arrays["codes"]
        if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(self.table):
            raise InputError("a word's row is not in the file's table; fetch or write the file again")
        return np.ascontiguousarray(self.table[codes], dtype=np.float32)
