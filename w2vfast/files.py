"""Writes files whole or not at all, and has the system put them on the disk."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from w2vfast.errors import InputError

PathLike = str | os.PathLike[str]
Buffer = bytes | memoryview
# What only writing meets. numpy's own way into a file tells none of them.
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, None)


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a new empty file in the folder of `path` that becomes `path` on success and is removed on failure.

    It is on the disk before it takes the place of what was there, and its name is before this returns: a power cut
    leaves the one or the other, whole. The file has the permissions that the umask gives and ends in the whole name of
    `path`, so that a writer that looks at the suffix does what it would do for `path`. A link is followed; a device or
    a pipe is written in place, since it must not be replaced. Raises InputError if the folder is missing or cannot be
    written to, and where a write, sync or rename fails for want of space or the like; what the path held before is
    untouched then, unless it was the folder that could not be synced.
    """
    with explained_writes(path), _whole(path) as temporary:
        yield temporary


@contextmanager
def explained_writes(path: PathLike) -> Iterator[None]:
    """Turn a failure of the disk into an InputError that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_WRITING:
            raise
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free space there, or choose another folder"
        ) from error


@contextmanager
def _whole(path: PathLike) -> Iterator[Path]:
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
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(target.parent)


def write_synced(path: PathLike, pieces: Iterable[Buffer]) -> None:
    """Write a file as `atomic_path` does, but for failures of the disk, which raise OSError."""
    with _whole(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY)
        try:
            for piece in pieces:
                rest = memoryview(piece).cast("B")
                while len(rest):
                    rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)


def replace_together(files: Mapping[Path, Path]) -> None:
    """Have files, which the system puts on the disk first, take the places that they are mapped to, or none of them.

    Those that were there come back where one cannot, which raises OSError. Only a kill between two renames leaves a
    part.
    """
    for file in files:
        _sync(file, os.O_RDWR)
    before: dict[Path, Path | None] = {}
    try:
        for file, place in files.items():
            kept = file.with_name(f".{secrets.token_hex(4)}.{place.name}") if place.exists() else None
            if kept is not None:
                os.link(place, kept)
            before[place] = kept
            os.replace(file, place)
        for folder in {place.parent for place in files.values()}:
            sync_folder(folder)
    except BaseException:
        for place, kept in before.items():
            if kept is not None:
                os.replace(kept, place)
            else:
                place.unlink(missing_ok=True)
        raise
    for kept in before.values():
        if kept is not None:
            kept.unlink()


def sync_folder(folder: Path) -> None:
    """Have the system put the names of a folder's files on the disk, where it can. Raises OSError if that fails."""
    if os.name == "nt":  # has no such call
        return
    try:
        _sync(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without such a thing
            raise


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
