"""Compressed vectors in memory: read as `Vectors` are, a few rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Codec, shared
from w2vfast.vectors import BLOCK_ROWS, Block, VectorStream


@dataclass(frozen=True, eq=False)
class CompressedVectors:
    """Words with what a codec made of their rows.

    `words` has V distinct entries; `arrays` are those of `codec.layout(V)`; `counts` is int64 [V] or
    None. numpy and usearch take the int8 and binary codes (`arrays["codes"]`) as they are.
    """

    words: list[str]
    codec: Codec
    arrays: Arrays
    counts: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """V and D."""
        return len(self.words), self.codec.vector_size

    @property
    def nbytes(self) -> int:
        """The bytes of rows and shared arrays."""
        return sum(array.nbytes for array in (*self.arrays.values(), *shared(self.codec).values()))

    def rows(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the rows of some words, float32 [n, D]."""
        ids = np.asarray(ids)
        # Some arrays may end early: rows that are in all of them come first.
        least = min(map(len, self.arrays.values()))
        order = np.argsort(ids >= least, kind="stable")
        sorted_ids = ids[order]
        rows = np.empty((len(ids), self.codec.vector_size), dtype=np.float32)
        rows[order] = self.codec.decode(
            {name: array[sorted_ids[sorted_ids < len(array)]] for name, array in self.arrays.items()}
        )
        return rows

    def stream(self) -> VectorStream:
        """Return all rows as a stream."""

        def blocks() -> Iterator[Block]:
            for start in range(0, len(self.words), BLOCK_ROWS):
                ids = slice(start, start + BLOCK_ROWS)
                yield self.words[ids], self.codec.decode({name: array[ids] for name, array in self.arrays.items()})

        return VectorStream(*self.shape, blocks(), self.counts)
