"""Trains a gensim model's own arrays for an epoch: its attributes become a Config, its rates the visits'."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gensim.models.word2vec import logger
from numpy.typing import NDArray

from w2vfast import backends, jobs, plan, tiles
from w2vfast.config import BOTH, DRAWN, HIERARCHICAL, NEGATIVES, Config
from w2vfast.errors import InputError
from w2vfast.jobs import Work
from w2vfast.kernels.contract import Step, StepResult, Visit, chunk_count
from w2vfast.kernels.huffman import Tree
from w2vfast.kernels.mapped import release
from w2vfast.run import Pace, diverged
from w2vfast.tokens import Ids
from w2vfast.vectors import all_finite

# Options that gensim's class does not have; they are a model's attributes of the same names.
EXTRAS = (
    *("backend", "device", "preset", "objective", "log_z", "tile", "shared_negatives", "early_negatives"),
    *("precision", "tokens_in_flight", "cap", "cache_dir", "cache_above", "force", "deterministic"),
)
# Objectives that gensim's arrays cannot hold, or that need what its arguments cannot say; and why.
REFUSED = {
    "class-softmax": "its output table has rows for classes too, which gensim's syn1neg has no place for",
    "binary-code": "its output table has a row a bit, where gensim's syn1neg has one a word",
    "margin": "mining hard negatives has options that gensim's class has no arguments for",
    "von-mises-fisher": "it predicts a file of vectors, which gensim's class has no argument for",
}
# A threshold of gensim's may differ by this from ours of the same word: the two are rounded on different ways.
_ROUNDING = 1 << 12
DEFAULT_NEGATIVE = 5  # gensim's; objectives without negatives of a pair have it too, for gensim's code to make syn1neg
# What tile sizes are chosen by is a learning rate that Config takes; visits have the model's own.
_LEAST_RATE = 1e-9


def config_of(model: Any, seed: int) -> Config:
    """Return a model's settings. Raises InputError, a ValueError, for one that cannot be had."""
    alpha = min(max(float(model.alpha), _LEAST_RATE), 1.0)
    own: dict[str, Any] = {name: getattr(model, name) for name in EXTRAS}
    if not model.sg:
        own["cbow_mean"] = bool(model.cbow_mean)
    own["objective"] = objective = objective_of(str(model.objective), model.hs, model.negative)
    if objective in NEGATIVES:
        own["negative"] = int(model.negative)
    if objective in DRAWN or not model.hs:
        own["ns_exponent"] = float(model.ns_exponent)
    return Config(
        **own,
        mode="sg" if model.sg else "cbow",
        vector_size=int(model.vector_size),
        window=int(model.window),
        shrink_windows=bool(model.shrink_windows),
        sample=float(model.sample or 0),
        epochs=int(model.epochs),
        alpha=alpha,
        min_alpha=min(max(float(model.min_alpha), 0.0), alpha),
        workers=int(model.workers),
        seed=seed,
    )


def objective_of(given: str, hs: int, negative: int) -> str:
    """Return what is trained by the arguments of these names: gensim's own `hs` and `negative` ask for a tree.

    Raises InputError, a ValueError, where they contradict each other or the class has no such objective.
    """
    if given in REFUSED:
        raise InputError(
            f"objective={given!r} is not Word2Vec's: {REFUSED[given]}; train it by the command (python -m "
            f"w2vfast.train --objective {given} --save-model FILE) and read the model with w2vfast.load_model"
        )
    if hs:
        asked = BOTH if negative > 0 else HIERARCHICAL
        if given not in (Config.objective, asked):
            raise InputError(
                f"hs=1 with negative={negative} is {asked}, not objective={given!r}: leave hs or objective out, or "
                "change negative (0: the tree alone)"
            )
        return asked
    if HIERARCHICAL in given:
        raise InputError(f"objective={given!r} is asked for by gensim's own arguments: give hs=1 in its place")
    if given not in NEGATIVES and negative != DEFAULT_NEGATIVE:
        raise InputError(f"negative={negative} is for {', '.join(NEGATIVES)}: leave it out with objective={given!r}")
    return given


