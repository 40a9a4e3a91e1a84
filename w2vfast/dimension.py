"""Ranks that hold some dimensions of all rows each (dimension parallel), for tables larger than one memory.

Of R ranks number r has dimensions D r / R to D (r + 1) / R of W_in and W_out, and all tokens. All plan the same batches
and train them together: each scores a batch by its dimensions, the scores are summed over ranks, and of the gradients
that follow, the same on all, each adds its dimensions' part. The result is one process's but for the order in which a
score's terms are added. Ordentlich et al., "Network-efficient distributed word2vec training system for large
vocabularies" (CIKM 2016), cut tables so over parameter servers.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.exchange import Saved, SlowRank, Traffic
from w2vfast.ranks import Ranks
from w2vfast.run import Progress, Run, Tables

WATCHED_SECONDS = 5.0  # by which speeds are judged
Rows = Callable[[int, int], NDArray[np.float32]]  # from a row up to another: [n, D]


class Dimensions:
    """The dimensions of this rank among all, and what ranks do in step; all make the same calls at the same places."""

    def __init__(self, ranks: Ranks, vector_size: int) -> None:
        """Raise InputError for more ranks than dimensions."""
        if ranks.size > vector_size:
            raise InputError(f"{ranks.size} ranks cannot share {vector_size} dimensions: have fewer ranks")
        self.ranks, self.vector_size = ranks, vector_size
        self._slices = slices(vector_size, ranks.size)
        self._slow = SlowRank(ranks)
        self._began: float | None = None  # of the group at hand; the first is preceded by what ranks do apart
        self._waited = 0.0
        self._times = np.zeros((2, ranks.size))  # seconds of groups, and those of waiting
        self.traffic = Traffic()
        self.stop = self.due = False  # see `follow`

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.ranks.leads

    @property
    def own(self) -> slice:
        """This rank's dimensions."""
        return self._slices[self.ranks.rank]

    @property
    def width(self) -> int:
        """How many they are."""
        return int(self.own.stop - self.own.start)

    def sum_scores(self, scores: Any) -> None:
        """Replace a batch's scores, a tensor, by their sum over ranks."""
        import torch.distributed as dist

        began, R = time.perf_counter(), self.ranks.size
        with self.ranks.explained():
            dist.all_reduce(scores)
        waited = time.perf_counter() - began
        self._waited += waited
        self.traffic.exchanges += 1
        self.traffic.bytes_sent += 2 * (R - 1) / R * scores.numel() * scores.element_size()
        self.traffic.seconds += waited

    @contextmanager
    def gathered(self, table: NDArray[np.float32]) -> Iterator[Rows | None]:
        """Yield on rank 0 what returns whole rows of the table of which `table` are this rank's dimensions.

        The others yield None, when they have sent all that was asked for.
        """
        if not self.leads:
            while (asked := self._ask(0, 0))[1]:
                self._send(table[slice(*asked)])
            yield None
            return
        try:
            yield partial(self._fetch, table)
        finally:
            self._ask(0, 0)

    def _ask(self, start: int, stop: int) -> tuple[int, int]:
        """Return what rows rank 0 asks for; none in the end."""
        import torch
        import torch.distributed as dist

        asked = torch.tensor([start, stop])
        with self.ranks.explained():
            dist.broadcast(asked, 0)
        return int(asked[0]), int(asked[1])

    def _send(self, rows: NDArray[np.float32]) -> None:
        import torch
        import torch.distributed as dist

        with self.ranks.explained():
            dist.send(torch.from_numpy(np.ascontiguousarray(rows)), 0)

    def _fetch(self, table: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        import torch
        import torch.distributed as dist

        whole = np.empty((stop - start, self.vector_size), np.float32)
        whole[:, self.own] = table[start:stop]
        self._ask(start, stop)
        for rank, columns in enumerate(self._slices[1:], start=1):
            part = torch.empty((stop - start, columns.stop - columns.start), dtype=torch.float32)
            with self.ranks.explained():
                dist.recv(part, rank)
            whole[:, columns] = part.numpy()
        return whole

    # What follows a run, as exchange.Exchange does.

    def follow(self, run: Run, progress: Progress, *, stop: bool, due: bool) -> None:
        """Have all hear in `self.stop` and `self.due` whether any asks for a stop, or a checkpoint is due."""
        import torch
        import torch.distributed as dist

        del run, progress
        R, now = self.ranks.size, time.perf_counter()
        told = torch.zeros(2 + 2 * R, dtype=torch.float64)
        told[0], told[1] = stop, due
        if self._began is not None:
            told[2 + self.ranks.rank], told[2 + R + self.ranks.rank] = now - self._began, self._waited
        with self.ranks.explained():
            dist.all_reduce(told)
        self.stop, self.due = bool(told[0]), bool(told[1])
        self._began, self._waited = time.perf_counter(), 0.0
        self._times += told[2:].reshape(2, R).numpy()
        if self._times[0].max() > WATCHED_SECONDS:
            self._slow.look(self._times[0] - self._times[1])
            self._times[:] = 0

    def next_place(self, run: Run) -> int:
        """Return the end of the group of chunks at hand, where all ranks stand still."""
        return run.place_of(run.slots_done(run.state.place) + 1)

    def merged(self, run: Run, tables: Tables) -> Tables:
        """Return the tables: no other rank has changed them."""
        del run
        return tables

    def first_rows(self, w_in: NDArray[np.float32], rows: int) -> NDArray[np.float32] | None:
        """Return the first rows of the whole table on rank 0, None on the others."""
        with self.gathered(w_in) as fetch:
            return fetch(0, rows) if fetch is not None else None

    def settle(self) -> None:
        """Do nothing: no sum is at hand between two batches."""

    def saved(self) -> Saved:
        """Return nothing: tables and the run's state are all."""
        return {}, {}

    def agreed(self, score: float) -> float:
        """Return rank 0's score."""
        return float(self.ranks.objects(score)[0])

    def account(self, trained: int) -> dict[str, float]:
        """Return what sums came to: a rank's, on average, of `trained` tokens, which all ranks train."""
        mine = self.traffic
        sent, seconds = np.mean(self.ranks.objects((mine.bytes_sent, mine.seconds)), axis=0).tolist()
        return {"bytes_a_token": sent / max(trained, 1), "sums": mine.exchanges, "sum_seconds": seconds}


def slices(vector_size: int, ranks: int) -> list[slice]:
    """Return the dimensions of each rank."""
    cuts = [vector_size * rank // ranks for rank in range(ranks + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(cuts)]
