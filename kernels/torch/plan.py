"""The plan in PyTorch, on any device: Philox, compaction of kept tokens, radii, sentences and shared words.

Integers are int64 throughout: products of 32-bit words wrap around 2^64 without harm to their low and high halves.
Everything is made for a group of chunks at once (step.py bounds it to a million positions).
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from w2vfast.kernels.contract import ID_MASK, Job
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.philox import MULTIPLIERS, PURPOSE_SHARED, PURPOSE_TOKEN, ROUNDS, WEYL

LOW = 0xFFFFFFFF
SLICE = 1 << 15  # counters a pass: Philox's state stays in a core's cache


def philox(seed: int, c0: Tensor, c1: Tensor, draw_epoch: int, c3: Tensor | int) -> Tensor:
    """Return Philox4x32-10 of int64 [n] counters as int64 [4, n] of 32-bit words; see philox.philox4x32."""
    n, on_host = len(c0), c0.device.type == "cpu"
    out = torch.empty((4, n), dtype=torch.int64, device=c0.device)
    step = SLICE if on_host else max(n, 1)
    for i in range(0, n, step):
        x0, x1 = c0[i : i + step], c1[i : i + step]
        x2 = torch.full_like(x0, draw_epoch)
        x3 = c3[i : i + step] if isinstance(c3, Tensor) else torch.full_like(x0, c3)
        k0, k1 = seed & LOW, (seed >> 32) & LOW
        for _ in range(ROUNDS):
            p0 = x0 * MULTIPLIERS[0]
            p1 = x2 * MULTIPLIERS[1]
            x0 = ((p1 >> 32) & LOW).bitwise_xor_(x1).bitwise_xor_(k0)
            x2 = ((p0 >> 32) & LOW).bitwise_xor_(x3).bitwise_xor_(k1)
            x1, x3 = p1.bitwise_and_(LOW), p0.bitwise_and_(LOW)
            k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
        for word, x in enumerate((x0, x1, x2, x3)):
            out[word, i : i + step] = x
    return out


def mulhi(words: Tensor, factor: int) -> Tensor:
    """Return (words * factor) >> 32 for 32-bit words and a factor below 2^31."""
    return (words * factor) >> 32


@dataclass(frozen=True, eq=False)
class GroupPlan:
    """The plan of a group of c chunks; all int64, tokens of the chunks one after another."""

    positions: Tensor  # [kept] in the corpus
    words: Tensor  # [kept]
    radius: Tensor  # [kept]
    sentence: Tensor  # [kept] numbered so that no two chunks share one
    tile_start: Tensor  # [tiles] index of the tile's first token among the kept
    tile_stop: Tensor  # [tiles] one past its last
    tile_chunk: Tensor  # [tiles] place of its chunk in the group
    tile_ordinal: Tensor  # [tiles] within the chunk


def plan_tokens(
    job: Job, keep_threshold: Tensor, tokens: Tensor, positions: Tensor, chunk: Tensor, draw_epoch: int
) -> GroupPlan:
    """Return the plan of a group: `tokens` int64 [n] with sign bits, their `positions`, and their `chunk`'s place."""
    word = tokens & int(ID_MASK)
    draws = philox(job.seed, positions & LOW, positions >> 32, draw_epoch, PURPOSE_TOKEN)
    kept = draws[0] <= keep_threshold[word]
    # A sentence ends after its last token; an end also where the chunk changes, so that windows stop there.
    ends = tokens < 0
    ends[:-1] |= chunk[1:] != chunk[:-1]
    sentence = torch.cumsum(ends, 0) - ends.long()
    radius = mulhi(draws[1], job.window) + 1 if job.shrink_windows else torch.full_like(word, job.window)
    chunk = chunk[kept]
    chunks = int(chunk[-1]) + 1 if len(chunk) else 0
    per_chunk = torch.bincount(chunk, minlength=chunks)
    first = torch.cumsum(per_chunk, 0) - per_chunk
    tiles = (per_chunk + job.tile - 1) // job.tile
    tile_chunk = torch.repeat_interleave(torch.arange(chunks, device=word.device), tiles)
    ordinal = torch.arange(len(tile_chunk), device=word.device) - (torch.cumsum(tiles, 0) - tiles)[tile_chunk]
    start = first[tile_chunk] + ordinal * job.tile
    stop = torch.minimum(start + job.tile, (first + per_chunk)[tile_chunk])
    return GroupPlan(positions[kept], word[kept], radius[kept], sentence[kept], start, stop, tile_chunk, ordinal)


def joined(parts: list[tuple[int, GroupPlan]]) -> GroupPlan:
    """Return the plan of a group made of plans of its parts, each with the place of its first chunk in the group."""
    if len(parts) == 1:
        return parts[0][1]
    moved, kept, sentences = [], 0, 0
    for first, part in parts:
        shifts = {"sentence": sentences, "tile_start": kept, "tile_stop": kept, "tile_chunk": first}
        moved.append(replace(part, **{name: getattr(part, name) + by for name, by in shifts.items()}))
        kept += len(part.words)
        sentences += int(part.sentence[-1]) + 1 if len(part.sentence) else 0
    return GroupPlan(*(torch.cat([getattr(part, field.name) for part in moved]) for field in fields(GroupPlan)))


class Noise:
    """A job's noise table on a device, int64 [V]."""

    def __init__(self, table: NoiseTable, device: torch.device) -> None:
        self._prob, self._alias = (torch.from_numpy(a.astype("int64")).to(device) for a in (table.prob, table.alias))

    def draw(self, seed: int, chunk: Tensor, ordinal: Tensor, draw_epoch: int, count: int) -> Tensor:
        """Return the shared words of tiles, int64 [tiles, count], from their chunks' numbers and their ordinals."""
        pairs = (count + 1) // 2
        k = torch.arange(pairs, device=chunk.device).repeat(len(chunk))
        words = philox(
            seed,
            ordinal.repeat_interleave(pairs),
            chunk.repeat_interleave(pairs),
            draw_epoch,
            PURPOSE_SHARED | k << 8,
        )
        r0, r1 = words[0::2].T.reshape(-1), words[1::2].T.reshape(-1)
        column = mulhi(r0, len(self._prob))
        drawn = torch.where(r1 < self._prob[column], column, self._alias[column])
        return drawn.view(len(chunk), 2 * pairs)[:, :count]
