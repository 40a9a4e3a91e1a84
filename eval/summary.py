"""Means, intervals and differences between trainers over several seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from w2vfast.eval.tables import MISSING, number, table

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Measure:
    """Something measured in every run; `label` is for people, `digits` its decimals."""

    name: str
    label: str
    digits: int
    higher_is_better: bool


def summarise(
    runs: Sequence[dict[str, Any]], trainers: Sequence[str], measures: Sequence[Measure]
) -> list[dict[str, Any]]:
    """Return for each measure the mean and 95 % t interval of each trainer, and differences from the first trainer.

    A difference comes with its 95 % interval and p value (Welch's test, which does not take the spreads to be equal);
    they are None with fewer than two runs of either side. `significant` is p < 0.05.
    """
    rows = []
    for measure in measures:
        values = {
            trainer: [
                float(value)
                for run in runs
                if run["trainer"] == trainer
                and (value := (run["quality"] | run["speed"]).get(measure.name)) is not None
            ]
            for trainer in trainers
        }
        base = values[trainers[0]]
        rows.append(
            {
                "measure": measure.name,
                "trainers": {trainer: describe(found) for trainer, found in values.items()},
                "differences": {trainer: difference(base, values[trainer]) for trainer in trainers[1:]},
            }
        )
    return rows


def describe(values: Sequence[float]) -> dict[str, Any]:
    """Return n, mean, standard deviation and the 95 % t interval of the mean; None for what cannot be said."""
    if not values:
        return {"n": 0, "mean": None, "sd": None, "interval": None}
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"n": 1, "mean": mean, "sd": None, "interval": None}
    from scipy import stats

    sd = statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / math.sqrt(len(values))
    return {"n": len(values), "mean": mean, "sd": sd, "interval": [mean - half, mean + half]}


def difference(base: Sequence[float], other: Sequence[float]) -> dict[str, Any] | None:
    """Return other - base of the means, their ratio, Welch's 95 % interval and p; None if a side has no value."""
    if not base or not other:
        return None
    a, b = statistics.fmean(base), statistics.fmean(other)
    result: dict[str, Any] = {"difference": b - a, "ratio": b / a if a else None}
    result |= {"interval": None, "p": None, "significant": None}
    if min(len(base), len(other)) < 2:
        return result
    parts = [statistics.variance(side) / len(side) for side in (base, other)]
    spread = math.sqrt(sum(parts))
    if spread == 0:
        return result | {"interval": [b - a, b - a], "p": float(a == b), "significant": a != b}
    from scipy import stats

    freedom = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (base, other), strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * spread
    p = float(2 * stats.t.sf(abs(b - a) / spread, freedom))
    return result | {"interval": [b - a - half, b - a + half], "p": p, "significant": p < SIGNIFICANT}


def as_text(outcome: dict[str, Any]) -> str:
    """Return what `compare` found as a table for a terminal."""
    trainers = outcome["trainers"]
    head = ["mean ± half of the 95 % interval", trainers[0]]
    for trainer in trainers[1:]:
        head += [trainer, "difference", "p", "verdict"]
    settings = ", ".join(f"{name}={value}" for name, value in outcome["settings"].items() if value is not None)
    return (
        f"{outcome['corpus']}: {outcome['raw_words']:,} words, scored on {outcome['shared_words']:,} shared words; "
        f"{outcome['seeds']} seed(s)\n{settings}\n\n{table(head, comparison_rows(outcome))}"
    )


def comparison_rows(outcome: dict[str, Any]) -> list[list[str]]:
    """Return a row of cells for each measure of what `compare` found: every trainer's mean, all but the first with
    the difference from the first, p and verdict.
    """
    first, *others = outcome["trainers"]
    rows = []
    for measure, row in zip(outcome["measures"], outcome["summary"], strict=True):
        cells = [measure["label"], _mean(row["trainers"][first], measure["digits"])]
        for trainer in others:
            cells.append(_mean(row["trainers"][trainer], measure["digits"]))
            cells += _difference_cells(row["differences"][trainer], measure)
        rows.append(cells)
    return rows


def _mean(found: dict[str, Any], digits: int) -> str:
    text = number(found["mean"], digits)
    return text if found["interval"] is None else f"{text} ± {number(found['interval'][1] - found['mean'], digits)}"


def _difference_cells(found: dict[str, Any] | None, measure: dict[str, Any]) -> list[str]:
    if found is None:
        return [MISSING, MISSING, MISSING]
    text = f"{found['difference']:+,.{measure['digits']}f}"
    if found["p"] is None:
        return [text, MISSING, "one run"]
    better = (found["difference"] > 0) == measure["higher_is_better"]
    verdict = ("better" if better else "worse") if found["significant"] else "no clear difference"
    return [text, f"{found['p']:.3f}", verdict]
