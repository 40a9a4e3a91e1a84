"""The torch backend: batches of tiles as dense products in plain PyTorch, on any device it runs on.

A batch is `Job.tiles_in_flight` tiles taken from as many chunks; all of it is computed from one snapshot of the tables
and added to them once, capped by the exact count of what touches a row (kernels/contract.py). Shapes: B tiles of a
batch, T centres, H = T + 2 W, N shared negatives, D vector size.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, softplus

from w2vfast.kernels import contract, torch_plan
from w2vfast.kernels.contract import ChunkPlan, Job, StepResult
from w2vfast.kernels.torch_plan import GroupPlan, PlanTables


def unavailable_reason() -> str | None:
    """Return None: wherever torch can be imported, this backend runs."""
    return None


def create_step(
    job: Job, w_in: NDArray[np.floating], w_out: NDArray[np.floating], *, device: str = "cpu", workers: int = 1
) -> "TorchStep":
    """Return a step on `device` ("cpu", "cuda", "mps"); on the CPU it updates the given tables in place.

    `workers` sets torch's threads, which are the process's. The tables are float32 or float64 [V, D].
    """
    contract.check(job, w_in, w_out)
    contract.check_ids(job)
    if device == "cpu":
        torch.set_num_threads(workers)
    return TorchStep(job, w_in, w_out, torch.device(device))


class TorchStep:
    """One job on one device; see contract.Step."""

    def __init__(self, job: Job, w_in: NDArray[np.floating], w_out: NDArray[np.floating], device: torch.device) -> None:
        self._job, self._device = job, device
        self._w_in, self._w_out = (torch.from_numpy(table).to(device) for table in (w_in, w_out))
        self._tables = PlanTables.of(job, device)
        self._static = None
        if job.in_weight is not None and job.out_weight is not None:
            self._static = tuple(
                torch.from_numpy(weight).to(device, self._w_in.dtype) for weight in (job.in_weight, job.out_weight)
            )
        # lr * weight that touches each row in the batch at hand; all zero between batches.
        self._touched = torch.zeros(2, len(w_in), dtype=self._w_in.dtype, device=device)
        T, W = job.tile, job.window
        self._offsets = torch.arange(-W, T + W, device=device)
        distance = (self._offsets[None, :] - torch.arange(T, device=device)[:, None]).abs()
        self._distance = torch.where(distance == 0, torch.iinfo(torch.int64).max, distance)  # [T, H]; never own target

    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the tables on the host."""
        return self._w_in.cpu().numpy(), self._w_out.cpu().numpy()

    def plan(self, chunk: int, epoch: int) -> ChunkPlan:
        """Return the plan of one chunk."""
        group = np.array([chunk], np.int64)
        plan = self._plan(group, epoch)
        negatives = torch_plan.draw_negatives(
            self._job, self._tables, torch.full_like(plan.tile_ordinal, chunk), plan.tile_ordinal, epoch
        )
        return ChunkPlan(plan.positions.cpu().numpy(), plan.radius.int().cpu().numpy(), negatives.int().cpu().numpy())

    def train(self, chunks: NDArray[np.int64], first_rank: int, epoch: int) -> StepResult:
        """Train on chunks in visiting order."""
        contract.check_chunks(self._job, chunks, first_rank, epoch)
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        pairs = torch.zeros((), dtype=torch.int64, device=self._device)
        trained = 0
        step = self._skip_gram if self._job.mode == "sg" else self._cbow
        for start in range(0, len(chunks), self._job.chunks_in_group):
            group = chunks[start : start + self._job.chunks_in_group]
            plan = self._plan(group, epoch)
            trained += len(plan.words)
            for batch in self._batches(plan, group, first_rank + start, epoch):
                batch_loss, batch_pairs = step(*batch)
                loss += batch_loss
                pairs += batch_pairs
        return StepResult(float(loss), int(pairs), trained)

    def _plan(self, group: NDArray[np.int64], epoch: int) -> GroupPlan:
        job, size = self._job, self._job.chunk_size
        spans = [(c * size, min((c + 1) * size, len(job.tokens))) for c in group.tolist()]
        tokens = np.concatenate([job.tokens[start:stop] for start, stop in spans])
        positions = np.concatenate([np.arange(start, stop) for start, stop in spans])
        place = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans])
        on_device = [torch.from_numpy(array).to(self._device) for array in (tokens.astype(np.int64), positions, place)]
        return torch_plan.plan_tokens(job, self._tables, on_device[0], on_device[1], on_device[2], epoch)

    def _batches(
        self, plan: GroupPlan, group: NDArray[np.int64], first_rank: int, epoch: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """Yield (centres [B, T], halo [B, H], targets [B, T, H], negatives [B, N], learning rate [B, 1, 1])."""
        job = self._job
        T, W = job.tile, job.window
        order = torch.argsort(plan.tile_ordinal * len(group) + plan.tile_chunk)
        chunk = torch.from_numpy(group).to(self._device)[plan.tile_chunk]
        negatives = torch_plan.draw_negatives(job, self._tables, chunk, plan.tile_ordinal, epoch)[order]
        n = len(job.tokens)
        offset = plan.positions[plan.tile_start] - chunk * job.chunk_size
        done = epoch * n + (first_rank + plan.tile_chunk) * job.chunk_size + offset
        rate = job.alpha - (job.alpha - job.min_alpha) * (done.double() / (job.epochs * n)).clamp(max=1.0)
        rate = rate.to(self._w_in.dtype)[order]
        start, stop = plan.tile_start[order], plan.tile_stop[order]
        for i in range(0, len(order), job.tiles_in_flight):
            batch = slice(i, i + job.tiles_in_flight)
            index = start[batch, None] + self._offsets
            inside = (index >= 0) & (index < len(plan.words))
            index.clamp_(0, len(plan.words) - 1)
            halo = plan.words[index]
            sentence = torch.where(inside, plan.sentence[index], -1)
            centre = index[:, W : W + T]
            radius = torch.where(self._offsets[W : W + T] < (stop - start)[batch, None], plan.radius[centre], 0)
            targets = self._distance <= radius[:, :, None]
            targets &= sentence[:, W : W + T, None] == sentence[:, None, :]
            yield halo[:, W : W + T], halo, targets, negatives[batch], rate[batch, None, None]

    def _skip_gram(
        self, centres: Tensor, halo: Tensor, targets: Tensor, negatives: Tensor, rate: Tensor
    ) -> tuple[Tensor, Tensor]:
        job, H = self._job, halo.shape[1]
        outputs = torch.cat([halo, negatives], 1)
        v, u = embedding(centres, self._w_in), embedding(outputs, self._w_out)
        scores = torch.bmm(v, u.transpose(1, 2))
        weight = torch.empty_like(scores)
        weight[:, :, :H] = targets
        n = weight[:, :, :H].sum(2, keepdim=True)
        weight[:, :, H:] = n
        if job.target_mask:
            same = (halo[:, :, None] == negatives[:, None, :]).to(weight.dtype)
            weight[:, :, H:] -= torch.bmm(weight[:, :, :H], same)
        weight[:, :, H:] *= job.negative / job.shared_negatives
        loss = (weight * softplus(scores)).sum(dtype=torch.float64)
        loss -= (weight[:, :, :H] * scores[:, :, :H]).sum(dtype=torch.float64)
        gradient = torch.sigmoid(scores).neg_()
        gradient[:, :, :H] += 1.0
        weight *= rate
        gradient *= weight
        self._add(0, centres, torch.bmm(gradient, u), (n * rate * (1 + job.negative)).squeeze(2), rate)
        self._add(1, outputs, torch.bmm(gradient.transpose(1, 2), v), weight.sum(1), rate)
        return loss, n.sum(dtype=torch.float64).long()

    def _cbow(
        self, centres: Tensor, halo: Tensor, targets: Tensor, negatives: Tensor, rate: Tensor
    ) -> tuple[Tensor, Tensor]:
        job, T = self._job, centres.shape[1]
        window = targets.to(self._w_in.dtype)
        n = window.sum(2, keepdim=True)
        share = 1 / n.clamp(min=1)
        outputs = torch.cat([centres, negatives], 1)
        u = embedding(outputs, self._w_out)
        own, shared = u[:, :T], u[:, T:]
        hidden = torch.bmm(window, embedding(halo, self._w_in))
        if job.cbow_mean:
            hidden *= share
        trained = (n > 0).to(hidden.dtype)
        scores = torch.cat([(hidden * own).sum(2, keepdim=True), torch.bmm(hidden, shared.transpose(1, 2))], 2)
        weight = trained * (centres[:, :, None] != negatives[:, None, :])
        weight = torch.cat([trained, weight * (job.negative / job.shared_negatives)], 2)
        loss = (weight * softplus(scores)).sum(dtype=torch.float64)
        loss -= (trained * scores[:, :, :1]).sum(dtype=torch.float64)
        gradient = torch.sigmoid(scores).neg_()
        gradient[:, :, :1] += 1.0
        weight *= rate
        gradient *= weight
        positive, negative = gradient[:, :, :1], gradient[:, :, 1:]
        d_hidden = positive * own + torch.bmm(negative, shared)
        if not job.cbow_mean:
            d_hidden *= share
        d_outputs = torch.cat([positive * hidden, torch.bmm(negative.transpose(1, 2), hidden)], 1)
        in_touched = (window * rate).sum(1) * (1 + job.negative)
        out_touched = torch.cat([weight[:, :, 0], weight[:, :, 1:].sum(1)], 1)
        self._add(0, halo, torch.bmm(window.transpose(1, 2), d_hidden), in_touched, rate)
        self._add(1, outputs, d_outputs, out_touched, rate)
        return loss, trained.sum(dtype=torch.float64).long()

    def _add(self, side: int, rows: Tensor, steps: Tensor, touched: Tensor, rate: Tensor) -> None:
        """Add steps [B, R, D] to rows [B, R] of W_in (side 0) or W_out (1); `touched` [B, R] is lr * weight."""
        job = self._job
        flat = rows.flatten()
        if job.row_cap == "batch":
            count = self._touched[side]
            count.index_add_(0, flat, touched.reshape(-1))
            total = count[rows]
            count[flat] = 0
        else:
            same = (rows[:, :, None] == rows[:, None, :]).to(touched.dtype)
            total = torch.bmm(same, touched[:, :, None]).squeeze(2)
        if self._static is not None:
            total = torch.maximum(total, rate.squeeze(2) * self._static[side][rows])
        steps *= (job.cap / total).clamp_(max=1.0)[:, :, None]
        (self._w_in, self._w_out)[side].index_add_(0, flat, steps.view(-1, steps.shape[2]))
