"""What objectives share that tell a row's targets from K draws a pair: columns that are words, and their weights."""

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import OwnPair, Tile
from w2vfast.kernels.noise import NoiseTable


def check(noise: NoiseTable, negative: int, V: int) -> None:
    """Raise ValueError if K is below 1 or the noise is not of V words."""
    if negative < 1:
        raise ValueError(f"negative must be at least 1, not {negative}")
    noise.check(V)


def columns(tile: Tile) -> tuple[list[int], list[OwnPair]]:
    """Return the tile's shared words, and each row's targets with label and weight 1."""
    own = [OwnPair(r, target, 1.0, 1.0) for r, row in enumerate(tile.rows) for target in row.targets]
    return tile.shared_words, own


def shared_weight(tile: Tile, negative: int, mask: bool) -> NDArray[np.float64]:
    """Return n K / N, float64 [R, N]; with `mask` n is less those of the row's targets that the word is."""
    share = negative / len(tile.shared_words)
    weight = np.empty((len(tile.rows), len(tile.shared_words)))
    for r, row in enumerate(tile.rows):
        for j, word in enumerate(tile.shared_words):
            weight[r, j] = share * (len(row.targets) - (row.targets.count(word) if mask else 0))
    return weight


def static_out_weight(noise: NoiseTable, negative: int, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the expected weight of each word, float32 [V]: 1 a pair as target, and K a pair as the noise has it."""
    weight: NDArray[np.float64] = pairs + negative * pairs.sum() * noise.distribution
    return weight.astype(np.float32)
