"""Time and memory by size: what a trained token costs by vocabulary, dimensions, window, length of text and workers.

    python benchmarks/sizes.py                       made-up texts; rows to sizes.csv, the picture to docs/sizes.png
    python benchmarks/sizes.py --corpus text.txt     and this text for all that does not vary the vocabulary
    python benchmarks/sizes.py --axes window         one axis; --draw the picture of the rows that are there

One size varies at a time, the others are 85,000 words (or the text's), D = 100, W = 5 and one worker. A made-up text
has ids by Zipf's law, p ~ 1 / (rank + 2.7), in sentences of 20 words, and each word at least once. Each row is a
training run of three epochs in a process of its own: CPU time and clock of training alone over the trained tokens, and
the process's peak memory, of which the tables are 8 V D bytes. Runs of all sizes take turns, --repeat times, and a row
has medians.
"""

import argparse
import csv
import datetime
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import machine
import numpy as np
import speed

from w2vfast.command import Parser, exit_code
from w2vfast.errors import InputError
from w2vfast.eval import trainers

HERE = Path(__file__).parent
CSV = HERE / "sizes.csv"
PLOT = HERE.parent / "docs" / "sizes.png"
BASE = {"words": 85_000, "tokens": 2_000_000, "vector_size": 100, "window": 5, "workers": 1}
AXES = {
    "words": (10_000, 85_000, 400_000, 2_000_000),
    "vector_size": (50, 100, 200, 300, 500, 1000),
    "window": (2, 5, 10, 15, 50),
    "tokens": (1_000_000, 2_000_000, 8_000_000),
    "workers": (1, 2),
}
SENTENCE = 20
EPOCHS = 3  # in the first W_out's pages are touched for the first time
NS = (200, 400, 800, 1600, 3200)  # ticks of the picture


def write_text(path: Path, words: int, tokens: int) -> None:
    """Write a made-up text of so many words, in which each occurs."""
    tokens = max(tokens, 2 * words)
    weight = 1 / (np.arange(words) + 2.7)
    rng = np.random.default_rng(1)
    ids = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(tokens - words)).clip(max=words - 1)
    ids = rng.permutation(np.concatenate([ids, np.arange(words)]))
    with path.open("w") as file:
        for start in range(0, tokens, SENTENCE):
            file.write(" ".join(f"w{i}" for i in ids[start : start + SENTENCE]) + "\n")


def points(axes: Sequence[str], modes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the sizes to measure, each once: the base, and one axis varied."""
    seen = []
    for mode in modes:
        for axis in axes:
            for value in AXES[axis]:
                point = {"mode": mode, **BASE, axis: value}
                if point not in seen:
                    seen.append(point)
                    yield point


def measure(point: dict[str, Any], corpus: Path, made_up: bool) -> dict[str, Any]:
    """Return what one run of a point took."""
    settings = {name: point[name] for name in ("mode", "vector_size", "window", "workers")}
    settings |= {"backend": "native", "epochs": EPOCHS, "min_count": 1 if made_up else 5}
    with tempfile.TemporaryDirectory() as folder:
        account, figures = trainers.run("native", corpus, Path(folder) / "vectors.bin", settings)
    trained, cpu = account["tokens"]["trained"], account["cpu_seconds"]["train"]
    return {
        "words": account["vocabulary_size"],
        "tokens": account["tokens"]["in_vocabulary"],
        "precision": account["settings"]["precision"],
        "cpu_ns_per_token": 1e9 * cpu / trained,
        "ns_per_token": 1e9 * account["seconds"]["train"] / trained,
        "peak_mb": figures.peak_rss_mb,
    }


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Draw CPU time a token by each size, a curve a mode, and memory by the vocabulary."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = {"words": "words, V", "vector_size": "dimensions, D", "window": "window, W", "tokens": "tokens of text"}
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained", sharey=True)
    for (axis, label), place in zip(names.items(), axes, strict=True):
        for mode in ("sg", "cbow"):
            found = sorted(
                (int(row[axis]), float(row["cpu_ns_per_token"]))
                for row in rows
                if row["mode"] == mode and row["corpus"] == "made up" and _varies(row, axis)
            )
            if found:
                place.loglog(*zip(*found, strict=True), "o-", ms=4, label={"sg": "skip-gram", "cbow": "CBOW"}[mode])
        place.set_xlabel(label)
        place.set_xticks(AXES[axis], [_short(value) for value in AXES[axis]])
        place.set_xticks([], minor=True)
        place.set_yticks(NS, [str(ns) for ns in NS])
        place.set_yticks([], minor=True)
        place.grid(alpha=0.2)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("CPU ns a trained token")
    axes[0].legend(frameon=False)
    figure.suptitle(f"{rows[0]['machine']}, one worker", x=0.01, ha="left", fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _varies(row: dict[str, str], axis: str) -> bool:
    """Return whether a row has the base's sizes but for one; many words need more tokens."""
    expected = {**BASE, axis: int(row[axis])}
    if axis == "words":
        expected["tokens"] = max(BASE["tokens"], 2 * expected["words"])
    return all(int(row[name]) == value for name, value in expected.items())


def _short(number: int) -> str:
    """Return a number with k or M for its zeros."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= unit and number % unit == 0:
            return f"{number // unit}{letter}"
    return str(number)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the CSV's rows, the last of each point."""
    if not path.exists():
        raise InputError(f"{path} is missing: measure first, without --draw")
    with path.open(newline="") as file:
        return list(
            {tuple(row[name] for name in ("corpus", "mode", *BASE)): row for row in csv.DictReader(file)}.values()
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("benchmarks/sizes.py", partial(_main, sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="a text to measure on instead of a made-up one of 85,000 words")
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--draw", action="store_true", help="draw only")
    arguments = parser.parse_args(argv)
    if not arguments.draw:
        axes = [axis for axis in arguments.axes if not (arguments.corpus and axis in ("words", "tokens"))]
        run(list(points(axes, arguments.modes)), arguments)
    draw(read_rows(arguments.csv), arguments.plot)


def run(wanted: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Measure the points in turn and append their rows."""
    where = {"machine": machine.processor(), **machine.identity(), "sgemm_gflops": f"{machine.sgemm_peak():.1f}"}
    found: list[list[dict[str, Any]]] = [[] for _ in wanted]
    with tempfile.TemporaryDirectory() as folder:
        texts: dict[tuple[int, int], Path] = {}
        for _ in range(arguments.repeat):
            for point, runs in zip(wanted, found, strict=True):
                size = point["words"], point["tokens"]
                corpus = arguments.corpus or texts.setdefault(size, Path(folder) / f"{size[0]}-{size[1]}.txt")
                if arguments.corpus is None and not corpus.exists():
                    write_text(corpus, *size)
                runs.append(measure(point, corpus, arguments.corpus is None))
    for point, runs in zip(wanted, found, strict=True):
        row = {"date": datetime.date.today().isoformat(), "corpus": getattr(arguments.corpus, "name", "made up")}
        row |= {**point, **runs[0], "runs": len(runs)}
        for name in ("cpu_ns_per_token", "ns_per_token", "peak_mb"):
            row[name] = f"{statistics.median(one[name] for one in runs):.1f}"
        speed.append(arguments.csv, row | where)
        print(
            f"{row['corpus']} {row['mode']} V={row['words']:,} tokens={row['tokens']:,} D={row['vector_size']} "
            f"W={row['window']} workers={row['workers']}: {row['cpu_ns_per_token']} CPU ns a token, by the clock "
            f"{row['ns_per_token']}, {row['peak_mb']} MB",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
