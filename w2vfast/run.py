"""A run through the epochs that is advanced a little at a time, and whose state is one small value.

What follows a run (progress bars, scoring, what stops it early) is told where it stands after each advance and is no
part of it. A `RunState` taken after any advance, with the two tables (and the step's `mined`, where it mines), is all
that a later `Run` needs to go on: it ends in the same tables, bit for bit where the backend repeats runs bit for bit.
"""

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from w2vfast import plan
from w2vfast.config import Config
from w2vfast.errors import DivergenceError
from w2vfast.jobs import Work
from w2vfast.kernels.contract import Job, Step, StepResult, Visit, chunk_count
from w2vfast.kernels.mapped import release
from w2vfast.vectors import all_finite

# A backend is handed enough chunks to keep it busy about this long, then the run reports.
REPORT_SECONDS = 0.25
MOST_CHUNKS_AT_ONCE = 1 << 13

Tables = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class RunState:
    """Where a run stands: numbers and lists, which `dataclasses.asdict` turns into JSON and `RunState(**it)` back.

    A state is never changed: whoever keeps one keeps it as it was.
    """

    epoch: int = 0  # the epoch at hand, which random numbers draw from; those before it are done
    place: int = 0  # chunks of its order that are done; always whole groups of them
    visited: int = 0  # tokens, those that subsampling dropped too
    trained: int = 0  # tokens
    pairs: int = 0  # pairs of words (skip-gram) or windows (CBOW)
    epoch_loss: float = 0.0  # sum since the epoch began
    epoch_pairs: int = 0
    losses: list[float] = field(default_factory=list)  # mean per pair of each epoch done
    scores: list[dict[str, float]] = field(default_factory=list)  # epoch (as a fraction) and score of each evaluation

    @property
    def loss(self) -> float:
        """Mean per pair since the epoch began."""
        return self.epoch_loss / max(self.epoch_pairs, 1)

    @property
    def loss_per_epoch(self) -> list[float]:
        """The losses of the epochs done, and that of the one at hand if it has begun."""
        return [*self.losses, self.loss] if self.place else self.losses

    def scored(self, epoch: float, score: float) -> "RunState":
        """Return this state with one more score."""
        return replace(self, scores=[*self.scores, {"epoch": round(epoch, 4), "score": score}])


@dataclass(frozen=True)
class Progress:
    """What an advance came to: `place` of `chunks` chunks of `epoch` are done, all of them at an epoch's end."""

    epoch: int
    place: int
    chunks: int
    tokens_done: int
    tokens_total: int
    learning_rate: float
    loss: float  # mean per pair since the epoch began
    score: float | None  # the latest, where the run is scored

    @property
    def epochs(self) -> float:
        """Epochs done, the part of the one at hand included."""
        return self.epoch + self.place / self.chunks


class Pace:
    """How many chunks a backend is handed at once, in whole groups, by how long the last ones took."""

    def __init__(self, group: int) -> None:
        self.chunks = group

    def visited(self, chunks: int, seconds: float) -> None:
        """Learn from a visit."""
        if chunks == self.chunks < MOST_CHUNKS_AT_ONCE and seconds < REPORT_SECONDS / 2:
            self.chunks *= 2


