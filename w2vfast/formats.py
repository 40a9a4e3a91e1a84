"""Word vectors on disk: word2vec binary and text, gensim's native files and safetensors, read and written in blocks.

Every reader yields blocks of rows and every writer takes them, so that files larger than memory can be converted. A
file is written whole or not at all. Neither gensim nor torch is imported but for .kv files.
"""

import contextlib
import glob
import gzip
import itertools
import json
import os
import pickle
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.files import atomic_path

PathLike = str | os.PathLike[str]
Block = tuple[list[str], NDArray[np.float32]]

SUFFIXES = {".bin": "binary", ".txt": "text", ".vec": "text", ".kv": "kv", ".safetensors": "safetensors"}
KNOWN_SUFFIXES = (
    ".bin (word2vec binary), .txt or .vec (word2vec text), .kv (gensim), .safetensors (one file with the counts)"
)
BLOCK_ROWS = 4096
BLOCK_BYTES = 1 << 22
LONGEST_WORD = 1 << 16  # bytes; a longer one means that the file is not what its suffix says
SAFETENSORS_HEADER = 512  # bytes reserved before the tensors; five entries need about 300
FASTTEXT_MODEL = struct.pack("<i", 793712314)  # the first bytes of fastText's own .bin models
ASCII_SPACE = frozenset(" \t\n\r\v\f")


@dataclass(frozen=True)
class Vectors:
    """Words with their vectors, most frequent first.

    `words` has V distinct entries; `vectors` is float32 [V, D], C-contiguous; `counts` is int64 [V], or None where the
    format does not hold them. Raises ValueError for anything else.
    """

    words: list[str]
    vectors: NDArray[np.float32]
    counts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32 or not self.vectors.flags.c_contiguous:
            raise ValueError("vectors must be a C-contiguous float32 array of shape [V, D]")
        if len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words do not go with {len(self.vectors)} vectors")
        if self.counts is not None and (self.counts.shape != (len(self.words),) or self.counts.dtype != np.int64):
            raise ValueError(f"counts must be an int64 array of shape [{len(self.words)}]")


@dataclass(frozen=True)
class VectorStream:
    """An open file of `rows` vectors: `blocks` yields (words, float32 [n, D]) in the file's order, once."""

    rows: int
    vector_size: int
    blocks: Iterator[Block]
    counts: NDArray[np.int64] | None = None


def format_of(path: PathLike) -> str:
    """Return the format that a path's suffix names: binary, text, kv or safetensors (.gz is looked through).

    Raises InputError for any other suffix; the message lists the known ones.
    """
    name = Path(path).name
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES or (name.endswith(".gz") and SUFFIXES[suffix] in ("kv", "safetensors")):
        shown = f"suffix {suffix!r}" if suffix else "missing suffix"
        raise InputError(f"{path}: {shown} says no known format; use {KNOWN_SUFFIXES}")
    return SUFFIXES[suffix]


def check_writable(path: PathLike, format: str | None = None) -> None:
    """Find out before the work, not after it, that vectors cannot be saved to `path` (in `format`, if one is given).

    Raises InputError for an unknown suffix, a folder in the file's place, a missing folder or one that cannot be
    written to.
    """
    _writable_format(path, format)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {target.parent} does not exist; create it")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error


def load_vectors(path: PathLike, *, limit: int | None = None) -> Vectors:
    """Read a vectors file, or its first `limit` rows; the suffix names the format, and text and binary may be .gz.

    Takes what word2vec.c (a newline after each binary row), gensim, fastText (.vec) and GloVe (text with no header)
    write. Bytes that are no UTF-8 come as backslash escapes, so that different words stay different. A .kv file is a
    pickle: load it only from where you would run a program from. Raises InputError, which says where, for a file that
    is truncated, disagrees with its header, holds a cell that is no number, NaN or infinity, or a word twice.
    """
    with open_vectors(path, limit=limit) as stream:
        return _collect(stream)


def save_vectors(vectors: Vectors, path: PathLike, format: str | None = None) -> None:
    """Write a vectors file, whole or not at all, in the format that the suffix (or `format`) names.

    Text holds the shortest decimals that read back as the same float32; only .kv and .safetensors hold counts. Raises
    InputError if the file cannot be written, and on a text or binary save for a word that is empty or holds white
    space (ASCII; the readers of these formats split there).
    """
    if _writable_format(path, format) == "kv":
        _write_kv(vectors, path)
    else:
        write_stream(_stream_of(vectors), path, format)


