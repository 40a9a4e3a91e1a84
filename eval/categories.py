"""Categorisation: cluster words by their vectors and see how pure the clusters are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.eval.datasets import (
    RESTRICT_VOCAB,
    PathLike,
    check_restrict_vocab,
    read_categories,
    rows_by_upper_case,
    unit_rows,
)
from w2vfast.formats import Vectors

STARTS = 20
ROUNDS = 100
SEED = 20


@dataclass(frozen=True)
class CategoryResult:
    """Purity, 0 to 1, of as many clusters as there are categories among the words used."""

    dataset: str
    words_total: int
    words_used: int
    categories: int
    purity: float


def evaluate_categories(vectors: Vectors, dataset: PathLike, *, restrict_vocab: int = RESTRICT_VOCAB) -> CategoryResult:
    """Cluster the words of a file of 'word category' lines and return the clusters' purity.

    Purity is the share of words whose cluster's most common category is their own (Baroni et al. 2014 report it). The
    clusters are k-means on unit vectors, the tightest of 20 starts with a fixed seed. Raises InputError for broken
    lines, for a vector without a direction and if fewer than two categories have a word in the vocabulary.
    """
    check_restrict_vocab(restrict_vocab)
    pairs = read_categories(dataset)
    row_of = rows_by_upper_case(vectors.words[:restrict_vocab])
    used = [(row_of[word.upper()], category) for word, category in pairs if word.upper() in row_of]
    names, labels = np.unique([category for _, category in used], return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"{dataset}: {len(used)} of its {len(pairs)} words are in the vocabulary, of {len(names)} categories; "
            "words of two are needed"
        )
    rows = np.array([row for row, _ in used])
    unit = unit_rows(vectors, rows)
    clusters = k_means(unit.astype(np.float64), len(names))
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(table, (clusters, labels), 1)
    purity = float(table.max(axis=1).sum()) / len(rows)
    return CategoryResult(str(dataset), len(pairs), len(rows), len(names), purity)


def k_means(points: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the cluster of each point, int64 [n]: the tightest of 20 starts spread as in k-means++."""
    rng = np.random.default_rng(SEED)
    best, tightest = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(STARTS):
        centres = _spread_out(points, k, rng)
        clusters = np.full(len(points), -1, dtype=np.int64)
        for _ in range(ROUNDS):
            distances = _squared_distances(points, centres)
            nearest = distances.argmin(axis=1)
            if np.array_equal(nearest, clusters):
                break
            clusters = nearest
            sums = np.zeros_like(centres)
            np.add.at(sums, clusters, points)
            sizes = np.bincount(clusters, minlength=k)[:, None]
            centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
        spread = float(_squared_distances(points, centres)[np.arange(len(points)), clusters].sum())
        if spread < tightest:
            best, tightest = clusters, spread
    return best


def _spread_out(points: NDArray[np.float64], k: int, rng: np.random.Generator) -> NDArray[np.float64]:
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < k:
        distances = _squared_distances(points, points[chosen]).min(axis=1)
        total = distances.sum()
        chances = distances / total if total > 0 else None
        chosen.append(int(rng.choice(len(points), p=chances)))
    return points[chosen]


def _squared_distances(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * points @ centres.T
    return np.asarray(np.maximum(squares, 0))