class Run:
    """A step's way through a config's epochs, from a state on; the tables are the step's."""

    def __init__(
        self, work: Work, step: Step, config: Config, state: RunState | None = None, slots: int | None = None
    ) -> None:
        """Raise ValueError for a state that no run of this job and config comes to.

        `slots` are equal parts of an epoch, no more than groups of chunks: without them each group is one.
        """
        self._work, self._job, self._step, self._config = work, work.job, step, config
        self._chunks = chunk_count(self._job, self._job.tokens)
        self._pace = Pace(self._job.chunks_in_group)
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._groups = -(-self._chunks // self.group)
        self.slots = slots or self._groups
        self._share_of_slots = slots or self._chunks / self.group  # of an epoch's last group there may be but a part
        self.state = state or RunState()
        if not 0 <= self.state.epoch <= config.epochs or self.state.place not in self._places():
            raise ValueError(f"no such run stands at place {self.state.place} of epoch {self.state.epoch}")

    @property
    def step(self) -> Step:
        """What is advanced."""
        return self._step

    @property
    def job(self) -> Job:
        """What it is advanced on."""
        return self._job

    @property
    def chunks(self) -> int:
        """Chunks of an epoch."""
        return self._chunks

    @property
    def group(self) -> int:
        """Chunks that are visited together, which scores and other batches than the backend's own must not part."""
        return self._job.chunks_in_group

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.state.epoch >= self._config.epochs

    def slot_near(self, share: float) -> int:
        """Return the slot whose end is nearest to a share of an epoch, at least the first."""
        return max(1, min(self.slots, round(share * self._share_of_slots)))

    def place_of(self, slot: int) -> int:
        """Return how many chunks of an epoch are done at the end of its first `slot` slots."""
        return min(self._chunks, slot * self._groups // self.slots * self.group)

    def slots_done(self, place: int) -> int:
        """Return how many slots of an epoch are done at a place."""
        if place >= self._chunks:
            return self.slots
        return -(-(place // self.group + 1) * self.slots // self._groups) - 1

    def advance(self, until: int | None = None) -> Progress:
        """Train on some of the epoch's next chunks, up to the place `until` at most (default: the epoch's end).

        How many it takes goes by how long they took before, in whole groups; what becomes of the tables does not depend
        on it. Raises DivergenceError if the loss is not finite or, at an epoch's end, the tables are not.
        """
        epoch, place = self.state.epoch, self.state.place
        stop = min(place + self._pace.chunks, self._chunks if until is None else until)
        early = self._early_chunks(epoch)
        if place < early:
            stop = min(stop, early)
        began = time.perf_counter()
        chunks = np.ascontiguousarray(self._order_of(epoch)[place:stop])
        done = self._step.train(self._visit(epoch, place, chunks))
        release(self._job.tokens)
        if not np.isfinite(done.loss):
            raise diverged(self._work, self._config)
        self._pace.visited(len(chunks), time.perf_counter() - began)
        state = self._after(chunks, done)
        if stop == self._chunks:
            self.finite_tables()
        self.state = state if stop < self._chunks else _next_epoch(state)
        return Progress(
            epoch=epoch,
            place=stop,
            chunks=self._chunks,
            tokens_done=state.visited,
            tokens_total=self._config.epochs * len(self._job.tokens),
            learning_rate=self._visit(epoch, stop, np.zeros(1, np.int64)).learning_rate(0, 0),
            loss=state.loss,
            score=state.scores[-1]["score"] if state.scores else None,
        )

    def finite_tables(self) -> Tables:
        """Return the step's tables. Raises DivergenceError if they hold NaN or infinity.

        A loss can be finite all the same: of a maximum with NaN it is the other that is left.
        """
        tables = self._step.tables()
        if not all_finite(tables):
            raise diverged(self._work, self._config, "the vectors are not finite")
        return tables

    def _places(self) -> range:
        """Return where in an epoch a run may begin: batches of one snapshot are taken within whole groups only."""
        return range(0, self._chunks, self.group if self._job.row_cap == "batch" else 1)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, plan.chunk_order(self._chunks, self._job.seed, epoch)
        return self._order[1]

    def _visit(self, epoch: int, place: int, chunks: NDArray[np.int64]) -> Visit:
        n, config = len(self._job.tokens), self._config
        return Visit(
            chunks=chunks,
            done=epoch * n + (place + np.arange(len(chunks), dtype=np.int64)) * self._job.chunk_size,
            total=config.epochs * n,
            start_rate=config.alpha,
            end_rate=config.min_alpha,
            draw_epoch=epoch,
            shared_words=self._work.early_words if place < self._early_chunks(epoch) else self._work.shared_words,
        )

    def _early_chunks(self, epoch: int) -> int:
        n = len(self._job.tokens)
        return self._work.early_chunks(epoch * n, self._config.epochs * n)

    def _after(self, chunks: NDArray[np.int64], done: StepResult) -> RunState:
        """Return the state with these chunks trained."""
        state, size = self.state, self._job.chunk_size
        missing = self._chunks * size - len(self._job.tokens)  # in the last chunk
        return replace(
            state,
            place=state.place + len(chunks),
            visited=state.visited + len(chunks) * size - missing * int(self._chunks - 1 in chunks),
            trained=state.trained + done.trained,
            pairs=state.pairs + done.pairs,
            epoch_loss=state.epoch_loss + done.loss,
            epoch_pairs=state.epoch_pairs + done.pairs,
        )


def _next_epoch(state: RunState) -> RunState:
    losses = [*state.losses, state.loss]
    return replace(state, epoch=state.epoch + 1, place=0, epoch_loss=0.0, epoch_pairs=0, losses=losses)


def diverged(work: Work, config: Config, cause: str = "the loss is not finite") -> DivergenceError:
    """Return the error that names the settings of a run that has diverged."""
    job = work.job
    return DivergenceError(
        f"training diverged ({cause}) at alpha={config.alpha:g}, tile={job.tile}, "
        f"shared_negatives={work.shared_words}, negative={config.negatives}, window={job.window}, cap={job.cap:g}, "
        f"tokens_in_flight={job.tokens_in_flight}: lower alpha, or leave tile, shared_negatives, cap and "
        "tokens_in_flight to be chosen"
    )
