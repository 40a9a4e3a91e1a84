"""What every backend is given and gives back: words, shapes, dtypes, the plan, the tile step, the checks.

A backend is a package of `w2vfast.kernels` whose module `step` has

    unavailable_reason() -> str | None          why it cannot run here, None where it can
    objectives() -> tuple[str, ...]             the objectives it has
    create_step(job, w_in, w_out, *, device, workers, precision) -> Step       raises Unsupported for what it cannot do

and a Step is what a run drives:

    train(visit) -> StepResult                          train on the visit's chunks, in its order; updates the tables
    plan(chunk, draw_epoch, shared_words) -> ChunkPlan  the plan of one chunk, for parity tests
    replace_tokens(tokens)                              train on other tokens from now on
    tables() -> (w_in, w_out)                           the arrays given, in step with all that was trained
    live() -> (w_in, w_out)                             the same where they are trained, for those who change them
    mined                                               where the objective mines: what was, to be read and given back

Words used alike in all backends:

    position    an index into the tokens; a *chunk* is `chunk_size` consecutive ones (the last may be shorter)
    tile        T consecutive kept tokens of a chunk, computed from one snapshot of the tables
    row         one left operand of a tile, a vector [D] made from W_in by the *input side*, and what it predicts
    inputs      the words whose W_in rows a row is made from
    targets     the words that a row predicts; n of them
    column      one right operand, a row of W_out
    shared      the columns that all rows of a tile are scored against; *shared words* where a tile draws them
    own pairs   (row, column) that are scored besides, each with a label and a weight
    W, K, N     window, negatives a pair, shared words a tile

The plan is everything random about a chunk in a pass over the corpus. Passes are told apart by `draw_epoch` alone.

1. Position p is kept if word 0 of philox(p, PURPOSE_TOKEN) <= keep_threshold[word].
2. Kept tokens are compacted. Token i has window radius 1 + mulhi(word 1 of philox(p, PURPOSE_TOKEN), W), or W if
   `shrink_windows` is False. Token j is in the window of token i if j != i, |j - i| <= radius_i (in kept tokens), and
   both belong to the same sentence and chunk.
3. Tile t of the chunk is the kept tokens t*T .. t*T + T - 1 (the last may be shorter). Where the objective has a noise
   table, the tile draws N shared words; word j takes words 2*(j % 2) and 2*(j % 2) + 1 of philox((chunk << 32) | t,
   PURPOSE_SHARED, k = j // 2) as r0, r1: column = mulhi(r0, V); the word is column if r1 < prob[column], else
   alias[column].
4. The tile's learning rate lr is start_rate - (start_rate - end_rate) * min(1, (done + offset) / total): `done` is the
   visit's for the chunk, offset the position in the chunk of the tile's first token.

philox is that of kernels/philox.py, its epoch word `draw_epoch`; mulhi(a, b) = (a * b) >> 32.

The tile step. reference.py is the definition, docs/design.md the reasoning. The input side makes the rows V [R, D];
with `in_row` W_in[t] is the row W_in[in_row[t]], which several words may share; with `bits` it is read as the levels
nearest to it (levels.py), and what it receives is added to it as it is:

    word (skip-gram)    A row for each token t with a window: W_in[t]. Its targets are the words in t's window. W_in[t]
                        receives the row's gradient.
    window (CBOW)       A row for each token t with a window: the sum of W_in over it (divided by its length if
                        cbow_mean). Its target is the word t. Every input's W_in row receives the row's gradient whole
                        (divided by the window's length unless cbow_mean): gensim's convention, not the true gradient.

The objective names the tile's columns, turns their scores (row . column, from the tables before the step) into
gradients G = weight * (label - prediction) and the loss, and says what each pair weighs in the row cap; it may
return a factor on the rows themselves. With U the columns, dV = lr (G U + factor V), dU = lr G^T V. Objectives are
`kernels/objectives/*.py`; each backend has one file an objective, chosen by its name. With `teacher` the labels of
negative sampling are soft (teacher.py).

Several steps may have some dimensions of all rows each. Only the scores join them: what each makes of its own is summed
over the steps (torch's `sum_scores`), and all else is as above.

An objective may ask for more of those that have it:

    FixedOut    W_out is given: its rows are scored against, but dU is not added to them.
    Mining      Skip-gram only. A row has, besides, pairs with the M columns mined for its word w: the rows c of W_out
                with the largest W_in[w] . W_out[c], largest first, the first of equals first, all as of the last
                snapshot of the tables. One is taken before a group of `chunks_in_group` chunks if done // mine_every
                of its first chunk is not what it was at the last snapshot, or if there was none: a place in the run,
                whatever the visits. With more than EXACT_MINING words a backend may search approximately.

loss is the objective's sum over own pairs and shared columns, from the scores before the update; pairs is the sum of n:
pairs of words in skip-gram, windows in CBOW.

The row cap. Each table row's summed step is scaled by min(1, cap / x), where x is the sum of lr * weight over all that
touches it among what is computed from one snapshot (`row_cap` "tile": one tile; "batch": all tiles of a batch),
duplicates together: for a W_in row n times the objective's `weight_per_pair` for each row that it is an input of, for a
W_out row the weights that the objective gives its pairs. With `in_weight` and `out_weight` (expected weight in flight)
x is at least lr * that weight, lr the tile's; a backend that keeps fewer tokens in flight than `tokens_in_flight` takes
as much less of it. With `in_scale` a W_in row's step, capped, is multiplied by the row's
scale: 0 freezes it (gensim's `vectors_lockf`).
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.levels import BITS
from w2vfast.kernels.mapped import blocks
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.teacher import Teacher

CHUNK_TOKENS = 4096  # docs/design.md, "The plan"
GROUP_TOKENS = 1 << 20  # positions planned at a time where the plan is made for many chunks at once
SENTENCE_END = np.int32(-(2**31))  # sign bit of a token id
ID_MASK = np.int32(2**31 - 1)
MAX_SHARED_WORDS = 1024
LOSS_UNIT = 2.0**-16  # the losses of batches in fixed order are summed in whole units: exactly, in any order, to 10^11
TAUGHT = "negative-sampling"  # the objective that a teacher goes with
EXACT_MINING = 50_000  # words; docs/experiments.md, "Mining"


class Unsupported(ValueError):
    """A job asks for what a backend cannot do, or cannot do on this device; the message names the remedy."""


@dataclass(frozen=True, eq=False)
class TileRow:
    """One row of a tile, as the reference sees it: word ids and the coefficients of the input side."""

    inputs: list[int]
    share: float  # the row is share * the sum of its inputs' vectors
    back: float  # what part of the row's gradient each input receives
    targets: list[int]
    mined: list[int] = field(default_factory=list)  # columns, where the objective mines


@dataclass(frozen=True, eq=False)
class Tile:
    """The rows of a tile, its shared words, and its learning rate; `tokens` counts those without a window too."""

    rows: list[TileRow]
    shared_words: list[int]
    learning_rate: float
    tokens: int
    left: NDArray[np.float64] | None = None  # [R, D] the rows' vectors, there when `Objective.gradient` is asked


@dataclass(frozen=True)
class OwnPair:
    """A row of a tile scored against a column of its own."""

    row: int
    column: int
    label: float
    weight: float


@dataclass(frozen=True, eq=False)
class Gradient:
    """What an objective makes of a tile's scores; R rows, P own pairs, S shared columns, all float64."""

    own: NDArray[np.float64]  # [P] weight * (label - prediction)
    shared: NDArray[np.float64]  # [R, S]
    own_weight: NDArray[np.float64]  # [P] in the row cap
    shared_weight: NDArray[np.float64]  # [R, S]
    loss: float
    factor: NDArray[np.float64] | None = None  # [R] times the row is added to the row's own gradient


