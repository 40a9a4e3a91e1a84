"""Vectors as one safetensors file: tensors `vectors`, `words` (UTF-8 bytes), `offsets` and, where known, `counts`.

What is written of other tensors (models, checkpoints) is made here too.
"""

import contextlib
import itertools
import json
import os
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats.words import decode, encode
from w2vfast.vectors import BLOCK_ROWS, Block, VectorStream

HEADER_BYTES = 512  # reserved before the tensors; five entries need about 300
PIECE_BYTES = 1 << 24
FLOATS = ("F16", "F32", "F64")  # that vectors may be
DTYPES = {
    "float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def open_file(path: PathLike, limit: int | None, stack: contextlib.ExitStack) -> VectorStream:
    """Open a file, which `stack` closes, for its first `limit` rows. Raises InputError if w2vfast did not write it."""
    from safetensors import SafetensorError, safe_open

    try:
        file = stack.enter_context(safe_open(os.fspath(path), framework="numpy"))
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: broken safetensors file ({error})") from error
    total, size = _check_tensors(path, {name: (s.get_dtype(), s.get_shape()) for name, s in slices.items()})
    rows = total if limit is None else min(limit, total)
    table, offsets, text = slices["vectors"], file.get_tensor("offsets"), file.get_tensor("words").tobytes()
    counts = slices["counts"][:rows] if "counts" in slices else None
    if offsets[0] != 0 or offsets[-1] != len(text) or (offsets[1:] < offsets[:-1]).any():
        raise InputError(f"{path}: its offsets do not go with its words; write or fetch it again")

    def blocks() -> Iterator[Block]:
        for start in range(0, rows, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, rows)
            words = [decode(text[a:b]) for a, b in itertools.pairwise(offsets[start : end + 1].tolist())]
            yield words, np.ascontiguousarray(table[start:end], dtype=np.float32)

    return VectorStream(rows, size, blocks(), counts)


def _check_tensors(path: PathLike, found: dict[str, tuple[str, list[int]]]) -> tuple[int, int]:
    """Return V and D of a file of tensors of these dtypes and shapes; InputError if they are not those of words."""
    missing = {"vectors", "words", "offsets"} - set(found)
    if missing:
        raise InputError(f"{path}: no tensor {sorted(missing)[0]!r}; it was not saved by w2vfast")
    dtype, shape = found["vectors"]
    if dtype not in FLOATS or len(shape) != 2 or 0 in shape:
        raise InputError(f"{path}: vectors is {dtype} {shape}, not F32 [V, D]; it was not saved by w2vfast")
    V, D = shape
    wanted = {"offsets": ("I64", [V + 1]), "counts": ("I64", [V]), "words": ("U8", found["words"][1][:1])}
    for name, (dtype, shape) in wanted.items():
        if found.get(name, (dtype, shape)) != (dtype, shape):
            shown = "{} {}".format(*found[name])
            raise InputError(f"{path}: {name} is {shown}, not {dtype} {shape}; write or fetch it again")
    return V, D


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
    return header(tensors, {"format": "w2vfast", "words": "UTF-8, parted at offsets"}, HEADER_BYTES)


def pieces(tensors: Mapping[str, NDArray[Any]], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a file of these tensors, at most PIECE_BYTES at a time behind the header."""
    # The widest items first: each tensor is then aligned to its items.
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)
    yield header([(name, DTYPES[a.dtype.name], list(a.shape), a.nbytes) for name, a in ordered], metadata)
    for _, array in ordered:
        flat = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).reshape(-1).view(np.uint8)
        for start in range(0, len(flat), PIECE_BYTES):
            yield flat[start : start + PIECE_BYTES].data


def header(tensors: list[tuple[str, str, list[int], int]], metadata: dict[str, str], least_bytes: int = 8) -> bytes:
    """Return the beginning of a file whose tensors (name, dtype, shape, bytes) lie one behind the other.

    It has at least `least_bytes` bytes, and a multiple of 8.
    """
    entries: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name, dtype, shape, length in tensors:
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + length]}
        start += length
    text = json.dumps(entries).encode()
    text = text.ljust(max(least_bytes - 8, -(-len(text) // 8) * 8))
    return struct.pack("<Q", len(text)) + text
