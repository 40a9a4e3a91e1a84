"""Checkpoints: a run's state and tables in a folder, from which a later run goes on.

A checkpoint is `checkpoint-N.safetensors` (w_in, w_out; best_w_in and best_w_out where the best are kept; mined where
the objective mines) and `checkpoint-N.json`, written after it: the run's state, all settings, what the corpus was, and
the checksum of the other file. There is a checkpoint where there is a .json. Both are written beside the earlier ones,
synced and renamed; two generations stay. Nothing in a file is ever run.

Where ranks train together each writes its tables, rank 1 and on to `checkpoint-N.rank-R.safetensors`, and tells rank 0
its state and its checksum, by torchrun's store; the .json has those of all. Tables of some dimensions each can be read
by another number of ranks: each takes its dimensions from the files that have them.

It is past 600 lines since what is in a file, in which order files appear, and who writes them while a run goes on are
one promise: a checkpoint is whole or not there.
"""

import hashlib
import itertools
import json
import os
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from w2vfast import __version__, backends, model_file, teachers
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus
from w2vfast.dimension import slices
from w2vfast.errors import DivergenceError, InputError
from w2vfast.files import sync_folder, write_synced
from w2vfast.formats.safetensors import pieces
from w2vfast.jobs import Work
from w2vfast.kept_scan import sum_of_ids
from w2vfast.kernels.contract import Job, Mined, Mining, Step
from w2vfast.ranks import Ranks
from w2vfast.run import RunState, Tables
from w2vfast.stopwatch import Seconds
from w2vfast.tiles import TileSettings
from w2vfast.vectors import all_finite

FORMAT = "w2vfast checkpoint"
VERSION = 1
NAME = "checkpoint-" + "[0-9]" * 8
_NAME_LENGTH = len("checkpoint-") + 8
GENERATIONS = 2
# Options that may differ when a run goes on. The last three are files that are known by what is in them; backend and
# device are compared as they were chosen, epochs may grow.
FREE = {"epochs", "workers", "checkpoint", "checkpoint_every", "resume", "cache_dir", "cache_above", "save_vocab"}
FREE |= {"backend", "device", "classes", "targets", "teacher", "read_vocab", "rank_timeout"}
TOLD = ("version", "backend", "build", "precision")
COUNTS = dict.fromkeys(
    ("tile", "shared_negatives", "early_negatives", "tokens_in_flight", "chunk_size"), int
)  # of the settings
CHOSEN = (
    "tile",
    "shared_negatives",
    "early_negatives",
    "row_cap",
    "chunk_size",
)  # of the settings; a run goes on with those it had


