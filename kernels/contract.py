"""What every backend is given and gives back: shapes, dtypes, the plan's random numbers, the checks.

A backend is a module of `w2vfast.kernels` with

    unavailable_reason() -> str | None          why it cannot run here, None where it can
    create_step(job, w_in, w_out, *, device, workers) -> Step

and a Step is what the trainer drives:

    train(chunks, first_rank, epoch) -> StepResult    train on these chunks, in this order; updates the tables in place
    plan(chunk, epoch) -> ChunkPlan                   the plan of one chunk, for parity tests
    tables() -> (w_in, w_out)                         float32 [V, D] on the host, in step with all that was trained

The plan. A *position* is an index into `Job.tokens`; a *chunk* is `chunk_size` consecutive positions (the last one may
be shorter). For a chunk in an epoch:

1. Position p is kept if word 0 of philox(p, purpose 0) <= keep_threshold[word].
2. Kept tokens are compacted. Token i has window radius 1 + mulhi(word 1 of philox(p, purpose 0), W), or W if
   `shrink_windows` is False. Token j is a target of token i if j != i, |j - i| <= radius_i (in kept tokens), and both
   belong to the same sentence and chunk. n_i is the number of i's targets.
3. Tile t of the chunk is the kept tokens t*T .. t*T + T - 1 (the last may be shorter). It has N shared negatives;
   negative j takes words 2*(j % 2) and 2*(j % 2) + 1 of philox((chunk << 32) | t, purpose 1, k = j // 2) as r0, r1:
   column = mulhi(r0, V); the negative is column if r1 < noise_prob[column], else noise_alias[column].
4. The tile's learning rate is alpha - (alpha - min_alpha) * done, with done = min(1, (epoch * n + rank * chunk_size +
   offset) / (epochs * n)); rank is the chunk's place in the epoch's order, offset the position in the chunk of the
   tile's first token.

philox(p, purpose, k) is Philox4x32-10 (Salmon et al., SC 2011) with key (lo32(seed), hi32(seed)) and counter
(lo32(p), hi32(p), epoch, purpose | k << 8). mulhi(a, b) = (a * b) >> 32.

The tile step. With V = W_in[centres], U = W_out[halo] and Neg = W_out[negatives], all as they were before the step:
reference.py is the definition, DESIGN.md the reasoning. lr * weight * (label - sigmoid(score)) is the gradient G:

    skip-gram   Score of centre t with target h: label 1, weight 1; with negative k: label 0, weight (n_t - e_tk) K / N,
                e_tk the number of t's targets that are the same word as negative k (taken as 0 unless target_mask).
    CBOW        h_t = sum of W_in over t's targets (divided by n_t if cbow_mean); tokens with n_t = 0 are skipped. Score
                of h_t with W_out[centre t]: label 1, weight 1; with negative k: label 0, weight K / N, or 0 where the
                negative is the centre. Every target's W_in row receives dh_t (divided by n_t unless cbow_mean):
                gensim's convention, not the true gradient.

loss = sum of weight * -log sigmoid(+score or -score), from the scores before the update; pairs = sum of n_t (skip-gram)
or the number of tokens with n_t > 0 (CBOW).

The row cap. Each row's summed step is scaled by min(1, cap / x), where x is the sum of lr * weight over all that
touches the row among what is computed from one snapshot (`row_cap` "tile": one tile; "batch": all tiles of a batch),
duplicates together: for a W_in row the n_t (1 + K) of its centres [CBOW: 1 + K for each window it is a target in]; for
a W_out row 1 a pair as target plus its weights as negative [CBOW: 1 as centre, its weights as negative]. With
`in_weight` and `out_weight` (expected weight in flight, float32 [V]) x is at least lr * that weight, lr the tile's.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

CHUNK_TOKENS = 4096
GROUP_TOKENS = 1 << 20  # positions planned at a time where the plan is made for many chunks at once
SENTENCE_END = np.int32(-(2**31))  # sign bit of a token id
ID_MASK = np.int32(2**31 - 1)

PURPOSE_TOKEN = 0  # counter p = position: word 0 subsampling, word 1 window radius
PURPOSE_NEGATIVE = 1  # p = chunk << 32 | tile ordinal, k = pair of negatives
PURPOSE_INITIAL = 2  # p = quad of elements of W_in
PURPOSE_ORDER = 3  # p = chunk

PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)
PHILOX_ROUNDS = 10

MAX_SHARED_NEGATIVES = 1024


def philox4x32(
    seed: int, c0: NDArray[np.integer], c1: NDArray[np.integer], c2: int, c3: NDArray[np.integer] | int
) -> NDArray[np.uint32]:
    """Return Philox4x32-10 of the counters (c0, c1, c2, c3) under the 64-bit key `seed`.

    The counters are broadcast together; each must lie in 0 .. 2^32 - 1. Returns uint32 [..., 4].
    Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, x2, x3 = (a.astype(np.uint64) for a in np.broadcast_arrays(*(np.asarray(c) for c in (c0, c1, c2, c3))))
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(PHILOX_ROUNDS):
        p0 = x0 * np.uint64(PHILOX_MULTIPLIERS[0])
        p1 = x2 * np.uint64(PHILOX_MULTIPLIERS[1])
        x0, x1, x2, x3 = (p1 >> shift) ^ x1 ^ np.uint64(k0), p1 & low, (p0 >> shift) ^ x3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + PHILOX_WEYL[0]) & 0xFFFFFFFF, (k1 + PHILOX_WEYL[1]) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=-1).astype(np.uint32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """Everything a backend needs beside the two tables; arrays are C-contiguous and never written."""

    tokens: NDArray[np.int32]  # [n] word ids, sign bit set on a sentence's last token; may be memory-mapped
    keep_threshold: NDArray[np.uint32]  # [V]
    noise_prob: NDArray[np.uint32]  # [V] alias table of the noise distribution
    noise_alias: NDArray[np.int32]  # [V]
    in_weight: NDArray[np.float32] | None  # [V] static row-cap weights of W_in, or None
    out_weight: NDArray[np.float32] | None  # [V] and of W_out
    mode: Literal["sg", "cbow"]
    cbow_mean: bool
    window: int  # W
    shrink_windows: bool
    negative: int  # K, negatives per pair
    tile: int  # T, centres of a tile
    shared_negatives: int  # N, negatives drawn for a tile
    tokens_in_flight: int  # tokens computed from one snapshot: torch batches, triton grids
    target_mask: bool
    cap: float  # C0
    row_cap: Literal["tile", "batch"]
    chunk_size: int
    seed: int
    epochs: int
    alpha: float
    min_alpha: float
    group_tokens: int = GROUP_TOKENS

    @property
    def chunks(self) -> int:
        """Number of chunks of the corpus."""
        return -(-len(self.tokens) // self.chunk_size)

    @property
    def tiles_in_flight(self) -> int:
        """Tiles computed from one snapshot of the tables."""
        return max(1, self.tokens_in_flight // self.tile)

    @property
    def chunks_in_group(self) -> int:
        """Chunks that batches of tiles are taken from: one a tile in flight, but `group_tokens` positions at most."""
        return max(1, min(self.tiles_in_flight, self.group_tokens // self.chunk_size))

    def learning_rate(self, epoch: int, rank: int, offset: int) -> float:
        """Return the learning rate of the tile that begins `offset` positions into the `rank`-th chunk of `epoch`."""
        n = len(self.tokens)
        done = min(1.0, (epoch * n + rank * self.chunk_size + offset) / (self.epochs * n))
        return self.alpha - (self.alpha - self.min_alpha) * done


@dataclass(frozen=True)
class StepResult:
    """What one call of `Step.train` did."""

    loss: float  # float64 sum over pairs and their negatives, before the updates
    pairs: int  # positive pairs (skip-gram) or windows (CBOW)
    trained: int  # tokens kept by subsampling

    def __add__(self, other: "StepResult") -> "StepResult":
        return StepResult(self.loss + other.loss, self.pairs + other.pairs, self.trained + other.trained)


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """The plan of one chunk in one epoch: the same on every backend, at equal T and N."""

    positions: NDArray[np.int64]  # [kept] of the kept tokens
    radius: NDArray[np.int32]  # [kept]
    negatives: NDArray[np.int32]  # [tiles, N]


class Step(Protocol):
    """A backend at work on one job; see the module's docstring."""

    def train(self, chunks: NDArray[np.int64], first_rank: int, epoch: int) -> StepResult:
        """Train on `chunks` (int64 [c], in visiting order); `first_rank` is the first one's place in the epoch."""

    def plan(self, chunk: int, epoch: int) -> ChunkPlan:
        """Return the plan of a chunk as this backend computes it."""

    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return W_in and W_out, float32 [V, D], on the host."""


def check(job: Job, w_in: NDArray[np.floating], w_out: NDArray[np.floating]) -> None:
    """Raise ValueError if the job or the tables are not as every backend relies on them to be."""
    V = len(job.keep_threshold)

    def require(holds: bool, message: str) -> None:
        if not holds:
            raise ValueError(message)

    require(w_in.ndim == 2 and w_in.shape == w_out.shape, f"tables differ: {w_in.shape} and {w_out.shape}")
    require(w_in.shape[0] == V and w_in.shape[1] >= 1, f"tables have {w_in.shape[0]} rows, the plan {V} words")
    require(V >= 2, "at least two words are needed")
    arrays = {
        "tokens": (job.tokens, np.int32, None),
        "keep_threshold": (job.keep_threshold, np.uint32, V),
        "noise_prob": (job.noise_prob, np.uint32, V),
        "noise_alias": (job.noise_alias, np.int32, V),
        "in_weight": (job.in_weight, np.float32, V),
        "out_weight": (job.out_weight, np.float32, V),
    }
    for name, (array, dtype, length) in arrays.items():
        if array is None:
            continue
        require(array.dtype == dtype and array.ndim == 1, f"{name} must be {np.dtype(dtype)}, one axis")
        require(length is None or len(array) == length, f"{name} must have {length} entries, not {len(array)}")
        require(array.flags.c_contiguous, f"{name} must be C-contiguous")
    require((job.in_weight is None) == (job.out_weight is None), "in_weight and out_weight go together")
    require(len(job.tokens) >= 1, "no tokens")
    require(job.mode in ("sg", "cbow"), f"unknown mode {job.mode!r}")
    require(job.row_cap in ("tile", "batch"), f"unknown row_cap {job.row_cap!r}")
    require(job.window >= 1 and job.negative >= 1 and job.tile >= 1, "window, negative and tile must be at least 1")
    require(
        1 <= job.shared_negatives <= MAX_SHARED_NEGATIVES,
        f"shared_negatives must be 1 to {MAX_SHARED_NEGATIVES}, not {job.shared_negatives}",
    )
    require(job.tokens_in_flight >= 1 and job.chunk_size >= 1 and job.epochs >= 1, "counts must be at least 1")
    require(job.cap > 0, "cap must be positive")
    require(0 <= job.seed < 2**64, "seed must fit 64 bits")


def check_ids(job: Job) -> None:
    """Raise ValueError if a token id lies outside the vocabulary (kernels index with it unchecked)."""
    V, block = len(job.keep_threshold), 1 << 16
    for start in range(0, len(job.tokens), block):
        if int((job.tokens[start : start + block] & ID_MASK).max()) >= V:
            raise ValueError(f"a token id from position {start} on is outside the vocabulary of {V} words")
    if not (int(job.noise_alias.min()) >= 0 and int(job.noise_alias.max()) < V):
        raise ValueError("noise_alias points outside the vocabulary")


def check_chunks(job: Job, chunks: NDArray[np.int64], first_rank: int, epoch: int) -> None:
    """Raise ValueError if a call of `Step.train` names chunks or an epoch that the job does not have."""
    if chunks.dtype != np.int64 or chunks.ndim != 1:
        raise ValueError("chunks must be int64, one axis")
    if len(chunks) and not (int(chunks.min()) >= 0 and int(chunks.max()) < job.chunks):
        raise ValueError(f"chunks must lie in 0 .. {job.chunks - 1}")
    if not (first_rank >= 0 and 0 <= epoch < 2**32):
        raise ValueError("first_rank and epoch must not be negative")
