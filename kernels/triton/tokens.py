"""Where a job's token ids are for the GPU: all resident, or streamed in groups of chunks through two pinned buffers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Tokens of a group: long enough to hide a launch and keep every program busy, short enough to pin twice.
STREAM_TOKENS = 1 << 24


@dataclass(frozen=True, eq=False)
class Group:
    """Chunks that one launch trains on, in visiting order."""

    tokens: Tensor  # int32, chunk `order[i]` begins at slots[i] * chunk_size
    order: Tensor  # int64 [c] chunks, from the beginning of an allocation: unaligned, a kernel compiles once more
    slots: Tensor  # int64 [c]


class ResidentTokens:
    """The whole corpus on the device."""

    def __init__(self, tokens: NDArray[np.int32], device: torch.device) -> None:
        self._tokens = torch.empty(len(tokens), dtype=torch.int32, device=device)
        for start in range(0, len(tokens), STREAM_TOKENS):
            piece = np.array(tokens[start : start + STREAM_TOKENS])  # a copy: the corpus may be a read-only map
            self._tokens[start : start + STREAM_TOKENS] = torch.from_numpy(piece)

    def groups(self, chunks: NDArray[np.int64]) -> Iterator[tuple[int, Group]]:
        """Yield (place of the first chunk, group): all chunks as one group."""
        if len(chunks):
            order = torch.from_numpy(chunks.copy()).to(self._tokens.device)
            yield 0, Group(self._tokens, order, order)


class StreamedTokens:
    """A group of chunks is copied, from pinned memory on a stream of its own, while the one before it is trained on."""

    def __init__(
        self, tokens: NDArray[np.int32], chunk_size: int, device: torch.device, stream_tokens: int = STREAM_TOKENS
    ) -> None:
        self._tokens, self._chunk_size, self._device = tokens, chunk_size, device
        self._group = chunks_a_group(len(tokens), chunk_size, stream_tokens)
        self._on_gpu = device.type == "cuda"
        size = self._group * chunk_size
        self._host = [torch.zeros(size, dtype=torch.int32, pin_memory=self._on_gpu) for _ in range(2)]
        self._buffers = [torch.zeros(size, dtype=torch.int32, device=device) for _ in range(2)]

    def groups(self, chunks: NDArray[np.int64]) -> Iterator[tuple[int, Group]]:
        """Yield (place of the first chunk, group); a group's buffer is overwritten two groups later."""
        order = torch.from_numpy(chunks.copy()).to(self._device)
        slots = torch.arange(self._group, dtype=torch.int64, device=self._device)
        if self._on_gpu:
            yield from self._copied_beside_training(chunks, order, slots)
            return
        for start in range(0, len(chunks), self._group):
            host = self._fill(start // self._group % 2, chunks[start : start + self._group])
            yield start, Group(host, order[start : start + self._group].clone(), slots)

    def _copied_beside_training(
        self, chunks: NDArray[np.int64], order: Tensor, slots: Tensor
    ) -> Iterator[tuple[int, Group]]:
        compute, copies = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        copies.wait_stream(compute)
        copied = [torch.cuda.Event(), torch.cuda.Event()]
        trained = [torch.cuda.Event(), torch.cuda.Event()]
        for number, start in enumerate(range(0, len(chunks), self._group)):
            side = number % 2
            if number >= 2:
                copied[side].synchronize()  # the copy out of this pinned buffer, two groups ago
            host = self._fill(side, chunks[start : start + self._group])
            with torch.cuda.stream(copies):
                if number >= 2:
                    copies.wait_event(trained[side])
                self._buffers[side].copy_(host, non_blocking=True)
                copied[side].record(copies)
            compute.wait_event(copied[side])
            yield start, Group(self._buffers[side], order[start : start + self._group].clone(), slots)
            trained[side].record(compute)

    def _fill(self, side: int, chunks: NDArray[np.int64]) -> Tensor:
        size, host = self._chunk_size, self._host[side]
        view = host.numpy()
        for slot, chunk in enumerate(chunks.tolist()):
            piece = self._tokens[chunk * size : (chunk + 1) * size]
            view[slot * size : slot * size + len(piece)] = piece
        return host


def chunks_a_group(tokens: int, chunk_size: int, stream_tokens: int = STREAM_TOKENS) -> int:
    """Return how many chunks a streamed group holds."""
    return max(1, min(stream_tokens // chunk_size, -(-tokens // chunk_size)))


def stream_bytes(tokens: int, chunk_size: int, stream_tokens: int = STREAM_TOKENS) -> int:
    """Return the device memory that streaming takes."""
    return 2 * 4 * chunks_a_group(tokens, chunk_size, stream_tokens) * chunk_size