@dataclass(frozen=True)
class Place:
    """Where in a call of `train` its tables stand: so many chunks of a block's order, a block of an epoch."""

    epoch: int
    block: int
    chunks: int


class Training:
    """What one call of a model's `train` keeps from epoch to epoch."""

    def __init__(self, model: Any, whole: bool = True) -> None:
        """Begin a call that trains a `whole` run, or part of one: then nothing goes by how much of it is done."""
        self._model, self._whole = model, whole
        fresh = np.random.SeedSequence().generate_state(1, np.uint64)[0]
        self.seed = int(fresh if model.seed is None else model.seed)
        self._made: tuple[Config, NDArray[np.int64], NDArray[np.float64], Work] | None = None
        self._pace: Pace | None = None

    def epoch(
        self,
        blocks: Iterable[Ids],
        expected: int,
        cur_epoch: int,
        on_progress: Callable[[StepResult, float], None],
        begin: tuple[Place, StepResult] | None = None,
        on_place: Callable[[Step, Place, StepResult], None] | None = None,
    ) -> StepResult:
        """Train on an epoch's tokens, `expected` of them, in blocks, each visited in an order of its own.

        `on_progress` hears of each advance and the share now done. `begin` is where to begin, and what was trained
        before it; `on_place` hears where the tables stand after each advance. The model's attributes are read anew: a
        callback may have changed any of them between two epochs. Raises ValueError for what cannot be honoured, and
        DivergenceError.
        """
        first, whole = begin or (Place(cur_epoch, 0, 0), StepResult(0.0, 0, 0))
        before, step, work = 0, None, None
        for block, tokens in enumerate(tokens for tokens in blocks if len(tokens)):
            if block < first.block:
                before += len(tokens)
                continue
            if step is None or work is None:
                step, work, config = self._begin(tokens, expected)
            else:
                step.replace_tokens(tokens)
            start = Place(cur_epoch, block, first.chunks if block == first.block else 0)
            for done, place in self._block(step, work, config, tokens, before, expected, start):
                whole = whole + done
                read = min(place.chunks * work.job.chunk_size, len(tokens))
                on_progress(done, min(1.0, (before + read) / expected))
                if on_place is not None:
                    on_place(step, place, whole)
            before += len(tokens)
            self._model.draw_epochs += 1
        # The tables are asked for in any case: that brings the model's arrays up to date.
        if step is not None and work is not None and not all_finite(step.tables()):
            raise diverged(work, config, "the vectors are not finite")
        return whole

    def _begin(self, tokens: Ids, expected: int) -> tuple[Step, Work, Config]:
        """Return a step on the model's tables, for the first tokens of an epoch."""
        model = self._model
        config = config_of(model, self.seed)
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
        tables = {"wv.vectors": model.wv.vectors} | {name: getattr(model, name) for name in output_tables(model)}
        for name, table in tables.items():
            if np.shape(table) != shape:
                raise ValueError(f"{name} is {np.shape(table)}, words and dimensions are {shape}: assign such an array")
        model.wv.vectors = trainable(model.wv.vectors)
        w_out = output_table(model)[: job.objective.out_rows(len(model.wv))]
        step = backends.create_step(choice, job, model.wv.vectors, w_out, backends.threads(choice, config))
        return step, replace(work, job=job), config

    def _block(
        self, step: Step, work: Work, config: Config, tokens: Ids, before: int, expected: int, start: Place
    ) -> Iterator[tuple[StepResult, Place]]:
        """Visit a block's chunks from a place on, some at a time; yields what was done, and the place it came to."""
        model, job = self._model, work.job
        start_rate, end_rate = max(float(model.alpha), 0.0), max(float(model.min_alpha), 0.0)
        order = plan.chunk_order(chunk_count(job, tokens), self.seed, model.draw_epochs)
        place = start.chunks
        self._pace = pace = self._pace or Pace(job.chunks_in_group)
        total = config.epochs * expected
        early = work.early_chunks(start.epoch * expected + before, total) if self._whole else 0
        while place < len(order):
            began = time.perf_counter()
            stop = min(place + pace.chunks, early) if place < early else place + pace.chunks
            chunks = np.ascontiguousarray(order[place:stop])
            ranks = place + np.arange(len(chunks), dtype=np.int64)
            done = step.train(
                Visit(
                    chunks=chunks,
                    done=start.epoch * expected + before + ranks * job.chunk_size,
                    total=total,
                    start_rate=max(start_rate, end_rate),  # as in gensim, a rate below the end's is raised to it
                    end_rate=end_rate,
                    draw_epoch=model.draw_epochs,
                    shared_words=work.early_words if place < early else work.shared_words,
                )
            )
            if not np.isfinite(done.loss):
                raise diverged(work, config)
            place += len(chunks)
            release(tokens)
            pace.visited(len(chunks), time.perf_counter() - began)
            yield done, replace(start, chunks=place)

    def _work(self, config: Config, choice: backends.Choice, tokens: Ids, expected: int) -> Work:
        """Return the work of an epoch: what was made for the one before, if that still holds."""
        counts = np.array(self._model.wv.expandos["count"], np.int64)
        keep = keep_probability(self._model, counts)
        made = self._made
        if made and made[0] == config and np.array_equal(made[1], counts) and np.array_equal(made[2], keep):
            return made[3]
        trained = expected * float(counts @ keep) / max(float(counts.sum()), 1.0) * config.epochs
        settings = tiles.choose(
            config, choice.name, choice.device, trained, expected, len(counts), backends.short_tiles(choice)
        )
        tree = tree_of(self._model) if self._model.hs else None
        work = jobs.make(tokens, counts, keep, config, settings, tree=tree)
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


