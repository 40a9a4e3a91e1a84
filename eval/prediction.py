"""How well a model predicts held-out text: the measure that makes objectives comparable.

    python -m w2vfast.eval prediction model.safetensors held_out.txt

The text is split into words and encoded as training does it, with the model's vocabulary. It is subsampled as training
subsamples (a model learns the distribution of what is left; `--sample 0` keeps all), by draws that are always the same.
Windows are whole (never shrunk) and end with the sentence. A pair is then, in skip-gram, a word and another within
`window` words of it; in CBOW, a window and the word inside it. If there are more pairs than `--pairs`, every k-th row
(word, or window) is taken, with the smallest k that gets below.

Every pair is scored under the exact distribution over all words: the mean negative log likelihood, its exponential
(perplexity), and how often the target is the likeliest or among the ten likeliest words, where words with equal scores
count as if all others came first. `unigram` is the negative log likelihood of the words' frequencies alone, the same
for every row: what a model must beat.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.corpus import scan
from w2vfast.errors import InputError
from w2vfast.eval.tables import number, percent, table
from w2vfast.plan import keep_probability
from w2vfast.prediction import Model
from w2vfast.tokens import ID_MASK
from w2vfast.vocab import Vocab

PAIRS = 20_000  # scored unless told; the mean's standard error is then about 0.015
TOP = (1, 10)
SEED = 0  # of subsampling


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of words and what they predict: pair i is (row[i], target[i]), `count[i]` times; sorted by row."""

    inputs: list[NDArray[np.int64]]  # [R], ids whose vectors make a row
    row: NDArray[np.int64]  # [P]
    target: NDArray[np.int64]  # [P]
    count: NDArray[np.int64]  # [P]
    total: int  # pairs of the whole text
    every: int  # k of the rows taken


def evaluate(
    model: Model, text: str | Path, *, pairs: int = PAIRS, window: int | None = None, sample: float | None = None
) -> dict[str, Any]:
    """Return the measures of a model on a held-out text as a plain object; see the module.

    `window` and `sample` are the model's unless given. Raises InputError for a text that cannot be read or has no pair.
    """
    window = model.settings["window"] if window is None else window
    sample = model.settings["sample"] if sample is None else sample
    for name, value, least in (("pairs", pairs, 1), ("window", window, 1), ("sample", sample, 0)):
        if value < least:
            raise InputError(f"{name} must be at least {least}, not {value}")
    keep = keep_probability(model.counts, sample)
    with scan([text], vocab=Vocab(model.words, model.counts), min_count=1) as corpus:
        ledger = corpus.ledger
        ids, sentence = _subsampled(corpus.tokens, keep)
        found = make_pairs(ids, sentence, window, model.settings["mode"] == "cbow", pairs)
    if not len(found.row):
        raise InputError(f"{text} has no pair of words of the model's vocabulary in a line: give more text")
    began = time.perf_counter()
    measured = score(model, found)
    frequency = model.counts * keep / float(model.counts @ keep)
    measured["unigram"] = float(-(found.count @ np.log(frequency[found.target])) / found.count.sum())
    return {
        "objective": model.objective.name,
        "mode": model.settings["mode"],
        "vocabulary_size": len(model.words),
        "vector_size": model.w_in.shape[1],
        "text": str(text),
        "window": window,
        "sample": sample,
        "tokens": {"read": ledger.read, "in_vocabulary": ledger.in_vocabulary, "kept": len(ids)},
        "pairs": int(found.count.sum()),
        "pairs_total": found.total,
        "every": found.every,
        **measured,
        "seconds": time.perf_counter() - began,
    }


