"""The stream of word ids: grows in memory, moves to a cache file when large, and is renumbered in place.

Ids are int32; the sign bit marks the last token of a sentence. A *piece* is a run of ids with a flag that says whether
a sentence ended before the piece's first id, so that the mark belongs to whatever id was stored last.
"""

import errno
import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.kernels.mapped import release

Ids = NDArray[np.int32]

SIGN = np.int32(-(2**31))
ID_MASK = np.int32(2**31 - 1)

_CHUNK_TOKENS = 1 << 22  # 16 MiB: what is held twice while a stream in memory is renumbered
_LEAST_CHUNK_TOKENS = 1 << 12
_HUGE_FROM_BYTES = 1 << 24
_RENUMBER_TOKENS = 1 << 18  # 1 MiB of ids at a time stays in the caches


# Called with (ids, table, out): writes `table[id]` of each id to `out` where it is not -1, sentence marks kept; a mark
# on an id that goes moves to the last id kept before it. Returns how many ids were kept, and whether a mark belongs
# before the first of them. `ids` and `out` may lie in the same memory, `out` not behind.
Renumber = Callable[[Ids, Ids, Ids], tuple[int, bool]]


def renumber_with_numpy(ids: Ids, table: Ids, out: Ids) -> tuple[int, bool]:
    """Do what `Renumber` says, with numpy."""
    new = table[ids & ID_MASK]
    kept = new >= 0
    last_kept = np.cumsum(kept)[ids < 0] - 1
    new = new[kept]
    before_first = bool(len(last_kept)) and int(last_kept[0]) < 0
    new[last_kept[last_kept >= 0]] |= SIGN
    out[: len(new)] = new
    return len(new), before_first


def _anonymous(tokens: int) -> Ids:
    # From mmap, not malloc: freed pages go back to the system at once, and pages never touched cost nothing.
    memory = mmap.mmap(-1, max(tokens, 1) * 4)
    if tokens * 4 >= _HUGE_FROM_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        # Most of the time that appending took went into faults on pages of 4 KiB.
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=np.int32)[:tokens]


