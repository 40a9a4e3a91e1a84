"""The one training loop: chunks in the plan's order, the schedule, progress, the token ledger, divergence."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast import backends, jobs, plan
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus, scan
from w2vfast.errors import DivergenceError
from w2vfast.formats import Vectors
from w2vfast.jobs import Work
from w2vfast.kernels.contract import Job, Step, StepResult, Visit, chunk_count
from w2vfast.vocab import Vocab, read_vocab

# The trainer hands a backend enough chunks to keep it busy about this long, then reports.
REPORT_SECONDS = 0.25
MOST_CHUNKS_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class Progress:
    """Where a run stands; `loss` is the mean per pair since the epoch began."""

    epoch: int
    tokens_done: int
    tokens_total: int
    learning_rate: float
    loss: float
    score: float | None  # the latest, where the run is scored


@dataclass
class TrainResult:
    """Vectors and the account of how they came about."""

    vocab: Vocab
    w_in: NDArray[np.float32]  # [V, D], the word vectors
    w_out: NDArray[np.float32]  # [V, D], gensim's syn1neg
    settings: dict[str, Any]
    backend: str
    backend_reason: str
    tokens: dict[str, int]
    loss_per_epoch: list[float] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)  # epoch (as a fraction) and score of each evaluation
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def vectors(self) -> Vectors:
        """The words with their vectors and counts."""
        return Vectors(self.vocab.words, self.w_in, self.vocab.counts)

    @property
    def raw_words_per_second(self) -> float:
        """Words read per second of training, out-of-vocabulary words and all epochs counted."""
        return float(self.tokens["read"] * self.settings["epochs"] / self.seconds["train"])


class Stopwatch:
    """Wall and CPU seconds (all threads) of one stage."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return (wall, CPU) seconds since it was made."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def train_files(
    inputs: Sequence[str | Path],
    config: Config,
    *,
    cache_dir: Path | None = None,
    on_scan: Callable[[int, int | None], None] | None = None,
    on_start: Callable[[TrainResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    evaluate: Callable[[Vectors], float] | None = None,
) -> TrainResult:
    """Scan text files (or folders, or "-" for stdin) and train on them; see `train_corpus`.

    `on_scan(bytes_done, bytes_total)` hears of the scan. Raises InputError for input that cannot be trained on.
    """
    choice = backends.choose(config)
    watch = Stopwatch()
    with scan_files(inputs, config, cache_dir, on_scan) as corpus:
        scanned = watch.read()
        return train_corpus(
            corpus, config, choice, scanned=scanned, on_start=on_start, on_progress=on_progress, evaluate=evaluate
        )


def scan_files(
    inputs: Sequence[str | Path],
    config: Config,
    cache_dir: Path | None = None,
    on_scan: Callable[[int, int | None], None] | None = None,
) -> EncodedCorpus:
    """Encode text files with a config's vocabulary options."""
    return scan(inputs, **scan_options(config, cache_dir), workers=config.workers, progress=on_scan)


def scan_options(config: Config, cache_dir: Path | None) -> dict[str, Any]:
    """Return a config's options of `scan` and `encode_sentences`; `cache_dir` is where it names none."""
    return {
        "min_count": config.min_count,
        "max_vocab_size": config.max_vocab_size,
        "max_final_vocab": config.max_final_vocab,
        "vocab": read_vocab(config.read_vocab) if config.read_vocab is not None else None,
        "cache_dir": Path(config.cache_dir) if config.cache_dir is not None else cache_dir,
        "memory_limit": config.cache_above,
    }


def train_corpus(
    corpus: EncodedCorpus,
    config: Config,
    choice: backends.Choice | None = None,
    *,
    work: Work | None = None,
    scanned: tuple[float, float] = (0.0, 0.0),
    on_start: Callable[[TrainResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    evaluate: Callable[[Vectors], float] | None = None,
) -> TrainResult:
    """Train on an encoded corpus and return the vectors with their account.

    `work` stands in for what `jobs.prepare` would return: experiments change its tile settings.
    `scanned` is the (wall, CPU) seconds that encoding took; `on_start` is called with the result, still empty of
    losses, when all settings are known; `on_progress` about four times a second; `evaluate`, where the config has an
    `eval_every`, returns a score for the vectors as they are (higher is better). Raises DivergenceError as soon as the
    loss is not finite.
    """
    choice = choice or backends.choose(config)
    work = work or jobs.prepare(corpus, config, choice)
    job = work.job
    watch = Stopwatch()
    w_in = plan.initial_vectors(len(corpus.vocab.words), config.vector_size, config.seed)
    w_out = np.zeros(
        (job.objective.out_rows(len(w_in)), config.vector_size), np.float32
    )  # untouched memory, which the workers then touch together
    step = backends.create_step(choice, job, w_in, w_out, config.workers)
    result = TrainResult(
        vocab=corpus.vocab,
        w_in=w_in,
        w_out=w_out,
        settings=resolved_settings(config, work, choice),
        backend=choice.name,
        backend_reason=choice.reason,
        tokens=asdict(corpus.ledger),
    )
    if on_start is not None:
        on_start(result)
    run = _Run(work, step, config, result, on_progress, evaluate)
    run.train()
    result.w_in, result.w_out = run.kept_tables()
    if not (np.isfinite(result.w_in).all() and np.isfinite(result.w_out).all()):
        raise _diverged(work, config)
    result.tokens["trained"] = run.trained
    result.tokens["subsampled"] = run.visited - run.trained
    wall, cpu = watch.read()
    result.seconds = {"scan": scanned[0], "train": wall}
    result.cpu_seconds = {"scan": scanned[1], "train": cpu}
    return result


def resolved_settings(config: Config, work: Work, choice: backends.Choice) -> dict[str, Any]:
    """Return every setting of a run, what was chosen for the user included."""
    job = work.job
    chosen = {
        "device": choice.device,
        "tile": job.tile,
        "shared_negatives": work.shared_words,
        "tokens_in_flight": job.tokens_in_flight,
        "row_cap": job.row_cap,
        "static_cap": job.in_weight is not None,
        "chunk_size": job.chunk_size,
    }
    return asdict(config) | chosen


class _Run:
    """One run through the epochs: its account so far, and the best tables where scores decide."""

    def __init__(
        self,
        work: Work,
        step: Step,
        config: Config,
        result: TrainResult,
        on_progress: Callable[[Progress], None] | None,
        evaluate: Callable[[Vectors], float] | None,
    ) -> None:
        self._work, self._job, self._step, self._config, self._result = work, work.job, step, config, result
        self._on_progress, self._evaluate = on_progress, evaluate
        self._best: tuple[float, NDArray[np.float32], NDArray[np.float32]] | None = None
        self._since_best = 0
        self._at_once = work.job.chunks_in_group
        self.trained = self.visited = 0

    def train(self) -> None:
        """Train all epochs, or fewer where patience ends."""
        for epoch in range(self._config.epochs):
            order = plan.chunk_order(chunk_count(self._job, self._job.tokens), self._job.seed, epoch)
            total, start = StepResult(0.0, 0, 0), 0
            for stop, scored in self._stops(epoch, len(order)):
                while start < stop:
                    now = min(start + self._at_once, stop)
                    total += self._chunks(order[start:now], start, epoch)
                    start = now
                    self._report(epoch, start, total)
                if scored and self._score(epoch + start / len(order)):
                    self._result.loss_per_epoch.append(total.loss / max(total.pairs, 1))
                    return
            self._result.loss_per_epoch.append(total.loss / max(total.pairs, 1))

    def kept_tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the tables to keep: the best scored ones if the config says so, else the last."""
        if self._config.keep_best and self._best is not None:
            return self._best[1:]
        return self._step.tables()

    def _stops(self, epoch: int, chunks: int) -> list[tuple[int, bool]]:
        """Return where in an epoch's chunks to stop, ending at its end, and whether to score there."""
        every = self._config.eval_every
        if self._evaluate is None or every is None:
            return [(chunks, False)]
        # Scores fall between whole groups of chunks (see _chunks), so at most once a group.
        group = self._job.chunks_in_group
        due = np.arange(math.floor(epoch / every) + 1, math.floor((epoch + 1) / every + 1e-9) + 1) * every - epoch
        scored = {min(chunks, max(1, round(share * chunks / group)) * group) for share in due.tolist()}
        return [(stop, stop in scored) for stop in sorted(scored | {chunks})]

    def _chunks(self, chunks: NDArray[np.int64], rank: int, epoch: int) -> StepResult:
        """Train on whole groups of chunks: which tiles share a batch must not depend on how fast the machine is."""
        began = time.perf_counter()
        done = self._step.train(self._visit(chunks, rank, epoch))
        if not np.isfinite(done.loss):
            raise _diverged(self._work, self._config)
        size, n, count = self._job.chunk_size, len(self._job.tokens), chunk_count(self._job, self._job.tokens)
        self.trained += done.trained
        self.visited += len(chunks) * size - (count * size - n) * int(count - 1 in chunks)
        if time.perf_counter() - began < REPORT_SECONDS / 2 and self._at_once < MOST_CHUNKS_AT_ONCE:
            self._at_once *= 2
        return done

    def _visit(self, chunks: NDArray[np.int64], rank: int, epoch: int) -> Visit:
        n, config = len(self._job.tokens), self._config
        return Visit(
            chunks=np.ascontiguousarray(chunks),
            done=epoch * n + (rank + np.arange(len(chunks), dtype=np.int64)) * self._job.chunk_size,
            total=config.epochs * n,
            start_rate=config.alpha,
            end_rate=config.min_alpha,
            draw_epoch=epoch,
            shared_words=self._work.shared_words,
        )

    def _report(self, epoch: int, rank: int, total: StepResult) -> None:
        if self._on_progress is None:
            return
        job, scores = self._job, self._result.scores
        self._on_progress(
            Progress(
                epoch=epoch,
                tokens_done=self.visited,
                tokens_total=self._config.epochs * len(job.tokens),
                learning_rate=self._visit(np.zeros(1, np.int64), rank, epoch).learning_rate(0, 0),
                loss=total.loss / max(total.pairs, 1),
                score=scores[-1]["score"] if scores else None,
            )
        )

    def _score(self, epoch: float) -> bool:
        """Score the vectors as they are; returns whether patience has ended."""
        assert self._evaluate is not None
        w_in, w_out = self._step.tables()
        score = self._evaluate(Vectors(self._result.vocab.words, w_in, self._result.vocab.counts))
        self._result.scores.append({"epoch": round(epoch, 4), "score": score})
        if self._best is None or score > self._best[0]:
            # Only the winner is copied, and only where it will be kept.
            kept = (w_in.copy(), w_out.copy()) if self._config.keep_best else (w_in, w_out)
            self._best, self._since_best = (score, *kept), 0
        else:
            self._since_best += 1
        return self._config.patience is not None and self._since_best >= self._config.patience


def _diverged(work: Work, config: Config) -> DivergenceError:
    job = work.job
    return DivergenceError(
        f"training diverged (the loss is not finite) at alpha={config.alpha:g}, tile={job.tile}, "
        f"shared_negatives={work.shared_words}, negative={config.negative}, window={job.window}, cap={job.cap:g}, "
        f"tokens_in_flight={job.tokens_in_flight}: lower alpha, or leave tile, shared_negatives, cap and "
        "tokens_in_flight to be chosen"
    )
