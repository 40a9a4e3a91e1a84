"""What checkpoints cost a run: the command with and without them, alternately, and the ratio of times.

    python benchmarks/checkpoints.py corpus.txt --every 30 --epochs 6 --runs 3

Prints a CSV row a run (times of the training, in which all but the last checkpoint are written, and of the whole
process), then the medians' ratios. CPU seconds are those of all threads: on a machine that others use too, go by them.
"""

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

COLUMNS = ("run", "checkpoints", "train_cpu", "train_wall", "process_cpu", "process_wall", "peak_rss_mb")


def run(corpus: str, every: float | None, options: Sequence[str], folder: Path) -> dict[str, float]:
    """Train once, with a checkpoint every so many seconds or none; return times, memory and how many there were."""
    words = [sys.executable, "-m", "w2vfast.train", corpus, "-o", str(folder / "v.bin"), "--json", *options]
    if every is not None:
        words += ["--checkpoint", str(folder / "state"), "--checkpoint-every", str(every)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    told = json.loads(done.stdout)
    numbers = [int(path.stem.rpartition("-")[2]) for path in folder.glob("state/*.json")]
    return {
        "checkpoints": max(numbers, default=0),
        "train_cpu": told["cpu_seconds"]["train"],
        "train_wall": told["seconds"]["train"],
        "process_cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "process_wall": wall,
        "peak_rss_mb": told["peak_rss_bytes"] / 1e6,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--every", type=float, default=30.0, help="seconds from one checkpoint to the next")
    parser.add_argument("--runs", type=int, default=3, help="of each kind")
    arguments, options = parser.parse_known_args(argv)
    table = csv.writer(sys.stdout)
    table.writerow(("with", *COLUMNS))
    rows: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for number in range(arguments.runs):
        # The order turns round each time: what grows slower in the course of time hits both alike.
        for kept in (True, False) if number % 2 else (False, True):
            with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
                row = run(arguments.corpus, arguments.every if kept else None, options, Path(folder))
            rows[kept].append(row)
            table.writerow([int(kept), number] + [round(row[name], 2) for name in COLUMNS[1:]])
            sys.stdout.flush()
    for name in COLUMNS[2:]:
        medians = [statistics.median(row[name] for row in rows[kept]) for kept in (True, False)]
        print(f"{name}: {medians[0]:.2f} with, {medians[1]:.2f} without, {100 * (medians[0] / medians[1] - 1):+.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
