"""Finds and opens text inputs: files (plain or compressed), folders, standard input; names what is wrong with them."""

import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from w2vfast.errors import InputError
from w2vfast.no_text import ALL_THE_SAME, refuse_no_text
from w2vfast.optional import is_installed

STDIN: Literal["-"] = "-"

_HEAD_BYTES = 1 << 16
_UTF8_BOM = b"\xef\xbb\xbf"
_GZIP, _BZIP2, _XZ = b"\x1f\x8b\x08", b"1AY&SY", b"\xfd7zXZ\x00"
# A frame, or a frame to be skipped, as pzstd writes one first.
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_ZSTD_PIECE_BYTES = 1 << 12  # decompressed at once: what comes of one is at most 32,768 times as long
_ZSTD_WINDOW_LOG = 31  # the longest that zstd --long makes
_CUT_BYTES = 1 << 20  # of a file between ranks: how far the end of a line may be; past that a line is cut
# A compressed file stands for as much text as so many times its size, where ranks share files out.
_PACKED_WEIGHT = 3
_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".lzma": "xz", ".zst": "zstd"}
PACKED_SUFFIXES = tuple(_SUFFIXES)


Bounds = tuple[int, int]  # of a part of a file: its first byte, and the first behind it


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


@dataclass
class TextInput:
    """An open input: `read` gives its text, after decompression, with the byte-order mark gone.

    `plain_fd` is the descriptor of a plain regular file, for those who want to read it in pieces of their own choice:
    its text is the bytes from `start` to `size`. `size` is the file's size on disk, None for what is no regular file.
    """

    name: str
    size: int | None
    start: int
    plain_fd: int | None
    _text: _Readable
    _raw: io.FileIO | None
    _stamp: tuple[int, int] | None  # of a regular file: its size and time of change when it was opened

    def read(self, size: int) -> bytes:
        """Return `size` bytes of text, fewer only at the end; InputError if they cannot be read."""
        with _explained(self.name):
            return _read_fully(self._text, size)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what goes wrong in the native scanner into an InputError that names this input."""
        try:
            with _explained(self.name):
                yield
        except OverflowError as error:
            raise InputError(str(error)) from error
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{self.name} {error}") from error

    def refuse_change(self) -> None:
        """Raise InputError if the file has been written to or cut since it was opened; a pipe has nothing to tell."""
        if self._raw is not None and self._stamp is not None and self._stamp != _stamp(os.fstat(self._raw.fileno())):
            raise InputError(
                f"{self.name} changed while it was read: start again when it is complete, or train on a copy of it"
            )

    def position(self) -> int:
        """Return how many bytes of the file on disk have been read so far."""
        return self._raw.tell() if self._raw is not None and self.size is not None else 0


class _Limited:
    """A reader that ends after so many bytes."""

    def __init__(self, raw: _Readable, size: int) -> None:
        self._raw, self._left = raw, size

    def read(self, size: int, /) -> bytes:
        found = self._raw.read(min(size, self._left)) or b""
        self._left -= len(found)
        return found


class _Rejoined:
    """A reader that first gives back bytes which were read to look at them."""

    def __init__(self, head: bytes, rest: _Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._rest.read(size) or b""


def expand_inputs(inputs: Sequence[str | os.PathLike[str]]) -> list[Path | Literal["-"]]:
    """Return the files that `inputs` name: a folder stands for its non-empty regular files, sorted.

    Hidden files are left out; '-' is standard input. Raises InputError for what is missing, for a folder without files
    and for '-' given twice.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    found: list[Path | Literal["-"]] = []
    for item in inputs:
        if str(item) == STDIN:
            if STDIN in found:
                raise InputError("'-' is given twice, but standard input can be read only once")
            found.append(STDIN)
            continue
        path = Path(item)
        try:
            if not path.is_dir():
                path.stat()
                found.append(path)
                continue
            names = sorted(entry.name for entry in os.scandir(path) if _is_text_candidate(entry))
        except OSError as error:
            raise InputError(f"cannot read {item}: {error.strerror}") from error
        if not names:
            raise InputError(f"the folder {item} holds no text: give one with non-empty files directly inside it")
        found.extend(path / name for name in names)
    if not found:
        raise InputError("no input given: name a text file, a folder of text files, or '-' for standard input")
    return found


