"""The processes that torchrun started together: what they send each other, and how they end together.

A *rank* is one of them. torchrun tells each its number and where they meet by environment variables; how they exchange
tables is exchange.py's. All ranks make the same calls in the same order. Who fails says why in the store that
torchrun's agent keeps; the others, whose calls fail then too, find it said there and end without a word.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError, RankLostError

_STORE_SECONDS = 20.0  # to wait for a store, which may be gone
_ANSWER_SECONDS = 5.0  # for the others to say that they wait for a lost rank too


def under_torchrun() -> bool:
    """Return whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def restarts() -> int:
    """Return how often torchrun has started the job again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def name() -> str:
    """Return what a message of this rank begins with: nothing for the first, or where it is alone."""
    rank = os.environ.get("RANK", "0") if under_torchrun() else "0"
    return "" if rank == "0" else f"rank {rank}: "


def first_to_tell() -> bool:
    """Return whether no other rank has told yet why the job ends; True too where the others cannot be asked."""
    if not under_torchrun():
        return True
    me = os.environ["RANK"].encode()
    try:
        return bool(_store().compare_set(_key("told"), "", me.decode()) == me)
    except Exception:  # torch has a class of its own for each way in which a store is lost
        return True


def _key(name: str) -> str:
    return f"w2vfast/{restarts()}/{name}"


def _store(*, is_master: bool = False) -> Any:
    make: Any = vars(import_module("torch.distributed"))["TCPStore"]
    where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return make(*where, is_master=is_master, timeout=timedelta(seconds=_STORE_SECONDS))


class Ranks:
    """All ranks, as one of them sees them; `joined` makes it."""

    def __init__(self, rank: int, size: int, timeout: float) -> None:
        self.rank, self.size = rank, size
        self._timeout = timeout
        self._mailbox: Any = _store()

    @property
    def leads(self) -> bool:
        """Whether this is the rank that speaks and saves for all."""
        return self.rank == 0

    def gather(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        """Return every rank's array, of one axis and of any length."""
        import torch
        import torch.distributed as dist

        with self.explained():
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            dist.all_gather(lengths, torch.tensor([len(array)]))
            counts = [int(length) for length in lengths]
            mine = torch.zeros(max(counts) * array.itemsize, dtype=torch.uint8)
            mine[: array.nbytes] = torch.from_numpy(np.ascontiguousarray(array).view(np.uint8))
            found = [torch.empty_like(mine) for _ in range(self.size)]
            dist.all_gather(found, mine)
        return [one.numpy().view(array.dtype)[:count] for one, count in zip(found, counts, strict=True)]

    def scatter(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Send the i-th array to rank i; return what each rank sent here. Arrays have one axis and one dtype."""
        import torch
        import torch.distributed as dist

        size, lengths = arrays[0].itemsize, [len(array) for array in arrays]
        with self.explained():
            to_come = torch.empty(self.size, dtype=torch.int64)
            dist.all_to_all_single(to_come, torch.tensor(lengths))
            counts = to_come.tolist()
            into = torch.empty(sum(counts) * size, dtype=torch.uint8)
            out = torch.from_numpy(np.concatenate(arrays).view(np.uint8))
            dist.all_to_all_single(into, out, [n * size for n in counts], [n * size for n in lengths])
        return np.split(into.numpy().view(arrays[0].dtype), np.cumsum(counts)[:-1])

    def sum(self, values: Sequence[int]) -> list[int]:
        """Return the sum over ranks of each number."""
        return [int(total) for total in np.sum(self.gather(np.array(values, np.int64)), axis=0)]

    def objects(self, value: Any) -> list[Any]:
        """Return every rank's value, a small one."""
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        with self.explained():
            dist.all_gather_object(found, value)
        return found

    def agree(self, what: Mapping[str, Any], remedy: str) -> None:
        """Raise InputError, which shows the differences from rank 0, if ranks do not name the same things."""
        first, *others = self.objects(dict(what))
        for rank, theirs in enumerate(others, start=1):
            differ = [name for name in first if theirs.get(name) != first[name]]
            if differ:
                shown = "; ".join(f"{name}: {first[name]!s:.200} / {theirs.get(name)!s:.200}" for name in differ)
                raise InputError(f"ranks differ (rank 0 / rank {rank}): {shown}; {remedy}")

    def tell_lead(self, about: str, message: str) -> None:
        """Leave a message for rank 0 in the store, from any thread."""
        self._mailbox.set(_key(f"{about}/{self.rank}"), message)

    def told(self, about: str, stop: Event) -> list[str]:
        """Return what each other rank has told rank 0, in their order, as soon as all have.

        Raises OSError for an empty message, where something went wrong, for none in time, and once `stop` is set.
        """
        keys = [_key(f"{about}/{rank}") for rank in range(1, self.size)]
        until = time.monotonic() + self._timeout
        while not self._mailbox.check(keys):
            if time.monotonic() > until or stop.wait(0.02):
                raise InterruptedError("other ranks have not written their parts")
        found = [self._mailbox.get(key).decode() for key in keys]
        if not all(found):
            raise OSError(f"rank {found.index('') + 1} could not")
        return found

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn a failure to reach the other ranks into a RankLostError that names those that are lost."""
        try:
            yield
        except RuntimeError as error:
            raise RankLostError(self._lost(error)) from error

    def _lost(self, error: RuntimeError) -> str:
        """Return the message: lost is who does not say, soon, that its call has failed too."""
        try:
            store = _store()
            store.set(_key(f"failed/{self.rank}"), "")
            until = time.monotonic() + _ANSWER_SECONDS
            silent = [rank for rank in range(self.size) if rank != self.rank]
            while silent and time.monotonic() < until:
                silent = [rank for rank in silent if not store.check([_key(f"failed/{rank}")])]
                time.sleep(0.1)
        except Exception:  # see first_to_tell
            silent = []
        if not silent:
            return f"the ranks lost each other: {str(error).splitlines()[0]}"
        named = f"rank{'s' * (len(silent) > 1)} {', '.join(map(str, silent))} of {self.size}"
        return f"{named} ended, or did not answer within {self._timeout:g} s: look at what was said there"


@contextmanager
def joined(timeout: float) -> Iterator[Ranks | None]:
    """Join the ranks that torchrun started, None without it; a rank that takes longer than `timeout` seconds is lost.

    Processors talk by gloo. On GPUs tables go by NCCL where every rank of a machine has one of its own.
    """
    if not under_torchrun():
        yield None
        return
    import torch
    import torch.distributed as dist

    backend = "gloo"
    if torch.cuda.is_available():
        local, machine = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        torch.cuda.set_device(local % torch.cuda.device_count())
        if machine <= torch.cuda.device_count():
            backend = "cpu:gloo,cuda:nccl"
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun keeps the store, else rank 0 does
    store = _store(is_master=rank == 0 and not agent)
    ranks = Ranks(rank, size, timeout)
    # A job that was started again must not find the addresses of ranks that are gone.
    prefixed: Any = vars(dist)["PrefixStore"](_key("group"), store)
    with ranks.explained():
        dist.init_process_group(backend, store=prefixed, rank=rank, world_size=size, timeout=timedelta(seconds=timeout))
    try:
        yield ranks
        ranks.objects(None)  # none goes before all are done: what is left of a rank's call would fail
    finally:
        dist.destroy_process_group()
