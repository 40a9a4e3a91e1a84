"""Trains a gensim model's own arrays for an epoch: its attributes become a Config, its rates the visits'."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from gensim.models.word2vec import logger
from numpy.typing import NDArray

from w2vfast import backends, jobs, plan, tiles
from w2vfast.config import Config
from w2vfast.jobs import Work
from w2vfast.kernels.contract import Step, StepResult, Visit, chunk_count
from w2vfast.kernels.mapped import release
from w2vfast.run import Pace, diverged
from w2vfast.tokens import Ids

# Options that gensim's class does not have; they are a model's attributes of the same names.
EXTRAS = (
    *("backend", "device", "preset", "objective", "log_z", "tile", "shared_negatives", "tokens_in_flight", "cap"),
    *("cache_dir", "cache_above"),
)
# A threshold of gensim's may differ by this from ours of the same word: the two are rounded on different ways.
_ROUNDING = 1 << 12
# What tile sizes are chosen by is a learning rate that Config takes; visits have the model's own.
_LEAST_RATE = 1e-9


def config_of(model: Any, seed: int) -> Config:
    """Return a model's settings. Raises InputError, a ValueError, for one that cannot be had."""
    alpha = min(max(float(model.alpha), _LEAST_RATE), 1.0)
    own: dict[str, Any] = {name: getattr(model, name) for name in EXTRAS}
    if not model.sg:
        own["cbow_mean"] = bool(model.cbow_mean)
    return Config(
        **own,
        mode="sg" if model.sg else "cbow",
        vector_size=int(model.vector_size),
        window=int(model.window),
        shrink_windows=bool(model.shrink_windows),
        negative=int(model.negative),
        ns_exponent=float(model.ns_exponent),
        sample=float(model.sample or 0),
        epochs=int(model.epochs),
        alpha=alpha,
        min_alpha=min(max(float(model.min_alpha), 0.0), alpha),
        workers=int(model.workers),
        seed=seed,
    )


