"""Quick looks: a word's nearest neighbours, the answers to one analogy, and what an unknown word may have meant."""

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.eval.datasets import unit_rows
from w2vfast.eval.search import Index, exact
from w2vfast.formats import Vectors

SUGGESTIONS = 5


def nearest(
    vectors: Vectors, words: Sequence[str], *, topn: int = 10, index: Index | None = None
) -> dict[str, list[tuple[str, float]]]:
    """Return each word's `topn` neighbours with their cosines, nearest first; an index of the vectors finds most.

    Raises InputError for an unknown word, with the nearest spellings, and for a vector without a direction.
    """
    _check_topn(topn)
    rows = rows_of(vectors, words)
    found = _search(vectors, unit_rows(vectors, np.array(rows)), topn + 1, index)
    return {word: _top(vectors, line, {row}, topn) for word, row, line in zip(words, rows, found, strict=True)}


def complete_analogy(
    vectors: Vectors, a: str, b: str, c: str, *, topn: int = 10, index: Index | None = None
) -> list[tuple[str, float]]:
    """Return the words d nearest to b - a + c (3CosAdd): a is to b as c is to d; a, b and c are left out.

    The number beside a word is its cosine with the sum, as in gensim's `most_similar`. Raises as `nearest` does.
    """
    _check_topn(topn)
    rows = rows_of(vectors, [a, b, c])
    unit = unit_rows(vectors, np.array(rows))
    target = unit[1] - unit[0] + unit[2]
    length = float(np.linalg.norm(target))
    if length == 0:
        raise InputError(f"{b} - {a} + {c} is zero: it has no nearest word")
    return _top(vectors, _search(vectors, (target / length)[None], topn + 3, index)[0], set(rows), topn)


def rows_of(vectors: Vectors, words: Sequence[str]) -> list[int]:
    """Return the row of each word; InputError names an unknown word and the nearest spellings."""
    row_of = {word: row for row, word in enumerate(vectors.words)}
    for word in words:
        if word not in row_of:
            close = similar_spellings(word, vectors.words)
            hint = f"did you mean {', '.join(close)}?" if close else "no word of a similar spelling is there"
            raise InputError(f"{word!r} is not among the {len(vectors.words)} words; {hint}")
    return [row_of[word] for word in words]


def similar_spellings(word: str, vocabulary: Sequence[str]) -> list[str]:
    """Return up to five words of the vocabulary spelt most like `word`, case variants first."""
    wanted = word.lower()
    bigrams = _bigrams(wanted)
    # difflib alone is too slow for a whole vocabulary: it sees the 200 words that share most pairs of letters
    scored = []
    for row, candidate in enumerate(vocabulary):
        if abs(len(candidate) - len(word)) <= 3:
            other = _bigrams(candidate.lower())
            scored.append((2 * len(bigrams & other) / (len(bigrams) + len(other)), -row))
    shortlist = [vocabulary[-row] for _, row in sorted(scored, reverse=True)[:200]]
    by_lower: dict[str, list[str]] = {}
    for candidate in shortlist:
        by_lower.setdefault(candidate.lower(), []).append(candidate)
    close = difflib.get_close_matches(wanted, list(by_lower), n=SUGGESTIONS, cutoff=0.6)
    return [candidate for lower in close for candidate in by_lower[lower]][:SUGGESTIONS]


def _bigrams(word: str) -> set[str]:
    return {f"^{word}$"[i : i + 2] for i in range(len(word) + 1)}


def _check_topn(topn: int) -> None:
    if topn < 1:
        raise InputError(f"the number of neighbours must be at least 1, not {topn}")


def _search(
    vectors: Vectors, queries: NDArray[np.float32], count: int, index: Index | None
) -> list[list[tuple[int, float]]]:
    rows, cosines = exact(vectors, queries, count) if index is None else index.search(queries, count)
    return [list(zip(*line, strict=True)) for line in zip(rows.tolist(), cosines.tolist(), strict=True)]


def _top(vectors: Vectors, found: list[tuple[int, float]], without: set[int], topn: int) -> list[tuple[str, float]]:
    kept = [(vectors.words[row], cosine) for row, cosine in found if row >= 0 and row not in without]
    return kept[:topn]
