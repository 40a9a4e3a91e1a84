"""Vectors as one safetensors file: tensors `vectors`, `words` (UTF-8 bytes), `offsets` and, where known, `counts`.

A compressed file has in place of `vectors` what its codec makes of rows, the arrays that all rows share, and in its
metadata the codec's name and numbers. What is written of other tensors (models, checkpoints) is made here too.
"""

import contextlib
import itertools
import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from w2vfast import codecs
from w2vfast.codecs import Arrays, Codec
from w2vfast.compressed import CompressedVectors
from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats.words import decode, encode
from w2vfast.vectors import BLOCK_ROWS, Block, VectorStream

HEADER_BYTES = 1024  # reserved before the tensors; the seven entries of a compressed file need about 800
PIECE_BYTES = 1 << 24
FLOATS = ("F16", "F32", "F64")  # that vectors may be
DTYPES = {
    "float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
CODEC = "codec"  # the metadata's name for the method of a compressed file

Tensors = list[tuple[str, np.dtype[Any], tuple[int, ...]]]


def open_file(path: PathLike, limit: int | None, stack: contextlib.ExitStack) -> VectorStream:
    """Open a file, which `stack` closes, for its first `limit` rows. Raises InputError if w2vfast did not write it."""
    file, text, offsets, counts = _open(path, stack)
    total = len(offsets) - 1
    rows = total if limit is None else min(limit, total)
    codec = _codec(path, file, total)
    if codec is None:
        names, size = ["vectors"], file.get_slice("vectors").get_shape()[1]
    else:
        names, size = list(codec.layout(total)), codec.vector_size
    tables = {name: file.get_slice(name) for name in names}

    def blocks() -> Iterator[Block]:
        for start in range(0, rows, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, rows)
            words = _words(text, offsets[start : end + 1])
            arrays = {name: _rows(table, start, end) for name, table in tables.items()}
            if codec is None:
                yield words, np.ascontiguousarray(arrays["vectors"], dtype=np.float32)
            else:
                yield words, codec.decode(arrays)

    return VectorStream(rows, size, blocks(), None if counts is None else counts[:rows])


def _rows(table: Any, start: int, end: int) -> NDArray[Any]:
    """Return rows of a tensor, none where it ends before (safetensors refuses such a slice)."""
    rows, *shape = table.get_shape()
    if start >= rows:
        return np.zeros((0, *shape), dtype=np.uint8)
    found: NDArray[Any] = table[start : min(end, rows)]
    return found


def open_compressed(path: PathLike) -> CompressedVectors:
    """Return what a compressed file holds, still compressed. Raises InputError for any other file."""
    with contextlib.ExitStack() as stack:
        file, text, offsets, counts = _open(path, stack)
        codec = _codec(path, file, len(offsets) - 1)
        if codec is None:
            raise InputError(f"{path}: its vectors are not compressed; read it with load_vectors")
        arrays = {name: file.get_tensor(name) for name in codec.layout(len(offsets) - 1)}
    return CompressedVectors(_words(text, offsets), codec, arrays, counts)


def _words(text: bytes, offsets: NDArray[np.int64]) -> list[str]:
    return [decode(text[a:b]) for a, b in itertools.pairwise(offsets.tolist())]


def _open(
    path: PathLike, stack: contextlib.ExitStack
) -> tuple[Any, bytes, NDArray[np.int64], NDArray[np.int64] | None]:
    """Return an open file, its words in UTF-8, their offsets and their counts."""
    from safetensors import SafetensorError, safe_open

    try:
        file = stack.enter_context(safe_open(os.fspath(path), framework="numpy"))
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        total = _check_tensors(
            path, {name: (s.get_dtype(), s.get_shape()) for name, s in slices.items()}, CODEC in (file.metadata() or {})
        )
        text, offsets = file.get_tensor("words").tobytes(), file.get_tensor("offsets")
        counts = file.get_tensor("counts") if "counts" in slices else None
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: broken safetensors file ({error})") from error
    if len(offsets) != total + 1 or offsets[0] != 0 or offsets[-1] != len(text) or (offsets[1:] < offsets[:-1]).any():
        raise InputError(f"{path}: its offsets do not go with its words; write or fetch it again")
    return file, text, offsets, counts


def _codec(path: PathLike, file: Any, rows: int) -> Codec | None:
    """Return the codec of a compressed file, whose tensors fit it, and None for a plain one."""
    held, names = file.metadata() or {}, set(file.keys())
    if CODEC not in held:
        return None
    try:
        codec = codecs.restore(held[CODEC], held, {name: file.get_tensor(name) for name in names & codecs.SHARED})
        for name, dtype, shape in _row_tensors(codec, rows):
            found = file.get_slice(name) if name in names else None
            if found is None or (found.get_dtype(), tuple(found.get_shape())) != (DTYPES[dtype.name], shape):
                raise ValueError(f"no tensor {name!r} of {dtype} {shape}")
    except ValueError as error:
        raise InputError(f"{path}: broken file of compressed vectors ({error}); fetch or write it again") from error
    return codec


def _check_tensors(path: PathLike, found: dict[str, tuple[str, list[int]]], compressed: bool) -> int:
    """Return V of a file of tensors of these dtypes and shapes; InputError if they are not those of words."""
    missing = {"words", "offsets", *(() if compressed else ("vectors",))} - set(found)
    if missing:
        raise InputError(f"{path}: no tensor {sorted(missing)[0]!r}; it was not saved by w2vfast")
    if compressed:
        V = sum(found["offsets"][1][:1]) - 1
    else:
        dtype, shape = found["vectors"]
        if dtype not in FLOATS or len(shape) != 2 or 0 in shape:
            raise InputError(f"{path}: vectors is {dtype} {shape}, not F32 [V, D]; it was not saved by w2vfast")
        V = shape[0]
    wanted = {"offsets": ("I64", [V + 1]), "counts": ("I64", [V]), "words": ("U8", found["words"][1][:1])}
    for name, (dtype, shape) in wanted.items():
        if found.get(name, (dtype, shape)) != (dtype, shape):
            shown = "{} {}".format(*found[name])
            raise InputError(f"{path}: {name} is {shown}, not {dtype} {shape}; write or fetch it again")
    return V


def write(stream: VectorStream, file: IO[bytes]) -> None:
    """Write a plain file."""
    tensors: Tensors = [("vectors", np.dtype(np.float32), (stream.rows, stream.vector_size))]
    blocks = ((words, {"vectors": vectors}) for words, vectors in stream.blocks)
    _write(stream.rows, stream.counts, tensors, {}, blocks, {}, file)


def write_compressed(
    codec: Codec,
    rows: int,
    counts: NDArray[np.int64] | None,
    blocks: Iterable[tuple[list[str], Arrays]],
    file: IO[bytes],
) -> None:
    """Write a compressed file from blocks of words with what the codec made of their rows, `rows` in all."""
    held = {CODEC: codecs.method_of(codec)} | {name: str(number) for name, number in codecs.numbers(codec).items()}
    _write(rows, counts, _row_tensors(codec, rows), codecs.shared(codec), blocks, held, file)


def _row_tensors(codec: Codec, rows: int) -> Tensors:
    return [(name, np.dtype(dtype), shape) for name, (dtype, shape) in codec.layout(rows).items()]


def _write(
    rows: int,
    counts: NDArray[np.int64] | None,
    tensors: Tensors,
    shared: Mapping[str, NDArray[Any]],
    blocks: Iterable[tuple[list[str], Arrays]],
    held: dict[str, str],
    file: IO[bytes],
) -> None:
    """Write header, offsets, counts, shared arrays, rows and words: aligned, with what is known last coming last."""
    offsets: NDArray[Any] = np.zeros(rows + 1, dtype="<i8")
    fixed: dict[str, NDArray[Any]] = {"offsets": offsets, **({} if counts is None else {"counts": counts}), **shared}
    # Of rows' tensors those with the widest items come first: each is then aligned to its items.
    tensors = sorted(tensors, key=lambda tensor: -tensor[1].itemsize)
    entries = [(name, array.dtype, array.shape) for name, array in fixed.items()] + tensors
    lengths = [dtype.itemsize * math.prod(shape) for _, dtype, shape in entries]
    places = dict(
        zip([name for name, *_ in entries], itertools.accumulate(lengths, initial=HEADER_BYTES), strict=False)
    )
    for name, array in fixed.items():
        file.seek(places[name])
        file.write(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).data)
    row, text = 0, []
    for words, arrays in blocks:
        for name, dtype, _ in tensors:
            piece = np.ascontiguousarray(arrays[name], dtype=dtype.newbyteorder("<"))
            if len(tensors) > 1 or not row:
                file.seek(places[name])
            file.write(piece.data)
            places[name] += piece.nbytes
        encoded = encode(words)
        offsets[row + 1 : row + 1 + len(words)] = [len(word) for word in encoded]
        row += len(words)
        text.append(b"".join(encoded))
    np.cumsum(offsets, out=offsets)
    file.seek(HEADER_BYTES + sum(lengths))
    file.writelines(text)
    file.seek(HEADER_BYTES)
    file.write(offsets.data)
    listed = [(name, DTYPES[dtype.name], list(shape)) for name, dtype, shape in entries]
    listed.append(("words", "U8", [int(offsets[-1])]))
    lengths.append(int(offsets[-1]))
    file.seek(0)
    about = {"format": "w2vfast", "words": "UTF-8, parted at offsets"}
    file.write(header([(*entry, n) for entry, n in zip(listed, lengths, strict=True)], about | held, HEADER_BYTES))


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