def to_keyed_vectors(vectors: Vectors) -> Any:
    """Return a gensim KeyedVectors that shares the array, with the counts as its attribute "count"."""
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(vectors.vectors.shape[1])
    keyed.index_to_key = list(vectors.words)
    keyed.key_to_index = {word: i for i, word in enumerate(vectors.words)}
    keyed.next_index = len(vectors.words)
    keyed.vectors = vectors.vectors
    if vectors.counts is not None:
        keyed.expandos["count"] = vectors.counts
    return keyed


def from_keyed_vectors(keyed: Any) -> Vectors:
    """Return the words, vectors and (where present) counts of a gensim KeyedVectors."""
    counts = keyed.expandos.get("count")
    return Vectors(
        [str(word) for word in keyed.index_to_key],
        np.ascontiguousarray(keyed.vectors, dtype=np.float32),
        None if counts is None else np.asarray(counts).astype(np.int64),
    )


@contextmanager
def open_vectors(path: PathLike, *, limit: int | None = None) -> Iterator[VectorStream]:
    """Open a vectors file to be read block by block, at most `limit` rows of it; see `load_vectors`."""
    kind = format_of(path)
    if limit is not None and limit < 1:
        raise InputError(f"the number of vectors to read must be at least 1, not {limit}")
    with contextlib.ExitStack() as stack:
        where: Callable[[int], str] = _row
        with _reading(path):
            match kind:
                case "kv":
                    stream = _open_kv(path, limit)
                case "safetensors":
                    stream = _open_safetensors(path, limit, stack)
                case _:
                    stream, where = _open_word2vec(path, kind, limit, stack)
        yield replace(stream, blocks=_checked(stream.blocks, path, where))


@contextmanager
def _reading(path: PathLike) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: broken .gz file ({error}); fetch or write it again") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def _row(i: int) -> str:
    return f"row {i + 1}"


def _line(i: int) -> str:
    return f"line {i + 1}"


def _line_after_header(i: int) -> str:
    return f"line {i + 2}"


def _checked(blocks: Iterator[Block], path: PathLike, where: Callable[[int], str]) -> Iterator[Block]:
    """Pass blocks on; raise InputError at a word that came before, NaN or infinity."""
    first: dict[str, int] = {}
    with _reading(path):
        for words, vectors in blocks:
            row = len(first)
            for i, word in enumerate(words, row):
                if first.setdefault(word, i) != i:
                    raise InputError(
                        f"{path}, {where(i)}: the word {word!r} came before, in {where(first[word])}; words must differ"
                    )
            finite = np.isfinite(vectors).all(axis=1)
            if not finite.all():
                bad = int(np.argmin(finite))
                raise InputError(f"{path}, {where(row + bad)}: the vector of {words[bad]!r} holds NaN or infinity")
            yield words, vectors


def _open_word2vec(
    path: PathLike, kind: str, limit: int | None, stack: contextlib.ExitStack
) -> tuple[VectorStream, Callable[[int], str]]:
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
            raise InputError(f"{path}, line 1: the numbers of words and of dimensions expected, not {_show(head)}")
        rows = _count_lines(head, file, limit)
        file.seek(0)
        return VectorStream(rows, size, _text_blocks(path, file, rows, size, _line, None)), _line
    total, size = header
    if total < 1 or size < 1:
        raise InputError(f"{path}: the header {_show(head)} says that there is nothing in the file")
    # word2vec.c writes either format to any name: the first row decides
    kind = "binary" if min(file.peek(8 * size)[: 8 * size], default=32) < 9 else kind
    kind = "text" if _is_text_row(file.peek(LONGEST_WORD), size) else kind
    # a .gz file is at most 1,032 times larger unpacked
    held = os.path.getsize(path) * (1032 if packed else 1)
    if total * size * (4 if kind == "binary" else 1) > held:
        raise InputError(
            f"{path}: the header says {total} words of {size} dimensions, more than the file can hold: "
            "it is truncated, or its header is wrong"
        )
    rows = total if limit is None else min(limit, total)
    whole = rows == total
    if kind == "binary":
        return VectorStream(rows, size, _binary_blocks(path, file, rows, size, whole)), _row
    return VectorStream(
        rows, size, _text_blocks(path, file, rows, size, _line_after_header, total if whole else None)
    ), _line_after_header


def _header(line: bytes) -> tuple[int, int] | None:
    cells = line.split()
    if len(cells) == 2 and all(cell.isdigit() for cell in cells):
        return int(cells[0]), int(cells[1])
    return None


def _is_text_row(sample: bytes, size: int) -> bool:
    line, newline, _ = sample.partition(b"\n")
    cells = line.split()
    return bool(newline) and len(cells) == size + 1 and all(map(_is_number, cells[1:]))


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


