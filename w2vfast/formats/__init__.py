"""Word vectors on disk: picks the format by the suffix, and checks what is read and where it is written.

A module beside this one holds each format. Every reader yields blocks of rows and every writer takes them, so that
files larger than memory can be converted (but .kv, which gensim reads and writes at once). A file is written whole or
not at all.
"""

import contextlib
import gzip
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from w2vfast.errors import InputError
from w2vfast.files import PathLike, atomic_path
from w2vfast.formats import binary, keyed_vectors, safetensors, text, word2vec
from w2vfast.formats.keyed_vectors import from_keyed_vectors, to_keyed_vectors
from w2vfast.formats.text import shortest_decimals
from w2vfast.optional import require_gensim
from w2vfast.vectors import Block, Vectors, VectorStream, all_finite, collect, stream_of

__all__ = [
    "VectorStream",
    "Vectors",
    "check_writable",
    "format_of",
    "from_keyed_vectors",
    "least_bytes",
    "load_vectors",
    "open_vectors",
    "save_vectors",
    "shortest_decimals",
    "to_keyed_vectors",
    "write_stream",
]

SUFFIXES = {".bin": "binary", ".txt": "text", ".vec": "text", ".kv": "kv", ".safetensors": "safetensors"}
KNOWN_SUFFIXES = (
    ".bin (word2vec binary), .txt or .vec (word2vec text), .kv (gensim), .safetensors (one file with the counts)"
)


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
    written to, and for .kv where gensim is missing.
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


def least_bytes(
    words: Sequence[str], vector_size: int, path: PathLike, format: str | None = None, bits: int | None = None
) -> int:
    """Return how large a file of so many vectors will be at least, trained with so many bits if any."""
    kind = format or format_of(path)
    # Two in three characters of a vector's decimals are sure: sign, point, space and digits.
    number = 8 if kind == "text" else 4
    if kind == "safetensors" and bits is not None:
        return len(words) * (vector_size * bits // 8) + sum(map(len, words))
    return len(words) * (number * vector_size + 1) + sum(map(len, words))


def load_vectors(path: PathLike, *, limit: int | None = None) -> Vectors:
    """Read a vectors file, or its first `limit` rows; the suffix names the format, and text and binary may be .gz.

    Takes what word2vec.c (a newline after each binary row), gensim, fastText (.vec) and GloVe (text with no header)
    write. Bytes that are no UTF-8 come as backslash escapes, so that different words stay different. A .kv file is a
    pickle: load it only from where you would run a program from. Raises InputError, which says where, for a file that
    is truncated, disagrees with its header, holds a cell that is no number, NaN or infinity, or a word twice.
    """
    with open_vectors(path, limit=limit) as stream:
        return collect(stream)


def save_vectors(vectors: Vectors, path: PathLike, format: str | None = None) -> None:
    """Write a vectors file, whole or not at all, in the format that the suffix (or `format`) names.

    Text holds the shortest decimals that read back as the same float32; only .kv and .safetensors hold counts. Raises
    InputError if the file cannot be written, for vectors that hold NaN or infinity, and on a text or binary save for a
    word that is empty or holds white space (ASCII; the readers of these formats split there).
    """
    if not all_finite([vectors.vectors]):
        raise InputError(f"cannot write {path}: a vector holds NaN or infinity; train with a lower alpha")
    if _writable_format(path, format) == "kv":
        keyed_vectors.write(vectors, path)
    else:
        write_stream(stream_of(vectors), path, format)


@contextmanager
def open_vectors(path: PathLike, *, limit: int | None = None, format: str | None = None) -> Iterator[VectorStream]:
    """Open a vectors file to be read block by block, at most `limit` rows of it; see `load_vectors`.

    `format` stands in for what the suffix would name.
    """
    kind = format or format_of(path)
    if limit is not None and limit < 1:
        raise InputError(f"the number of vectors to read must be at least 1, not {limit}")
    with contextlib.ExitStack() as stack:
        where: Callable[[int], str] = word2vec.row_name
        with _reading(path):
            match kind:
                case "kv":
                    stream = keyed_vectors.open_file(path, limit)
                case "safetensors":
                    stream = safetensors.open_file(path, limit, stack)
                case _:
                    stream, where = word2vec.open_file(path, kind, limit, stack)
        yield replace(stream, blocks=_checked(stream.blocks, path, where))


@contextmanager
def _reading(path: PathLike) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: broken .gz file ({error}); fetch or write it again") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


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


def write_stream(stream: VectorStream, path: PathLike, format: str | None = None) -> None:
    """Write blocks of vectors as they come (but .kv, which gensim writes at once); see `save_vectors`."""
    kind = _writable_format(path, format)
    if kind == "kv":
        return keyed_vectors.write(collect(stream), path)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        match kind:
            case "binary":
                binary.write(stream, file, path)
            case "text":
                text.write(stream, file, path)
            case _:
                safetensors.write(stream, file)
    return None


def _writable_format(path: PathLike, format: str | None) -> str:
    if format is None:
        if str(path).endswith(".gz"):
            raise InputError(f"{path}: .gz is read but not written; leave .gz off and compress the file afterwards")
        format = format_of(path)
    elif format not in SUFFIXES.values():
        raise InputError(f"unknown format {format!r}; use one of {', '.join(dict.fromkeys(SUFFIXES.values()))}")
    if format == "kv":
        require_gensim(f"writing {path}", instead=".bin")
    return format
