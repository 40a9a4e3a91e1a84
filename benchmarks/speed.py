"""Times gensim and every backend that can run here, each run in a process of its own, and measures the vectors.

    python benchmarks/speed.py corpus.txt                         gensim, native, torch; both modes; 3 seeds
    python benchmarks/speed.py corpus.txt --modes sg --trainers gensim native --workers 1 2 --vector-size 300
    python benchmarks/speed.py corpus.txt --gensim-epochs 1 --gensim-quality gensim_wiki18.csv

Parity with the reference is checked first. Trainers and numbers of workers take turns, so that a noisy machine is noisy
for all. One row a trainer, mode and number of workers goes to the CSV: medians and extremes of speed over the runs, and
the mean and standard deviation of the quality of the same runs' vectors. gensim may be timed on fewer epochs (its speed
a word does not depend on them); its quality then comes from a file of earlier runs with the same settings, and the row
says so.
"""

import argparse
import csv
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import parity

from w2vfast import backends, formats
from w2vfast.eval.quality import quality

MEASURES = ("wordsim353", "simlex999", "analogy_30k")
FAST = "-fast"  # native-fast: the native backend with --preset fast
DEFAULT_CSV = Path(__file__).with_name("results.csv")


def processor() -> str:
    """Return the processor's name and its widest vector instructions, as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    width = next((isa for isa in ("avx512f", "avx2") if isa in text), "")
    return f"{name} {width} x {os.cpu_count()}".strip()


def backend_of(trainer: str) -> str:
    """Return the backend that a trainer's name stands for."""
    return trainer.removesuffix(FAST)


def run_once(command: list[str]) -> tuple[dict[str, Any], float]:
    """Run a trainer in a process of its own; returns its JSON account and the wall seconds of the whole command."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout), wall


def command_for(
    trainer: str, arguments: argparse.Namespace, mode: str, workers: int, seed: int, out: Path
) -> list[str]:
    """Return the command line of one run."""
    module = "w2vfast.eval.gensim_runner" if trainer == "gensim" else "w2vfast.train"
    epochs = arguments.gensim_epochs if trainer == "gensim" and arguments.gensim_epochs else arguments.epochs
    options = {
        "mode": mode,
        "vector-size": arguments.vector_size,
        "window": arguments.window,
        "negative": arguments.negative,
        "sample": arguments.sample,
        "min-count": arguments.min_count,
        "alpha": arguments.alpha,
        "epochs": epochs,
        "workers": workers,
        "seed": seed,
    }
    if trainer != "gensim":
        options["backend"] = backend_of(trainer)
        options["preset"] = "fast" if trainer.endswith(FAST) else "quality"
        extra = {"tile": arguments.tile, "shared-negatives": arguments.shared_negatives}
        extra |= {"tokens-in-flight": arguments.tokens_in_flight}
        options |= {name: value for name, value in extra.items() if value is not None}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", module, str(arguments.corpus), "-o", str(out), "--json", *words]


def measure(trainer: str, arguments: argparse.Namespace, mode: str, workers: int, seed: int) -> dict[str, Any]:
    """Return the figures of one run: speeds, seconds, memory and the quality of its vectors."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "vectors.bin"
        account, wall = run_once(command_for(trainer, arguments, mode, workers, seed, out))
        scores = quality(formats.load_vectors(out))
    words = account["tokens"]["read"] * account["settings"]["epochs"]
    figures = {
        "words_per_cpu_second": words / account["cpu_seconds"]["train"],
        "words_per_second": words / account["seconds"]["train"],
        "scan_words_per_cpu_second": account["tokens"]["read"] / account["cpu_seconds"]["scan"],
        "train_seconds": account["seconds"]["train"],
        "total_seconds": wall,
        "peak_rss_mb": account["peak_rss_bytes"] / 1e6,
    }
    return {"account": account, "figures": figures, "quality": scores}


def earlier_quality(path: Path, mode: str) -> list[dict[str, float]]:
    """Return gensim's qualities from a CSV with the columns mode and MEASURES, one row a seed."""
    with path.open(newline="") as file:
        return [{m: float(row[m]) for m in MEASURES} for row in csv.DictReader(file) if row["mode"] == mode]


