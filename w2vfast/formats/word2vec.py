"""Reads files of word2vec's two formats: tells which of them a file is, and how many rows of what size it holds."""

import contextlib
import gzip
import itertools
import os
import struct
from collections.abc import Callable
from typing import IO, Any

from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats import binary, text
from w2vfast.formats.words import LONGEST_WORD, show
from w2vfast.vectors import VectorStream

_DIGITS = 20  # of a number in a header, which is then more than any file can hold; Python refuses thousands of them
FASTTEXT_MODEL = struct.pack("<i", 793712314)  # the first bytes of fastText's own .bin models


def open_file(
    path: PathLike, kind: str, limit: int | None, stack: contextlib.ExitStack
) -> tuple[VectorStream, Callable[[int], str]]:
    """Open a file, plain or .gz, that is named as `kind`; return its rows, and what a message calls row i.

    `stack` closes it. Raises InputError where the beginning is neither format's, or the header cannot be true.
    """
    packed = str(path).endswith(".gz")
    file: Any = stack.enter_context(gzip.open(path) if packed else open(path, "rb"))  # noqa: SIM115
    head = file.readline(LONGEST_WORD)
    if not head:
        raise InputError(f"{path} is empty")
    if head[:4] == FASTTEXT_MODEL:
        raise InputError(f"{path} is a fastText model, not word2vec binary; take the .vec file beside it")
    header = _header(head)
    if header is None:
        size = len(head.split()) - 1
        if kind == "binary" or size < 1 or b"\0" in head:
            raise InputError(f"{path}, line 1: the numbers of words and of dimensions expected, not {show(head)}")
        rows = _count_lines(head, file, limit)
        if 2 * rows * size > _held(path):  # a space and a digit each
            raise InputError(f"{path}: its first line has {size} numbers, more than all {rows} lines can have")
        file.seek(0)
        return VectorStream(rows, size, text.read_rows(path, file, rows, size, _line, None)), _line
    total, size = header
    if total < 1 or size < 1:
        raise InputError(f"{path}: the header {show(head)} says that there is nothing in the file")
    _refuse_more(path, head, total * size)
    # word2vec.c writes either format to any name: the first row decides
    kind = "binary" if min(file.peek(8 * size)[: 8 * size], default=32) < 9 else kind
    kind = "text" if _is_text_row(file.peek(LONGEST_WORD), size) else kind
    _refuse_more(path, head, total * size * (4 if kind == "binary" else 1))
    rows = total if limit is None else min(limit, total)
    whole = rows == total
    if kind == "binary":
        return VectorStream(rows, size, binary.read_rows(path, file, rows, size, whole)), row_name
    blocks = text.read_rows(path, file, rows, size, _line_after_header, total if whole else None)
    return VectorStream(rows, size, blocks), _line_after_header


def _held(path: PathLike) -> int:
    """Return how many bytes a file holds at most: a .gz file is up to 1,032 times larger unpacked."""
    return os.path.getsize(path) * (1032 if str(path).endswith(".gz") else 1)


def _refuse_more(path: PathLike, head: bytes, needed: int) -> None:
    """Raise InputError for a header of which a file cannot hold so many bytes."""
    if needed > _held(path):
        raise InputError(
            f"{path}: the header {show(head)} says more than the file can hold: it is truncated, or its header is wrong"
        )


def row_name(i: int) -> str:
    """Return what a message calls row i of a file that is not in lines."""
    return f"row {i + 1}"


def _line(i: int) -> str:
    return f"line {i + 1}"


def _line_after_header(i: int) -> str:
    return f"line {i + 2}"


def _header(line: bytes) -> tuple[int, int] | None:
    cells = line.split()
    if len(cells) == 2 and all(cell.isdigit() for cell in cells):
        return int(cells[0][:_DIGITS]), int(cells[1][:_DIGITS])
    return None


def _is_text_row(sample: bytes, size: int) -> bool:
    line, newline, _ = sample.partition(b"\n")
    cells = line.split()
    return bool(newline) and len(cells) == size + 1 and all(map(text.is_number, cells[1:]))


def _count_lines(head: bytes, file: IO[bytes], limit: int | None) -> int:
    """Return the number of lines up to trailing white space, or `limit` where that is less."""
    lines = pending = 0
    for line in itertools.chain([head], file):
        pending += 1
        if not line.isspace():
            lines += pending
            pending = 0
        if limit is not None and lines >= limit:
            return limit
    return lines
