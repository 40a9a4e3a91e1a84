"""Word similarity: how well cosines agree with people's scores, by rank (Spearman) and by value (Pearson)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.eval.datasets import (
    RESTRICT_VOCAB,
    PathLike,
    check_restrict_vocab,
    dataset_path,
    read_pairs,
    rows_by_upper_case,
    unit_rows,
)
from w2vfast.formats import Vectors

RESAMPLES = 2000  # of the bootstrap; the ends of the interval then vary by about 0.003 with the seed
SEED = 353


@dataclass(frozen=True)
class SimilarityResult:
    """Agreement with one data set: correlations -1 to 1; `interval` is the bootstrap's 95 % around `spearman`."""

    dataset: str
    pairs_total: int
    pairs_used: int
    spearman: float
    pearson: float
    interval: tuple[float, float] | None


def evaluate_similarity(
    vectors: Vectors,
    dataset: PathLike = "wordsim353",
    *,
    restrict_vocab: int = RESTRICT_VOCAB,
    resamples: int = RESAMPLES,
) -> SimilarityResult:
    """Correlate cosines with the scores of a data set: wordsim353, simlex999 or a file of two words and a score a line.

    Words are compared upper-cased and looked for among the first `restrict_vocab`, and pairs with a word that is not
    there are left out, all as in gensim's `evaluate_word_pairs`. The interval comes from `resamples` bootstrap samples
    of the pairs, with a fixed seed; 0 leaves it out. Raises InputError for broken lines, for a vector without a
    direction and if fewer than two pairs can be used.
    """
    check_restrict_vocab(restrict_vocab)
    pairs = read_pairs(dataset_path(dataset))
    row_of = rows_by_upper_case(vectors.words[:restrict_vocab])
    found = [(row_of.get(a.upper(), -1), row_of.get(b.upper(), -1), score) for a, b, score in pairs]
    used = [(a, b, score) for a, b, score in found if a >= 0 and b >= 0]
    if len(used) < 2:
        raise InputError(
            f"{dataset}: {len(used) or 'none'} of its {len(pairs)} pairs has both words among the first "
            f"{min(restrict_vocab, len(vectors.words))} of the vocabulary; two are needed"
        )
    rows = np.array([(a, b) for a, b, _ in used])
    gold = np.array([score for _, _, score in used])
    needed, where = np.unique(rows, return_inverse=True)
    unit = unit_rows(vectors, needed).astype(np.float64)
    first, second = unit[where.reshape(rows.shape).T]
    cosines = np.einsum("nd,nd->n", first, second)
    if np.ptp(gold) == 0 or np.ptp(cosines) == 0:
        raise InputError(f"{dataset}: all {len(used)} usable pairs have the same score; nothing to correlate")
    return SimilarityResult(
        dataset=str(dataset),
        pairs_total=len(pairs),
        pairs_used=len(used),
        spearman=float(_rowwise_pearson(*_ranks(gold[None], cosines[None]))[0]),
        pearson=float(_rowwise_pearson(gold[None], cosines[None])[0]),
        interval=_bootstrap_interval(gold, cosines, resamples) if resamples else None,
    )


def _bootstrap_interval(
    gold: NDArray[np.float64], cosines: NDArray[np.float64], resamples: int
) -> tuple[float, float] | None:
    picks = np.random.default_rng(SEED).integers(0, len(gold), (resamples, len(gold)))
    correlations = _rowwise_pearson(*_ranks(gold[picks], cosines[picks]))
    correlations = correlations[np.isfinite(correlations)]
    if not len(correlations):
        return None
    low, high = np.percentile(correlations, [2.5, 97.5])
    return float(low), float(high)


def _ranks(*samples: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return ranks along the last axis; equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    return [rankdata(sample, axis=-1) for sample in samples]


def _rowwise_pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a resample of equal scores has no correlation: NaN
        products = [np.einsum("rn,rn->r", u, v) for u, v in ((x, y), (x, x), (y, y))]
        return np.asarray(products[0] / np.sqrt(products[1] * products[2]))
