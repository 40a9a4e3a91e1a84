"""The command that makes vectors smaller, to be read as any other file of vectors.

    python -m w2vfast.compress vectors.bin -o small.safetensors --to int8
    python -m w2vfast.compress vectors.bin -o small.safetensors --to pq --bytes 25
    python -m w2vfast.convert small.safetensors again.bin

Rows are streamed: neither file need fit in memory. What was lost is printed: 1 less the cosine between a row before and
after, mean and largest. The methods are those of w2vfast.codecs; docs/smaller-vectors.md has what each costs. Exit code
2 on bad input.
"""

import dataclasses
import json
import math
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast import codecs
from w2vfast.codecs import METHODS, Arrays, Codec
from w2vfast.command import Parser, exit_code
from w2vfast.compressed import CompressedVectors
from w2vfast.errors import InputError
from w2vfast.files import PathLike, atomic_path
from w2vfast.formats import check_writable, format_of, open_vectors
from w2vfast.formats.safetensors import open_compressed, write_compressed
from w2vfast.kernels.levels import levels_of
from w2vfast.vectors import Block, Vectors, VectorStream, stream_of

__all__ = [
    "METHODS",
    "CompressedVectors",
    "Report",
    "compress",
    "compress_file",
    "of_bits",
    "of_rows",
    "open_compressed",
    "save_compressed",
]

# Options by the method that takes them, each with the flag that sets it; those in NEEDED have no default.
OPTIONS = {"binary": {"rotate": "--rotate"}, "prune": {"keep": "--keep"}, "svd": {"rank": "--rank"}}
OPTIONS["pq"] = {"bytes_per_row": "--bytes", "frequent": "--frequent"}
NEEDED = {"keep", "rank"}
DIRECTIONS = {"binary", "pq"}  # keep no lengths, and have nothing for a row of zeros


@dataclasses.dataclass(frozen=True)
class Report:
    """What compressing did; bytes are those of rows and what they share, without the words.

    Errors are 1 - cosine of a row and what is read back: 0 to 2, 0 for a row of zeros that stays one.
    """

    method: str
    vectors: int
    vector_size: int
    bytes_before: int
    bytes_after: int
    mean_error: float
    largest_error: float


class _Errors:
    """Adds up the errors of rows."""

    def __init__(self) -> None:
        self.rows, self.total, self.largest = 0, 0.0, 0.0

    def add(self, errors: NDArray[np.float64]) -> None:
        self.rows += len(errors)
        self.total += float(errors.sum())
        self.largest = max(self.largest, float(errors.max(initial=0)))

    def report(self, codec: Codec, shape: tuple[int, int]) -> Report:
        V, D = shape
        after = sum(np.dtype(dtype).itemsize * math.prod(size) for dtype, size in codec.layout(V).values())
        after += sum(array.nbytes for array in codecs.shared(codec).values())
        return Report(codecs.method_of(codec), V, D, 4 * V * D, after, self.total / max(self.rows, 1), self.largest)


def compress(vectors: Vectors, to: str, **options: Any) -> tuple[CompressedVectors, Report]:
    """Return vectors in memory compressed by one of METHODS, and what that did.

    `options` are the method's: `rotate` (binary), `bytes_per_row` and `frequent` (pq), `keep` (prune: a share, 0 to 1),
    `rank` (svd). Raises InputError for others, for what the vectors cannot have, and for a row of zeros where only
    directions are kept.
    """
    codec = _fit(lambda: nullcontext(stream_of(vectors)), to, options)
    errors = _Errors()
    blocks = list(_encoded(_directed(stream_of(vectors), to).blocks, codec, errors))
    arrays = {name: np.concatenate([arrays[name] for _, arrays in blocks]) for name in codec.layout(len(vectors.words))}
    small = CompressedVectors(vectors.words, codec, arrays, vectors.counts)
    return small, errors.report(codec, vectors.shape)


def of_bits(vectors: Vectors, bits: int) -> CompressedVectors:
    """Return rows that were trained with so many bits a value (kernels/levels.py) as those bits, none lost: by binary
    (as rows of length 1), int2 or int8.
    """
    if bits != 8:
        return compress(vectors, {1: "binary", 2: "int2"}[bits])[0]
    step = levels_of(bits, vectors.shape[1]).step
    codes = np.rint(vectors.vectors / np.float32(step)).astype(np.int8)
    codec = codecs.restore("int8", {"vector_size": str(vectors.shape[1])}, {})
    scales = np.full(len(codes), step, dtype=np.float32)
    return CompressedVectors(vectors.words, codec, {"scales": scales, "codes": codes}, vectors.counts)


def of_rows(
    words: list[str], counts: NDArray[np.int64], table: NDArray[np.float32], row: NDArray[np.int32]
) -> CompressedVectors:
    """Return words that share the rows of a table [rows, D]; `row` int32 [V] says which is whose."""
    codec = codecs.restore("buckets", {"vector_size": str(table.shape[1])}, {"table": table})
    return CompressedVectors(words, codec, {"codes": row}, counts)


def save_compressed(vectors: CompressedVectors, path: PathLike) -> None:
    """Write a .safetensors file, whole or not at all. Raises InputError if it cannot be written."""
    if format_of(path) != "safetensors":
        raise InputError(f"{path}: compressed vectors are written as .safetensors; give it that suffix")
    check_writable(path)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        write_compressed(vectors.codec, len(vectors.words), vectors.counts, [(vectors.words, vectors.arrays)], file)


