"""Vectors as one safetensors file: tensors `vectors`, `words` (UTF-8 bytes), `offsets` and, where known, `counts`."""

import contextlib
import itertools
import json
import os
import struct
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats.words import encode
from w2vfast.vectors import BLOCK_ROWS, Block, VectorStream

HEADER_BYTES = 512  # reserved before the tensors; five entries need about 300


def open_file(path: PathLike, limit: int | None, stack: contextlib.ExitStack) -> VectorStream:
    """Open a file, which `stack` closes, for its first `limit` rows. Raises InputError if w2vfast did not write it."""
    from safetensors import SafetensorError, safe_open

    try:
        file = stack.enter_context(safe_open(os.fspath(path), framework="numpy"))
        missing = {"vectors", "words", "offsets"} - set(file.keys())
        if missing:
            raise InputError(f"{path}: no tensor {sorted(missing)[0]!r}; it was not saved by w2vfast")
        table, offsets = file.get_slice("vectors"), file.get_tensor("offsets")
        total, size = table.get_shape()
        rows = total if limit is None else min(limit, total)
        text = file.get_tensor("words").tobytes()
        counts = file.get_tensor("counts")[:rows] if "counts" in file.keys() else None  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: broken safetensors file ({error})") from error
    if len(offsets) != total + 1 or offsets[-1] != len(text) or (np.diff(offsets) < 0).any():
        raise InputError(f"{path}: its offsets do not go with its words: {total} vectors, {len(offsets)} offsets")

    def blocks() -> Iterator[Block]:
        for start in range(0, rows, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, rows)
            words = [text[a:b].decode() for a, b in itertools.pairwise(offsets[start : end + 1].tolist())]
            yield words, np.ascontiguousarray(table[start:end], dtype=np.float32)

    return VectorStream(rows, size, blocks(), counts)


def write(stream: VectorStream, file: IO[bytes]) -> None:
    """Write offsets, counts, vectors and words, in this order: aligned, with what is known last coming last."""
    n, size = stream.rows, stream.vector_size
    counts = None if stream.counts is None else stream.counts.astype("<i8", copy=False)
    file.seek(HEADER_BYTES + 8 * (n + 1))
    if counts is not None:
        file.write(counts.data)
    offsets, row, words = np.zeros(n + 1, dtype="<i8"), 0, []
    for block_words, vectors in stream.blocks:
        file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        encoded = encode(block_words)
        offsets[row + 1 : row + 1 + len(encoded)] = [len(word) for word in encoded]
        row += len(encoded)
        words.append(b"".join(encoded))
    np.cumsum(offsets, out=offsets)
    file.writelines(words)
    file.seek(HEADER_BYTES)
    file.write(offsets.data)
    file.seek(0)
    file.write(_header(n, size, int(offsets[-1]), counts is not None))


def _header(rows: int, size: int, text_bytes: int, with_counts: bool) -> bytes:
    tensors = [("offsets", "I64", [rows + 1], 8 * (rows + 1))]
    if with_counts:
        tensors.append(("counts", "I64", [rows], 8 * rows))
    tensors += [("vectors", "F32", [rows, size], 4 * rows * size), ("words", "U8", [text_bytes], text_bytes)]
    header: dict[str, Any] = {"__metadata__": {"format": "w2vfast", "words": "UTF-8, parted at offsets"}}
    start = 0
    for name, dtype, shape, length in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + length]}
        start += length
    text = json.dumps(header).encode().ljust(HEADER_BYTES - 8)
    return struct.pack("<Q", len(text)) + text
