"""A trained model in memory, and what words it predicts: `load_model` reads it, `Model.predict` asks it."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast import model_file, predictions
from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.kernels.contract import Objective
from w2vfast.vectors import Vectors

# Scores held at a time: 2^23 float64 are 64 MB, and a few times as much for what is computed from them.
BLOCK_SCORES = 1 << 23


class Model:
    """Both tables of a training with their words and their objective.

    `words` has V entries, `counts` is int64 [V], `w_in` float32 [V, D], `w_out` float32 [out_rows, D], `objective` the
    value that was trained (kernels/objectives) and `settings` all settings of the run. `probabilities` says whether the
    objective defines probabilities; if not, scores only rank the words.
    """

    def __init__(self, contents: model_file.Contents) -> None:
        self._contents = contents
        self.words: list[str] = contents.words
        self.counts: NDArray[np.int64] = contents.counts
        self.w_in: NDArray[np.float32] = contents.w_in
        self.w_out: NDArray[np.float32] = contents.w_out
        self.objective: Objective = contents.objective
        self.settings: dict[str, Any] = contents.settings
        self.distribution: ModuleType = predictions.module_of(contents.objective.name)
        self.probabilities: bool = self.distribution.PROBABILITIES

    def __repr__(self) -> str:
        V, D = self.w_in.shape
        return f"<w2vfast model: {self.objective.name}, {self.settings['mode']}, {V:,} words, {D} dimensions>"

    @cached_property
    def rows(self) -> dict[str, int]:
        """Each word's row in `w_in`."""
        return {word: row for row, word in enumerate(self.words)}

    def vectors(self) -> Vectors:
        """Return the word vectors, as a file of vectors has them."""
        return Vectors(self.words, self.w_in, self.counts)

    def save(self, path: PathLike) -> None:
        """Write the model to a .safetensors file, whole or not at all."""
        model_file.save(self._contents, path)

    def left(self, contexts: Sequence[Sequence[int] | NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return the rows that contexts of word ids make, float64 [B, D]: the mean of their vectors.

        For CBOW trained without `cbow_mean` it is the sum, so that it is the row that training made of a window. In
        skip-gram training made a row of one word; the scores of several are then the mean of theirs, that is, for
        softmaxes, the normalised geometric mean of the words' own distributions. gensim takes the mean too.
        """
        total = self.settings["mode"] == "cbow" and not self.settings["cbow_mean"]
        lengths = np.array([len(ids) for ids in contexts])
        if not lengths.all():
            raise InputError("a context has no words: leave it out")
        starts = np.cumsum(lengths) - lengths
        sums = np.add.reduceat(self.w_in[np.concatenate([np.asarray(ids) for ids in contexts])], starts, dtype=float)
        return sums if total else sums / lengths[:, None]

    def scores(self, left: NDArray[np.float64], *, correction: bool = True) -> NDArray[np.float64]:
        """Return every word's score for rows, float64 [B, V]: its log probability where `probabilities`.

        `correction=False` leaves out what the objective's optimum says a score must be corrected by: negative sampling
        then gives gensim's softmax of scores. Raises InputError where the objective has no such correction.
        """
        if correction:
            found: NDArray[np.float64] = self.distribution.scores(self.objective, left, self.w_out)
            return found
        if not hasattr(self.distribution, "uncorrected"):
            raise InputError(f"{self.objective.name} has no correction to leave out: leave out correction=False")
        plain: NDArray[np.float64] = self.distribution.uncorrected(self.objective, left, self.w_out)
        return plain

    def blocks(self, rows: int) -> Iterator[slice]:
        """Yield the slices in which so many rows are scored, so that memory stays bounded."""
        size = max(1, BLOCK_SCORES // len(self.words))
        yield from (slice(start, min(start + size, rows)) for start in range(0, rows, size))

    def predict(
        self, context_words: Sequence[str] | Sequence[Sequence[str]], topn: int = 10, *, correction: bool = True
    ) -> Any:
        """Return the `topn` likeliest words given the words around them, with their probabilities, likeliest first.

        `context_words` is one context, a list of words, which gives a list of (word, probability), or a list of
        contexts, which gives one such list for each and is computed in one call. Words that the model does not know are
        left out of a context, as training leaves them out of the text. Where the objective defines no probabilities the
        number is a score that ranks words. `left` says what is made of several words, `scores` what `correction` is.
        Raises InputError for a context without a known word and for a string in the place of a list.
        """
        if topn < 1:
            raise InputError(f"topn must be at least 1, not {topn}")
        if isinstance(context_words, str) or not isinstance(context_words, Sequence):
            raise InputError(f"a context is a list of words, not {context_words!r:.60}; split it into words first")
        single = all(isinstance(word, str) for word in context_words)
        contexts = [context_words] if single else list(context_words)
        left = self.left([self._ids(context) for context in contexts])
        found = [pair for block in self.blocks(len(left)) for pair in self._top(left[block], topn, correction)]
        return found[0] if single else found

    def decode(self, contexts: Sequence[Sequence[str]]) -> list[str]:
        """Return the word that each context's code stands for: for objectives that predict codes, bit by bit.

        The likeliest code is taken, of a convolutional code the likeliest terminated one (Viterbi); where no word has
        it, the word of the likeliest codeword. Raises InputError for other objectives, and as `predict` does.
        """
        if not hasattr(self.distribution, "decode"):
            raise InputError(f"{self.objective.name} predicts no codes to decode: ask predict")
        left = self.left([self._ids(context) for context in contexts])
        return [self.words[i] for i in self.distribution.decode(self.objective, left, self.w_out).tolist()]

    def _ids(self, context: Any) -> list[int]:
        if isinstance(context, str):
            raise InputError(f"a context is a list of words, not {context!r:.60}: all contexts must be lists")
        ids = [self.rows[word] for word in context if word in self.rows]
        if not ids:
            raise InputError(f"none of the words {list(context)!r:.80} is in the model's vocabulary: give others")
        return ids

    def _top(self, left: NDArray[np.float64], topn: int, correction: bool) -> list[list[tuple[str, float]]]:
        scores = self.scores(left, correction=correction)
        topn = min(topn, len(self.words))
        best = np.argpartition(-scores, topn - 1, axis=1)[:, :topn]
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
        numbers = np.exp(values) if self.probabilities else values
        return [
            [(self.words[i], float(n)) for i, n in zip(ids, row, strict=True)]
            for ids, row in zip(best.tolist(), numbers, strict=True)
        ]


def load_model(path: PathLike) -> Model:
    """Read a model that `--save-model` or `TrainResult.save_model` wrote.

    Raises InputError if the file is none, truncated, of another version, or its parts do not fit each other.
    """
    return Model(model_file.load(path))
