"""How long a tile is, how many negatives it shares, and how many tokens are in flight, for a corpus and a backend.

EXPERIMENTS.md has the measurements behind the constants.
"""

import math
from dataclasses import dataclass
from typing import Literal

from w2vfast.config import Config

# A tile's mean weight on one negative row, lr * T * (W + 1) * K / N: above this quality falls behind gensim's.
LARGEST_LUMP = 1.5
# Fewer updates than this in a whole run lose quality whatever the cap.
FEWEST_BATCHES = 3000
# Below this many tokens a corpus is small: repeated words fill its tiles, and more negatives cost little.
SMALL_CORPUS = 1_000_000
NEGATIVES_STEP = 16


@dataclass(frozen=True)
class TileSettings:
    """T, N, the tokens in flight, and what of the row cap's two counts a backend uses."""

    tile: int
    shared_negatives: int
    tokens_in_flight: int
    row_cap: Literal["tile", "batch"]
    static_cap: bool


def lump(config: Config, tile: int, shared_negatives: int) -> float:
    """Return the mean weight that one shared negative's row receives from one tile at the initial learning rate."""
    targets = (config.window + 1 if config.shrink_windows else 2 * config.window) if config.mode == "sg" else 1
    return config.alpha * tile * targets * config.negative / shared_negatives


def choose(config: Config, backend: str, device: str, trained_tokens: float, corpus_tokens: int) -> TileSettings:
    """Return the settings for a run, taking the user's where given.

    `trained_tokens` is the expected number of tokens after subsampling over all epochs, `corpus_tokens` the corpus's.
    """
    small = corpus_tokens < SMALL_CORPUS
    tile = config.tile or 32
    negatives = config.shared_negatives
    if negatives is None:
        least = 64 if small else 32
        needed = lump(config, tile, 1) / LARGEST_LUMP
        negatives = min(1024, max(least, NEGATIVES_STEP * math.ceil(needed / NEGATIVES_STEP)))
    if backend == "native":
        in_flight = tile * config.workers
        return TileSettings(tile, negatives, in_flight, "tile", config.workers > 1)
    most = 16384 if backend == "triton" or device != "cpu" else 4096
    bound = max(tile, int(trained_tokens / FEWEST_BATCHES))
    in_flight = config.tokens_in_flight or min(most, bound)
    in_flight = max(tile, in_flight // tile * tile)
    if backend == "triton":
        return TileSettings(tile, negatives, in_flight, "tile", True)
    return TileSettings(tile, negatives, in_flight, "batch", False)