class Objective(Protocol):
    """What a run trains: a frozen value with arrays of its own, and its mathematics in float64 for the reference."""

    @property
    def name(self) -> str:
        """The objective's name, with hyphens; `module_of` it is its file's in every backend."""

    @property
    def noise(self) -> NoiseTable | None:
        """What a tile's shared words are drawn from; None where nothing is drawn."""

    @property
    def weight_per_pair(self) -> float:
        """What one of a row's targets weighs in the row cap of its inputs."""

    def out_rows(self, V: int) -> int:
        """Return the rows of W_out for a vocabulary of V words."""

    def check(self, V: int) -> None:
        """Raise ValueError if the objective's arrays or settings are not as kernels rely on them to be."""

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the weight that W_out's rows are expected to have, float32 [out_rows].

        `pairs` is how often each word is a target among the tokens in flight, float64 [V].
        """

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """Return a tile's shared columns, rows of W_out in the order of its scores, and its own pairs."""

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return gradients, weights and loss from the scores of the own pairs [P] and the shared columns [R, S]."""


@runtime_checkable
class FixedOut(Protocol):
    """What else an objective has whose W_out is not trained."""

    @property
    def fixed_out(self) -> NDArray[np.float32]:
        """W_out, [out_rows, D], C-contiguous; the table given to a step may be this array itself."""


@runtime_checkable
class Mining(Protocol):
    """What else an objective has that rows are scored against columns mined for their words."""

    @property
    def mined(self) -> int:
        """M, the columns mined for a word, at most out_rows."""

    @property
    def mine_every(self) -> int:
        """Tokens of a run from one snapshot to the next."""


@dataclass(eq=False)
class Mined:
    """What was mined last: beside the tables, the state of a run of a `Mining` objective."""

    columns: NDArray[np.int32]  # [V, M]
    snapshot: int = -1  # done // mine_every when it was taken; -1 where nothing was mined yet

    @classmethod
    def nothing(cls, V: int, objective: Mining) -> "Mined":
        """Return the state that a run begins in."""
        return cls(np.zeros((V, objective.mined), np.int32))


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """Everything a backend needs beside the two tables; arrays are C-contiguous and never written."""

    tokens: NDArray[np.int32]  # [n] word ids, sign bit set on a sentence's last token; may be memory-mapped
    keep_threshold: NDArray[np.uint32]  # [V]
    objective: Objective
    in_weight: NDArray[np.float32] | None  # [in_rows] static row-cap weights of W_in, or None
    out_weight: NDArray[np.float32] | None  # [out_rows] and of W_out
    in_scale: NDArray[np.float32] | None = None  # [V] what each W_in row's steps are multiplied by, None for 1
    in_row: NDArray[np.int32] | None = None  # [V] which row of W_in is a word's, where words share; None: its own
    bits: int | None = None  # W_in is read as the levels of so many bits (levels.py), None for as it is
    teacher: Teacher | None = None  # what else makes labels
    mode: Literal["sg", "cbow"]
    cbow_mean: bool
    window: int  # W
    shrink_windows: bool
    tile: int  # T, tokens of a tile
    # Tokens computed from one snapshot: torch batches, triton grids (docs/experiments.md, "Tokens in flight").
    tokens_in_flight: int
    cap: float  # C0 (docs/experiments.md, "The row cap")
    row_cap: Literal["tile", "batch"]
    chunk_size: int
    seed: int
    group_tokens: int = GROUP_TOKENS

    @property
    def vocabulary(self) -> int:
        """V, the number of words."""
        return len(self.keep_threshold)

    @property
    def in_rows(self) -> int:
        """Rows of W_in: V, or where words share rows one more than the largest of their numbers."""
        return self.vocabulary if self.in_row is None else int(self.in_row.max()) + 1

    @property
    def tiles_in_flight(self) -> int:
        """Tiles computed from one snapshot of the tables."""
        return max(1, self.tokens_in_flight // self.tile)

    @property
    def chunks_in_group(self) -> int:
        """Chunks that batches of tiles are taken from: one a tile in flight, but `group_tokens` positions at most."""
        return max(1, min(self.tiles_in_flight, self.group_tokens // self.chunk_size))


@dataclass(frozen=True, kw_only=True, eq=False)
class Visit:
    """Chunks to train on, and where the run stands while it does: nothing here depends on how chunks are visited."""

    chunks: NDArray[np.int64]  # [c] in visiting order
    done: NDArray[np.int64]  # [c] tokens of `total` that the run had visited before each chunk
    total: int  # tokens of the whole run
    start_rate: float  # learning rate at the run's beginning
    end_rate: float  # and at its end
    draw_epoch: int  # what random numbers draw from; nothing else
    shared_words: int  # N, words drawn for a tile; 0 where the objective draws none

    def learning_rate(self, place: int, offset: int) -> float:
        """Return the learning rate of the tile that begins `offset` positions into the `place`-th chunk."""
        share = min(1.0, (int(self.done[place]) + offset) / self.total)
        return self.start_rate - (self.start_rate - self.end_rate) * share


@dataclass(frozen=True)
class StepResult:
    """What one call of `Step.train` did."""

    loss: float  # float64 sum, before the updates
    pairs: int  # pairs of words (skip-gram) or windows (CBOW)
    trained: int  # tokens kept by subsampling

    def __add__(self, other: "StepResult") -> "StepResult":
        return StepResult(self.loss + other.loss, self.pairs + other.pairs, self.trained + other.trained)


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """The plan of one chunk in one pass: the same on every backend, at equal T and N."""

    positions: NDArray[np.int64]  # [kept] of the kept tokens
    radius: NDArray[np.int32]  # [kept]
    shared_words: NDArray[np.int32]  # [tiles, N]


class Step(Protocol):
    """A backend at work on one job; see the module's docstring."""

    def train(self, visit: Visit) -> StepResult:
        """Train on a visit's chunks."""

    def plan(self, chunk: int, draw_epoch: int, shared_words: int) -> ChunkPlan:
        """Return the plan of a chunk as this backend computes it."""

    def replace_tokens(self, tokens: NDArray[np.int32]) -> None:
        """Train on `tokens` (as Job.tokens) from now on; everything else of the job stays."""

    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return W_in [V, D] and W_out [out_rows, D]: the arrays that the step was created with, brought up to date."""

    def live(self) -> tuple[Any, Any]:
        """Return both as arrays, or tensors of the device, that may be changed between two visits."""


def module_of(objective: str) -> str:
    """Return the name of an objective's module: underscores for hyphens, two of them for the comma of a pair."""
    return objective.replace("-", "_").replace(",", "__")