def compress_file(source: PathLike, target: PathLike, to: str, **options: Any) -> Report:
    """Do as `compress` from one file of vectors, block by block, into a .safetensors file; returns what that did.

    Raises InputError as `compress`, `load_vectors` and `save_vectors` do, and if both are one file.
    """
    if format_of(target) != "safetensors":
        raise InputError(f"{target}: compressed vectors are written as .safetensors; give it that suffix")
    check_writable(target)
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise InputError(f"{target} is the file to be read: give another name")
    codec = _fit(lambda: open_vectors(source), to, options)
    errors = _Errors()
    with open_vectors(source) as stream, atomic_path(target) as temporary, open(temporary, "wb") as file:
        blocks = _encoded(_directed(stream, to).blocks, codec, errors)
        write_compressed(codec, stream.rows, stream.counts, blocks, file)
        return errors.report(codec, (stream.rows, stream.vector_size))


def _fit(passes: codecs.Passes, to: str, options: dict[str, Any]) -> Codec:
    """Return the codec of a method with its options. Raises InputError."""
    if to not in METHODS:
        raise InputError(f"no method {to!r}; there are {', '.join(METHODS)}")
    known = OPTIONS.get(to, {})
    for name in options:
        if name not in known:
            owner = next((method for method, names in OPTIONS.items() if name in names), None)
            raise InputError(f"{to} has no option {name!r}" + (f": it is one of {owner}" if owner else ""))
    for name, flag in known.items():
        if name in NEEDED and name not in options:
            raise InputError(f"{to} needs {flag} (in Python {name}=...)")

    @contextmanager
    def directed() -> Iterator[VectorStream]:
        with passes() as stream:
            yield _directed(stream, to)

    return codecs.fit(to, directed, options)


def _directed(stream: VectorStream, to: str) -> VectorStream:
    """Return a stream that raises InputError at a row of zeros if the method keeps directions only."""
    if to not in DIRECTIONS:
        return stream

    def blocks() -> Iterator[Block]:
        for words, rows in stream.blocks:
            there = rows.any(axis=1)
            if not there.all():
                word = words[int(np.argmin(there))]
                raise InputError(f"the vector of {word!r} is all zeros: it has no direction; leave the word out")
            yield words, rows

    return dataclasses.replace(stream, blocks=blocks())


def _encoded(blocks: Iterable[Block], codec: Codec, errors: _Errors) -> Iterator[tuple[list[str], Arrays]]:
    """Yield words with what the codec makes of their rows, made by as many threads as there are processors."""

    def work(rows: NDArray[np.float32], start: int) -> tuple[Arrays, NDArray[np.float64]]:
        arrays = codec.encode(rows, start)
        return arrays, cosine_errors(rows, codec.decode(arrays))

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[list[str], Future[tuple[Arrays, NDArray[np.float64]]]]] = deque()

        def next_one() -> tuple[list[str], Arrays]:
            words, future = ahead.popleft()
            arrays, found = future.result()
            errors.add(found)
            return words, arrays

        start = 0
        for words, rows in blocks:
            ahead.append((words, pool.submit(work, rows, start)))
            start += len(words)
            if len(ahead) > 2 * workers:
                yield next_one()
        while ahead:
            yield next_one()


def cosine_errors(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 - cosine of each row with its like, float64 [n]: 0 where both are zeros, 1 where one is."""
    along, first, second = (
        np.einsum("nd,nd->n", a, b).astype(np.float64) for a, b in ((before, after), (before, before), (after, after))
    )
    lengths = np.sqrt(first * second)
    cosines = np.divide(along, lengths, out=(first == second).astype(np.float64), where=lengths > 0)
    errors: NDArray[np.float64] = np.maximum(1 - cosines, 0)
    return errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return exit_code("w2vfast.compress", partial(_main, argv), interrupted="interrupted; nothing was written")


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m w2vfast.compress",
        description="Make word vectors smaller; the result is read by w2vfast.eval, w2vfast.convert and the like.",
        allow_abbrev=False,
    )
    parser.add_argument("input", help="the vectors to read: .bin, .txt, .vec (or these .gz), .kv, .safetensors")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--to", required=True, choices=METHODS, help="the method")
    parser.add_argument("--rotate", action="store_const", const=True, help="binary: take the mean off and rotate first")
    parser.add_argument(
        "--bytes", type=int, dest="bytes_per_row", metavar="N", help="pq: bytes a row, in the mean (default: D / 4)"
    )
    parser.add_argument(
        "--frequent",
        type=float,
        metavar="SHARE",
        help="pq: the share of words, the first, that half of the bytes go to (default: 0.375; 0: all words alike)",
    )
    parser.add_argument("--keep", type=float, metavar="SHARE", help="prune: the share of values to keep, 0 to 1")
    parser.add_argument("--rank", type=int, metavar="R", help="svd: how many numbers a row keeps")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    names = [name for names in OPTIONS.values() for name in names]
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    report = compress_file(options.input, options.output, options.to, **given)
    if options.json:
        print(json.dumps({"input": options.input, "output": options.output, **dataclasses.asdict(report)}))
    else:
        print(
            f"{report.vectors:,} vectors of {report.vector_size} dimensions by {report.method}: {options.output}\n"
            f"{report.bytes_before:,} bytes of vectors before, {report.bytes_after:,} after "
            f"({report.bytes_before / report.bytes_after:.2f} times smaller)\n"
            f"1 - cosine with the vectors before: {report.mean_error:.2g} in the mean, "
            f"{report.largest_error:.2g} at most"
        )


if __name__ == "__main__":
    sys.exit(main())