def _subsampled(tokens: NDArray[np.int32], keep: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids that subsampling keeps, and the number of each one's sentence."""
    ids = (tokens & ID_MASK).astype(np.int64)
    sentence: NDArray[np.int64] = np.cumsum(tokens < 0) - (tokens < 0)
    kept = np.random.default_rng(SEED).random(len(ids)) < keep[ids]
    return ids[kept], sentence[kept]


def make_pairs(ids: NDArray[np.int64], sentence: NDArray[np.int64], window: int, cbow: bool, limit: int) -> Pairs:
    """Return the pairs of a text, int64 [n] ids and sentence numbers, of every k-th row so that at most `limit` remain.

    At least one row remains. Rows of one word are joined, so that a word's distribution is computed once.
    """
    n = len(ids)
    left, right = np.zeros(n, np.int64), np.zeros(n, np.int64)  # words of the window on either side
    for distance in range(1, min(window, n - 1) + 1):
        together = sentence[distance:] == sentence[:-distance]
        left[distance:] += together
        right[:-distance] += together
    length = left + right
    rows = np.flatnonzero(length)
    pairs_of = np.ones(len(rows), np.int64) if cbow else length[rows]
    total = int(pairs_of.sum())
    every = max(1, -(-total // limit))
    while every < len(rows) and int(pairs_of[::every].sum()) > limit:
        every += 1
    rows = rows[::every]
    others = [np.r_[ids[p - left[p] : p], ids[p + 1 : p + 1 + right[p]]] for p in rows.tolist()]
    if cbow:
        return Pairs(others, np.arange(len(rows)), ids[rows], np.ones(len(rows), np.int64), total, every)
    centres, row = np.unique(np.repeat(ids[rows], length[rows]), return_inverse=True)
    targets = np.concatenate(others) if others else np.empty(0, np.int64)
    both, count = np.unique(np.stack([row, targets]), axis=1, return_counts=True)
    return Pairs([np.array([c]) for c in centres], both[0], both[1], count, total, every)


def score(model: Model, pairs: Pairs) -> dict[str, Any]:
    """Return what the module's docstring names, of given pairs, None for what the objective does not define.

    Beside it: `nll_uncorrected` (gensim's softmax of scores, for negative sampling), the mean and standard deviation
    over pairs of `log_z` (nce) and the mean probability `outside` all words before codes are normalised.
    """
    module, V = model.distribution, len(model.words)
    has_plain, has_z, has_outside = (hasattr(module, name) for name in ("uncorrected", "log_z", "outside"))
    sums = dict.fromkeys(["nll", "plain", "z", "z2", "outside", *TOP], 0.0)
    for block in model.blocks(len(pairs.inputs)):
        left = model.left(pairs.inputs[block])
        first, last = np.searchsorted(pairs.row, [block.start, block.stop])
        row, target, count = pairs.row[first:last] - block.start, pairs.target[first:last], pairs.count[first:last]
        weight = np.bincount(row, count, len(left))
        scores = model.scores(left)
        of_target = scores[row, target]
        sums["nll"] -= float(count @ of_target)
        if has_plain:
            sums["plain"] -= float(count @ model.scores(left, correction=False)[row, target])
        if has_z:
            z = module.log_z(model.objective, left, model.w_out)
            sums["z"] += float(weight @ z)
            sums["z2"] += float(weight @ z**2)
        if has_outside:
            sums["outside"] += float(weight @ module.outside(model.objective, left, model.w_out))
        # Among the first k, ties lost: above the k + 1st score.
        places = {k: V - 1 - k for k in TOP if k < V}
        scores.partition(list(places.values()), axis=1)
        for k in TOP:
            above = of_target > scores[row, places[k]] if k in places else np.ones(len(row), bool)
            sums[k] += float(count @ above)
    mean = {name: value / int(pairs.count.sum()) for name, value in sums.items()}
    nll = mean["nll"] if model.probabilities else None
    trained_z = getattr(model.objective, "log_z", None)
    z_spread = math.sqrt(max(0.0, mean["z2"] - mean["z"] ** 2))
    return {
        "nll": nll,
        "perplexity": None if nll is None else float(np.exp(nll)),
        "nll_uncorrected": mean["plain"] if has_plain else None,
        **{f"top{k}": mean[k] for k in TOP},
        "log_z": {"mean": mean["z"], "sd": z_spread, "trained": trained_z} if has_z else None,
        "outside": mean["outside"] if has_outside else None,
    }


def as_text(measured: dict[str, Any]) -> str:
    """Return what `evaluate` returned as a table for a terminal."""
    tokens, every = measured["tokens"], measured["every"]
    taken = "all pairs" if every == 1 else f"the pairs of every {every}th row"
    lines: list[Sequence[str]] = [
        ["negative log likelihood a pair, nats", number(measured["nll"], 4)],
        ["perplexity", number(measured["perplexity"], 1)],
        ["negative log likelihood of word frequencies", number(measured["unigram"], 4)],
        ["target is the likeliest word", percent(measured["top1"])],
        ["target is among the 10 likeliest", percent(measured["top10"])],
    ]
    if measured["nll_uncorrected"] is not None:
        lines.append(["negative log likelihood by gensim's softmax of scores", number(measured["nll_uncorrected"], 4)])
    if measured["log_z"] is not None:
        z = measured["log_z"]
        lines.append([f"log Z (trained as {z['trained']:g})", f"{z['mean']:.3f} ± {z['sd']:.3f}"])
    if measured["outside"] is not None:
        lines.append(["probability outside all words, before normalising", percent(measured["outside"])])
    return (
        f"{measured['objective']}, {measured['mode']}: {measured['vocabulary_size']:,} words, "
        f"{measured['vector_size']} dimensions\n"
        f"{measured['text']}: {tokens['read']:,} words, {tokens['in_vocabulary']:,} of them known, "
        f"{tokens['kept']:,} kept by subsampling (sample={measured['sample']:g}); window {measured['window']}, whole\n"
        f"{measured['pairs']:,} of {measured['pairs_total']:,} pairs: {taken}\n\n"
        + table(["held-out prediction", "value"], lines)
    )
