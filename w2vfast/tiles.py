"""How long a tile is, how many negatives it shares, and how many tokens are in flight, for a corpus and a backend.

docs/experiments.md has the measurements behind the constants; comments here name its sections.
"""

import math
from dataclasses import dataclass
from typing import Literal

from w2vfast.config import Config
from w2vfast.errors import InputError

# Centres of a tile. 64 score what 32 with as many negatives do, and move a fifth fewer rows a token; but on a GPU
# skip-gram's scores would not fit the registers, and torch multiplies each centre with its tile's whole halo.
# ("Tile length and shared words")
TILE = {"native": 64, "torch": 32, "triton": 32}
# CBOW's on GPUs that say so (kernels/triton/config.py), where no more than its least negatives are shared: four
# programs a processor instead of two, at the same quality. ("CBOW")
SHORT_TILE = 16
# A tile's mean weight on one negative row, lr * T * (W + 1) * K / N (CBOW: lr * T * K / N), at most. The default
# settings of skip-gram have just this. At window 10 twice as much costs two points of analogies. ("The lump", "Wide
# windows")
LARGEST_LUMP = {
    "sg": {"native": 1.5, "torch": 0.75, "triton": 0.75},
    "cbow": {"native": 0.75, "torch": 0.75, "triton": 0.75},
}
# Fewer updates than this in a whole run lose quality whatever the cap. ("Batches of a run")
FEWEST_BATCHES = 3000
# Below this many tokens or words a corpus is small: repeated words fill its tiles, and more negatives cost little.
# ("Small corpora")
SMALL_CORPUS = 1_000_000
SMALL_VOCABULARY = 2_000
SMALL_CORPUS_TILE = 32
SMALL_CORPUS_NEGATIVES = 64
# From this window on skip-gram's tiles are shorter, which is worth half a point of SimLex-999 at window 10. ("Wide
# windows")
WIDE_WINDOW = 8
WIDE_WINDOW_TILE = 16
# CBOW's negatives weigh W + 1 times less, so fewer do; in wide windows they are worth a point of analogies. ("Tile
# length and shared words", "CBOW", "Wide windows")
LEAST_NEGATIVES = {"sg": 32, "cbow": 16}
WIDE_WINDOW_NEGATIVES = 32
NEGATIVES_STEP = 16
# Each draw of the sampled softmax stands for V / N words: its noise, not its weight, sets N. On 3 M words of wiki18 64
# draws leave 8.26 nats a held-out pair of skip-gram where 32 leave 8.44 and 128 leave 8.2, negative sampling 8.18.
# ("Sampled softmax")
SAMPLED_SOFTMAX_NEGATIVES = 64
# The exact softmax reads and writes all of W_out once a tile, so long tiles are fast: 61 % of sgemm's peak at 64
# tokens, 69 % at 128, 73 % at 256; what is learnt is the same. A run has FEWEST_BATCHES all the same. ("Exact softmax")
SOFTMAX_TILE = 256
# Of a tree no negatives are shared. The longer the tile, the more of its targets pass a node, whose row then comes and
# goes once: 1.05 of the speed at 64 tokens. ("Tiles of hierarchical softmax")
TREE_TILE = 128
# (T, N) of --preset fast: past the bounds above, so quality gives a little (measured in benchmarks/results.csv; "Tile
# length and shared words", "CBOW").
FAST = {"sg": (64, 16), "cbow": (64, 8)}
# The part of a run that has early_negatives: half of them cost skip-gram nothing there, in the settings that were
# measured, over 70 M trained tokens; over 23 M they cost 0.7 points of analogies. ("Negatives that grow")
EARLY_SHARE = 0.5
EARLY_FROM = 60_000_000
# Tokens computed from one snapshot: as many as a batch needs to be worth its overhead on a CPU, a grid to fill a GPU.
# ("Tokens in flight")
MOST_IN_FLIGHT_CPU = 4096
MOST_IN_FLIGHT_GPU = 16384
# The same of native's deterministic runs. A batch's changes should stay in the caches: 16 tiles of 64 tokens write 1.2
# MB of them at 100 dimensions. ("Deterministic batches")
MOST_IN_FLIGHT_NATIVE = 1024
# Bytes that they may take where each tile changes all of W_out.
MOST_CHANGES = 1 << 28


@dataclass(frozen=True)
class TileSettings:
    """T, N (in a run's first part too), the tokens in flight, and what of the row cap's two counts a backend uses."""

    tile: int
    shared_negatives: int
    early_negatives: int
    tokens_in_flight: int
    row_cap: Literal["tile", "batch"]
    static_cap: bool


