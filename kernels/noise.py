"""The distribution that a tile's shared words are drawn from, as the alias table that every backend looks up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Walker's alias table of a distribution over the vocabulary; arrays are C-contiguous and never written.

    A column drawn uniformly stands for itself if a random 32-bit word is below its `prob`, else for its `alias`.
    """

    prob: NDArray[np.uint32]  # [V], in 1 / 2^32
    alias: NDArray[np.int32]  # [V]
    distribution: NDArray[np.float64]  # [V], what the two stand for

    def check(self, V: int) -> None:
        """Raise ValueError if the table is not one of V words, as kernels rely on it to be."""
        for name, dtype in (("prob", np.uint32), ("alias", np.int32), ("distribution", np.float64)):
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != (V,) or not array.flags.c_contiguous:
                raise ValueError(f"noise {name} must be {np.dtype(dtype)} [{V}], C-contiguous")
        if not (int(self.alias.min()) >= 0 and int(self.alias.max()) < V):
            raise ValueError("noise alias points outside the vocabulary")


def alias_table(distribution: NDArray[np.float64]) -> NoiseTable:
    """Return the table of a distribution, float64 [V] that sums to 1.

    Source: Vose, "A linear algorithm for generating random numbers with a given distribution", IEEE TSE 17(9), 1991.
    """
    V, one = len(distribution), 2**32
    scaled = (distribution * V).tolist()
    accept, alias = [1.0] * V, list(range(V))
    small = [i for i, p in enumerate(scaled) if p < 1.0]
    large = [i for i, p in enumerate(scaled) if p >= 1.0]
    while small and large:
        low, high = small.pop(), large[-1]
        accept[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    # What rounding has left over stands for itself; so does a full column, whose alias is itself.
    prob = np.minimum(np.floor(np.array(accept) * one), one - 1).astype(np.uint32)
    return NoiseTable(prob, np.array(alias, dtype=np.int32), np.ascontiguousarray(distribution, np.float64))
