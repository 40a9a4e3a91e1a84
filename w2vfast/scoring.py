"""Scores a run's vectors every so often: `eval_every`, `keep_best` and `patience` follow the run and are no part of it.

The scores are in the run's state; the best tables are kept here, beside it. Whoever saves both after `follow` can go on
from there.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from w2vfast.config import Config
from w2vfast.dimension import Dimensions
from w2vfast.errors import InputError
from w2vfast.exchange import Exchange
from w2vfast.formats import Vectors
from w2vfast.jobs import word_vectors
from w2vfast.run import Progress, Run, RunState, Tables
from w2vfast.stopwatch import Seconds, Stopwatch
from w2vfast.vocab import Vocab

Evaluate = Callable[[Vectors], float]


def evaluator(config: Config, given: Evaluate | None) -> Evaluate | None:
    """Return what scores the vectors of a run: the function given, else the config's set; None for no scores.

    Raises InputError for a set that cannot be read, and for a function that would not be called or contradicts it.
    """
    if config.eval_every is None:
        if given is not None:
            raise InputError("evaluate is called every eval_every epochs: give eval_every too")
        return None
    if given is None:
        from w2vfast.eval.score import scorer

        return scorer(config.eval_set)
    if config.eval_set != Config.eval_set:
        raise InputError("evaluate takes the place of eval_set: give one of them")
    return given


def rows_scored(words: int) -> int:
    """Return how many of so many vectors, the most frequent words' first, a set is scored on."""
    from w2vfast.eval.datasets import RESTRICT_VOCAB

    return min(words, RESTRICT_VOCAB)


class Scoring:
    """Scores where they are due; silent where `evaluate` is None. `best` are the tables kept so far, if any.

    With `together` rank 0 scores what all ranks have come to, and all go by its score; of the vectors it has the first
    `rows` then, all if that is not told.
    """

    def __init__(
        self,
        config: Config,
        evaluate: Evaluate | None,
        vocab: Vocab,
        best: Tables | None = None,
        together: Exchange | Dimensions | None = None,
        rows: int | None = None,
    ) -> None:
        self._config, self._evaluate, self._vocab, self._together = config, evaluate, vocab, together
        self._rows = len(vocab) if rows is None else rows
        self._places_of: tuple[int, set[int]] | None = None
        self.best = best
        self.seconds = Seconds()

    def next_place(self, run: Run) -> int | None:
        """Return the place in the run's epoch that it must not pass unscored; None if there is none."""
        return min((place for place in self._places(run, run.state.epoch) if place > run.state.place), default=None)

    def follow(self, run: Run, progress: Progress) -> None:
        """Score the run if it is due where its advance has come to. Raises DivergenceError for tables not finite."""
        if self._evaluate is None or progress.place not in self._places(run, progress.epoch):
            return
        watch = Stopwatch()
        w_in, w_out = run.finite_tables()
        scored: NDArray[np.float32] | None = w_in
        if self._together is not None:
            w_in, w_out = self._together.merged(run, (w_in, w_out))
            scored = self._together.first_rows(w_in, self._rows)
        score = 0.0
        if scored is not None:
            vectors = word_vectors(run.job, scored)
            of = len(vectors)
            score = float(self._evaluate(Vectors(self._vocab.words[:of], vectors, self._vocab.counts[:of])))
        if self._together is not None:
            score = self._together.agreed(score)
        run.state = run.state.scored(progress.epochs, score)
        if self._config.keep_best and scores_since_best(run.state) == 0:
            self.best = w_in.copy(), w_out.copy()
        self.seconds += watch.read()

    def out_of_patience(self, state: RunState) -> bool:
        """Return whether there were so many scores in a row without a new best that the run is to stop."""
        return self._config.patience is not None and scores_since_best(state) >= self._config.patience

    def restore_best(self, w_in: NDArray[np.float32], w_out: NDArray[np.float32]) -> None:
        """Write the best tables over the last ones, if they were to be kept and there are any."""
        if self.best is not None:
            w_in[...], w_out[...] = self.best

    def _places(self, run: Run, epoch: int) -> set[int]:
        """Return the places of an epoch where scores are due: between whole groups of chunks, at most once a group."""
        every = self._config.eval_every
        if self._evaluate is None or every is None:
            return set()
        if self._places_of is None or self._places_of[0] != epoch:
            due = np.arange(math.floor(epoch / every) + 1, math.floor((epoch + 1) / every + 1e-9) + 1) * every - epoch
            self._places_of = epoch, {run.place_of(run.slot_near(share)) for share in due.tolist()}
        return self._places_of[1]


def scores_since_best(state: RunState) -> int:
    """Return how many scores have come after the best, the first of equals; 0 without any. NaN is below all numbers."""
    values = [-math.inf if math.isnan(entry["score"]) else entry["score"] for entry in state.scores]
    return len(values) - 1 - values.index(max(values)) if values else 0
