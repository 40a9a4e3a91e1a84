"""The nearest rows to many queries by cosine: exact by blocks, or approximate by an index that lies beside the vectors.

Exact: blocks of unit rows that stay in the cache are multiplied with all queries by numpy's BLAS, which takes the
machine's threads. Of a block's scores only those above a query's worst so far are looked at again: few, once some
blocks have passed.

Approximate: faiss's inverted file (the extra w2vfast[faiss]). k-means parts the unit rows into lists, and a query looks
through those whose centres are nearest, at int8 rows (Jégou, Douze & Schmid, "Product quantization for nearest neighbor
search", PAMI 2011).
"""

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.eval.datasets import lengths
from w2vfast.files import PathLike, atomic_path
from w2vfast.formats import Vectors
from w2vfast.optional import require

BLOCK_ROWS = 2048
BLOCK_QUERIES = 256  # with 2,048 rows their scores take 2 MiB

SUFFIX = ".faiss"
LISTS = 4  # times the square root of the rows
SEARCHED = 1 / 16  # of the lists
SAMPLE = 64  # rows a list that k-means learns from
RECALL_WORDS = 200
SAME = 0.99  # least cosine of a row and the row that its index names as nearest, for nine rows of ten

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def exact(vectors: Vectors, queries: NDArray[np.float32], count: int) -> Found:
    """Return for each unit query, [Q, D], the `count` rows of largest cosine and these, both [Q, count].

    The largest come first, of equal ones the first row; all rows where there are fewer. Raises InputError for a vector
    without a direction.
    """
    norms = lengths(vectors)
    V, Q = len(norms), len(queries)
    count = min(count, V)
    rows = np.zeros((Q, 0), dtype=np.int64)
    cosines = np.zeros((Q, 0), dtype=np.float32)
    # Buffers: pages that the system hands out anew for each product cost as much as the comparison.
    buffer = np.empty((BLOCK_QUERIES, BLOCK_ROWS), dtype=np.float32)
    above = np.empty(buffer.shape, dtype=np.bool_)
    for start in range(0, V, BLOCK_ROWS):
        unit = vectors.vectors[start : start + BLOCK_ROWS] / norms[start : start + BLOCK_ROWS, None]
        if rows.shape[1] < count:  # too few yet: all are kept
            scores = queries @ unit.T
            here = np.broadcast_to(np.arange(start, start + len(unit)), scores.shape)
            rows, cosines = _best(np.hstack([rows, here]), np.hstack([cosines, scores]), count)
            continue
        for first in range(0, Q, BLOCK_QUERIES):
            part = slice(first, first + BLOCK_QUERIES)
            n = len(queries[part]) * len(unit)
            scores = buffer.reshape(-1)[:n].reshape(-1, len(unit))
            better = above.reshape(-1)[:n].reshape(scores.shape)
            np.matmul(queries[part], unit.T, out=scores)
            np.greater(scores, cosines[part, -1:], out=better)
            hit, column = np.divmod(np.flatnonzero(better), len(unit))
            if len(hit):
                _join(rows[part], cosines[part], hit, column + start, scores[hit, column])
    return rows, cosines


def _best(rows: NDArray[np.int64], cosines: NDArray[np.float32], count: int) -> Found:
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _join(
    rows: NDArray[np.int64],
    cosines: NDArray[np.float32],
    hit: NDArray[np.int64],
    new_rows: NDArray[np.int64],
    new_cosines: NDArray[np.float32],
) -> None:
    """Take candidates for the queries `hit`, which ascend, into the best so far, in place."""
    queries, begin, number = np.unique(hit, return_index=True, return_counts=True)
    at = np.repeat(np.arange(len(queries)), number), np.arange(len(hit)) - np.repeat(begin, number)
    more_rows = np.zeros((len(queries), number.max()), dtype=np.int64)
    more_cosines = np.full(more_rows.shape, -np.inf, dtype=np.float32)
    more_rows[at], more_cosines[at] = new_rows, new_cosines
    rows[queries], cosines[queries] = _best(
        np.hstack([rows[queries], more_rows]), np.hstack([cosines[queries], more_cosines]), rows.shape[1]
    )


class Index:
    """An approximate search over vectors; `recall` is the share of ten exact neighbours that it finds, 0 to 1.

    The recall is measured on 200 of the words, each time the index is opened.
    """

    def __init__(self, vectors: Vectors, path: PathLike) -> None:
        """Open the index that lies beside the vectors of `path`, or make and save one where there is none of them.

        `made` says whether it was. Raises InputError where faiss is missing, for a file that is no index, and for a
        vector without a direction.
        """
        require("faiss", "an index", extra="faiss")
        self.path = f"{os.fspath(path)}{SUFFIX}"
        rows = np.random.default_rng(1).choice(len(vectors.words), min(RECALL_WORDS, len(vectors.words)), replace=False)
        queries = vectors.vectors[rows] / lengths(vectors)[rows, None]
        opened = self._opened(vectors, queries) if os.path.exists(self.path) else None
        self.made = opened is None
        self._index: Any = self._build(vectors) if opened is None else opened
        found, _ = self.search(queries, 11)
        true, _ = exact(vectors, queries, 11)
        # A word is its own nearest: what else is found counts.
        shares = [
            len((set(mine) & set(right)) - {row}) / max(len(set(right) - {row}), 1)
            for mine, right, row in zip(found.tolist(), true.tolist(), rows.tolist(), strict=True)
        ]
        self.recall = float(np.mean(shares))

    def search(self, queries: NDArray[np.float32], count: int) -> Found:
        """Do as `exact`, approximately: rows that are not found are -1, with the cosine -1."""
        squares, rows = self._index.search(np.ascontiguousarray(queries), count)
        return rows, np.where(rows >= 0, 1 - squares / 2, -1).astype(np.float32)

    def _opened(self, vectors: Vectors, queries: NDArray[np.float32]) -> Any:
        """Return the saved index, None if it is one of other vectors."""
        import faiss

        try:
            index = faiss.read_index(self.path)
        except RuntimeError as error:
            raise InputError(f"{self.path}: no index of faiss; remove it, and it is made anew") from error
        if (index.ntotal, index.d) != vectors.shape:
            return None
        nearest = index.search(np.ascontiguousarray(queries), 1)[1][:, 0]
        own = vectors.vectors[nearest] / lengths(vectors)[nearest, None]
        return index if (np.einsum("nd,nd->n", own, queries) > SAME).mean() > 0.9 else None

    def _build(self, vectors: Vectors) -> Any:
        import faiss

        V, D = vectors.shape
        lists = max(1, min(LISTS * math.isqrt(V), V // 39))
        # The nearest unit rows by distance are those of largest cosine; lists by inner product would be uneven.
        index: Any = faiss.index_factory(D, f"IVF{lists},SQ8", faiss.METRIC_L2)
        index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = SAMPLE, 1
        index.nprobe = max(1, round(lists * SEARCHED))
        norms = lengths(vectors)
        chosen = np.sort(np.random.default_rng(1).choice(V, min(V, SAMPLE * lists), replace=False))
        index.train(vectors.vectors[chosen] / norms[chosen, None])
        step = 1 << 16
        for start in range(0, V, step):
            index.add(vectors.vectors[start : start + step] / norms[start : start + step, None])
        with atomic_path(self.path) as temporary:
            faiss.write_index(index, str(temporary))
        return index