def summarise(trainer: str, arguments: argparse.Namespace, mode: str, workers: int, runs: list[Any]) -> dict[str, Any]:
    """Return the CSV row of several runs with different seeds."""
    settings, account = runs[0]["account"]["settings"], runs[0]["account"]
    row: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "corpus": arguments.corpus.name,
        "raw_words": account["tokens"]["read"],
        "trainer": trainer,
        "version": importlib.metadata.version("gensim" if trainer == "gensim" else "w2vfast"),
        "mode": mode,
    }
    for name in ("vector_size", "window", "negative", "sample", "min_count", "alpha", "epochs", "workers"):
        row[name] = settings[name]
    for name in ("tile", "shared_negatives", "tokens_in_flight"):
        row[name] = settings.get(name, "")
    row["runs"] = len(runs)
    for name in runs[0]["figures"]:
        values = [run["figures"][name] for run in runs]
        row[name] = round(statistics.median(values), 2)
        if name in ("words_per_cpu_second", "words_per_second", "total_seconds"):
            row |= {f"{name}_min": round(min(values), 2), f"{name}_max": round(max(values), 2)}
    scores, source = [run["quality"] for run in runs], "these runs"
    if trainer == "gensim" and arguments.gensim_quality is not None:
        scores, source = earlier_quality(arguments.gensim_quality, mode), arguments.gensim_quality.name
    for name in MEASURES:
        values = [score[name] for score in scores if score[name] is not None]
        row[name] = round(statistics.mean(values), 2) if values else ""
        row[f"{name}_sd"] = round(statistics.stdev(values), 2) if len(values) > 1 else ""
    row |= {"quality_seeds": len(scores), "quality_from": source}
    row["parity_error"] = f"{arguments.parity[trainer, mode]:.1e}" if trainer != "gensim" else ""
    row["machine"] = processor()
    row["versions"] = (
        " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch", "gensim"))
        + f" python {platform.python_version()}"
    )
    return row


def append(path: Path, row: dict[str, Any]) -> None:
    """Append a row to the CSV, which must have the same columns."""
    fresh = not path.exists()
    if not fresh:
        with path.open(newline="") as file:
            columns = next(csv.reader(file))
        if columns != list(row):
            raise SystemExit(f"{path} has other columns than this version writes: name another file with --csv")
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def compare(rows: list[dict[str, Any]]) -> None:
    """Add to each row how it stands against gensim with as many workers, and against itself with one, in the same run.

    Empty where the other was not run.
    """

    def against(row: dict[str, Any], name: str, **other: Any) -> float | str:
        same = {"trainer": row["trainer"], "workers": row["workers"]} | other
        peer = next((peer for peer in rows if same.items() <= peer.items()), None)
        return "" if peer is None else round(row[name] / peer[name], 2)

    for row in rows:
        for name in ("words_per_cpu_second", "words_per_second"):
            row[f"{name}_against_gensim"] = against(row, name, trainer="gensim")
        row["words_per_second_against_one_worker"] = against(row, "words_per_second", workers=1)


def report(rows: list[dict[str, Any]]) -> None:
    """Print the rows of one mode."""
    for row in rows:
        scores = "  ".join(f"{name} {row[name]} +- {row[f'{name}_sd']}" for name in MEASURES)
        print(
            f"{row['mode']:4} {row['trainer']:11} workers {row['workers']}: "
            f"{row['words_per_cpu_second'] / 1e6:6.3f} M words/CPU s, against gensim "
            f"{row['words_per_cpu_second_against_gensim']}x a CPU second, {row['words_per_second_against_gensim']}x by "
            f"the clock; {row['words_per_second_against_one_worker']}x one worker; whole command "
            f"{row['total_seconds']} s, {row['peak_rss_mb']:.0f} MB  {scores}",
            flush=True,
        )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--trainers", nargs="+", help="gensim, native, native-fast, torch, ... (default: all)")
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--runs", type=int, default=3, help="runs of each, with seeds 1, 2, 3, ...")
    parser.add_argument("--vector-size", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--negative", type=int, default=5)
    parser.add_argument("--sample", type=float, default=1e-3)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--alpha", type=float, default=0.025)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--shared-negatives", type=int)
    parser.add_argument("--tokens-in-flight", type=int)
    parser.add_argument("--gensim-epochs", type=int, help="time gensim on fewer epochs")
    parser.add_argument("--gensim-quality", type=Path, help="CSV with gensim's quality at these settings")
    parser.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    arguments = parser.parse_args(argv)
    available = [name for name in backends.NAMES if backends.unavailable_reason(name) is None]
    fast = [f"{name}{FAST}" for name in available if name == "native"]
    trainers = arguments.trainers or ["gensim", *available, *fast]
    arguments.parity = {}
    for trainer in trainers:
        for mode in arguments.modes:
            if trainer != "gensim":
                backend = backend_of(trainer)
                error = parity.largest_error(backend, "cuda" if backend == "triton" else "cpu", mode)
                if not error <= parity.LARGEST_ERROR:
                    raise SystemExit(
                        f"{trainer} {mode} differs from the reference by {error:.1e}: no speed is reported"
                    )
                arguments.parity[trainer, mode] = error
    for mode in arguments.modes:
        cases = [(trainer, workers) for workers in arguments.workers for trainer in trainers]
        runs: dict[tuple[str, int], list[Any]] = {case: [] for case in cases}
        for seed in range(1, arguments.runs + 1):
            for trainer, workers in cases:
                runs[trainer, workers].append(measure(trainer, arguments, mode, workers, seed))
        rows = [summarise(trainer, arguments, mode, workers, runs[trainer, workers]) for trainer, workers in cases]
        compare(rows)
        for row in rows:
            append(arguments.csv, row)
        report(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
