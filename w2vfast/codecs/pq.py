"""pq: product quantisation: a row is cut into M pieces, and each piece is the nearest of 256 learnt ones, a byte.

Rows have length 1 before, and are rotated so that the pieces carry equal shares (Jégou, Douze & Schmid, "Product
quantization for nearest neighbor search", PAMI 2011; Ge, He, Ke & Sun, "Optimized product quantization", CVPR 2013).
faiss learns pieces and rotation and finds the nearest; reading needs numpy alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Passes
from w2vfast.errors import InputError
from w2vfast.moments import sample, unit
from w2vfast.optional import require

PIECES = 256
SAMPLE = 256 * PIECES  # rows; faiss uses no more for 256 pieces
ROUNDS = 12  # of the rotation; see docs/smaller-vectors.md
SEED = 1


@dataclass(frozen=True)
class Codec:
    """`codes` uint8 [M]."""

    vector_size: int
    codebooks: NDArray[np.float32]  # [M, 256, S]
    rotation: NDArray[np.float32]  # [M S, D], orthonormal columns; M S is D or the next multiple of M

    def __post_init__(self) -> None:
        shape = self.codebooks.shape
        wide = shape[0] * shape[-1] if len(shape) == 3 else 0
        if len(shape) != 3 or shape[1] != PIECES or self.rotation.shape != (wide, self.vector_size):
            raise ValueError(f"codebooks {shape} do not go with a rotation {self.rotation.shape}")

    def layout(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Return the dtype and shape of what a row becomes."""
        return {"codes": (np.uint8, (len(self.codebooks),))}

    def encode(self, rows: NDArray[np.float32]) -> Arrays:
        """Return codes."""
        import faiss

        M, _, S = self.codebooks.shape
        quantiser = faiss.ProductQuantizer(M * S, M, 8)
        faiss.copy_array_to_vector(self.codebooks.reshape(-1), quantiser.centroids)
        return {"codes": quantiser.compute_codes(np.ascontiguousarray(unit(rows) @ self.rotation.T))}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the learnt pieces, rotated back."""
        codes = arrays["codes"]
        pieces = self.codebooks[np.arange(len(self.codebooks)), codes]  # [n, M, S]
        rows: NDArray[np.float32] = pieces.reshape(len(codes), -1) @ self.rotation
        return rows


def fit(passes: Passes, *, bytes_per_row: int | None = None) -> Codec:
    """Return the codec of M = `bytes_per_row` (ceil(D / 4): a sixteenth of float32) pieces.

    Raises InputError for more pieces than dimensions or fewer than one, for fewer rows than pieces to learn, and where
    faiss is missing.
    """
    require("faiss", "product quantisation", extra="faiss")
    with passes() as stream:
        D, rows = stream.vector_size, stream.rows
        M = -(-D // 4) if bytes_per_row is None else bytes_per_row
        if not 1 <= M <= D:
            raise InputError(f"a row of {D} dimensions is cut into 1 to {D} pieces of a byte, not {M}")
        if rows < PIECES:
            raise InputError(f"product quantisation learns {PIECES} pieces and needs as many rows, not {rows}")
        learnt_from = unit(sample(stream, SAMPLE, SEED))
    import faiss

    wide = -(-D // M) * M
    padded = np.pad(learnt_from, ((0, 0), (0, wide - D)))
    turn = faiss.OPQMatrix(wide, M)
    turn.niter = ROUNDS
    turn.train(padded)
    rotation = faiss.vector_to_array(turn.A).reshape(wide, wide)[:, :D]
    quantiser = faiss.ProductQuantizer(wide, M, 8)
    quantiser.cp.seed, quantiser.cp.max_points_per_centroid, quantiser.cp.min_points_per_centroid = SEED, PIECES, 1
    quantiser.train(np.ascontiguousarray(learnt_from @ rotation.T))
    codebooks = faiss.vector_to_array(quantiser.centroids).reshape(M, PIECES, wide // M)
    return Codec(D, codebooks.copy(), np.ascontiguousarray(rotation))
