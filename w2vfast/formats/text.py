"""The lines of word2vec's text format: a word and its numbers in decimal, the shortest that read back as they were."""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats.words import decode, encode_unspaced, show
from w2vfast.vectors import BLOCK_ROWS, Block, VectorStream


def read_rows(
    path: PathLike, lines: Iterator[bytes], rows: int, size: int, where: Callable[[int], str], stated: int | None
) -> Iterator[Block]:
    """Yield the first `rows` lines of a word and `size` numbers; a message calls row i by `where(i)`.

    `stated` is the number of words in the header, None where there is no header or not all of them are read. Raises
    InputError for a line that is not that, and where the number of lines disagrees with `stated`.
    """
    row = 0
    while row < rows and (block := list(itertools.islice(lines, min(BLOCK_ROWS, rows - row)))):
        parsed = _parse_fast(block, size) or _parse_slowly(path, block, size, row, where)
        row += len(parsed[0])
        if parsed[0]:
            yield parsed
        if len(parsed[0]) < len(block):
            if any(not line.isspace() for line in lines):
                raise InputError(f"{path}, {where(row)}: an empty line before the end of the file")
            break
    if row < rows:
        raise InputError(f"{path}: the header says {stated} words, but the file ends after {row}; fetch it again")
    if stated is not None and any(not line.isspace() for line in lines):
        raise InputError(f"{path}, {where(row)}: the header says {stated} words, but more lines follow them")


def _parse_fast(lines: Sequence[bytes], size: int) -> Block | None:
    """Parse lines of a word and `size` numbers parted by single spaces; None if any line is not that."""
    lines = [line.rstrip() for line in lines]
    together = b" ".join(lines)
    # A number too many in a line and one too few in another would go unseen below.
    if b"  " in together or together.translate(None, b"\t\n\v\f\r") != together:
        return None
    words, cells = [], []
    for line in lines:
        word, _, numbers = line.partition(b" ")
        if not word or numbers.count(b" ") != size - 1:
            return None
        words.append(decode(word))
        cells.append(numbers)
    with warnings.catch_warnings():
        # numpy only warns of a cell that is no number; the slow way then says where it is
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(b" ".join(cells), dtype=np.float32, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    return (words, values.reshape(-1, size)) if len(values) == len(lines) * size else None


def _parse_slowly(path: PathLike, lines: Sequence[bytes], size: int, row: int, where: Callable[[int], str]) -> Block:
    """Parse lines one by one (tabs, several spaces, words of GloVe that hold a space); raise InputError at a fault."""
    words: list[str] = []
    vectors = np.empty((len(lines), size), dtype=np.float32)
    for i, line in enumerate(lines):
        cells = line.split()
        if not cells and not any(map(bytes.strip, lines[i:])):
            return words, vectors[:i]
        extra = len(cells) - 1 - size
        if extra < 0 or (extra > 0 and all(map(is_number, cells[1 : 1 + extra]))):
            raise InputError(f"{path}, {where(row + i)}: {len(cells) - 1} numbers instead of {size}: {show(line)}")
        for j, cell in enumerate(cells[1 + extra :]):
            if not is_number(cell):
                raise InputError(f"{path}, {where(row + i)}: {show(cell)} is not a number, in {show(line)}")
            vectors[i, j] = float(cell)
        words.append(decode(b" ".join(cells[: 1 + extra])))
    return words, vectors


def is_number(cell: bytes) -> bool:
    """Return whether a cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def write(stream: VectorStream, file: IO[bytes], path: PathLike) -> None:
    """Write header and lines. Raises InputError for a word that is empty or holds white space."""
    file.write(f"{stream.rows} {stream.vector_size}\n".encode())
    for words, vectors in stream.blocks:
        rows = shortest_decimals(vectors).tolist()
        encoded = encode_unspaced(words, path)
        file.writelines(
            b"%b %b\n" % (word, " ".join(map(repr, row)).encode()) for word, row in zip(encoded, rows, strict=True)
        )


def shortest_decimals(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64 numbers whose Python repr is the shortest decimal that reads back as the float32 value.

    The first of 6, 7 or 8 significant digits that reads back is the shortest, since 6 digits always survive float32
    and zeros at the end are not written; 9 digits always read back.
    """
    exact = values.astype(np.float64)
    size = np.abs(exact)
    # Beyond these bounds the power of ten below is not exact in float64; these few values go through numpy's printer.
    usual = (size > 1e-12) & (size < 1e12)
    power = np.where(usual, np.floor(np.log10(size, where=usual, out=np.zeros_like(size))), 0.0)
    best = exact.copy()
    open_ = usual.copy()
    for digits in (6, 7, 8, 9):
        shift = digits - 1 - power
        scale = 10.0 ** np.abs(shift)
        scaled = np.rint(np.where(shift >= 0, exact * scale, exact / scale))
        rounded = np.where(shift >= 0, scaled / scale, scaled * scale)
        reads_back = open_ & (rounded.astype(np.float32) == values)
        best[reads_back] = rounded[reads_back]
        open_ &= ~reads_back
    rest = (open_ | ~usual) & (exact != 0)
    best[rest] = [float(str(value)) for value in values[rest]]
    return best
