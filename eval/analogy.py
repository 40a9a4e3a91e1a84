"""Analogies, a is to b as c is to ?: 3CosAdd and 3CosMul over whole question files in batched products."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.eval.datasets import (
    RESTRICT_VOCAB,
    PathLike,
    check_restrict_vocab,
    dataset_path,
    read_questions,
    rows_by_upper_case,
    unit_rows,
)
from w2vfast.formats import Vectors

Method = Literal["3cosadd", "3cosmul"]
METHODS: tuple[Method, ...] = ("3cosadd", "3cosmul")

EPSILON = 1e-6  # keeps 3CosMul's denominator from 0; gensim's value
TABLE_ELEMENTS = 1 << 24  # cosines of all question words with a block of candidates: 64 MiB
BATCH_ELEMENTS = 1 << 18  # scores of a batch of questions with such a block: 1 MiB, so that it stays in the cache


@dataclass(frozen=True)
class Tally:
    """Counts over some questions: `correct` by method, among the `used` of `total`."""

    name: str
    total: int
    used: int
    correct: dict[Method, int]

    def accuracy(self, method: Method = "3cosadd") -> float:
        """Return correct / used, 0 to 1; NaN if no question could be used."""
        return self.correct[method] / self.used if self.used else float("nan")

    def accuracy_over_all(self, method: Method = "3cosadd") -> float:
        """Return correct / total, 0 to 1: questions with an unknown word count as wrong."""
        return self.correct[method] / self.total if self.total else float("nan")


@dataclass(frozen=True)
class AnalogyResult:
    """Answers to every question of a file, in its order.

    `section_of` int64 [Q] indexes `section_names`; `used` bool [Q]; `predicted` int64 [Q] by method, the vocabulary row
    answered, -1 where the question is not used; `correct` bool [Q] by method.
    """

    dataset: str
    restrict_vocab: int
    questions: list[tuple[str, str, str, str]]
    section_names: list[str]
    syntactic: list[bool]
    section_of: NDArray[np.int64]
    used: NDArray[np.bool_]
    predicted: dict[Method, NDArray[np.int64]]
    correct: dict[Method, NDArray[np.bool_]]

    @property
    def total(self) -> Tally:
        """Counts over all questions."""
        return self._tally("total", np.ones(len(self.used), dtype=np.bool_))

    @property
    def sections(self) -> list[Tally]:
        """Counts by section, in the file's order."""
        return [self._tally(name, self.section_of == i) for i, name in enumerate(self.section_names)]

    @property
    def kinds(self) -> list[Tally]:
        """Counts over semantic and syntactic sections; empty for a file that does not tell them apart."""
        if len(set(self.syntactic)) < 2:
            return []
        kind = np.array(self.syntactic)[self.section_of]
        return [self._tally("semantic", ~kind), self._tally("syntactic", kind)]

    def _tally(self, name: str, mask: NDArray[np.bool_]) -> Tally:
        correct = {method: int((hits & mask).sum()) for method, hits in self.correct.items()}
        return Tally(name, int(mask.sum()), int((self.used & mask).sum()), correct)


def evaluate_analogies(
    vectors: Vectors,
    questions: PathLike = "questions-words",
    *,
    restrict_vocab: int = RESTRICT_VOCAB,
    methods: Sequence[Method] = METHODS,
) -> AnalogyResult:
    """Answer a file of questions within the first `restrict_vocab` words.

    3CosAdd takes the word nearest to b - a + c (unit vectors; Mikolov et al. 2013), 3CosMul the largest
    cos(b) cos(c) / (cos(a) + 1e-6) with cosines moved to 0..1 (Levy and Goldberg 2014). As in gensim's
    `evaluate_word_analogies`, words are compared upper-cased, a question with a word outside the limit is not used, and
    no answer may be a, b or c in any case. Raises InputError for broken lines, for a vector without a direction and if
    no question can be used.
    """
    check_restrict_vocab(restrict_vocab)
    sections = read_questions(dataset_path(questions))
    asked = [question for section in sections for question in section.questions]
    words = vectors.words[:restrict_vocab]
    row_of = rows_by_upper_case(words)
    rows = np.array([[row_of.get(word.upper(), -1) for word in question] for question in asked], dtype=np.int64)
    used = np.all(rows >= 0, axis=1)
    if not used.any():
        raise InputError(
            f"{questions}: none of its {len(asked)} questions has all four words among the first {len(words)} of the "
            "vocabulary"
        )
    answers = answer(unit_rows(vectors, slice(restrict_vocab)), rows[used, :3], case_variants(words, row_of), methods)
    first_row = np.array([row_of[word.upper()] for word in words], dtype=np.int64)
    predicted, correct = {}, {}
    for method, found in answers.items():
        predicted[method] = np.full(len(asked), -1, dtype=np.int64)
        predicted[method][used] = found
        correct[method] = np.zeros(len(asked), dtype=np.bool_)
        correct[method][used] = (found >= 0) & (first_row[found] == rows[used, 3])
    return AnalogyResult(
        dataset=str(questions),
        restrict_vocab=restrict_vocab,
        questions=asked,
        section_names=[section.name for section in sections],
        syntactic=[section.syntactic for section in sections],
        section_of=np.repeat(np.arange(len(sections)), [len(section.questions) for section in sections]),
        used=used,
        predicted=predicted,
        correct=correct,
    )