def _is_text_candidate(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_file() and entry.stat().st_size > 0


def total_size(files: Sequence[Path | Literal["-"]]) -> int | None:
    """Return the sum of the sizes on disk, or None if one of the inputs has no size."""
    total = 0
    for file in files:
        if isinstance(file, str):
            return None
        with _explained(str(file)):
            status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total


def share_of(files: Sequence[Path | Literal["-"]], rank: int, ranks: int) -> list[tuple[Path, Bounds | None]]:
    """Return what a rank reads: files in their order, plain ones from one byte to another, where they are not whole.

    What ranks read, one after another, is the text. Plain files are cut behind the end of a line, or of a word where
    lines are long; a compressed one is read whole by one rank. Raises InputError for what only one process can read,
    and if a rank is left with nothing.
    """
    sizes = [total_size([file]) for file in files]
    paths = [file for file in files if isinstance(file, Path)]
    if len(paths) < len(files) or None in sizes:
        raise InputError("standard input and pipes can be read by one process only: give files, or one rank")
    packed = [_is_packed(path) for path in paths]
    weights = [(size or 0) * (_PACKED_WEIGHT if one else 1) for size, one in zip(sizes, packed, strict=True)]
    bounds = [sum(weights) * r // ranks for r in range(ranks + 1)]
    shares: list[list[tuple[Path, Bounds | None]]] = [[] for _ in range(ranks)]
    before = 0
    for path, size, weight, whole in zip(paths, sizes, weights, packed, strict=True):
        assert size is not None
        ours = [r for r in range(ranks) if bounds[r] < before + weight and bounds[r + 1] > before]
        if whole:
            ours = [r for r in ours if bounds[r] <= before + weight // 2 < bounds[r + 1]]
        cuts = [0, *(_cut(path, bounds[r] - before, size) for r in ours[1:]), size]
        for r, begin, end in zip(ours, cuts, cuts[1:], strict=False):
            if begin < end:
                shares[r].append((path, None if len(ours) == 1 else (begin, end)))
        before += weight
    if not all(shares):
        without = next(r for r in range(ranks) if not shares[r])
        raise InputError(
            f"the text cannot be shared out among {ranks} ranks, rank {without} would have none of it: have fewer "
            "ranks, or more files of like size (a compressed one is read by one rank, a plain one cut between words)"
        )
    return shares[rank]


def _is_packed(path: Path) -> bool:
    with _explained(str(path)), open(path, "rb") as file:
        return _packing(file.read(16)) is not None


def _cut(path: Path, place: int, size: int) -> int:
    """Return the first byte from `place` on where a line begins, or a word where that is too far."""
    if place <= 0:
        return 0
    with _explained(str(path)), open(path, "rb") as file:
        file.seek(place - 1)
        block = file.read(_CUT_BYTES)
        end = block.find(b"\n")
        at = place - 1
        while end < 0 and block:
            end = next((i for i, byte in enumerate(block) if bytes([byte]).isspace()), -1)
            if end < 0:
                at += len(block)
                block = file.read(_CUT_BYTES)
    return min(at + end + 1, size) if block else size


@contextmanager
def open_text(path: Path | Literal["-"], *, force: bool = False, bounds: Bounds | None = None) -> Iterator[TextInput]:
    """Open one input, or of a plain file the bytes within `bounds`; its kind is told by its first bytes.

    Raises InputError if it is missing, unreadable or empty and, but for `force`, if its first 64 KiB, decompressed, are
    no text (no_text.py) or it is packed otherwise than its suffix says.
    """
    name = "standard input" if isinstance(path, str) else str(path)
    with ExitStack() as stack:
        with _explained(name):
            raw: _Readable
            file: io.FileIO | None = None
            size, stamp = None, None
            if isinstance(path, str):
                raw = _stdin()
            else:
                raw = file = stack.enter_context(open(path, "rb", buffering=0))
                status = os.fstat(file.fileno())
                if stat.S_ISREG(status.st_mode):
                    size, stamp = status.st_size, _stamp(status)
            head = _read_fully(raw, _HEAD_BYTES)
            packing = _packing(head)
            expected = _SUFFIXES.get(path.suffix.lower()) if isinstance(path, Path) else None
            if head and expected is not None and packing != expected and not force:
                raise InputError(
                    f"{name} is named like a {expected} file but is not one: it is damaged or misnamed; {ALL_THE_SAME}"
                )
            text: _Readable = _Rejoined(head, raw)
            if packing is not None:
                text = _decompressed(packing, text)
                head = _read_fully(text, _HEAD_BYTES)
            if not head:
                raise InputError(f"{name} is empty: give a file with text")
            if not force:
                refuse_no_text(name, head, cut=len(head) == _HEAD_BYTES)
        start = len(_UTF8_BOM) if head.startswith(_UTF8_BOM) else 0
        if bounds is not None and file is not None:
            start = max(start, bounds[0])
            with _explained(name):
                file.seek(start)
            head, raw, size = b"", _Limited(file, bounds[1] - start), bounds[1]
        yield TextInput(
            name=name,
            size=size,
            start=start,
            plain_fd=file.fileno() if file is not None and size is not None and packing is None else None,
            _text=_Rejoined(head[start:], text if packing is not None else raw),  # of a part there is no head
            _raw=file,
            _stamp=stamp,
        )


def refuse_no_texts(files: Sequence[Path | Literal["-"]]) -> None:
    """Raise InputError if one of the files is none that `open_text` takes; pipes are read only once and left out."""
    for file in files:
        if isinstance(file, Path):
            with _explained(str(file)):
                regular = stat.S_ISREG(file.stat().st_mode)
            if regular:
                with open_text(file):
                    pass


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _stdin() -> _Readable:
    if sys.stdin is None:
        raise InputError("there is no standard input: give a file")
    try:
        # A raw reader of its own: a thread blocked in the buffered one holds its lock when the interpreter shuts down.
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except io.UnsupportedOperation:
        return sys.stdin.buffer


def _read_fully(file: _Readable, size: int) -> bytes:
    """Read on where a pipe gives less than was asked for."""
    pieces: list[bytes] = []
    missing = size
    while missing and (piece := file.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _packing(head: bytes) -> str | None:
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] == _BZIP2:
        return "bzip2"
    if head.startswith(_XZ):
        return "xz"
    return "zstd" if _ZSTD.match(head) else None


def _decompressed(packing: str, file: Any) -> _Readable:
    # Imported here since a Python can be built without them. They ask `file` for read() only.
    if packing == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=file)
    if packing == "bzip2":
        import bz2

        return bz2.BZ2File(file)
    if packing == "xz":
        import lzma

        return lzma.LZMAFile(file)
    return _ZstdReader(file)


class _ZstdReader:
    """Decompresses zstd frames, one after another, as gzip.GzipFile does members."""

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self._decompressor: Any = None  # none between two frames
        self._new_decompressor = _zstd_decompressor()
        self._text = io.BytesIO()  # not yet asked for

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes of text, none at the end; EOFError if it is amid a frame."""
        while not (text := self._text.read(size)):
            packed = self._file.read(_ZSTD_PIECE_BYTES)
            if not packed:
                if self._decompressor is not None:
                    raise EOFError
                return b""
            self._text = io.BytesIO(self._decompress(packed))
        return text

    def _decompress(self, packed: bytes) -> bytes:
        texts: list[bytes] = []
        while packed:
            if self._decompressor is None:
                self._decompressor = self._new_decompressor()
            texts.append(self._decompressor.decompress(packed))
            packed = b""
            if self._decompressor.eof:
                packed, self._decompressor = self._decompressor.unused_data, None
        return b"".join(texts)


def _zstd_decompressor() -> Callable[[], Any]:
    """Return what makes a decompressor of one frame: the standard library's, or the optional package's."""
    if sys.version_info >= (3, 14):
        from compression import zstd

        return partial(zstd.ZstdDecompressor, options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
    if not is_installed("zstandard"):
        raise InputError(
            "zstd-compressed text needs a package that reads it: pip install zstandard (or decompress it on the way: "
            "zstd -dc FILE | ... -)"
        )
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG)
    return lambda: decompressor.decompressobj()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever goes wrong while reading `name` into an InputError of one line."""
    import zlib

    try:
        yield
    except InputError:
        raise
    except EOFError as error:
        raise InputError(
            f"{name} is cut short: its compressed data ends too early; copy or download it again"
        ) from error
    except ImportError as error:
        raise InputError(
            f"cannot read {name}: this Python cannot decompress it ({error}); decompress it first"
        ) from error
    except OSError as error:
        if error.errno is None:  # how gzip and bz2 report broken data
            raise InputError(f"{name} is damaged: {error}; copy or download it again") from error
        raise InputError(f"cannot read {name}: {error.strerror}") from error
    except zlib.error as error:
        raise InputError(f"{name} is damaged: {error}; copy or download it again") from error
    except Exception as error:
        if type(error).__name__ not in ("LZMAError", "ZstdError"):  # their modules may not exist in this Python
            raise
        raise InputError(f"{name} is damaged: {error}; copy or download it again") from error
