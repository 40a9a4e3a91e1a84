"""How ranks that train copies of the tables on parts of a text bring their changes together (data parallel).

Each rank keeps, beside the tables that it trains, the *base*: what all ranks had in common last. At an exchange the
changes since then, tables less base, are summed over ranks, and each row's sum is scaled by what R changes in a row
would have done to a quadratic of curvature h, one after another instead of at once:

    (1 - exp(-R a)) / (R (1 - exp(-a)))     a = h * learning rate * the weight that one rank put on the row

Rare rows are summed, frequent ones averaged: plain averages lose 15 points of analogies with four ranks, plain sums
diverge (docs/experiments.md, "Ranks"). The weight is the expected one of the row cap (jobs.static_weights).

Rows are exchanged the more often the more frequent they are. The first HEAD rows of each table take part in every
exchange; of the next HEAD half take part, in turn, of the next 2 HEAD a quarter, and so on down to one in LONGEST. An
exchange is one reduction of a few megabytes, whatever the vocabulary, and other threads run it while training goes on:
it begins at one place of the epoch and its sum is added half an interval later, with what was trained since left as it
is. Places are shares of each rank's own epoch, the same for all ranks: nothing depends on how fast they are.
"""

import itertools
import math
import time
import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast import jobs, plan
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus
from w2vfast.errors import InputError
from w2vfast.jobs import Work
from w2vfast.kernels.contract import FixedOut, Step
from w2vfast.ranks import Ranks
from w2vfast.run import Progress, Run, RunState, Tables
from w2vfast.stopwatch import Seconds

# docs/experiments.md, "Ranks", has the measurements.
CURVATURE = 0.1  # h
HEAD = 4096  # rows
LONGEST = 16  # exchanges from one of a rare row to its next
EXCHANGES = 280  # of a run: with fewer, quality falls; and so it does past
LONGEST_INTERVAL = 1 << 17  # tokens trained by a rank from one to the next, unless the network asks for longer ones
FEWEST_EXCHANGES = 140  # and then so many are left
ALPHA_PER_RANK = 0.2  # what each rank beyond the first adds to the factor on alpha
LARGEST_ALPHA_SCALE = 2.0
LONGEST_WAIT = 0.1  # share of the time that may go by waiting for the network
SLOW = 1.5  # times as long as the median rank takes is said
_WATCHED = 32  # exchanges by which speeds are judged
_BLOCK_ROWS = 1 << 14
_SEED_STEP = 0x9E3779B97F4A7C15  # from one rank's seed to the next's: the fraction of the golden ratio


Saved = tuple[dict[str, Any], dict[str, NDArray[Any]]]  # numbers and arrays


@dataclass(frozen=True)
class Sharing:
    """How a run is shared among ranks, the same on all of them."""

    alpha: float  # the raised one
    interval: int  # tokens that a rank trains from one exchange to the next
    fewest: int  # exchanges of a run that are left where the network is slow
    slots: int  # equal parts of an epoch, after which exchanges begin and end: two an interval


