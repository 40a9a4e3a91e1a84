"""Word vectors in memory: all at once, or as a stream of blocks of rows, so that they need not fit."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Block = tuple[list[str], NDArray[np.float32]]

BLOCK_ROWS = 4096
_FINITE_ROWS = 1 << 10  # looked at together, in the caches


@dataclass(frozen=True)
class Vectors:
    """Words with their vectors, most frequent first.

    `words` has V distinct entries; `vectors` is float32 [V, D], C-contiguous; `counts` is int64 [V], or None where the
    format does not hold them. Raises ValueError for other arrays; that the words differ is left to who makes them.
    """

    words: list[str]
    vectors: NDArray[np.float32]
    counts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32 or not self.vectors.flags.c_contiguous:
            raise ValueError("vectors must be a C-contiguous float32 array of shape [V, D]")
        if len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words do not go with {len(self.vectors)} vectors")
        if self.counts is not None and (self.counts.shape != (len(self.words),) or self.counts.dtype != np.int64):
            raise ValueError(f"counts must be an int64 array of shape [{len(self.words)}]")

    @property
    def shape(self) -> tuple[int, int]:
        """V and D."""
        V, D = self.vectors.shape
        return V, D

    def rows(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return a copy of the rows of some words, float32 [n, D]."""
        taken: NDArray[np.float32] = self.vectors[ids]
        return taken


@dataclass(frozen=True)
class VectorStream:
    """Rows to come: `blocks` yields (words, float32 [n, D]) once, `rows` of them in all, in the order of `Vectors`."""

    rows: int
    vector_size: int
    blocks: Iterator[Block]
    counts: NDArray[np.int64] | None = None


def collect(stream: VectorStream) -> Vectors:
    """Return all rows of a stream."""
    words: list[str] = []
    vectors = np.empty((stream.rows, stream.vector_size), dtype=np.float32)
    for block_words, block in stream.blocks:
        vectors[len(words) : len(words) + len(block_words)] = block
        words += block_words
    return Vectors(words, vectors, stream.counts)


def stream_of(vectors: Vectors, limit: int | None = None) -> VectorStream:
    """Return the first `limit` rows (all unless told) as a stream."""
    rows, size = vectors.vectors.shape
    rows = rows if limit is None else min(limit, rows)
    starts = range(0, rows, BLOCK_ROWS)
    ends = [min(start + BLOCK_ROWS, rows) for start in starts]
    blocks = ((vectors.words[a:b], vectors.vectors[a:b]) for a, b in zip(starts, ends, strict=True))
    return VectorStream(rows, size, blocks, None if vectors.counts is None else vectors.counts[:rows])


def all_finite(tables: Iterable[NDArray[np.float32]]) -> bool:
    """Return whether no table holds NaN or infinity; a table of 60 MB takes 4 ms of a processor."""
    starts = ((table, start) for table in tables for start in range(0, len(table), _FINITE_ROWS))
    return all(bool(np.isfinite(table[start : start + _FINITE_ROWS]).all()) for table, start in starts)