def _binary_blocks(path: PathLike, file: IO[bytes], rows: int, size: int, whole: bool) -> Iterator[Block]:
    width, row, pos, buffer = 4 * size, 0, 0, b""
    while row < rows:
        more = file.read(BLOCK_BYTES)
        buffer = buffer[pos:] + more
        view, pos = memoryview(buffer), 0
        words: list[str] = []
        cells: list[memoryview] = []
        while row + len(words) < rows:
            space = buffer.find(b" ", pos)
            end = space + 1 + width
            if space < 0 or end > len(buffer):
                break
            words.append(_decode(buffer[pos:space].lstrip(b"\n")))
            cells.append(view[space + 1 : end])
            pos = end
        row += len(words)
        if words:
            yield words, np.frombuffer(b"".join(cells), dtype="<f4").reshape(-1, size).astype(np.float32, copy=False)
        elif not more:
            raise InputError(f"{path}: truncated in row {row + 1} of {rows}; fetch or write it again")
        elif buffer.find(b" ") < 0 and len(buffer) > LONGEST_WORD:
            raise InputError(f"{path}, row {row + 1}: no word found; it is not word2vec binary of {size} dimensions")
    if whole and (rest := buffer[pos:] + file.read(BLOCK_BYTES)).strip(b"\n"):
        raise InputError(
            f"{path}: the header says {rows} words of {size} dimensions, but {len(rest)} or more bytes follow them"
        )


