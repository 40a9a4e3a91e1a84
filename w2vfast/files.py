"""Writes files whole or not at all, and has the system put them on the disk where that is asked for."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from w2vfast.errors import InputError

PathLike = str | os.PathLike[str]
Buffer = bytes | memoryview


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a new empty file in the folder of `path` that becomes `path` on success and is removed on failure.

    The file has the permissions that the umask gives and ends in the whole name of `path`, so that a writer that looks
    at the suffix does what it would do for `path`. A link is followed; a device or a pipe is written in place, since
    it must not be replaced. Raises InputError if the folder is missing or cannot be written to.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; give a file name")
    if target.exists() and not target.is_file():
        yield target
        return
    temporary = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    try:
        # os.open rather than tempfile: a file of tempfile's can be read by its owner only
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_synced(path: PathLike, pieces: Iterable[Buffer]) -> None:
    """Write a file whole or not at all; when this returns, it outlives a power cut.

    Raises InputError if its folder cannot be written to and OSError where a write, sync or rename fails; then what the
    path held before is untouched.
    """
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY)
        try:
            for piece in pieces:
                rest = memoryview(piece).cast("B")
                while len(rest):
                    rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(Path(path).parent)


def sync_folder(folder: Path) -> None:
    """Have the system put the names of a folder's files on the disk. Raises OSError."""
    if os.name == "nt":  # has no such call
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