def case_variants(words: list[str], row_of: dict[str, int]) -> dict[int, list[int]]:
    """Return, by the row that stands for an upper-cased word, the rows of all its variants where there are several."""
    variants: dict[int, list[int]] = {}
    for row, word in enumerate(words):
        first = row_of[word.upper()]
        if first != row:
            variants.setdefault(first, [first]).append(row)
    return variants


def answer(
    unit: NDArray[np.float32],
    asked: NDArray[np.int64],
    variants: dict[int, list[int]],
    methods: Iterable[Method] = METHODS,
) -> dict[Method, NDArray[np.int64]]:
    """Return the best row for each question by method, int64 [Q], -1 where every row is excluded.

    `unit` is float32 [V, D], `asked` int64 [Q, 3] holds rows a, b, c; `variants` adds to the rows that a question
    excludes. Both methods are sums of three rows of one table, cosines or their logarithms of the distinct question
    words with the candidates: one product a block of candidates, then additions.
    """
    distinct, where = np.unique(asked, return_inverse=True)
    a, b, c = where.reshape(asked.shape).T
    excluded = _excluded(asked, variants)
    V, Q = len(unit), len(asked)
    width = max(256, min(V, TABLE_ELEMENTS // len(distinct)))
    batch = max(1, BATCH_ELEMENTS // width)
    methods = tuple(methods)
    best = {method: np.full(Q, -np.inf, dtype=np.float32) for method in methods}
    found = {method: np.full(Q, -1, dtype=np.int64) for method in methods}
    for start in range(0, V, width):
        cosines = unit[distinct] @ unit[start : start + width].T
        tables = {method: _terms(cosines, method) for method in methods}
        for q in range(0, Q, batch):
            part = slice(q, q + batch)
            columns = excluded[part] - start
            out_rows, out_slots = np.nonzero((columns >= 0) & (columns < cosines.shape[1]))
            out_columns = columns[out_rows, out_slots]
            for method, (plus, minus) in tables.items():
                scores = plus[b[part]]
                scores += plus[c[part]]
                scores -= minus[a[part]]
                scores[out_rows, out_columns] = -np.inf
                top = scores.argmax(axis=1)
                value = scores[np.arange(len(top)), top]
                better = value > best[method][part]
                best[method][part][better] = value[better]
                found[method][part][better] = top[better] + start
    return found


def _terms(cosines: NDArray[np.float32], method: Method) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the tables of what b and c add to a score and of what a takes from it."""
    if method == "3cosadd":
        return cosines, cosines
    moved = np.maximum((1 + cosines) / 2, np.float32(0))
    with np.errstate(divide="ignore"):  # the logarithm of an exact 0 is -inf: never the best
        return np.log(moved), np.log(moved + np.float32(EPSILON))


def _excluded(asked: NDArray[np.int64], variants: dict[int, list[int]]) -> NDArray[np.int64]:
    """Return the rows that must not answer each question, int64 [Q, 3 * most variants], filled up with -1."""
    most = max((len(rows) for rows in variants.values()), default=1)
    excluded = np.full((*asked.shape, most), -1, dtype=np.int64)
    excluded[..., 0] = asked
    for row in np.unique(asked).tolist() if variants else ():
        if row in variants:
            excluded[asked == row, : len(variants[row])] = variants[row]
    return excluded.reshape(len(asked), -1)
