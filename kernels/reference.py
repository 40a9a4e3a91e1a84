"""The definition of correct: plan, tile step, row cap and loss in plain loops, in float64. Slow; for tests only.

Shares nothing with the backends but contract.py's shapes and random numbers. `train` visits tiles as the torch
backend does: chunks in groups of `chunks_in_group`, within a group by (tile ordinal, place of the chunk), in batches of
`tiles_in_flight`; with one tile in flight this is chunk by chunk, tile by tile, the order of the native backend.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels import contract
from w2vfast.kernels.contract import ChunkPlan, Job, StepResult


@dataclass(frozen=True, eq=False)
class Tile:
    """Centres with their targets, as word ids; `targets[t]` has n_t entries."""

    centres: list[int]
    targets: list[list[int]]
    negatives: list[int]
    learning_rate: float


def _mulhi(a: int, b: int) -> int:
    return (a * b) >> 32


def plan(job: Job, chunk: int, epoch: int) -> ChunkPlan:
    """Return the plan of a chunk: kept positions, window radii, and the negatives of each tile."""
    positions, radius = [], []
    for p in range(chunk * job.chunk_size, min((chunk + 1) * job.chunk_size, len(job.tokens))):
        word = int(job.tokens[p]) & int(contract.ID_MASK)
        draw = contract.philox4x32(
            job.seed, np.array(p & 0xFFFFFFFF), np.array(p >> 32), epoch, contract.PURPOSE_TOKEN
        ).tolist()
        if draw[0] <= int(job.keep_threshold[word]):
            positions.append(p)
            radius.append(1 + _mulhi(draw[1], job.window) if job.shrink_windows else job.window)
    tiles = -(-len(positions) // job.tile)
    negatives = [[_negative(job, chunk, tile, j, epoch) for j in range(job.shared_negatives)] for tile in range(tiles)]
    return ChunkPlan(
        np.array(positions, np.int64),
        np.array(radius, np.int32),
        np.array(negatives, np.int32).reshape(tiles, job.shared_negatives),
    )


def _negative(job: Job, chunk: int, tile: int, j: int, epoch: int) -> int:
    words = contract.philox4x32(
        job.seed, np.array(tile), np.array(chunk), epoch, contract.PURPOSE_NEGATIVE | (j // 2) << 8
    ).tolist()
    r0, r1 = words[2 * (j % 2) : 2 * (j % 2) + 2]
    column = _mulhi(r0, len(job.noise_prob))
    return column if r1 < int(job.noise_prob[column]) else int(job.noise_alias[column])


def tiles_of(job: Job, chunk: int, rank: int, epoch: int) -> list[Tile]:
    """Return a chunk's tiles, its targets found by walking out from each centre."""
    chunk_plan = plan(job, chunk, epoch)
    kept = chunk_plan.positions.tolist()
    words = [int(job.tokens[p]) & int(contract.ID_MASK) for p in kept]
    sentence, sentence_of = 0, {}
    for p in range(chunk * job.chunk_size, min((chunk + 1) * job.chunk_size, len(job.tokens))):
        sentence_of[p] = sentence
        sentence += int(job.tokens[p] < 0)
    tiles = []
    for ordinal, start in enumerate(range(0, len(kept), job.tile)):
        centres = range(start, min(start + job.tile, len(kept)))
        targets = []
        for i in centres:
            r = int(chunk_plan.radius[i])
            window = [j for j in range(i - r, i + r + 1) if 0 <= j < len(kept) and j != i]
            targets.append([words[j] for j in window if sentence_of[kept[j]] == sentence_of[kept[i]]])
        tiles.append(
            Tile(
                [words[i] for i in centres],
                targets,
                chunk_plan.negatives[ordinal].tolist(),
                job.learning_rate(epoch, rank, kept[start] - chunk * job.chunk_size),
            )
        )
    return tiles


@dataclass(eq=False)
class Updates:
    """Summed steps of rows, and the lr * weight that the cap divides by, for what is computed from one snapshot."""

    rows_in: dict[int, NDArray[np.floating]]
    rows_out: dict[int, NDArray[np.floating]]
    weight_in: dict[int, float]
    weight_out: dict[int, float]
    loss: float = 0.0
    pairs: int = 0


def _softplus(x: float) -> float:
    return max(x, 0.0) + float(np.log1p(np.exp(-abs(x))))