class TokenStore:
    """An id stream that is appended to; beyond `memory_limit` bytes it lies in a file without a name in `cache_dir`.

    The file has no name, so that nothing is left behind however the process ends.
    """

    def __init__(self, memory_limit: int, cache_dir: Path | None, chunk_tokens: int | None = None) -> None:
        self._memory_limit = memory_limit
        self._cache_dir = cache_dir
        # A small limit is taken at its word, but not by writing id after id.
        self._chunk_tokens = chunk_tokens or min(_CHUNK_TOKENS, max(memory_limit // 4, _LEAST_CHUNK_TOKENS))
        self._file: IO[bytes] | None = None
        self._clear()

    def _clear(self) -> None:
        self._full: list[Ids] = []
        self._chunk = _anonymous(self._chunk_tokens)  # takes no memory until it is written to
        self._used = 0
        self._length = 0
        self._runs: list[list[int]] = []  # [number of the table that the ids refer to, how many ids]

    def __len__(self) -> int:
        return self._length

    def append(self, ids: Ids, ends_before: bool, table: int = 0) -> None:
        """Add one piece, whose ids refer to table number `table` when the stream is renumbered."""
        if ends_before:
            self.end_sentence()
        if not len(ids):
            return
        if self._runs and self._runs[-1][0] == table:
            self._runs[-1][1] += len(ids)
        else:
            self._runs.append([table, len(ids)])
        self._length += len(ids)
        while len(ids):
            if self._used == self._chunk_tokens:
                self._put_away()
            taken = min(len(ids), self._chunk_tokens - self._used)
            self._chunk[self._used : self._used + taken] = ids[:taken]
            self._used += taken
            ids = ids[taken:]

    def end_sentence(self) -> None:
        """Mark the last id; nothing happens if it has its mark already."""
        # A full chunk is put away only when the next id comes, so the last id is always in this one.
        if self._used:
            self._chunk[self._used - 1] |= SIGN

    def _put_away(self) -> None:
        if self._file is None and self._length * 4 > self._memory_limit:
            self._file = self._new_file()
            for chunk in self._full:
                self._write(chunk)
            self._full.clear()
        if self._file is None:
            self._full.append(self._chunk)
            self._chunk = _anonymous(self._chunk_tokens)
        elif self._used:
            self._write(self._chunk[: self._used])
        self._used = 0

    def _new_file(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._cache_dir, buffering=0)
        except OSError as error:
            raise InputError(
                f"cannot write the cache of word ids in {self._folder()}: {error.strerror}; choose another "
                "--cache-dir, or hold more in memory by a larger --cache-above"
            ) from error

    def _write(self, ids: Ids) -> None:
        assert self._file is not None
        rest = ids.data.cast("B")
        with self._explained():
            while len(rest):
                rest = rest[self._file.write(rest) :]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn a failure to write to the file into an InputError."""
        assert self._file is not None
        try:
            yield
        except OSError as error:
            cause = "no space is left" if error.errno == errno.ENOSPC else error.strerror
            raise InputError(
                f"cannot write the cache of word ids in {self._folder()}: {cause} after {self._file.tell():,} bytes of "
                f"at least {self._length * 4:,}; choose another --cache-dir, or hold more in memory by a larger "
                "--cache-above"
            ) from error

    def _folder(self) -> str:
        return str(self._cache_dir or tempfile.gettempdir())

    def renumber(self, tables: Sequence[Ids], renumber: Renumber) -> None:
        """Replace each id by its entry in the table of its run; ids whose entry is -1 go. All then refer to table 0."""
        if self._file is None:
            chunks = [*self._full, self._chunk[: self._used]]
            runs = self._runs
            self._clear()
            self._fill(chunks, runs, tables, renumber)
            return
        kept = self._renumber_file(tables, renumber)
        self._runs = [[0, kept]]
        self._length = kept
        # The last chunk comes back into memory: `end_sentence` has to find the last id there.
        self._used = min(kept, self._chunk_tokens)
        self._file.seek((kept - self._used) * 4)
        self._chunk[: self._used] = np.frombuffer(self._file.read(self._used * 4), dtype=np.int32)
        with self._explained():
            self._file.seek((kept - self._used) * 4)
            self._file.truncate()

    def close(self) -> None:
        """Let go of ids and file; those that `finish` returned stay."""
        self._clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self, tables: Sequence[Ids], renumber: Renumber, kept: int) -> Ids:
        """Renumber for the last time, knowing that `kept` ids stay; return them, as a memmap if they lie in a file."""
        if self._file is None and self._length * 4 > self._memory_limit:
            self._put_away()
        if self._file is not None:
            found = self._renumber_file(tables, renumber)
            assert found == kept, f"{found} ids where {kept} were counted"
            # The mapping keeps the file alive, and gives its space back when it goes.
            return np.memmap(self._file, dtype=np.int32, mode="r+", shape=(kept,))
        result = TokenStore(kept * 4, None, max(kept, 1))
        chunks = [*self._full, self._chunk[: self._used]]
        self._full, self._chunk = [], np.empty(0, np.int32)
        result._fill(chunks, self._runs, tables, renumber)
        assert len(result) == kept, f"{len(result)} ids where {kept} were counted"
        return result._chunk[:kept]

    def _fill(self, chunks: list[Ids], runs: list[list[int]], tables: Sequence[Ids], renumber: Renumber) -> None:
        chunks.reverse()
        out = np.empty(_RENUMBER_TOKENS, np.int32)
        blocks = _blocks_of_runs(runs)
        block, table = next(blocks, (0, 0))
        while chunks:
            ids = chunks.pop()  # dropped as soon as it is read, so that the peak is one copy and one chunk
            while len(ids):
                taken = min(block, len(ids))
                kept, ends_before = renumber(ids[:taken], tables[table], out)
                self.append(out[:kept], ends_before)
                ids = ids[taken:]
                block -= taken
                if not block:
                    block, table = next(blocks, (0, 0))

    def _renumber_file(self, tables: Sequence[Ids], renumber: Renumber) -> int:
        assert self._file is not None
        if self._used:
            self._write(self._chunk[: self._used])
            self._used = 0
        ids = np.memmap(self._file, dtype=np.int32, mode="r+", shape=(self._length,))
        read = written = 0
        for block, table in _blocks_of_runs(self._runs):
            kept, ends_before = renumber(ids[read : read + block], tables[table], ids[written : written + block])
            if ends_before and written:
                ids[written - 1] |= SIGN
            read += block
            written += kept
            release(ids)
        del ids
        with self._explained():
            self._file.truncate(max(written, 1) * 4)
            self._file.seek(written * 4)
        return written


def _blocks_of_runs(runs: list[list[int]]) -> Iterator[tuple[int, int]]:
    for table, length in runs:
        for start in range(0, length, _RENUMBER_TOKENS):
            yield min(_RENUMBER_TOKENS, length - start), table