def objective_of(module: str) -> str:
    """Return the objective whose module it is."""
    return module.replace("__", ",").replace("_", "-")


def chunk_count(job: Job, tokens: NDArray[np.int32]) -> int:
    """Return the number of chunks of a token stream."""
    return -(-len(tokens) // job.chunk_size)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def check(job: Job, w_in: NDArray[np.floating], w_out: NDArray[np.floating]) -> None:
    """Raise ValueError if the job or the tables are not as every backend relies on them to be."""
    V = job.vocabulary
    _require(V >= 2, "at least two words are needed")
    job.objective.check(V)
    rows = job.objective.out_rows(V)
    if isinstance(job.objective, Mining):
        _require(job.mode == "sg", f"{job.objective.name} is skip-gram's: columns are mined for a row's one word")
        _require(1 <= job.objective.mined <= rows, f"{job.objective.mined} of {rows} columns cannot be mined")
        _require(job.objective.mine_every >= 1, "mine_every must be at least 1")
    _require(w_in.ndim == 2 and w_in.shape[1] >= 1, f"w_in must be [V, D], not {w_in.shape}")
    if job.in_row is not None:
        _require(job.in_row.dtype == np.int32 and job.in_row.shape == (V,), f"in_row must be int32 [{V}]")
        _require(job.in_row.flags.c_contiguous and int(job.in_row.min()) >= 0, "in_row must be C-contiguous, from 0 on")
        _require(not isinstance(job.objective, Mining), "columns are mined for words that have rows of their own")
    _require(w_in.shape[0] == job.in_rows, f"w_in has {w_in.shape[0]} rows, the plan {job.in_rows}")
    _require(
        w_out.shape == (rows, w_in.shape[1]), f"w_out is {w_out.shape}, the objective's is {(rows, w_in.shape[1])}"
    )
    if isinstance(job.objective, FixedOut):
        fixed = job.objective.fixed_out.shape
        _require(fixed == w_out.shape, f"w_out is {w_out.shape}, what {job.objective.name} gives is {fixed}")
    arrays = {
        "keep_threshold": (job.keep_threshold, np.uint32, V),
        "in_weight": (job.in_weight, np.float32, job.in_rows),
        "out_weight": (job.out_weight, np.float32, rows),
        "in_scale": (job.in_scale, np.float32, job.in_rows),
    }
    for name, (array, dtype, length) in arrays.items():
        if array is None:
            continue
        _require(array.dtype == dtype and array.ndim == 1, f"{name} must be {np.dtype(dtype)}, one axis")
        _require(len(array) == length, f"{name} must have {length} entries, not {len(array)}")
        _require(array.flags.c_contiguous, f"{name} must be C-contiguous")
    _require((job.in_weight is None) == (job.out_weight is None), "in_weight and out_weight go together")
    _require(job.bits is None or job.bits in BITS, f"bits must be 1, 2 or 8, not {job.bits}")
    if job.teacher is not None:
        _require(job.objective.name == TAUGHT, f"a teacher is for {TAUGHT}, not for {job.objective.name}")
        _require(job.in_row is None, "a teacher's rows are words', which must have rows of their own")
        job.teacher.check(V)
    _require(job.mode in ("sg", "cbow"), f"unknown mode {job.mode!r}")
    _require(job.row_cap in ("tile", "batch"), f"unknown row_cap {job.row_cap!r}")
    _require(job.window >= 1 and job.tile >= 1, "window and tile must be at least 1")
    _require(job.tokens_in_flight >= 1 and job.chunk_size >= 1, "counts must be at least 1")
    _require(job.cap > 0, "cap must be positive")
    _require(0 <= job.seed < 2**64, "seed must fit 64 bits")
    check_tokens(job, job.tokens)


def check_tokens(job: Job, tokens: NDArray[np.int32]) -> None:
    """Raise ValueError if tokens are not ids of the vocabulary (kernels index with them unchecked)."""
    _require(tokens.dtype == np.int32 and tokens.ndim == 1, "tokens must be int32, one axis")
    _require(tokens.flags.c_contiguous, "tokens must be C-contiguous")
    _require(len(tokens) >= 1, "no tokens")
    V = job.vocabulary
    for start, block in blocks(tokens, 1 << 16):
        if int((block & ID_MASK).max()) >= V:
            raise ValueError(f"a token id from position {start} on is outside the vocabulary of {V} words")


def check_visit(job: Job, tokens: NDArray[np.int32], visit: Visit) -> None:
    """Raise ValueError if a visit names chunks that the tokens do not have, or numbers that mean nothing."""
    for name in ("chunks", "done"):
        array = getattr(visit, name)
        _require(array.dtype == np.int64 and array.ndim == 1, f"{name} must be int64, one axis")
        _require(array.flags.c_contiguous, f"{name} must be C-contiguous")
    _require(len(visit.chunks) == len(visit.done), "chunks and done must be as long as each other")
    if len(visit.chunks):
        chunks = chunk_count(job, tokens)
        inside = int(visit.chunks.min()) >= 0 and int(visit.chunks.max()) < chunks
        _require(inside, f"chunks must lie in 0 .. {chunks - 1}")
        _require(int(visit.done.min()) >= 0, "done must not be negative")
    _require(visit.total >= 1, "total must be at least 1")
    _require(bool(np.isfinite([visit.start_rate, visit.end_rate]).all()), "learning rates must be finite")
    check_draws(job, visit.draw_epoch, visit.shared_words)


def check_chunk(job: Job, tokens: NDArray[np.int32], chunk: int, draw_epoch: int, shared_words: int) -> None:
    """Raise ValueError if there is no such chunk to plan."""
    chunks = chunk_count(job, tokens)
    _require(0 <= chunk < chunks, f"chunks must lie in 0 .. {chunks - 1}")
    check_draws(job, draw_epoch, shared_words)


def check_draws(job: Job, draw_epoch: int, shared_words: int) -> None:
    """Raise ValueError if a plan cannot be drawn for this pass with so many shared words."""
    _require(0 <= draw_epoch < 2**32, "draw_epoch must fit 32 bits")
    most = MAX_SHARED_WORDS if job.objective.noise is not None else 0
    least = min(1, most)
    _require(
        least <= shared_words <= most,
        f"{job.objective.name} shares {least} to {most} drawn words a tile, not {shared_words}",
    )
