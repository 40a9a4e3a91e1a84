"""pq: product quantisation: a row is cut into M pieces, and each piece is the nearest of 256 learnt ones, a byte.

Rows have length 1 before. They are turned to their principal axes, dealt out so that the pieces vary alike (Jégou,
Douze & Schmid, "Product quantization for nearest neighbor search", PAMI 2011; the turn is the parametric solution of
Ge, He, Ke & Sun, "Optimized product quantization", CVPR 2013). What is left of the first F rows, the most frequent
words, is quantised once more in the same way: words are not used alike, and bytes go where they are read.

faiss learns the pieces and finds the nearest; reading needs numpy alone.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes
from w2vfast.errors import InputError
from w2vfast.moments import moments, sample, unit
from w2vfast.optional import require
from w2vfast.vectors import Block, VectorStream

PIECES = 256
SAMPLE = 256 * PIECES  # rows; faiss's k-means takes no more for 256 pieces
FREQUENT = 0.375  # share of the rows that are quantised twice
COARSE = 0.5  # share of the bytes that the first quantisation gets, of all rows
ROUNDS = 20  # of k-means
SEED = 1


@dataclass(frozen=True)
class Codec:
    """`codes` uint8 [M], and of the first `frequent` rows `finer_codes` uint8 [N] too.

    Codebooks are [M, 256, S]; turns [M S, D] with orthonormal columns, M S being D or the next multiple of M.
    """

    vector_size: int
    frequent: int
    codebooks: NDArray[np.float32]
    turn: NDArray[np.float32]
    finer_codebooks: NDArray[np.float32]
    finer_turn: NDArray[np.float32]

    def __post_init__(self) -> None:
        for books, turn in self._stages().values():
            wide = books.shape[0] * books.shape[-1]
            if books.ndim != 3 or books.shape[1] != PIECES or turn.shape != (wide, self.vector_size):
                raise ValueError(f"codebooks {books.shape} do not go with a turn {turn.shape}")

    def _stages(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return {"codes": (self.codebooks, self.turn), "finer_codes": (self.finer_codebooks, self.finer_turn)}

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        first = min(rows, self.frequent)
        return {
            "codes": (np.uint8, (rows, len(self.codebooks))),
            "finer_codes": (np.uint8, (first, len(self.finer_codebooks))),
        }

    def encode(self, rows: NDArray[np.float32], start: int) -> Arrays:
        """Return codes of rows from row `start` on."""
        rest, arrays = unit(rows), {}
        for name, (books, turn) in self._stages().items():
            arrays[name] = _nearest(rest, books, turn)
            rest = (rest - _read(arrays[name], books, turn))[: max(0, self.frequent - start)]
        return arrays

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the learnt pieces, turned back; the first rows, of which there are finer codes, get those added."""
        rows = _read(arrays["codes"], self.codebooks, self.turn)
        finer = arrays["finer_codes"]
        rows[: len(finer)] += _read(finer, self.finer_codebooks, self.finer_turn)
        return rows


def _nearest(rows: NDArray[np.float32], books: NDArray[np.float32], turn: NDArray[np.float32]) -> NDArray[np.uint8]:
    import faiss

    M, _, S = books.shape
    if not len(rows):
        return np.zeros((0, M), dtype=np.uint8)
    quantiser = faiss.ProductQuantizer(M * S, M, 8)
    faiss.copy_array_to_vector(np.ascontiguousarray(books).reshape(-1), quantiser.centroids)
    codes: NDArray[np.uint8] = quantiser.compute_codes(np.ascontiguousarray(rows @ turn.T))
    return codes


def _read(codes: NDArray[np.uint8], books: NDArray[np.float32], turn: NDArray[np.float32]) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = books[np.arange(len(books)), codes].reshape(len(codes), turn.shape[0]) @ turn
    return rows


def fit(passes: Passes, *, bytes_per_row: int | None = None, frequent: float = FREQUENT) -> Codec:
    """Return the codec with `bytes_per_row` (D / 4, a sixteenth of float32) in the mean, of which all rows get half.

    The share `frequent` of the rows gets what is left; with 0 all rows get all. Raises InputError for more pieces than
    dimensions or fewer than one, for fewer rows than pieces to learn, and where faiss is missing.
    """
    require("faiss", "product quantisation", extra="faiss")
    if not 0 <= frequent <= 1:
        raise InputError(f"the share of frequent words must be from 0 to 1, not {frequent}")
    with passes() as stream:
        D, V = stream.vector_size, stream.rows
        first = round(frequent * V)
        given = max(1, D // 4) if bytes_per_row is None else bytes_per_row
        M = round(COARSE * given) if first else given
        N = min(D, int((given - M) * V / first)) if first else 0
        if not 1 <= M <= D:
            least = 2 if first else 1
            raise InputError(f"a row of {D} dimensions takes {least} to {least * D} bytes here, not {given}")
        if max(first, 1 if first else V) < PIECES:
            raise InputError(f"product quantisation learns {PIECES} pieces and needs more rows than {V}; take int8")
        learnt_from = unit(sample(stream, SAMPLE, SEED))
    codebooks, turn = _learn(learnt_from, M)
    if not first:
        none = np.zeros((0, PIECES, 1), dtype=np.float32), np.zeros((0, D), dtype=np.float32)
        return Codec(D, 0, codebooks, turn, *none)
    with passes() as stream:
        head = unit(sample(_first(stream, first), SAMPLE, SEED))
    return Codec(D, first, codebooks, turn, *_learn(head - _read(_nearest(head, codebooks, turn), codebooks, turn), N))


def _first(stream: VectorStream, rows: int) -> VectorStream:
    def blocks() -> Iterator[Block]:
        left = rows
        for words, block in stream.blocks:
            yield words[:left], block[:left]
            left -= len(block[:left])
            if not left:
                return

    return replace(stream, rows=rows, blocks=blocks())


def _learn(rows: NDArray[np.float32], M: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return codebooks of M pieces and the turn before."""
    import faiss

    D = rows.shape[1]
    S = -(-D // M)
    variances, axes = np.linalg.eigh(moments([rows], D).covariance)
    # Axes are dealt out from the largest: each to the piece that holds least so far, of those with room.
    logs = np.log(np.maximum(variances, 1e-12 * variances.max() + 1e-30))
    logs -= logs.min()  # then a piece grows with each axis
    turn = np.zeros((M * S, D), dtype=np.float32)
    pieces = [(0.0, piece, 0) for piece in range(M)]
    for axis in np.argsort(-variances).tolist():
        held, piece, taken = heapq.heappop(pieces)
        turn[piece * S + taken] = axes[:, axis]
        if taken + 1 < S:
            heapq.heappush(pieces, (held + logs[axis] + 1e-9, piece, taken + 1))
    quantiser = faiss.ProductQuantizer(M * S, M, 8)
    quantiser.cp.seed, quantiser.cp.niter = SEED, ROUNDS
    quantiser.cp.max_points_per_centroid, quantiser.cp.min_points_per_centroid = SAMPLE // PIECES, 1
    quantiser.train(np.ascontiguousarray(rows @ turn.T))
    return faiss.vector_to_array(quantiser.centroids).reshape(M, PIECES, S).copy(), turn
