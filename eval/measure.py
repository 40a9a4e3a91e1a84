"""Everything that can be measured on one file of vectors, as one plain JSON object and as text tables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from w2vfast.errors import InputError
from w2vfast.eval.analogy import METHODS, AnalogyResult, Tally, evaluate_analogies
from w2vfast.eval.categories import evaluate_categories
from w2vfast.eval.datasets import RESTRICT_VOCAB, PathLike, lengths
from w2vfast.eval.quality import SIMILARITY
from w2vfast.eval.similarity import evaluate_similarity
from w2vfast.eval.tables import MISSING, number, percent, table
from w2vfast.formats import Vectors

Result = TypeVar("Result")


def measure(
    vectors: Vectors,
    *,
    similarity: Sequence[PathLike] = (),
    analogies: Sequence[PathLike] = (),
    categories: Sequence[PathLike] = (),
    restrict_vocab: int = RESTRICT_VOCAB,
) -> dict[str, Any]:
    """Return the results of the built-in data sets and of the given files; shares and correlations are 0 or -1 to 1.

    A built-in set with nothing to use says so under "unusable"; a given file without raises InputError, and so does it
    if there is no result at all.
    """
    lengths(vectors)  # a fault in the vectors is not the same as a data set in another language
    unusable: dict[str, str] = {}

    def built_in(name: str, evaluate: Callable[[], Result]) -> list[Result]:
        try:
            return [evaluate()]
        except InputError as error:
            unusable[name] = str(error)
            return []

    similar = []
    for name in SIMILARITY:
        similar += built_in(name, partial(evaluate_similarity, vectors, name, restrict_vocab=restrict_vocab))
    similar += [evaluate_similarity(vectors, path, restrict_vocab=restrict_vocab) for path in similarity]
    answered = built_in("questions-words", partial(evaluate_analogies, vectors, restrict_vocab=restrict_vocab))
    answered += [evaluate_analogies(vectors, path, restrict_vocab=restrict_vocab) for path in analogies]
    grouped = [evaluate_categories(vectors, path, restrict_vocab=restrict_vocab) for path in categories]
    if not (similar or answered or grouped):
        faults = "; ".join(dict.fromkeys(unusable.values()))  # without gensim they are all one
        raise InputError(f"nothing can be measured: {faults}; give files in the vectors' language")
    return {
        "vocabulary_size": len(vectors.words),
        "vector_size": vectors.vectors.shape[1],
        "restrict_vocab": restrict_vocab,
        "similarity": [asdict(result) for result in similar],
        "analogies": [_analogies(result) for result in answered],
        "categories": [asdict(result) for result in grouped],
        "unusable": unusable,
    }


def _analogies(result: AnalogyResult) -> dict[str, Any]:
    return {
        "dataset": result.dataset,
        "total": _tally(result.total),
        "kinds": [_tally(tally) for tally in result.kinds],
        "sections": [_tally(tally) for tally in result.sections],
    }


def _tally(tally: Tally) -> dict[str, Any]:
    def share(value: float) -> float | None:
        return None if math.isnan(value) else value

    methods: dict[str, Any] = {
        method: {
            "correct": tally.correct[method],
            "accuracy": share(tally.accuracy(method)),
            "accuracy_over_all": share(tally.accuracy_over_all(method)),
        }
        for method in METHODS
    }
    return {"name": tally.name, "total": tally.total, "used": tally.used, **methods}


def similarity_rows(measured: dict[str, Any], of: str = "/") -> list[list[str]]:
    """Return the cells of each similarity result: set, Spearman, interval, Pearson, used `of` total."""
    return [
        [
            result["dataset"],
            number(result["spearman"]),
            MISSING if result["interval"] is None else "{:.3f} to {:.3f}".format(*result["interval"]),
            number(result["pearson"]),
            f"{result['pairs_used']:,} {of} {result['pairs_total']:,}",
        ]
        for result in measured["similarity"]
    ]


def tally_rows(tallies: Sequence[dict[str, Any]], of: str = "/") -> list[list[str]]:
    """Return the cells of each count of analogies: name, accuracy and that over all by method, used `of` total."""
    return [
        [
            tally["name"],
            *(percent(tally[method][key]) for method in METHODS for key in ("accuracy", "accuracy_over_all")),
            f"{tally['used']:,} {of} {tally['total']:,}",
        ]
        for tally in tallies
    ]


def category_rows(measured: dict[str, Any], of: str = "/") -> list[list[str]]:
    """Return the cells of each result of categories: set, purity, clusters, used `of` total."""
    return [
        [
            result["dataset"],
            percent(result["purity"]),
            f"{result['categories']}",
            f"{result['words_used']:,} {of} {result['words_total']:,}",
        ]
        for result in measured["categories"]
    ]


def as_text(measured: dict[str, Any]) -> str:
    """Return what `measure` returned as tables for a terminal."""
    parts = [
        f"{measured['vocabulary_size']:,} words, {measured['vector_size']} dimensions; "
        f"words looked for among the first {measured['restrict_vocab']:,}"
    ]
    if measured["similarity"]:
        rows = similarity_rows(measured)
        parts.append(table(["similarity", "Spearman", "95 % (bootstrap)", "Pearson", "pairs used"], rows))
    for result in measured["analogies"]:
        tallies = [*result["sections"], *result["kinds"], result["total"]]
        rows = tally_rows(tallies)
        head = [f"analogies: {result['dataset']}", "3CosAdd", "over all", "3CosMul", "over all", "questions used"]
        parts.append(table(head, rows))
    if measured["categories"]:
        rows = category_rows(measured)
        parts.append(table(["categories", "purity", "clusters", "words used"], rows))
    parts += [f"not measured: {reason}" for reason in measured["unusable"].values()]
    return "\n\n".join(parts)
