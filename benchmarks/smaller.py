"""Bytes against quality: compresses files of vectors by every method and measures what is left.

    python benchmarks/smaller.py vectors100.bin vectors300.bin     writes smaller.csv anew, and draws
    python benchmarks/smaller.py                                   draws docs/smaller-vectors.png from it

Times smaller are of all bytes but the words', with what rows share (codebooks, rotations).
"""

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

from w2vfast.compress import compress
from w2vfast.eval.quality import MEASURES, quality
from w2vfast.formats import load_vectors
from w2vfast.vectors import collect

HERE = Path(__file__).parent
CSV = HERE / "smaller.csv"
TRAINED_CSV = HERE / "smaller_trained.csv"
TRAINED = "trained to be small"
PLOT = HERE.parent / "docs" / "smaller-vectors.png"
COLUMNS = ["vector_size", "method", "options", "times_smaller", "mean_error", "largest_error", *MEASURES]
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("int8", "", {}),
    ("int4", "", {}),
    ("pq", "", {}),
    ("pq", "--bytes 21", {"bytes_per_row": 21}),
    ("svd", "--rank 50", {"rank": 50}),
    ("prune", "--keep 0.25", {"keep": 0.25}),
    ("binary", "", {}),
    ("binary", "--rotate", {"rotate": True}),
]


def measure(paths: list[str]) -> list[dict[str, Any]]:
    """Return a row for each file as it is, and for each method on it."""
    rows = []
    for path in paths:
        vectors = load_vectors(path)
        plain = {"vector_size": vectors.shape[1], "method": "float32", "options": "", "times_smaller": 1}
        rows.append(plain | {"mean_error": 0, "largest_error": 0} | quality(vectors))
        for method, shown, options in CASES:
            small, report = compress(vectors, method, **options)
            rows.append(
                plain
                | {"method": method, "options": shown, "times_smaller": report.bytes_before / report.bytes_after}
                | {"mean_error": report.mean_error, "largest_error": report.largest_error}
                | quality(collect(small.stream()))
            )
    return rows


def trained_rows() -> dict[tuple[str, str], list[dict[str, str]]]:
    """Return smaller_trained.py's skip-gram rows of what was trained to be small, by what it is and D."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    with TRAINED_CSV.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["mode"] == "sg" and any(word in row["what"] for word in ("trained", "buckets", "distilled")):
                found.setdefault((row["what"].removesuffix(" trained"), row["vector_size"]), []).append(row)
    return found


def draw(rows: list[dict[str, str]], trained: dict[tuple[str, str], list[dict[str, str]]]) -> None:
    """Draw each measure against the bytes of a row; of what was trained, the mean over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(MEASURES), figsize=(13, 4))
    for axis, (name, label) in zip(axes, MEASURES.items(), strict=True):
        sizes = sorted({row["vector_size"] for row in rows}, key=int)
        for size, colour in zip(sizes, ("#d9572b", "#5b9bd5"), strict=True):
            for row in (row for row in rows if row["vector_size"] == size):
                x, y = 4 * int(size) / float(row["times_smaller"]), float(row[name])
                axis.plot(x, y, "o", color=colour, label=f"D = {size}" if row["method"] == "float32" else None)
                axis.annotate(
                    f"{row['method']} {row['options']}".strip(), (x, y), (4, 3), textcoords="offset points", fontsize=6
                )
        axis.set_xscale("log")
        axis.set_xlabel("bytes a vector")
        axis.set_title(label)
        for (what, size), group in trained.items():
            x, y = float(group[0]["bytes"]), sum(float(row[name]) for row in group) / len(group)
            axis.plot(x, y, "^", color="#4f9d57", label=TRAINED if (what, size) == next(iter(trained)) else None)
            axis.annotate(f"{what}, D = {size}", (x, y), (4, -8), textcoords="offset points", fontsize=6)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", nargs="*")
    options = parser.parse_args(argv)
    if options.vectors:
        with CSV.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(measure(options.vectors))
    with CSV.open(newline="") as file:
        draw(list(csv.DictReader(file)), trained_rows())
    return 0


if __name__ == "__main__":
    sys.exit(main())
