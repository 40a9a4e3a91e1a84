"""The definition of correct: plan, tile step, row cap and loss in plain loops, in float64. Slow; for tests only.

Shares nothing with the backends but the contract's shapes, its random numbers, and the objective's own mathematics.
`train` visits tiles as the torch backend does: chunks in groups of `chunks_in_group`, within a group by (tile ordinal,
place of the chunk), in batches of `tiles_in_flight`; with one tile in flight this is chunk by chunk, tile by tile, the
order of the native backend.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import (
    ID_MASK,
    ChunkPlan,
    FixedOut,
    Gradient,
    Job,
    Mined,
    Mining,
    OwnPair,
    StepResult,
    Tile,
    TileRow,
    Visit,
)
from w2vfast.kernels.levels import levels_of
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.philox import PURPOSE_SHARED, PURPOSE_TOKEN, philox4x32
from w2vfast.kernels.teacher import Teacher


def _mulhi(a: int, b: int) -> int:
    return (a * b) >> 32


def plan(
    job: Job, chunk: int, draw_epoch: int, shared_words: int, tokens: NDArray[np.int32] | None = None
) -> ChunkPlan:
    """Return the plan of a chunk of `tokens` (the job's by default)."""
    tokens = job.tokens if tokens is None else tokens
    positions, radius = [], []
    for p in range(chunk * job.chunk_size, min((chunk + 1) * job.chunk_size, len(tokens))):
        word = int(tokens[p]) & int(ID_MASK)
        draw = philox4x32(job.seed, np.array(p & 0xFFFFFFFF), np.array(p >> 32), draw_epoch, PURPOSE_TOKEN).tolist()
        if draw[0] <= int(job.keep_threshold[word]):
            positions.append(p)
            radius.append(1 + _mulhi(draw[1], job.window) if job.shrink_windows else job.window)
    tiles = -(-len(positions) // job.tile)
    noise = job.objective.noise
    drawn = [
        [_draw(job.seed, noise, chunk, tile, j, draw_epoch) for j in range(shared_words)] if noise is not None else []
        for tile in range(tiles)
    ]
    return ChunkPlan(
        np.array(positions, np.int64),
        np.array(radius, np.int32),
        np.array(drawn, np.int32).reshape(tiles, shared_words),
    )


def _draw(seed: int, noise: NoiseTable, chunk: int, tile: int, j: int, draw_epoch: int) -> int:
    words = philox4x32(seed, np.array(tile), np.array(chunk), draw_epoch, PURPOSE_SHARED | (j // 2) << 8).tolist()
    r0, r1 = words[2 * (j % 2) : 2 * (j % 2) + 2]
    column = _mulhi(r0, len(noise.prob))
    return column if r1 < int(noise.prob[column]) else int(noise.alias[column])


def tiles_of(
    job: Job, visit: Visit, place: int, tokens: NDArray[np.int32] | None = None, mined: Mined | None = None
) -> list[Tile]:
    """Return the tiles of the `place`-th chunk of a visit, its windows found by walking out from each token."""
    tokens = job.tokens if tokens is None else tokens
    chunk = int(visit.chunks[place])
    chunk_plan = plan(job, chunk, visit.draw_epoch, visit.shared_words, tokens)
    kept = chunk_plan.positions.tolist()
    words = [int(tokens[p]) & int(ID_MASK) for p in kept]
    sentence, sentence_of = 0, {}
    for p in range(chunk * job.chunk_size, min((chunk + 1) * job.chunk_size, len(tokens))):
        sentence_of[p] = sentence
        sentence += int(tokens[p] < 0)
    tiles = []
    for ordinal, start in enumerate(range(0, len(kept), job.tile)):
        members = range(start, min(start + job.tile, len(kept)))
        rows = []
        for i in members:
            r = int(chunk_plan.radius[i])
            near = [j for j in range(i - r, i + r + 1) if 0 <= j < len(kept) and j != i]
            window = [words[j] for j in near if sentence_of[kept[j]] == sentence_of[kept[i]]]
            if window:
                of_word = mined.columns[words[i]].tolist() if mined is not None else []
                rows.append(replace(_row(job, words[i], window), mined=of_word))
        rate = visit.learning_rate(place, kept[start] - chunk * job.chunk_size)
        tiles.append(Tile(rows, chunk_plan.shared_words[ordinal].tolist(), rate, len(members)))
    return tiles


def _row(job: Job, word: int, window: list[int]) -> TileRow:
    """Return the row of a token: the input side of the tile."""

    def row_of(word: int) -> int:
        return word if job.in_row is None else int(job.in_row[word])

    if job.mode == "sg":
        return TileRow([row_of(word)], 1.0, 1.0, window)
    one_nth = 1.0 / len(window)
    return TileRow(
        [row_of(input) for input in window],
        one_nth if job.cbow_mean else 1.0,
        1.0 if job.cbow_mean else one_nth,
        [word],
    )


@dataclass(eq=False)
class Side:
    """Summed steps of one table's rows, and the lr * weight that the cap divides by."""

    steps: dict[int, NDArray[np.floating]] = field(default_factory=dict)
    weights: dict[int, float] = field(default_factory=dict)

    def add(self, row: int, step: NDArray[np.floating], weight: float) -> None:
        """Account for one step of a row and what it weighs."""
        self.steps[row] = self.steps.get(row, 0) + step
        self.weights[row] = self.weights.get(row, 0.0) + weight


@dataclass(frozen=True, eq=False)
class Updates:
    """What one tile would do to each table, and its loss."""

    w_in: Side
    w_out: Side
    loss: float


def _soften(
    teacher: Teacher,
    tile: Tile,
    own: tuple[list[OwnPair], NDArray[np.float64]],
    shared: tuple[list[int], NDArray[np.float64]],
    g: Gradient,
) -> Gradient:
    """Return the gradient with a teacher's labels from that with hard ones; pairs and columns come with scores."""

    def moved(row: TileRow, column: int, label: float) -> float:
        """Return the soft label less the hard one."""
        if not all(teacher.known[word] for word in [*row.inputs, column]):
            return 0.0
        scores = [
            row.share * w_in[row.inputs].astype(np.float64).sum(axis=0) @ w_out[column]
            for w_in, w_out in teacher.models
        ]
        soft = np.mean([1 / (1 + np.exp(-score / teacher.temperature)) for score in scores])
        return teacher.weight * (float(soft) - label)

    of_own = g.own_weight * [moved(tile.rows[pair.row], pair.column, pair.label) for pair in own[0]]
    of_shared = g.shared_weight * [[moved(row, column, 0.0) for column in shared[0]] for row in tile.rows]
    loss = g.loss - float((of_own * own[1]).sum()) - float((of_shared * shared[1]).sum())
    return replace(g, own=g.own + of_own, shared=g.shared + of_shared, loss=loss)


def bfloat16(values: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Return values rounded to the nearest bfloat16, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).astype(np.float64)


def tile_updates(
    job: Job, tile: Tile, w_in: NDArray[np.floating], w_out: NDArray[np.floating], precision: str = "float32"
) -> Updates:
    """Return the uncapped updates of one tile, pair by pair, from the tables as they are.

    With `precision` "bfloat16" rows are rounded where scores are computed, and with lr * G where shared pairs step
    rows; own pairs step rows as they are.
    """
    rounded: Any = bfloat16 if precision == "bfloat16" else lambda values: values
    up, lr = Updates(Side(), Side(), 0.0), tile.learning_rate
    if not tile.rows:
        return up
    levels = levels_of(job.bits, w_in.shape[1]) if job.bits is not None else None

    def read(word: int) -> NDArray[np.floating]:
        return levels.nearest(w_in[word]) if levels is not None else w_in[word]

    left = np.array([row.share * np.sum([read(word) for word in row.inputs], axis=0) for row in tile.rows])
    tile = replace(tile, left=left.astype(np.float64))
    shared, own = job.objective.columns(tile)
    own_scores = np.array([float(rounded(left[pair.row]) @ rounded(w_out[pair.column])) for pair in own])
    shared_scores = np.array(
        [[float(rounded(vector) @ rounded(w_out[column])) for column in shared] for vector in left]
    )
    g = job.objective.gradient(tile, own, own_scores, shared_scores)
    if job.teacher is not None:
        g = _soften(job.teacher, tile, (own, own_scores), (shared, shared_scores), g)
    d_left = [(g.factor[r] if g.factor is not None else 0.0) * lr * vector for r, vector in enumerate(left)]
    for p, pair in enumerate(own):
        d_left[pair.row] = d_left[pair.row] + lr * g.own[p] * w_out[pair.column]
        up.w_out.add(pair.column, lr * g.own[p] * left[pair.row], lr * float(g.own_weight[p]))
    for r in range(len(tile.rows)):
        for s, column in enumerate(shared):
            step = rounded(lr * g.shared[r, s])
            d_left[r] = d_left[r] + step * rounded(w_out[column])
            up.w_out.add(column, step * rounded(left[r]), lr * float(g.shared_weight[r, s]))
    for row, step in zip(tile.rows, d_left, strict=True):
        for word in row.inputs:
            up.w_in.add(word, row.back * step, lr * len(row.targets) * job.objective.weight_per_pair)
    return Updates(up.w_in, up.w_out, g.loss)


def apply(
    job: Job, batch: list[Tile], w_in: NDArray[np.floating], w_out: NDArray[np.floating], precision: str = "float32"
) -> StepResult:
    """Compute every tile of a batch from one snapshot, cap its rows, and update the tables in place."""
    results = [tile_updates(job, tile, w_in, w_out, precision) for tile in batch]
    sides = (
        (w_in, [up.w_in for up in results], job.in_weight, job.in_scale),
        (w_out, [up.w_out for up in results], job.out_weight, None),
    )
    for table, updates, static, scale in sides:
        in_batch: dict[int, float] = {}
        for side in updates:
            for row, weight in side.weights.items():
                in_batch[row] = in_batch.get(row, 0.0) + weight
        for tile, side in zip(batch, updates, strict=True):
            if table is w_out and isinstance(job.objective, FixedOut):
                continue
            for row, step in side.steps.items():
                x = side.weights[row] if job.row_cap == "tile" else in_batch[row]
                if static is not None:
                    x = max(x, tile.learning_rate * float(static[row]))
                capped = step * (min(1.0, job.cap / x) if x > 0 else 1.0)
                table[row] += capped * (float(scale[row]) if scale is not None else 1.0)
    pairs = sum(len(row.targets) for tile in batch for row in tile.rows)
    return StepResult(sum(up.loss for up in results), pairs, sum(tile.tokens for tile in batch))


def mine(objective: Mining, done: int, w_in: NDArray[np.floating], w_out: NDArray[np.floating], mined: Mined) -> None:
    """Mine each word's columns anew if a snapshot is due with `done` tokens visited."""
    snapshot = done // objective.mine_every
    if snapshot == mined.snapshot:
        return
    mined.snapshot = snapshot
    for word, vector in enumerate(w_in):
        mined.columns[word] = np.argsort(-(w_out @ vector), kind="stable")[: objective.mined]


def train(
    job: Job,
    w_in: NDArray[np.floating],
    w_out: NDArray[np.floating],
    visit: Visit,
    tokens: NDArray[np.int32] | None = None,
    mined: Mined | None = None,
    precision: str = "float32",
) -> StepResult:
    """Train on a visit in place; tables of float64 give the exact result, of float32 one with float32's rounding.

    `mined` is what was mined in the run's visits before, if any, and is brought up to date. `precision` "bfloat16"
    rounds what native does in that precision.
    """
    result = StepResult(0.0, 0, 0)
    if isinstance(job.objective, Mining) and mined is None:
        mined = Mined.nothing(job.vocabulary, job.objective)
    for start in range(0, len(visit.chunks), job.chunks_in_group):
        if isinstance(job.objective, Mining) and mined is not None:
            mine(job.objective, int(visit.done[start]), w_in, w_out, mined)
        places = range(start, min(start + job.chunks_in_group, len(visit.chunks)))
        tiles = [
            (ordinal, place, tile)
            for place in places
            for ordinal, tile in enumerate(tiles_of(job, visit, place, tokens, mined))
        ]
        ordered = [tile for _, _, tile in sorted(tiles, key=lambda entry: entry[:2])]
        for first in range(0, len(ordered), job.tiles_in_flight):
            result += apply(job, ordered[first : first + job.tiles_in_flight], w_in, w_out, precision)
    return result