def share(corpus: EncodedCorpus, work: Work, config: Config, ranks: Ranks) -> tuple[Work, Sharing]:
    """Return this rank's work, on its part of the text, and how the run is shared.

    A rank has a seed of its own, rank 0 the run's: chunks of the same number would else draw the same words everywhere.
    Raises InputError if a rank has no text.
    """
    job, n = work.job, len(corpus.tokens)
    lengths = [int(length) for length in np.concatenate(ranks.gather(np.array([n])))]
    if 0 in lengths:
        raise InputError(
            f"rank {lengths.index(0)} has no words of the vocabulary in its part of the text: have fewer ranks"
        )
    total, counts = sum(lengths), corpus.vocab.counts
    kept = float(counts @ plan.keep_probability(counts, config.sample)) / float(counts.sum())
    trained = total * kept * config.epochs / ranks.size
    interval = config.exchange_every or int(max(1, min(trained / EXCHANGES, LONGEST_INTERVAL)))
    chunk_size = job.chunk_size if ranks.size == 1 else plan.chunk_size(total // ranks.size, config.window)
    chunks = max(1, round(interval / 2 / kept / chunk_size))  # of half an interval
    seed = (config.seed + ranks.rank * _SEED_STEP) % 2**64
    if ranks.size > 1:
        group = min(job.group_tokens, chunks * chunk_size)
        job = replace(job, chunk_size=chunk_size, seed=seed, group_tokens=group)
    groups = math.ceil(math.ceil(min(lengths) / chunk_size) / job.chunks_in_group)
    slots = max(1, min(groups, round(total / ranks.size / chunk_size / chunks)))
    scale = config.alpha_scale or min(1 + ALPHA_PER_RANK * (ranks.size - 1), LARGEST_ALPHA_SCALE)
    interval = round(2 * total * kept / ranks.size / slots)
    fewest = int(min(FEWEST_EXCHANGES, trained / interval))
    return replace(work, job=job), Sharing(min(1.0, config.alpha * scale), interval, fewest, slots)


@dataclass
class Traffic:
    """What exchanges came to on this rank."""

    exchanges: int = 0
    bytes_sent: float = 0.0  # by a ring: 2 (R - 1) / R of what is summed
    seconds: float = 0.0  # in which training stood still
    waited: float = 0.0  # of these, for the network and for other ranks


class SlowRank:
    """Has rank 0 say, once, which rank the others wait for."""

    def __init__(self, ranks: Ranks) -> None:
        self._tells = ranks.leads

    def look(self, busy: NDArray[np.floating]) -> None:
        """Warn if of the seconds that each rank was busy, [R], one has far more than the median."""
        slowest, usual = int(busy.argmax()), float(np.sort(busy)[(len(busy) - 1) // 2])
        if self._tells and busy[slowest] > SLOW * usual:
            self._tells = False
            warnings.warn(
                f"rank {slowest} takes {busy[slowest] / usual:.1f} times as long as the others, which wait for it: is "
                "its machine slower or busy, or has it more text?",
                stacklevel=2,
            )


class Exchange:
    """Follows a run and exchanges what it changed; all ranks make the same calls at the same places."""

    def __init__(
        self,
        ranks: Ranks,
        sharing: Sharing,
        step: Step,
        work: Work,
        config: Config,
        kept: NDArray[np.float64],
        saved: Saved | None = None,
    ) -> None:
        """Begin with what rank 0 has in its tables, or go on from what `saved` returned.

        `kept` is how often each word is trained on, float64 [V].
        """
        import torch

        self._ranks = ranks
        self._fixed = config.deterministic or config.exchange_every is not None
        weights = jobs.static_weights(kept, config, work.job.objective, 1)
        sides = 1 if isinstance(work.job.objective, FixedOut) else 2
        self._tables = [_Table(torch.as_tensor(t), w) for t, w in zip(step.live()[:sides], weights, strict=False)]
        self._scalars = torch.zeros(_SCALARS + 2 * ranks.size, dtype=torch.float32)
        self._tokens = 0.0  # that a rank had trained on average when the last exchange began
        self._trained = 0  # that this one had
        self._learning_rate = 0.0  # of the last visit
        self._at_hand: _AtHand | None = None
        self._began, self._waited = time.perf_counter(), 0.0
        self._times: list[NDArray[np.float32]] = []  # [2, R] of each exchange: seconds between two, and of waiting
        self._slow = SlowRank(ranks)
        self.period = 2  # slots from one exchange to the next
        self._longest = self.period
        while sharing.slots * config.epochs >= 2 * self._longest * sharing.fewest:
            self._longest *= 2
        self.traffic = Traffic()
        self.stop = self.due = False  # see `follow`
        if saved is not None:
            numbers, arrays = saved
            self._tokens, self._trained = numbers["tokens"], numbers["trained"]
            self.period, self.traffic = numbers["period"], Traffic(**numbers["traffic"])
        for side, table in enumerate(self._tables):
            if saved is None:
                self._broadcast(table.live)
                table.base.copy_(table.live)
                continue
            if ranks.leads:
                table.base.copy_(torch.from_numpy(arrays[f"base_{side}"]))
                table.exchanged_at.copy_(torch.from_numpy(arrays[f"exchanged_at_{side}"]))
            self._broadcast(table.base)
            self._broadcast(table.exchanged_at)

    def follow(self, run: Run, progress: Progress, *, stop: bool, due: bool) -> None:
        """Begin or end an exchange where that is due; with it goes whether a stop is asked for, or a checkpoint due.

        Where one has ended, `self.stop` and `self.due` are what any of the ranks had said.
        """
        self.stop = self.due = False
        self._learning_rate = progress.learning_rate
        slot = run.slots_done(progress.place)
        if run.place_of(slot) != progress.place:
            return
        slot += progress.epoch * run.slots
        if self._at_hand is not None and slot % self.period == self.period // 2:
            self._end()
        if slot % self.period == 0:
            self._begin(run.state.trained, stop, due)

    def next_place(self, run: Run) -> int:
        """Return the place in the run's epoch that it must not pass before `follow` is called."""
        slot, half = run.slots_done(run.state.place) + 1, self.period // 2
        while slot < run.slots and (run.state.epoch * run.slots + slot) % half:
            slot += 1
        return run.place_of(slot)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self._ranks.leads

    def merged(self, run: Run, tables: Tables) -> Tables:
        """Return copies of the tables with all changes of all ranks, those in training staying as they are.

        One that is not trained is returned as it is given.
        An exchange at hand is ended first.
        """
        import torch

        self.settle()
        mine = torch.tensor([run.state.trained - self._trained, self._learning_rate], dtype=torch.float32)
        self._sum(mine)
        trained, rate = (mine / self._ranks.size).tolist()
        merged = []
        for table in self._tables:
            result = torch.empty_like(table.live)
            for start in range(0, len(result), _BLOCK_ROWS):
                rows = slice(start, start + _BLOCK_ROWS)
                change = torch.sub(table.live[rows], table.base[rows])
                self._sum(change)
                change *= table.scale(rows, self._tokens + trained, rate, self._ranks.size)
                torch.add(table.base[rows], change, out=result[rows])
            merged.append(result.cpu().numpy())
        return merged[0], merged[1] if len(merged) > 1 else tables[1]

    def first_rows(self, w_in: NDArray[np.float32], rows: int) -> NDArray[np.float32] | None:
        """Return the first rows of a merged table on rank 0, None on the others."""
        return w_in[:rows] if self.leads else None

    def settle(self) -> None:
        """End an exchange at hand."""
        if self._at_hand is not None:
            self._end()

    def saved(self) -> Saved:
        """Return what goes on beside the tables, where none is at hand; its arrays are rank 0's and change later."""
        assert self._at_hand is None
        numbers = {"tokens": self._tokens, "trained": self._trained, "period": self.period}
        arrays: dict[str, NDArray[Any]] = {}
        for side, table in enumerate(self._tables if self.leads else []):
            arrays[f"base_{side}"] = table.base.cpu().numpy()
            arrays[f"exchanged_at_{side}"] = table.exchanged_at.cpu().numpy()
        return numbers | {"traffic": asdict(self.traffic)}, arrays

    def agreed(self, score: float) -> float:
        """Return rank 0's score."""
        return float(self._ranks.objects(score)[0])

    def account(self, trained: int) -> dict[str, float]:
        """Return what exchanges came to: a rank's, on average, of all `trained` tokens."""
        mine = self.traffic
        found = np.mean(self._ranks.objects((mine.bytes_sent, mine.seconds, mine.waited)), axis=0).tolist()
        return {
            "ranks": self._ranks.size,
            "exchanges": mine.exchanges,
            "tokens_between_exchanges": trained // self._ranks.size // max(mine.exchanges, 1),
            "bytes_a_token": found[0] * self._ranks.size / trained,
            "exchange_seconds": found[1],
            "waited_seconds": found[2],
        }

    def _begin(self, trained: int, stop: bool, due: bool) -> None:
        import torch.distributed as dist

        began, R = time.perf_counter(), self._ranks.size
        pieces = [(table, rows) for table in self._tables for rows in table.rows_of(self.traffic.exchanges)]
        sizes = [table.size_of(rows) for table, rows in pieces]
        own = pieces[0][0].live.new_empty(sum(sizes))
        for (table, rows), change in zip(pieces, own.split(sizes), strict=True):
            table.take(rows, change.view(-1, table.width))
        self._scalars[:_SCALARS] = self._scalars.new_tensor([trained - self._trained, self._learning_rate, stop, due])
        self._scalars[_SCALARS:] = 0
        self._scalars[_SCALARS + self._ranks.rank] = began - self._began
        self._scalars[_SCALARS + R + self._ranks.rank] = self._waited
        sent = own.new_empty(len(own) + len(self._scalars))
        sent[: len(own)] = own
        sent[len(own) :] = self._scalars
        with self._ranks.explained():
            work = dist.all_reduce(sent, async_op=True)
        self._at_hand = _AtHand(work, sent, own, pieces, sizes)
        self._trained, self._began, self._waited = trained, began, 0.0
        self.traffic.exchanges += 1
        self.traffic.bytes_sent += 2 * (R - 1) / R * sent.numel() * sent.element_size()
        self.traffic.seconds += time.perf_counter() - began

    def _end(self) -> None:
        began, R = time.perf_counter(), self._ranks.size
        at_hand, self._at_hand = self._at_hand, None
        assert at_hand is not None
        with self._ranks.explained():
            at_hand.work.wait()
        self._waited = time.perf_counter() - began
        scalars = at_hand.sent[len(at_hand.own) :].cpu().numpy()
        trained, learning_rate, stop, due = scalars[:_SCALARS].tolist()
        self._tokens += trained / R
        self.stop, self.due = stop > 0, due > 0
        changes = zip(at_hand.pieces, at_hand.sent.split([*at_hand.sizes, len(scalars)]), strict=False)
        for ((table, rows), change), own in zip(changes, at_hand.own.split(at_hand.sizes), strict=True):
            scale = table.scale(rows, self._tokens, learning_rate / R, R)
            table.give(rows, change.view(-1, table.width).mul_(scale), own.view(-1, table.width))
            table.exchanged_at[rows] = self._tokens
        self.traffic.waited += self._waited
        self.traffic.seconds += time.perf_counter() - began
        self._judge(scalars[_SCALARS:].reshape(2, R))

    def _judge(self, times: NDArray[np.float32]) -> None:
        """Exchange less often where the network holds all ranks up; say which rank does."""
        self._times.append(times)
        if len(self._times) < _WATCHED:
            return
        between, waited = np.sum(self._times, axis=0)
        self._times.clear()
        busy = between - waited
        if not self._fixed and waited.min() > LONGEST_WAIT * between.max() and 2 * self.period <= self._longest:
            self.period *= 2
        self._slow.look(busy)

    def _broadcast(self, values: Any) -> None:
        import torch.distributed as dist

        with self._ranks.explained():
            dist.broadcast(values, 0)

    def _sum(self, values: Any) -> None:
        import torch.distributed as dist

        with self._ranks.explained():
            dist.all_reduce(values)
        self.traffic.bytes_sent += 2 * (self._ranks.size - 1) / self._ranks.size * values.numel() * 4


_SCALARS = 4  # tokens trained, learning rate, whether a stop is asked for, whether a checkpoint is due


@dataclass(frozen=True, eq=False)
class _AtHand:
    """An exchange that has begun: what is being summed, this rank's part in it, and the pieces that it is made of."""

    work: Any
    sent: Any
    own: Any
    pieces: list[tuple["_Table", Any]]
    sizes: list[int]


class _Table:
    """One table with its base, and which of its rows are exchanged when."""

    def __init__(self, live: Any, weight: NDArray[np.float32]) -> None:
        import torch

        self.live, self.base = live, torch.empty_like(live)
        self.width = live.shape[1]
        self._weight = torch.from_numpy(weight.astype(np.float64)).to(live.device)
        self.exchanged_at = torch.zeros_like(self._weight)  # tokens that a rank had trained then
        order = np.argsort(-weight, kind="stable")
        # Rows of words lie by falling frequency: slices of them then, which cost no copy.
        in_order = bool((np.diff(order) == 1).all())
        places = None if in_order else torch.from_numpy(order).to(live.device)
        self._head = _pick(places, 0, HEAD, len(weight))
        self._parts: list[list[Any]] = []  # of each tier the parts that take turns
        begin, turns = HEAD, 2
        while begin < len(weight):
            end = len(weight) if turns == LONGEST else min(2 * begin, len(weight))
            cuts = [begin + (end - begin) * i // turns for i in range(turns + 1)]
            self._parts.append([_pick(places, a, b, len(weight)) for a, b in itertools.pairwise(cuts)])
            begin, turns = end, 2 * turns

    def rows_of(self, exchange: int) -> list[Any]:
        """Return the rows that take part in the n-th exchange: slices, or tensors of their places."""
        return [self._head, *(parts[exchange % len(parts)] for parts in self._parts)]

    def size_of(self, rows: Any) -> int:
        """Return how many numbers rows are."""
        return int(self.width) * (rows.stop - rows.start if isinstance(rows, slice) else len(rows))

    def scale(self, rows: Any, tokens: float, learning_rate: float, ranks: int) -> Any:
        """Return what the sum of ranks' changes is scaled by, [rows, 1], after `tokens` of each rank."""
        import torch

        a = CURVATURE * learning_rate * self._weight[rows] * (tokens - self.exchanged_at[rows])
        a.clamp_(min=1e-6)
        return (torch.expm1(-ranks * a) / (ranks * torch.expm1(-a))).to(self.live.dtype)[:, None]

    def take(self, rows: Any, change: Any) -> None:
        """Write the change of rows since the last exchange."""
        import torch

        torch.sub(self.live[rows], self.base[rows], out=change)

    def give(self, rows: Any, change: Any, own: Any) -> None:
        """Put the ranks' change in place of this one's `own`; `change` is written over."""
        self.base[rows] += change
        change -= own
        self.live[rows] += change


def _pick(places: Any, start: int, stop: int, rows: int) -> Any:
    picked = slice(start, min(stop, rows))
    return picked if places is None else places[picked]


def totals(
    ranks: Ranks, state: RunState, stages: dict[str, Seconds], *, parts: bool
) -> tuple[RunState, dict[str, Seconds]]:
    """Return what all ranks' runs come to, and the time: rank 0's by the clock, the processors' of all.

    Runs add up where they are of `parts` of a text; else all are the same.
    """
    found: list[tuple[RunState, dict[str, Seconds]]] = ranks.objects((state, stages))
    states = [one for one, _ in found]
    pairs = np.array([max(one.pairs, 1) for one in states], np.float64)
    of_all = replace(
        state,
        visited=sum(one.visited for one in states),
        trained=sum(one.trained for one in states),
        pairs=sum(one.pairs for one in states),
        epoch_loss=sum(one.epoch_loss for one in states),
        epoch_pairs=sum(one.epoch_pairs for one in states),
        losses=[float(loss) for loss in np.average([one.losses for one in states], axis=0, weights=pairs)],
    )
    first = found[0][1]
    return of_all if parts else state, {
        name: replace(first[name], cpu=sum(times[name].cpu for _, times in found)) for name in first
    }