def tile_updates(job: Job, tile: Tile, w_in: NDArray[np.floating], w_out: NDArray[np.floating]) -> Updates:
    """Return the uncapped updates of one tile, pair by pair, from the tables as they are."""
    up = Updates({}, {}, {}, {})
    lr, share = tile.learning_rate, job.negative / job.shared_negatives

    def add(rows: dict[int, NDArray[np.floating]], row: int, step: NDArray[np.floating]) -> None:
        rows[row] = rows.get(row, 0) + step

    def weigh(weights: dict[int, float], row: int, weight: float) -> None:
        weights[row] = weights.get(row, 0.0) + lr * weight

    def score(hidden: NDArray[np.floating], output: int, label: int, weight: float) -> NDArray[np.floating]:
        """Account for one weighted score; returns the step of `hidden`."""
        s = float(hidden @ w_out[output])
        gradient = lr * weight * (label - 1.0 / (1.0 + np.exp(-s)))
        add(up.rows_out, output, gradient * hidden)
        weigh(up.weight_out, output, weight)
        up.loss += weight * _softplus(-s if label else s)
        return np.asarray(gradient * w_out[output])

    for centre, targets in zip(tile.centres, tile.targets, strict=True):
        n = len(targets)
        if n == 0:
            continue
        if job.mode == "sg":
            up.pairs += n
            hidden = w_in[centre]
            for target in targets:
                add(up.rows_in, centre, score(hidden, target, 1, 1.0))
            for k in tile.negatives:
                e = targets.count(k) if job.target_mask else 0
                add(up.rows_in, centre, score(hidden, k, 0, (n - e) * share))
            weigh(up.weight_in, centre, n * (1 + job.negative))
        else:
            up.pairs += 1
            hidden = sum(w_in[target] for target in targets) / (n if job.cbow_mean else 1)
            dh = score(hidden, centre, 1, 1.0)
            for k in tile.negatives:
                dh = dh + score(hidden, k, 0, 0.0 if k == centre else share)
            for target in targets:
                add(up.rows_in, target, dh / (1 if job.cbow_mean else n))
                weigh(up.weight_in, target, 1 + job.negative)
    return up


def apply(job: Job, batch: list[Tile], w_in: NDArray[np.floating], w_out: NDArray[np.floating]) -> StepResult:
    """Compute every tile of a batch from one snapshot, cap its rows, and update the tables in place."""
    results = [tile_updates(job, tile, w_in, w_out) for tile in batch]
    shared_in: dict[int, float] = {}
    shared_out: dict[int, float] = {}
    for up in results:
        for shared, weights in ((shared_in, up.weight_in), (shared_out, up.weight_out)):
            for row, weight in weights.items():
                shared[row] = shared.get(row, 0.0) + weight
    for tile, up in zip(batch, results, strict=True):
        sides = (
            (w_in, up.rows_in, up.weight_in if job.row_cap == "tile" else shared_in, job.in_weight),
            (w_out, up.rows_out, up.weight_out if job.row_cap == "tile" else shared_out, job.out_weight),
        )
        for table, rows, weights, static in sides:
            for row, step in rows.items():
                x = weights[row]
                if static is not None:
                    x = max(x, tile.learning_rate * float(static[row]))
                table[row] += step * (min(1.0, job.cap / x) if x > 0 else 1.0)
    trained = sum(len(tile.centres) for tile in batch)
    return StepResult(sum(up.loss for up in results), sum(up.pairs for up in results), trained)


def train(
    job: Job,
    w_in: NDArray[np.floating],
    w_out: NDArray[np.floating],
    chunks: NDArray[np.int64],
    first_rank: int,
    epoch: int,
) -> StepResult:
    """Train on chunks in place; tables of float64 give the exact result, of float32 one with float32's rounding."""
    result = StepResult(0.0, 0, 0)
    in_flight = job.tiles_in_flight
    for start in range(0, len(chunks), job.chunks_in_group):
        group = chunks[start : start + job.chunks_in_group].tolist()
        tiles = [
            (ordinal, place, tile)
            for place, chunk in enumerate(group)
            for ordinal, tile in enumerate(tiles_of(job, chunk, first_rank + start + place, epoch))
        ]
        ordered = [tile for _, _, tile in sorted(tiles, key=lambda entry: entry[:2])]
        for first in range(0, len(ordered), in_flight):
            result += apply(job, ordered[first : first + in_flight], w_in, w_out)
    return result