def _text_blocks(
    path: PathLike, lines: Iterator[bytes], rows: int, size: int, where: Callable[[int], str], stated: int | None
) -> Iterator[Block]:
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
    words, cells = [], []
    for line in lines:
        word, _, numbers = line.rstrip().partition(b" ")
        if not word or numbers.count(b" ") != size - 1 or b"\t" in word:
            return None
        words.append(_decode(word))
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
        if extra < 0 or (extra > 0 and all(map(_is_number, cells[1 : 1 + extra]))):
            raise InputError(f"{path}, {where(row + i)}: {len(cells) - 1} numbers instead of {size}: {_show(line)}")
        for j, cell in enumerate(cells[1 + extra :]):
            if not _is_number(cell):
                raise InputError(f"{path}, {where(row + i)}: {_show(cell)} is not a number, in {_show(line)}")
            vectors[i, j] = float(cell)
        words.append(_decode(b" ".join(cells[: 1 + extra])))
    return words, vectors


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _decode(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")


def _show(text: bytes) -> str:
    shown = text[:60].decode("utf-8", "backslashreplace").rstrip()
    return repr(shown) + ("..." if len(text) > 60 else "")


def _open_kv(path: PathLike, limit: int | None) -> VectorStream:
    from gensim.models import KeyedVectors

    try:
        keyed = KeyedVectors.load(os.fspath(path), mmap="r")
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a file of gensim's KeyedVectors.save ({error})") from error
    keyed = getattr(keyed, "wv", keyed)
    if not isinstance(keyed, KeyedVectors):
        raise InputError(f"{path}: holds a {type(keyed).__name__}, not gensim's KeyedVectors")
    vectors = from_keyed_vectors(keyed)
    return _stream_of(vectors, limit)


def _open_safetensors(path: PathLike, limit: int | None, stack: contextlib.ExitStack) -> VectorStream:
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


def _collect(stream: VectorStream) -> Vectors:
    words: list[str] = []
    vectors = np.empty((stream.rows, stream.vector_size), dtype=np.float32)
    for block_words, block in stream.blocks:
        vectors[len(words) : len(words) + len(block_words)] = block
        words += block_words
    return Vectors(words, vectors, stream.counts)


def _stream_of(vectors: Vectors, limit: int | None = None) -> VectorStream:
    rows, size = vectors.vectors.shape
    rows = rows if limit is None else min(limit, rows)
    starts = range(0, rows, BLOCK_ROWS)
    ends = [min(start + BLOCK_ROWS, rows) for start in starts]
    blocks = ((vectors.words[a:b], vectors.vectors[a:b]) for a, b in zip(starts, ends, strict=True))
    return VectorStream(rows, size, blocks, None if vectors.counts is None else vectors.counts[:rows])


def _writable_format(path: PathLike, format: str | None) -> str:
    if format is not None:
        if format not in SUFFIXES.values():
            raise InputError(f"unknown format {format!r}; use one of {', '.join(dict.fromkeys(SUFFIXES.values()))}")
        return format
    if str(path).endswith(".gz"):
        raise InputError(f"{path}: .gz is read but not written; leave .gz off and compress the file afterwards")
    return format_of(path)


def write_stream(stream: VectorStream, path: PathLike, format: str | None = None) -> None:
    """Write blocks of vectors as they come (but .kv, which gensim writes at once); see `save_vectors`."""
    kind = _writable_format(path, format)
    if kind == "kv":
        return _write_kv(_collect(stream), path)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        match kind:
            case "binary":
                _write_binary(stream, file, path)
            case "text":
                _write_text(stream, file, path)
            case _:
                _write_safetensors(stream, file)
    return None


def _encode(words: Sequence[str], path: PathLike) -> list[bytes]:
    for word in words:
        if not word or not ASCII_SPACE.isdisjoint(word):
            fault = "holds white space" if word else "is empty"
            raise InputError(f"cannot write {path}: the word {word!r} {fault}; .kv and .safetensors can hold it")
    return _utf8(words)


def _utf8(words: Sequence[str]) -> list[bytes]:
    try:
        return [word.encode() for word in words]
    except UnicodeEncodeError as error:
        raise InputError(f"cannot write the word {error.object!r}: it is no valid Unicode text") from error


def _write_binary(stream: VectorStream, file: IO[bytes], path: PathLike) -> None:
    file.write(f"{stream.rows} {stream.vector_size}\n".encode())
    width = 4 * stream.vector_size
    for words, vectors in stream.blocks:
        rows = np.ascontiguousarray(vectors, dtype="<f4").tobytes()
        file.write(
            b"".join(
                part
                for i, word in enumerate(_encode(words, path))
                for part in (word, b" ", rows[i * width : (i + 1) * width])
            )
        )


def _write_text(stream: VectorStream, file: IO[bytes], path: PathLike) -> None:
    file.write(f"{stream.rows} {stream.vector_size}\n".encode())
    for words, vectors in stream.blocks:
        rows = shortest_decimals(vectors).tolist()
        encoded = _encode(words, path)
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


def _write_safetensors(stream: VectorStream, file: IO[bytes]) -> None:
    """Write offsets, counts, vectors and words, in this order: aligned, with what is known last coming last."""
    n, size = stream.rows, stream.vector_size
    counts = None if stream.counts is None else stream.counts.astype("<i8", copy=False)
    file.seek(SAFETENSORS_HEADER + 8 * (n + 1))
    if counts is not None:
        file.write(counts.data)
    offsets, row, words = np.zeros(n + 1, dtype="<i8"), 0, []
    for block_words, vectors in stream.blocks:
        file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        encoded = _utf8(block_words)
        offsets[row + 1 : row + 1 + len(encoded)] = [len(word) for word in encoded]
        row += len(encoded)
        words.append(b"".join(encoded))
    np.cumsum(offsets, out=offsets)
    file.writelines(words)
    file.seek(SAFETENSORS_HEADER)
    file.write(offsets.data)
    file.seek(0)
    file.write(_safetensors_header(n, size, int(offsets[-1]), counts is not None))


def _safetensors_header(rows: int, size: int, text_bytes: int, with_counts: bool) -> bytes:
    tensors = [("offsets", "I64", [rows + 1], 8 * (rows + 1))]
    if with_counts:
        tensors.append(("counts", "I64", [rows], 8 * rows))
    tensors += [("vectors", "F32", [rows, size], 4 * rows * size), ("words", "U8", [text_bytes], text_bytes)]
    header: dict[str, Any] = {"__metadata__": {"format": "w2vfast", "words": "UTF-8, parted at offsets"}}
    start = 0
    for name, dtype, shape, length in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + length]}
        start += length
    text = json.dumps(header).encode().ljust(SAFETENSORS_HEADER - 8)
    return struct.pack("<Q", len(text)) + text


def _write_kv(vectors: Vectors, path: PathLike) -> None:
    """Save through gensim; large arrays lie in files of their own beside the main one, which appears last."""
    _utf8(vectors.words)
    with atomic_path(path) as temporary:
        target = Path(os.path.realpath(path))
        try:
            to_keyed_vectors(vectors).save(str(temporary))
            beside = list(temporary.parent.glob(glob.escape(temporary.name) + ".*"))
            for file in beside:
                os.replace(file, target.with_name(target.name + file.name.removeprefix(temporary.name)))
        finally:
            for file in temporary.parent.glob(glob.escape(temporary.name) + ".*"):
                file.unlink()
    if not beside:
        target.with_name(target.name + ".vectors.npy").unlink(missing_ok=True)
