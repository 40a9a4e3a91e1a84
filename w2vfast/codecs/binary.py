"""binary: a bit a dimension, the sign; with a rotation the vectors' mean is taken off and the axes turned before.

Without: x / |x| is about sign(x) / sqrt(D). With mean m and rotation R of the unit rows: x / |x| is about
m + length * sign((x / |x| - m) R) R^T / sqrt(D), with the centred rows' mean length. R is found by iterative
quantisation: signs B of the rotated rows, then the R that brings rows nearest to B (orthogonal Procrustes), and again
(Gong & Lazebnik, "Iterative quantization: a Procrustean approach to learning binary codes", CVPR 2011).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.codecs import Arrays, Layout, Passes
from w2vfast.errors import InputError
from w2vfast.moments import moments, sample, unit

ROUNDS = 30
SAMPLE = 20_000  # rows; a rotation of 300 x 300 has 45,000 free angles, each row 300 numbers
SEED = 1


@dataclass(frozen=True)
class Codec:
    """`codes` uint8 [ceil(D / 8)]: numpy.packbits of what is above 0, so that Hamming distances rank as cosines do."""

    vector_size: int
    mean: NDArray[np.float32] | None = None  # [D]
    rotation: NDArray[np.float32] | None = None  # [D, D], orthogonal
    length: NDArray[np.float32] | None = None  # [1]

    def __post_init__(self) -> None:
        D = self.vector_size
        found = [None if a is None else a.shape for a in (self.mean, self.rotation, self.length)]
        if found not in ([None] * 3, [(D,), (D, D), (1,)]):
            raise ValueError(f"mean, rotation and length are {found}, which does not go with {D} dimensions")

    def layout(self, rows: int) -> Layout:
        """Return the dtype and shape of what so many rows become."""
        return {"codes": (np.uint8, (rows, -(-self.vector_size // 8)))}

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return codes."""
        if self.mean is not None and self.rotation is not None:
            turned: NDArray[Any] = (unit(rows) - self.mean) @ self.rotation
            rows = turned
        return {"codes": np.packbits(rows > 0, axis=1)}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the rows of length 1, or about 1, that signs stand for."""
        ones = np.unpackbits(arrays["codes"], axis=1, count=self.vector_size).astype(np.float32)
        signs: NDArray[Any] = (ones - np.float32(0.5)) * np.float32(2 * self.vector_size**-0.5)
        if self.mean is None or self.rotation is None or self.length is None:
            return signs
        rows: NDArray[np.float32] = signs @ (self.rotation.T * self.length) + self.mean
        return rows


def fit(passes: Passes, *, rotate: bool = False) -> Codec:
    """Return the codec, with a rotation learnt from the vectors if asked for. Raises InputError if it cannot be."""
    with passes() as stream:
        if not rotate:
            return Codec(stream.vector_size)
        rows = sample(stream, SAMPLE, SEED)
    with passes() as stream:
        mean = moments((unit(rows) for _, rows in stream.blocks), stream.vector_size).mean.astype(np.float32)
    centred = (unit(rows) - mean).astype(np.float64)
    length = np.sqrt(np.einsum("nd,nd->n", centred, centred)).mean()
    if not length > 1e-6:
        raise InputError("all vectors have the same direction: there is nothing to rotate; leave --rotate off")
    D = len(mean)
    rotation = np.linalg.qr(np.random.default_rng(SEED).normal(size=(D, D)))[0]
    for _ in range(ROUNDS):
        left, _, right = np.linalg.svd(centred.T @ np.sign(centred @ rotation))
        rotation = left @ right
    return Codec(D, mean, rotation.astype(np.float32), np.full(1, length, dtype=np.float32))
