"""The torch backend's Step: batches of tiles as dense products, on the CPU, CUDA or MPS.

A batch is `Job.tiles_in_flight` tiles taken from as many chunks; all of it is computed from one snapshot of the tables
and added to them once, capped by the exact count of what touches a row (kernels/contract.py). Shapes: B tiles of a
batch, T tokens, H = T + 2 W, N shared words, D vector size.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from w2vfast.kernels import contract
from w2vfast.kernels.contract import ChunkPlan, FixedOut, Job, Mined, Mining, StepResult, Unsupported, Visit
from w2vfast.kernels.levels import levels_of
from w2vfast.kernels.mapped import release
from w2vfast.kernels.torch import mining
from w2vfast.kernels.torch import objectives as objective_files
from w2vfast.kernels.torch import plan as torch_plan
from w2vfast.kernels.torch.inputs import Batch, Input, MinedInput, Read, WindowInput, WordInput
from w2vfast.kernels.torch.objectives import InBlocks
from w2vfast.kernels.torch.plan import GroupPlan
from w2vfast.kernels.torch.teacher import SoftLabels

PLANNED = 1 << 16  # positions at a time: of a whole group they would take 70 MB


def unavailable_reason() -> str | None:
    """Return None: wherever torch can be imported, this backend runs."""
    return None


def objectives() -> tuple[str, ...]:
    """Return the names of the objectives that this backend has: those of its files."""
    return tuple(contract.objective_of(module.name) for module in pkgutil.iter_modules(objective_files.__path__))


def precisions(objective: str) -> tuple[str, ...]:
    """Return what products can be computed in."""
    return ("float32",)


def create_step(
    job: Job,
    w_in: NDArray[np.floating],
    w_out: NDArray[np.floating],
    *,
    device: str = "cpu",
    workers: int = 1,
    precision: str = "float32",
    sum_scores: Callable[[Tensor], None] | None = None,
) -> "TorchStep":
    """Return a step on `device` ("cpu", "cuda", "mps"); on the CPU it updates the given tables in place.

    `workers` sets torch's threads, which are the process's. The tables are float32 or float64 [V, D], and products
    have their precision. Where they are some dimensions of larger tables, `sum_scores` adds to a batch's scores, in
    place, what the steps that have the others make of it. Raises ValueError for another precision, and Unsupported for
    what needs more of other dimensions than scores.
    """
    contract.check(job, w_in, w_out)
    if precision not in precisions(job.objective.name):
        raise ValueError(f"the torch backend has no products in {precision}")
    if device == "cpu":
        torch.set_num_threads(workers)
    return TorchStep(job, w_in, w_out, torch.device(device), sum_scores)


class TorchStep:
    """One job on one device; see contract.Step."""

    def __init__(
        self,
        job: Job,
        w_in: NDArray[np.floating],
        w_out: NDArray[np.floating],
        device: torch.device,
        sum_scores: Callable[[Tensor], None] | None = None,
    ) -> None:
        self._job, self._device, self._tokens, self._sum_scores = job, device, job.tokens, sum_scores
        self._host_tables = (w_in, w_out)
        self._w_in, self._w_out = (torch.from_numpy(table).to(device) for table in (w_in, w_out))
        dtype = self._w_in.dtype
        self._keep_threshold = torch.from_numpy(job.keep_threshold.astype("int64")).to(device)
        self._levels_of = levels_of(job.bits, w_in.shape[1]) if job.bits is not None else None
        self._in_row = None if job.in_row is None else torch.from_numpy(job.in_row.astype("int64")).to(device)
        noise = job.objective.noise
        self._noise = torch_plan.Noise(noise, device) if noise is not None else None
        name = contract.module_of(job.objective.name)
        file = importlib.import_module(f"w2vfast.kernels.torch.objectives.{name}")
        self._columns: Any = file.Columns(job.objective, device, dtype)
        self._fixed_out = isinstance(job.objective, FixedOut)
        self._teacher = SoftLabels(job.teacher, device, dtype) if job.teacher is not None else None
        whole = isinstance(self._columns, InBlocks) or isinstance(job.objective, FixedOut | Mining)
        if sum_scores is not None and (whole or job.bits is not None or job.teacher is not None):
            raise Unsupported("softmax, class-softmax, margin, von-mises-fisher, bits and teachers need whole rows")
        self._mined: Tensor | None = None  # int64 [V, M]
        if isinstance(job.objective, Mining):
            self.mined = Mined.nothing(job.vocabulary, job.objective)
        self._static = None
        if job.in_weight is not None and job.out_weight is not None:
            self._static = tuple(
                torch.from_numpy(weight).to(device, dtype) for weight in (job.in_weight, job.out_weight)
            )
        self._in_scale = None if job.in_scale is None else torch.from_numpy(job.in_scale).to(device, dtype)
        # lr * weight that touches each row in the batch at hand; all zero between batches.
        self._touched = tuple(torch.zeros(len(table), dtype=dtype, device=device) for table in (w_in, w_out))
        T, W = job.tile, job.window
        self._offsets = torch.arange(-W, T + W, device=device)
        distance = (self._offsets[None, :] - torch.arange(T, device=device)[:, None]).abs()
        self._distance = torch.where(distance == 0, torch.iinfo(torch.int64).max, distance)  # [T, H]; never in its own

    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the arrays that were given, brought up to date."""
        if self._device.type != "cpu":
            for host, table in zip(self._host_tables, (self._w_in, self._w_out), strict=True):
                torch.from_numpy(host).copy_(table)
        return self._host_tables

    def live(self) -> tuple[Tensor, Tensor]:
        """Return the tensors that are trained."""
        return self._w_in, self._w_out

    @property
    def mined(self) -> Mined:
        """What was mined last; another step of the job that is given it goes on as this one would."""
        assert self._mined is not None
        return Mined(self._mined.cpu().numpy().astype(np.int32), self._snapshot)

    @mined.setter
    def mined(self, mined: Mined) -> None:
        self._mined = torch.from_numpy(mined.columns.astype(np.int64)).to(self._device)
        self._snapshot = mined.snapshot

    def replace_tokens(self, tokens: NDArray[np.int32]) -> None:
        """Train on other tokens from now on."""
        contract.check_tokens(self._job, tokens)
        self._tokens = tokens

    def plan(self, chunk: int, draw_epoch: int, shared_words: int) -> ChunkPlan:
        """Return the plan of one chunk."""
        contract.check_chunk(self._job, self._tokens, chunk, draw_epoch, shared_words)
        plan = self._plan(np.array([chunk], np.int64), draw_epoch)
        chunks = torch.full_like(plan.tile_ordinal, chunk)
        drawn = self._draw(chunks, plan.tile_ordinal, draw_epoch, shared_words)
        return ChunkPlan(plan.positions.cpu().numpy(), plan.radius.int().cpu().numpy(), drawn.int().cpu().numpy())

    def train(self, visit: Visit) -> StepResult:
        """Train on a visit's chunks."""
        contract.check_visit(self._job, self._tokens, visit)
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        pairs = torch.zeros((), dtype=torch.int64, device=self._device)
        trained = 0
        for start in range(0, len(visit.chunks), self._job.chunks_in_group):
            group = slice(start, start + self._job.chunks_in_group)
            if isinstance(self._job.objective, Mining):
                self._mine(self._job.objective, int(visit.done[start]))
            plan = self._plan(visit.chunks[group], visit.draw_epoch)
            trained += len(plan.words)
            of_group = torch.zeros_like(loss)
            for batch in self._batches(plan, visit, group):
                batch_loss, batch_pairs = self._step(batch)
                of_group += batch_loss
                pairs += batch_pairs
            loss += self._whole_units(of_group)
        return StepResult(float(loss), int(pairs), trained)

    def _whole_units(self, loss: Tensor) -> Tensor:
        """Return a group's loss, cut so that sums of groups are exact, but as it is with tables of float64."""
        if self._w_in.dtype == torch.float64:
            return loss
        return torch.round(loss / contract.LOSS_UNIT) * contract.LOSS_UNIT

    def _mine(self, objective: Mining, done: int) -> None:
        """Mine each word's columns anew if a snapshot is due with `done` tokens visited."""
        snapshot = done // objective.mine_every
        if snapshot != self._snapshot:
            self._mined = mining.largest(self._levels(self._w_in), self._w_out, objective.mined)
            self._snapshot = snapshot

    def _plan(self, chunks: NDArray[np.int64], draw_epoch: int) -> GroupPlan:
        """Return the plan of a group of chunks, on the CPU made of a few at a time: most of its numbers are dropped."""
        few = len(chunks) if self._device.type != "cpu" else max(1, PLANNED // self._job.chunk_size)
        starts = range(0, len(chunks), max(few, 1))
        return torch_plan.joined(
            [(start, self._plan_some(chunks[start : start + few], draw_epoch)) for start in starts]
        )

    def _plan_some(self, chunks: NDArray[np.int64], draw_epoch: int) -> GroupPlan:
        job, size, tokens = self._job, self._job.chunk_size, self._tokens
        spans = [(c * size, min((c + 1) * size, len(tokens))) for c in chunks.tolist()]
        ids = np.concatenate([tokens[start:stop] for start, stop in spans])
        release(tokens)
        positions = np.concatenate([np.arange(start, stop) for start, stop in spans])
        place = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans])
        arrays = (ids.astype(np.int64), positions, place)
        on_device, at, of_chunk = (torch.from_numpy(array).to(self._device) for array in arrays)
        return torch_plan.plan_tokens(job, self._keep_threshold, on_device, at, of_chunk, draw_epoch)

    def _draw(self, chunk: Tensor, ordinal: Tensor, draw_epoch: int, count: int) -> Tensor:
        """Return the shared words of tiles, int64 [tiles, count]."""
        if self._noise is None:
            return chunk.new_zeros((len(chunk), 0))
        return self._noise.draw(self._job.seed, chunk, ordinal, draw_epoch, count)

    def _batches(self, plan: GroupPlan, visit: Visit, group: slice) -> Iterator[Batch]:
        job = self._job
        T, W = job.tile, job.window
        chunks, before = (torch.from_numpy(array[group]).to(self._device) for array in (visit.chunks, visit.done))
        order = torch.argsort(plan.tile_ordinal * len(chunks) + plan.tile_chunk)
        chunk = chunks[plan.tile_chunk]
        shared_words = self._draw(chunk, plan.tile_ordinal, visit.draw_epoch, visit.shared_words)[order]
        done = before[plan.tile_chunk] + plan.positions[plan.tile_start] - chunk * job.chunk_size
        share = (done.double() / visit.total).clamp(max=1.0)
        rate = (visit.start_rate - (visit.start_rate - visit.end_rate) * share).to(self._w_in.dtype)[order]
        start, stop = plan.tile_start[order], plan.tile_stop[order]
        for i in range(0, len(order), job.tiles_in_flight):
            batch = slice(i, i + job.tiles_in_flight)
            index = start[batch, None] + self._offsets
            inside = (index >= 0) & (index < len(plan.words))
            index.clamp_(0, len(plan.words) - 1)
            halo = plan.words[index]
            sentence = torch.where(inside, plan.sentence[index], -1)
            token = index[:, W : W + T]
            radius = torch.where(self._offsets[W : W + T] < (stop - start)[batch, None], plan.radius[token], 0)
            window = self._distance <= radius[:, :, None]
            window &= sentence[:, W : W + T, None] == sentence[:, None, :]
            inputs = halo if self._in_row is None else self._in_row[halo]
            yield Batch(halo[:, W : W + T], halo, inputs, window, shared_words[batch], rate[batch, None, None])

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Train on a batch; returns its loss and pairs."""
        job, columns, inputs = self._job, self._columns, self._inputs(batch, self._read)
        if isinstance(columns, InBlocks):
            d_left, loss = self._step_blocks(columns, inputs, batch.rate)
            self._add(0, *inputs.give_back(d_left, job.objective.weight_per_pair), batch.rate)
            return loss, inputs.n.sum(dtype=torch.float64).long()
        parts = [columns.own(inputs.targets), columns.shared(batch.shared_words)]
        if self._mined is not None:
            parts.append(self._mined[batch.tokens].flatten(1))
        ids = torch.cat(parts, 1)
        right = embedding(ids, self._w_out)
        scores = inputs.score(right)
        if self._sum_scores is not None:
            self._sum_scores(scores)
        if self._teacher is None:
            result = columns.gradient(inputs, scores, ids)
        else:
            hard = columns.gradient(inputs, scores.clone(), ids)
            result = self._teacher.soften(hard, scores, ids, partial(self._inputs, batch))
        d_left, d_right = inputs.back(result.gradient, right)
        if result.factor is not None:
            d_left = d_left + result.factor * inputs.left
        self._add(0, *inputs.give_back(d_left, job.objective.weight_per_pair), batch.rate)
        if not self._fixed_out:
            self._add(1, ids, d_right, inputs.column_weight(result.weight), batch.rate)
        return result.loss, inputs.n.sum(dtype=torch.float64).long()

    def _step_blocks(self, columns: InBlocks, inputs: Input, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Train W_out block by block; returns the gradient of the batch's rows [B, T, D] and its loss."""
        (B, T), left, rate = inputs.left.shape[:2], inputs.left.flatten(0, 1), rate.squeeze(2)
        d_left, loss = torch.zeros_like(left), torch.zeros((), dtype=torch.float64, device=self._device)
        for block in columns.blocks(inputs, self._w_out):
            tile = block.rows // T
            d_left.index_add_(0, block.rows, block.gradient @ self._w_out[block.columns])
            loss += block.loss
            total = rate * left.new_zeros((B, len(block.columns))).index_add_(0, tile, block.weight)
            if self._job.row_cap == "batch":
                total = total.sum(0, keepdim=True)
            if self._static is not None:
                total = torch.maximum(total, rate * self._static[1][block.columns])
            scale = rate * (self._job.cap / total).clamp_(max=1.0)
            self._w_out.index_add_(0, block.columns, (block.gradient * scale[tile]).T @ left[block.rows])
        return d_left.view_as(inputs.left), loss

    def _inputs(self, batch: Batch, read: Read) -> Input:
        own = self._columns.own_per_target
        if self._mined is not None:
            return MinedInput(batch, read, own, self._mined.shape[1])
        if self._job.mode == "sg":
            return WordInput(batch, read, own)
        return WindowInput(batch, read, own, self._job.cbow_mean)

    def _read(self, rows: Tensor) -> Tensor:
        """Return rows of W_in, as tiles see them, of rows' numbers of any shape."""
        return self._levels(embedding(rows, self._w_in))

    def _levels(self, rows: Tensor) -> Tensor:
        if (levels := self._levels_of) is None:
            return rows
        whole = (rows / levels.step - levels.offset).round_().clamp_(levels.low, levels.high)
        return whole.add_(levels.offset).mul_(levels.step)

    def _add(self, side: int, rows: Tensor, gradients: Tensor, weight: Tensor, rate: Tensor) -> None:
        """Add rate * gradients [B, R, D] to rows [B, R] of W_in (side 0) or W_out (1), capped by `weight` [B, R]."""
        job, rate = self._job, rate.squeeze(2)
        flat, touched = rows.flatten(), rate * weight
        if job.row_cap == "batch":
            count = self._touched[side]
            count.index_add_(0, flat, touched.flatten())
            total = count[rows]
            count[flat] = 0
        else:
            same = (rows[:, :, None] == rows[:, None, :]).to(touched.dtype)
            total = torch.bmm(same, touched[:, :, None]).squeeze(2)
        if self._static is not None:
            total = torch.maximum(total, rate * self._static[side][rows])
        scale = rate * (job.cap / total).clamp_(max=1.0)
        if side == 0 and self._in_scale is not None:
            scale *= self._in_scale[rows]
        gradients *= scale[:, :, None]
        (self._w_in, self._w_out)[side].index_add_(0, flat, gradients.view(-1, gradients.shape[2]))