@dataclass(frozen=True, eq=False)
class Contents:
    """What goes on: all that a run is made of beside its job; without anything in it, that of a run that begins."""

    state: RunState = field(default_factory=RunState)
    tables: Tables | None = None
    best: Tables | None = None
    mined: Mined | None = None
    spent: dict[str, Seconds] = field(default_factory=dict)  # on training and on scoring
    more: dict[str, Any] = field(default_factory=dict)  # numbers of who conducts the run
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)  # arrays of who follows it


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint in a folder whose checksums hold."""

    path: Path  # of the .json
    about: dict[str, Any]
    rank: int = 0
    ranks: int = 1

    @property
    def parts(self) -> int:
        """The ranks that wrote it."""
        return len(self.about.get("parts", [None]))

    def refuse_other_run(self, config: Config, choice: Choice) -> None:
        """Raise InputError, which shows the differences, if a run of these settings is not what was checkpointed."""
        try:
            _check(self.about, {"asked": dict, "settings": dict, "corpus": dict} | dict.fromkeys(TOLD, str))
            _check(self.about["asked"], {"epochs": int})
        except (KeyError, TypeError, ValueError) as error:
            raise self._unusable(error) from error
        asked, chosen = self.about["asked"], self.about["settings"]
        now = {name: value for name, value in asdict(config).items() if name not in FREE}
        now |= {"negative": config.negatives, "device": choice.device}
        found = [
            (name, chosen.get(name), value)
            for name, value in now.items()
            if value not in (asked.get(name), chosen.get(name))
        ]
        for name, value in (("backend", choice.name), ("precision", choice.precision)):
            if self.about[name] != value:
                found.append((name, self.about[name], value))
        copies = config.parallel == "data"
        if copies and self.parts != self.ranks:
            found.append(("ranks (each goes on with its own tables)", self.parts, self.ranks))
        if copies and self.ranks > 1 and config.epochs != asked["epochs"]:
            found.append(("epochs (with ranks their places depend on it)", asked["epochs"], config.epochs))
        elif config.epochs < asked["epochs"]:
            found.append(("epochs (more may be asked for, not fewer)", asked["epochs"], config.epochs))
        self._refuse(found, "settings")
        built = {"version": __version__, "build": backends.build_of(choice.name)}
        other = [f"{name}: {self.about[name]} / {now}" for name, now in built.items() if self.about[name] != now]
        if other:
            warnings.warn(
                f"{self.path} goes on, but not to the same bits (then / now): {'; '.join(other)}", stacklevel=2
            )

    def refuse_other_corpus(self, corpus: dict[str, Any], settings: dict[str, Any]) -> None:
        """Raise InputError, which shows the differences, if it is another corpus, vocabulary or job."""
        then = self.about["corpus"]
        found = [(name, then.get(name), value) for name, value in corpus.items() if then.get(name) != value]
        self._refuse(found, "corpus")
        then = self.about["settings"]
        chosen = [(name, then[name], settings[name]) for name in CHOSEN if name in settings]
        self._refuse([(name, before, now) for name, before, now in chosen if before != now], "settings")

    def _refuse(self, found: list[tuple[str, Any, Any]], what: str) -> None:
        if found:
            shown = "; ".join(f"{name}: {_short(then)} / {_short(now)}" for name, then, now in found)
            raise InputError(
                f"{self.path} is of a run with other {what} (then / now): {shown}; give what it was, or begin anew "
                "with another --checkpoint folder"
            )

    def tile_settings(self, config: Config, choice: Choice) -> TileSettings:
        """Return the tiles that the run had, which more epochs must not change; native's workers may be others."""
        had = self.about["settings"]
        try:
            _check(had, COUNTS)
        except (KeyError, TypeError, ValueError) as error:
            raise self._unusable(error) from error
        tile, negatives, early = had["tile"], had["shared_negatives"], had["early_negatives"]
        if choice.name == "native" and not config.deterministic:
            return TileSettings(tile, negatives, early, tile * config.workers, had["row_cap"], config.workers > 1)
        return TileSettings(tile, negatives, early, had["tokens_in_flight"], had["row_cap"], had["static_cap"])

    def read(self, dimensions: slice | None = None, vector_size: int = 0) -> Contents:
        """Return what goes on, arrays that may be trained in place. Raises InputError if it has become unreadable.

        With `dimensions` these of a table of `vector_size`, of which each rank wrote some.
        """
        from safetensors import SafetensorError, safe_open

        try:
            _check(self.about, {"state": dict, "spent": dict})
            _check(self.about["state"], {f.name: type(getattr(RunState(), f.name)) for f in fields(RunState)})
            for seconds in self.about["spent"].values():
                _check(seconds, {"wall": float, "cpu": float})
            if dimensions is not None and self.parts != self.ranks:
                tensors = self._take(dimensions, vector_size)
            else:
                with safe_open(os.fspath(_tensors_of(self.path, self.rank)), framework="numpy") as file:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            best = (tensors["best_w_in"], tensors["best_w_out"]) if "best_w_in" in tensors else None
            mined = Mined(tensors["mined"], self.about["snapshot"]) if "mined" in tensors else None
            spent = {name: Seconds(**seconds) for name, seconds in self.about["spent"].items()}
            tables = tensors["w_in"], tensors["w_out"]
            if best is not None and [(a.shape, a.dtype) for a in best] != [(a.shape, a.dtype) for a in tables]:
                raise ValueError("the best tables are not like the others")
            more = self.about.get("more", {})
            known = {"w_in", "w_out", "best_w_in", "best_w_out", "mined"}
            extra = {name: array for name, array in tensors.items() if name not in known}
            return Contents(RunState(**self.about["state"]), tables, best, mined, spent, more, extra)
        except (OSError, SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._unusable(error) from error

    def _take(self, dimensions: slice, vector_size: int) -> dict[str, NDArray[Any]]:
        """Return tables of some dimensions, taken from the files of those who had them."""
        from safetensors import safe_open

        taken: dict[str, NDArray[Any]] = {}
        width = dimensions.stop - dimensions.start
        for rank, had in enumerate(slices(vector_size, self.parts)):
            first, last = max(had.start, dimensions.start), min(had.stop, dimensions.stop)
            if first >= last:
                continue
            with safe_open(os.fspath(_tensors_of(self.path, rank)), framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118
                    part = file.get_slice(name)
                    whole = taken.setdefault(name, np.empty((part.get_shape()[0], width), np.float32))
                    into = slice(first - dimensions.start, last - dimensions.start)
                    whole[:, into] = part[:, first - had.start : last - had.start]
        return taken

    def _unusable(self, error: Exception) -> InputError:
        return InputError(f"cannot go on from {self.path}: {error}; begin anew with another --checkpoint folder")


class Folder:
    """A folder of checkpoints that belongs to one run at a time: `opened` makes it."""

    def __init__(self, path: Path, ranks: Ranks | None = None) -> None:
        self.path = path
        self.ranks = ranks if ranks is not None and ranks.size > 1 else None
        self._rank, self._size = (0, 1) if self.ranks is None else (self.ranks.rank, self.ranks.size)
        self._number = 0  # of the last checkpoint, where ranks must give the same
        self._run = ""  # what ranks call this run, so that no message of one before is taken for its own
        self._keeper: Keeper | None = None
        self._damaged: set[Path] = set()

    def keeper(
        self, config: Config, choice: Choice, settings: dict[str, Any], corpus: dict[str, Any], state: RunState
    ) -> "Keeper":
        """Return what writes a run's checkpoints here until the folder is closed.

        `corpus` is its fingerprint, `state` where the run begins, which need not be written.
        """
        about = {
            "version": __version__,
            "backend": choice.name,
            "build": backends.build_of(choice.name),
            "precision": choice.precision,
            "asked": asdict(config),
            "settings": settings,
            "corpus": corpus,
        }
        self._keeper = Keeper(self, config.checkpoint_every, about, state)
        return self._keeper

    def close(self) -> None:
        """Leave off what is being written."""
        if self._keeper is not None:
            self._keeper.close()

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose checksums hold, None if there is none at all.

        A damaged one is warned of. Raises InputError if all are damaged.
        """
        damaged: list[str] = []
        for path in self._paths():
            found, cause = None, ""
            try:
                found = Checkpoint(path, _read_about(path, self._rank, self._size), self._rank, self._size)
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                cause = str(error)
            causes = [cause] if self.ranks is None else self.ranks.objects(cause)
            if found is None or any(causes):
                damaged.append(f"{path} is damaged ({next(filter(None, causes))})")
                self._damaged.add(path)
                continue
            if damaged:
                warnings.warn(f"{'; '.join(damaged)}: going on from the one before, {path}", stacklevel=2)
            return found
        if damaged:
            raise InputError(f"{'; '.join(damaged)}: none is left; begin anew with another --checkpoint folder")
        return None

    def _paths(self) -> list[Path]:
        """Return the checkpoints, the newest first: rank 0's list, which all ranks must go by."""
        names = sorted((path.name for path in self.path.glob(f"{NAME}.json")), reverse=True)
        if self.ranks is not None:
            numbers = [_number_of(path) for path in self.path.glob(f"{NAME}.*")]
            names, self._number = self.ranks.objects((names, max(numbers, default=0)))[0]
        return [self.path / name for name in names]

    def save(self, about: dict[str, Any], contents: Contents, stop: threading.Event | None = None) -> None:
        """Write one more checkpoint and remove those before the last two; `stop` ends it, as a failure does.

        Raises InputError, which names the cause and the remedy, and leaves the earlier ones as they were.
        """
        if self.ranks is None:
            self._number = max((_number_of(path) for path in self.path.glob(f"{NAME}.*")), default=0)
        self._number += 1
        path = self.path / f"checkpoint-{self._number:08d}.json"
        tensors_path = _tensors_of(path, self._rank)
        assert contents.tables is not None
        tensors: dict[str, NDArray[Any]] = {"w_in": contents.tables[0], "w_out": contents.tables[1]}
        if contents.best is not None:
            tensors |= {"best_w_in": contents.best[0], "best_w_out": contents.best[1]}
        if contents.mined is not None:
            tensors["mined"] = contents.mined.columns
        tensors |= contents.extra
        try:
            checksum = hashlib.sha256()
            written = _watched(pieces(tensors, {"format": FORMAT}), checksum, stop)
            write_synced(tensors_path, written)
            own = {
                "state": asdict(contents.state),
                "snapshot": contents.mined.snapshot if contents.mined is not None else None,
                "spent": {name: asdict(seconds) for name, seconds in contents.spent.items()},
                "more": contents.more,
                "tensors_sha256": checksum.hexdigest(),
                "corpus": about["corpus"],
            }
            if self.ranks is not None and not self.ranks.leads:
                self.ranks.tell_lead(f"{self._run}/{path.stem}", json.dumps(own))
                return
            content = about | own
            if self.ranks is not None:
                others = self.ranks.told(f"{self._run}/{path.stem}", stop or threading.Event())
                content["parts"] = [own, *map(json.loads, others)]
            text = json.dumps({"format": FORMAT, "format_version": VERSION, "sha256": _sum_of(content)} | content)
            write_synced(path, [text.encode()])
        except BaseException as error:
            if self.ranks is not None and not self.ranks.leads:
                with suppress(OSError):
                    tensors_path.unlink(missing_ok=True)
                self.ranks.tell_lead(f"{self._run}/{path.stem}", "")
            else:
                _remove(path)
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise
        whole = sorted(set(self.path.glob(f"{NAME}.json")) - self._damaged, reverse=True)
        for path in (*whole[GENERATIONS:], *self._damaged):  # a damaged one is no generation
            _remove(path)

    def prepare(self, *, go_on: bool) -> None:
        """Remove what a killed run was writing. Raises InputError if the folder cannot be written to.

        So it does if there are checkpoints and the run is not to `go_on` from them.
        """
        tables = self.path.glob(f"{NAME}.*safetensors")
        alone = (path for path in tables if not (self.path / f"{path.name[:_NAME_LENGTH]}.json").exists())
        try:
            for path in itertools.chain(self.path.glob(f".????????.{NAME}.*"), alone):
                path.unlink(missing_ok=True)
            write_synced(probe := self.path / ".writable", [b"w2vfast"])
            probe.unlink()
            sync_folder(self.path.absolute().parent)
        except OSError as error:
            raise self._failed(error) from error
        if not go_on and any(self.path.glob(f"{NAME}.json")):
            raise InputError(
                f"{self.path} holds the checkpoints of a run: go on from them with --resume, or name another "
                "--checkpoint folder"
            )

    def refuse_unshared(self, ranks: Ranks) -> None:
        """Raise InputError if not all ranks see the folder, or one cannot write there."""
        probes = [self.path / f".rank-{rank}" for rank in range(ranks.size)]
        try:
            self._run = ranks.objects(uuid.uuid4().hex)[0]  # rank 0 has made the folder
            write_synced(probes[ranks.rank], [b"w2vfast"])
        except OSError as error:
            raise self._failed(error) from error
        ranks.objects(None)
        missing = [rank for rank, probe in enumerate(probes) if not probe.exists()]
        ranks.objects(None)
        probes[ranks.rank].unlink()
        if missing:
            raise InputError(
                f"rank {ranks.rank} does not see what rank {missing[0]} writes in {self.path}: ranks need one "
                "--checkpoint folder, on a file system that all share"
            )

    def _failed(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write a checkpoint in {self.path}: {error.strerror or error}; free space there, or "
            "move the folder and name it with --checkpoint and --resume"
        )


@contextmanager
def opened(config: Config, ranks: Ranks | None = None) -> Iterator[Folder | None]:
    """Yield the folder of a config's checkpoints, its own for as long; None where the config asks for none.

    Raises InputError if it cannot be written to, is another run's at the moment, or holds checkpoints that the config
    does not go on from; and if ranks do not share it.
    """
    if config.checkpoint is None:
        yield None
        return
    folder, lock = Folder(Path(config.checkpoint), ranks), None
    leads = ranks is None or ranks.leads
    try:
        if leads:
            folder.path.mkdir(exist_ok=True)
            lock = _lock(folder.path)
    except OSError as error:
        raise InputError(f"cannot make {folder.path}: {error.strerror}; name another --checkpoint folder") from error
    try:
        if leads:
            folder.prepare(go_on=config.resume)
        if ranks is not None:
            folder.refuse_unshared(ranks)
        yield folder
    finally:
        folder.close()
        if lock is not None:
            os.close(lock)


class Keeper:
    """Writes a run's checkpoints while it goes on: training stops for a copy of the tables, the rest is a thread's.

    What cannot be written is warned of once, until it can be again, and is tried again when the next one is due.
    """

    def __init__(self, folder: Folder, every: float, about: dict[str, Any], written: RunState) -> None:
        self._folder, self._every, self._about = folder, every, about
        self._ranks = folder.ranks
        self._copies: Tables | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._written = written
        self._warned = False
        self._due = time.monotonic() + every

    @property
    def due(self) -> bool:
        """Whether it is time for one, and the one before is written."""
        return time.monotonic() >= self._due and (self._thread is None or not self._thread.is_alive())

    def make_room(self, tables: Tables) -> None:
        """Take the memory for copies of the tables, in a thread: its first touch takes longer than a copy does."""
        self._copies = copies = np.empty_like(tables[0]), np.empty_like(tables[1])

        def touch() -> None:
            for copy in copies:
                copy.fill(0)

        self._thread = threading.Thread(target=touch, daemon=True)
        self._thread.start()

    def begin(self, now: Contents) -> None:
        """Copy the tables and begin to write; all else of `now` must not change any more."""
        assert now.tables is not None
        if self._copies is None:
            self.make_room(now.tables)
        assert self._copies is not None
        self._warn_of(self._finish())
        self._due = time.monotonic() + self._every
        for copy, table in zip(self._copies, now.tables, strict=True):
            np.copyto(copy, table)
        extra = {name: array.copy() for name, array in now.extra.items()}
        copied = replace(now, tables=self._copies, extra=extra)
        self._thread = threading.Thread(target=self._write, args=(copied,), daemon=True)
        self._thread.start()

    def end(self, now: Contents, *, needed: bool) -> None:
        """Write where the run ended, and wait for it, of all ranks. If it is `needed` a failure raises InputError."""
        failure = self._finish()
        missing = self._written != now.state
        if self._ranks is not None:
            missing = any(self._ranks.objects(missing))
        if missing:
            self.begin(now)
            failure = self._finish()
        if self._ranks is not None:
            self._ranks.objects(None)
        if failure is not None and needed:
            raise failure
        self._warn_of(failure)

    def close(self) -> None:
        """Leave off writing what is not written yet."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self, contents: Contents) -> None:
        try:
            assert contents.tables is not None
            if not all_finite(contents.tables):
                raise DivergenceError("training diverged (the vectors are not finite): lower alpha")
            self._folder.save(self._about, contents, self._stop)
            self._written, self._failure, self._warned = contents.state, None, False
        except Exception as error:  # `_finish` raises it where the run goes on
            self._failure = error

    def _finish(self) -> Exception | None:
        """Wait for what is being written; return why it failed, unless that was told before."""
        if self._thread is None:
            return None
        self._thread.join()
        self._thread = None
        if self._failure is not None and not isinstance(self._failure, InputError):
            raise self._failure
        return self._failure

    def _warn_of(self, failure: Exception | None) -> None:
        if failure is not None and not self._warned:
            self._warned = True
            warnings.warn(f"{failure}; training goes on, and it is tried again every {self._every:g} s", stacklevel=3)


def mined_of(step: Step, job: Job) -> Mined | None:
    """Return what a step had mined, where its objective mines (kernels/contract.py)."""
    return cast(Mined, cast(Any, step).mined) if isinstance(job.objective, Mining) else None


def fingerprint(corpus: EncodedCorpus, work: Work) -> dict[str, Any]:
    """Return by what a corpus is known again, with its vocabulary and what the objective made of them."""
    words, objective = hashlib.sha256(), hashlib.sha256()
    words.update("\n".join(corpus.vocab.words).encode())
    words.update(corpus.vocab.counts.tobytes())
    arrays, rest = model_file.take_apart(work.job.objective)
    objective.update(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(arrays):
        objective.update(name.encode())
        objective.update(np.ascontiguousarray(arrays[name]).data)
    return asdict(corpus.ledger) | {
        "vocabulary_size": len(corpus.vocab),
        "words": words.hexdigest(),
        "ids": corpus.ids_sha256 or sum_of_ids(corpus.tokens),
        "objective_arrays": objective.hexdigest(),
        "teacher": teachers.digest(work.job.teacher) if work.job.teacher is not None else None,
    }


def _lock(folder: Path) -> int | None:
    """Keep a folder from a second run until the descriptor is closed; None where the system cannot."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(f"{folder} is in use by another run: wait for its end, or name another folder") from error
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _number_of(path: Path) -> int:
    return int(path.name[_NAME_LENGTH - 8 : _NAME_LENGTH])


def _tensors_of(path: Path, rank: int) -> Path:
    """Return the file of a rank's tables beside a .json."""
    return path.with_suffix(f".rank-{rank}.safetensors" if rank else ".safetensors")


def _read_about(path: Path, rank: int = 0, ranks: int = 1) -> dict[str, Any]:
    """Return what a .json says of a rank, once all checksums hold, if there are more parts than ranks, of more of them.

    Raises ValueError or OSError.
    """
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict) or content.pop("format") != FORMAT:
        raise ValueError("it is no checkpoint")
    if content.pop("format_version") != VERSION:
        raise ValueError("it was written by another version of w2vfast")
    if content.pop("sha256") != _sum_of(content):
        raise ValueError("its checksum does not hold")
    parts = content.get("parts", [content])
    for part in range(rank, len(parts), ranks):
        tensors = _tensors_of(path, part)
        with open(tensors, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != parts[part]["tensors_sha256"]:
                raise ValueError(f"the checksum of {tensors.name} does not hold")
    return dict(content | parts[min(rank, len(parts) - 1)])


def _check(values: dict[str, Any], kinds: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError where values are not of these kinds, or numbers that no run has."""
    for name, kind in kinds.items():
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, int) and not 0 <= value < 1 << 62):
            raise ValueError(f"{name} is {value!r:.40}")


def _sum_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _remove(path: Path) -> None:
    """Remove a checkpoint; what cannot be removed will be tried again when there is a newer one."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        for tensors in path.parent.glob(f"{path.stem}.*safetensors"):
            tensors.unlink(missing_ok=True)


def _watched(data: Iterator[bytes | memoryview], checksum: Any, stop: threading.Event | None) -> Iterator[Any]:
    """Yield pieces of data as they are, summed up; OSError once `stop` is set."""
    for piece in data:
        if stop is not None and stop.is_set():
            raise InterruptedError("interrupted")
        checksum.update(piece)
        yield piece


def _short(value: Any) -> str:
    if value is None:
        return "not given"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