class Training:
    """What one call of a model's `train` keeps from epoch to epoch."""

    def __init__(self, model: Any) -> None:
        self._model = model
        fresh = np.random.SeedSequence().generate_state(1, np.uint64)[0]
        self._seed = int(fresh if model.seed is None else model.seed)
        self._made: tuple[Config, NDArray[np.int64], NDArray[np.float64], Work] | None = None
        self._pace: Pace | None = None

    def epoch(
        self,
        blocks: Iterable[Ids],
        expected: int,
        cur_epoch: int,
        on_progress: Callable[[StepResult, float], None],
    ) -> StepResult:
        """Train on an epoch's tokens, `expected` of them, in blocks, each visited in an order of its own.

        `on_progress` hears of each advance and the share now done. The model's attributes are read anew: a callback may
        have changed any of them between two epochs. Raises ValueError for what cannot be honoured, and DivergenceError.
        """
        whole, before, step, work = StepResult(0.0, 0, 0), 0, None, None
        for tokens in blocks:
            if not len(tokens):
                continue
            if step is None or work is None:
                step, work, config = self._begin(tokens, expected)
            else:
                step.replace_tokens(tokens)
            for done, place in self._block(step, work, config, tokens, before, expected, cur_epoch):
                whole = whole + done
                on_progress(done, min(1.0, (before + place) / expected))
            before += len(tokens)
            self._model.draw_epochs += 1
        if step is not None:
            step.tables()  # brings the model's arrays up to date
        return whole

    def _begin(self, tokens: Ids, expected: int) -> tuple[Step, Work, Config]:
        """Return a step on the model's tables, for the first tokens of an epoch."""
        model = self._model
        config = config_of(model, self._seed)
        choice = backends.choose(config)
        if self._made is None:
            # On a CPU `auto` takes torch only where the native kernels are missing: who sees no INFO is told too.
            slow = config.backend == "auto" and (choice.name, choice.device) == ("torch", "cpu")
            level = logging.WARNING if slow else logging.INFO
            logger.log(level, "backend %s on %s: %s", choice.name, choice.device, choice.reason)
        work = self._work(config, choice, tokens, expected)
        job = replace(
            work.job,
            tokens=tokens,
            chunk_size=plan.chunk_size(expected, config.window),
            in_scale=in_scale(model, len(model.wv)),
        )
        shape = len(model.wv), int(model.vector_size)
        for name, table in (("wv.vectors", model.wv.vectors), ("syn1neg", model.syn1neg)):
            if np.shape(table) != shape:
                raise ValueError(f"{name} is {np.shape(table)}, words and dimensions are {shape}: assign such an array")
        model.wv.vectors, model.syn1neg = trainable(model.wv.vectors), trainable(model.syn1neg)
        step = backends.create_step(choice, job, model.wv.vectors, model.syn1neg, config.workers)
        return step, replace(work, job=job), config

    def _block(
        self, step: Step, work: Work, config: Config, tokens: Ids, before: int, expected: int, cur_epoch: int
    ) -> Iterator[tuple[StepResult, int]]:
        """Visit a block's chunks, some at a time; yields what was done and how many of the block's tokens are."""
        model, job = self._model, work.job
        start_rate, end_rate = max(float(model.alpha), 0.0), max(float(model.min_alpha), 0.0)
        order = plan.chunk_order(chunk_count(job, tokens), self._seed, model.draw_epochs)
        place = 0
        self._pace = pace = self._pace or Pace(job.chunks_in_group)
        while place < len(order):
            began = time.perf_counter()
            chunks = np.ascontiguousarray(order[place : place + pace.chunks])
            ranks = place + np.arange(len(chunks), dtype=np.int64)
            done = step.train(
                Visit(
                    chunks=chunks,
                    done=cur_epoch * expected + before + ranks * job.chunk_size,
                    total=config.epochs * expected,
                    start_rate=max(start_rate, end_rate),  # as in gensim, a rate below the end's is raised to it
                    end_rate=end_rate,
                    draw_epoch=model.draw_epochs,
                    shared_words=work.shared_words,
                )
            )
            if not np.isfinite(done.loss):
                raise diverged(work, config)
            place += len(chunks)
            release(tokens)
            pace.visited(len(chunks), time.perf_counter() - began)
            yield done, min(place * job.chunk_size, len(tokens))

    def _work(self, config: Config, choice: backends.Choice, tokens: Ids, expected: int) -> Work:
        """Return the work of an epoch: what was made for the one before, if that still holds."""
        counts = np.array(self._model.wv.expandos["count"], np.int64)
        keep = keep_probability(self._model, counts)
        made = self._made
        if made and made[0] == config and np.array_equal(made[1], counts) and np.array_equal(made[2], keep):
            return made[3]
        trained = expected * float(counts @ keep) / max(float(counts.sum()), 1.0) * config.epochs
        settings = tiles.choose(config, choice.name, choice.device, trained, expected, len(counts))
        work = jobs.make(tokens, counts, keep, config, settings)
        self._made = config, counts, keep, work
        return work


def keep_probability(model: Any, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability that subsampling keeps a token of each word, float64 [V].

    The model's own thresholds hold, which an update of its vocabulary makes from the update's counts alone; where they
    are those of its counts, up to gensim's rounding, plan.py's are taken, so that the bits are the command's.
    """
    if not model.sample:
        return np.ones(len(counts))
    keep = plan.keep_probability(counts, float(model.sample))
    own = model.wv.expandos.get("sample_int")
    if own is None:
        return keep
    own = np.asarray(own).astype(np.int64)
    if (np.abs(own - plan.keep_thresholds(keep).astype(np.int64)) <= _ROUNDING).all():
        return keep
    # The half survives the way back to a whole number, `plan.keep_thresholds`.
    probability: NDArray[np.float64] = np.minimum((own + 0.5) / (2**32 - 1), 1.0)
    return probability


def in_scale(model: Any, V: int) -> NDArray[np.float32] | None:
    """Return what each word's steps are multiplied by: `vectors_lockf`, its entries repeated; None where all are 1."""
    factors = np.atleast_1d(np.asarray(model.wv.vectors_lockf, np.float32))
    if not len(factors):
        raise ValueError("wv.vectors_lockf is empty: give a factor a word, or np.ones(1) to freeze none")
    return None if (factors == 1).all() else np.resize(factors, V)


def trainable(table: NDArray[Any]) -> NDArray[np.float32]:
    """Return a table itself if it can be trained in place, else a copy: of a read-only mapped file, of doubles."""
    if table.dtype == np.float32 and table.flags.c_contiguous and table.flags.writeable:
        return table
    return np.array(table, np.float32, order="C")
