"""Random numbers: Philox4x32-10, and the purposes that part its counters (kernels/contract.py, "The plan").

philox(p, purpose, k) has the key (lo32(seed), hi32(seed)) and the counter (lo32(p), hi32(p), draw_epoch,
purpose | k << 8), so that any word of any draw can be had without those before it.
Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import numpy as np
from numpy.typing import NDArray

PURPOSE_TOKEN = 0  # p = position: word 0 subsampling, word 1 window radius
PURPOSE_SHARED = 1  # p = chunk << 32 | tile ordinal, k = pair of shared words
PURPOSE_INITIAL = 2  # p = quad of elements of W_in
PURPOSE_ORDER = 3  # p = chunk

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


def philox4x32(
    seed: int, c0: NDArray[np.integer], c1: NDArray[np.integer], c2: int, c3: NDArray[np.integer] | int
) -> NDArray[np.uint32]:
    """Return Philox4x32-10 of the counters (c0, c1, c2, c3) under the 64-bit key `seed`.

    The counters are broadcast together; each must lie in 0 .. 2^32 - 1. Returns uint32 [..., 4].
    """
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, x2, x3 = (a.astype(np.uint64) for a in np.broadcast_arrays(*(np.asarray(c) for c in (c0, c1, c2, c3))))
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(ROUNDS):
        p0 = x0 * np.uint64(MULTIPLIERS[0])
        p1 = x2 * np.uint64(MULTIPLIERS[1])
        x0, x1, x2, x3 = (p1 >> shift) ^ x1 ^ np.uint64(k0), p1 & low, (p0 >> shift) ^ x3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=-1).astype(np.uint32)