def lump(config: Config, tile: int, shared_negatives: int) -> float:
    """Return the mean weight that one shared negative's row receives from one tile at the initial learning rate."""
    targets = (config.window + 1 if config.shrink_windows else 2 * config.window) if config.mode == "sg" else 1
    return config.alpha * tile * targets * config.negatives / shared_negatives


def choose(
    config: Config,
    backend: str,
    device: str,
    trained_tokens: float,
    corpus_tokens: int,
    vocabulary: int,
    short_tiles: bool = False,
) -> TileSettings:
    """Return the settings for a run, taking the user's where given.

    `trained_tokens` is the expected number of tokens after subsampling over all epochs, `corpus_tokens` the corpus's,
    `vocabulary` its words; with `short_tiles` the device is faster at CBOW in tiles of SHORT_TILE.
    Raises InputError if the backend cannot honour the tokens in flight asked for.
    """
    tile, negatives = config.tile, config.shared_negatives
    small = corpus_tokens < SMALL_CORPUS or vocabulary < SMALL_VOCABULARY
    wide = config.window >= WIDE_WINDOW
    if config.preset == "fast":
        tile, negatives = tile or FAST[config.mode][0], negatives or FAST[config.mode][1]
    if negatives is None:
        least = WIDE_WINDOW_NEGATIVES if wide else LEAST_NEGATIVES[config.mode]
        least = SMALL_CORPUS_NEGATIVES if small else least
        least = SAMPLED_SOFTMAX_NEGATIVES if config.objective == "sampled-softmax" else least
        needed = lump(config, max(tile or 0, TILE[backend]), 1) / LARGEST_LUMP[config.mode][backend]
        negatives = min(1024, max(least, NEGATIVES_STEP * math.ceil(needed / NEGATIVES_STEP - 1e-9)))
    grow = trained_tokens >= EARLY_FROM and _grow(config, backend, small, negatives)
    early = config.early_negatives or (negatives // 2 if grow else negatives)
    if tile is None and wide and config.mode == "sg":
        tile = WIDE_WINDOW_TILE
    if tile is None and config.objective == "softmax":
        tile = max(SMALL_CORPUS_TILE, min(SOFTMAX_TILE, int(trained_tokens / FEWEST_BATCHES)) // 16 * 16)
    if tile is None and config.objective == "hierarchical-softmax" and backend == "native" and not small:
        tile = TREE_TILE
    if tile is None and short_tiles and config.mode == "cbow" and negatives <= LEAST_NEGATIVES["cbow"]:
        tile = SHORT_TILE
    tile = tile or (SMALL_CORPUS_TILE if small else TILE[backend])
    bound = max(tile, int(trained_tokens / FEWEST_BATCHES))
    if backend == "native" and config.deterministic:
        most = min(MOST_IN_FLIGHT_NATIVE // tile, _most_whole_tables(config, vocabulary))
        in_flight = config.tokens_in_flight or min(most * tile, bound)
        return TileSettings(tile, negatives, early, max(tile, in_flight // tile * tile), "batch", False)
    if backend == "native":
        in_flight = tile * config.workers
        if config.tokens_in_flight not in (None, in_flight):
            raise InputError(
                f"the native backend keeps one tile a worker in flight ({in_flight} tokens): "
                "drop --tokens-in-flight, or take --deterministic or the torch backend"
            )
        return TileSettings(tile, negatives, early, in_flight, "tile", config.workers > 1)
    most = MOST_IN_FLIGHT_GPU if backend == "triton" or device != "cpu" else MOST_IN_FLIGHT_CPU
    in_flight = config.tokens_in_flight or min(most, bound)
    in_flight = max(tile, in_flight // tile * tile)
    if backend == "triton":
        return TileSettings(tile, negatives, early, in_flight, "tile", True)
    return TileSettings(tile, negatives, early, in_flight, "batch", False)


def _grow(config: Config, backend: str, small: bool, negatives: int) -> bool:
    """Return whether N grows by itself: where that was measured, and the run's end is known."""
    return (
        (backend, config.mode, config.objective, config.preset) == ("native", "sg", "negative-sampling", "quality")
        and negatives == LEAST_NEGATIVES["sg"]
        and config.shared_negatives is None
        and config.bits is None
        and config.teacher is None
        and not small
        and config.window < WIDE_WINDOW
        and not config.keep_best
        and config.patience is None
    )


def _most_whole_tables(config: Config, vocabulary: int) -> int:
    """Return of how many tiles the changes fit memory, where an objective may change all of W_out in each."""
    if config.objective not in ("softmax", "class-softmax"):
        return MOST_IN_FLIGHT_NATIVE
    return max(1, MOST_CHANGES // (4 * vocabulary * config.vector_size))