def tree_of(model: Any) -> Tree:
    """Return the tree of a model's vocabulary: its words' own codes and points, bits and nodes from the root down."""
    codes, points = (model.wv.expandos.get(name) for name in ("code", "point"))
    if codes is None or points is None or any(code is None for code in codes):
        raise ValueError(
            "the vocabulary has no Huffman tree (its words' 'code' and 'point'): call create_binary_tree()"
        )
    offsets = np.zeros(len(codes) + 1, np.int64)
    np.cumsum([len(code) for code in codes], out=offsets[1:])
    return Tree(offsets, np.concatenate(list(points)).astype(np.int32), np.concatenate(list(codes)).astype(np.uint8))


def output_tables(model: Any) -> list[str]:
    """Return the names of the arrays that a model trains beside its vectors, in the order of their rows in W_out."""
    return ["syn1neg"] * (model.negative > 0) + ["syn1"] * bool(model.hs)


def output_table(model: Any) -> NDArray[np.float32]:
    """Return what a model trains beside its vectors as one array, of which its own are views.

    syn1neg comes first, since syn1 has a row more than the tree has nodes. Two arrays that do not lie side by side, as
    after loading, become views of a new array; `init_weights` makes them so from the start.
    """
    names = output_tables(model)
    tables = [getattr(model, name) for name in names]
    if len(names) == 1:
        table = trainable(tables[0])
        setattr(model, names[0], table)
        return table
    rows, base = len(tables[0]), tables[0].base
    if isinstance(base, np.ndarray) and base.dtype == np.float32 and base.shape == (2 * rows, tables[0].shape[1]):
        halves = base[:rows], base[rows:]
        if base.flags.c_contiguous and base.flags.writeable and all(map(_same, halves, tables)):
            return base
    joined = np.concatenate([np.asarray(table, np.float32) for table in tables])
    model.syn1neg, model.syn1 = joined[:rows], joined[rows:]
    return joined


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether two arrays are views of the same numbers."""
    return a.__array_interface__ == b.__array_interface__


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
