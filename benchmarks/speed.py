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
import dataclasses
import datetime
import importlib.metadata
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import machine
import parity

from w2vfast import backends, formats
from w2vfast.command import Parser, add_options, config_of, exit_code
from w2vfast.eval import trainers
from w2vfast.eval.quality import MEASURES, quality
from w2vfast.eval.trainers import GENSIM
from w2vfast.tiles import EARLY_SHARE

FAST = "-fast"  # native-fast: the native backend with --preset fast
DEFAULT_CSV = Path(__file__).with_name("results.csv")
# Options of Config that all runs have, and those that w2vfast's may be given.
OPTIONS = ("vector_size", "window", "negative", "sample", "min_count", "alpha", "epochs")
OWN_OPTIONS = ("tile", "shared_negatives", "early_negatives", "tokens_in_flight", "precision")
# Columns of a row that come from a run's figures.
FIGURES = (
    *("words_per_cpu_second", "words_per_second", "scan_words_per_cpu_second", "train_seconds", "total_seconds"),
    "peak_rss_mb",
)
WITH_EXTREMES = ("words_per_cpu_second", "words_per_second", "total_seconds")


def backend_of(trainer: str) -> str:
    """Return the backend that a trainer's name stands for."""
    return trainer.removesuffix(FAST)


def measure(trainer: str, arguments: argparse.Namespace, mode: str, workers: int, seed: int) -> dict[str, Any]:
    """Return the account and the figures of one run, and the quality of its vectors."""
    settings = arguments.settings | {"mode": mode, "workers": workers, "seed": seed}
    settings["preset"] = "fast" if trainer.endswith(FAST) else "quality"
    if trainer == GENSIM and arguments.gensim_epochs:
        settings["epochs"] = arguments.gensim_epochs
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "vectors.bin"
        account, figures = trainers.run(backend_of(trainer), arguments.corpus, out, settings)
        scores = quality(formats.load_vectors(out))
    return {"account": account, "figures": dataclasses.asdict(figures), "quality": scores}


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
        "version": importlib.metadata.version(GENSIM if trainer == GENSIM else "w2vfast"),
        "mode": mode,
    }
    for name in (*OPTIONS, "workers"):
        row[name] = settings[name]
    for name in OWN_OPTIONS:
        row[name] = settings.get(name, "")
    row["runs"] = len(runs)
    for name in FIGURES:
        values = [run["figures"][name] for run in runs]
        row[name] = "" if None in values else round(statistics.median(values), 2)
        if name in WITH_EXTREMES:
            row |= {f"{name}_min": round(min(values), 2), f"{name}_max": round(max(values), 2)}
    scores, source = [run["quality"] for run in runs], "these runs"
    if trainer == GENSIM and arguments.gensim_quality is not None:
        scores, source = earlier_quality(arguments.gensim_quality, mode), arguments.gensim_quality.name
    for name in MEASURES:
        values = [score[name] for score in scores if score[name] is not None]
        row[name] = round(statistics.mean(values), 2) if values else ""
        row[f"{name}_sd"] = round(statistics.stdev(values), 2) if len(values) > 1 else ""
    row |= {"quality_seeds": len(scores), "quality_from": source}
    row["parity_error"] = f"{arguments.parity[trainer, mode]:.1e}" if trainer != GENSIM else ""
    row["machine"] = machine.processor()
    row["versions"] = (
        " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch", "gensim"))
        + f" python {platform.python_version()}"
    )
    row |= machine.identity()
    row["device"] = settings.get("device", "cpu")
    row["sgemm_gflops"] = round(arguments.sgemm_gflops, 1)
    row["bfloat16_gflops"] = "" if arguments.bfloat16_gflops is None else round(arguments.bfloat16_gflops, 1)
    visited = [(run["account"], trainers.epochs_visited(run["account"])) for run in runs]
    pairs = [account["pairs"] / epochs for account, epochs in visited if account.get("pairs") is not None]
    row["pairs_per_epoch"] = round(statistics.median(pairs)) if pairs else ""
    row["trained_per_epoch"] = round(
        statistics.median(account["tokens"]["trained"] / epochs for account, epochs in visited)
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
    """Add to each row of one mode what it says only beside the others of the same run; empty where these are missing.

    How it stands against gensim with as many workers and against itself with one, and the share of the sgemm peak that
    its useful operations reach.
    """

    def against(row: dict[str, Any], name: str, **other: Any) -> float | str:
        same = {"trainer": row["trainer"], "workers": row["workers"]} | other
        peer = next((peer for peer in rows if same.items() <= peer.items()), None)
        return "" if peer is None else round(row[name] / peer[name], 2)

    for row in rows:
        for name in ("words_per_cpu_second", "words_per_second"):
            row[f"{name}_against_gensim"] = against(row, name, trainer=GENSIM)
        row["words_per_second_against_one_worker"] = against(row, "words_per_second", workers=1)
    # gensim does not count its pairs: with the same settings it has as many as w2vfast
    pairs = next((row["pairs_per_epoch"] for row in rows if row["pairs_per_epoch"] != ""), None)
    for row in rows:
        useful = useful_gflops(row, pairs if row["pairs_per_epoch"] == "" else row["pairs_per_epoch"])
        row["gflops_per_cpu_second"] = "" if useful is None else round(useful, 2)
        row["share_of_sgemm"] = "" if useful is None else round(useful / row["sgemm_gflops"], 4)


def mean_negatives(settings: dict[str, Any]) -> float:
    """Return the mean N over a run."""
    early: float = settings["early_negatives"]
    return EARLY_SHARE * early + (1 - EARLY_SHARE) * settings["shared_negatives"]


def useful_gflops(row: dict[str, Any], pairs: float | None) -> float | None:
    """Return the useful GFLOP of a CPU second of training, of `pairs` an epoch; None for a GPU and without pairs.

    For gensim these are the operations that word2vec's definition needs: every pair, or CBOW's window, has negatives of
    its own. w2vfast's trained words have the N that their tile shares.
    """
    if pairs is None or row["device"] != "cpu":
        return None
    shared = pairs * row["negative"]
    if row["trainer"] != GENSIM:
        shared = row["trained_per_epoch"] * mean_negatives(row)
    an_epoch = machine.useful_operations(row["vector_size"], pairs, shared)
    return an_epoch / row["raw_words"] * float(row["words_per_cpu_second"]) / 1e9


def report(rows: list[dict[str, Any]]) -> None:
    """Print the rows of one mode."""
    for row in rows:
        scores = "  ".join(f"{name} {row[name]} +- {row[f'{name}_sd']}" for name in MEASURES)
        share = f", {100 * row['share_of_sgemm']:.0f} % of the sgemm peak" if row["share_of_sgemm"] != "" else ""
        memory = f", {row['peak_rss_mb']:.0f} MB" if row["peak_rss_mb"] != "" else ""
        print(
            f"{row['mode']:4} {row['trainer']:11} workers {row['workers']}: "
            f"{row['words_per_cpu_second'] / 1e6:6.3f} M words/CPU s{share}; against gensim on this {row['machine']} "
            f"{row['words_per_cpu_second_against_gensim']}x a CPU second, {row['words_per_second_against_gensim']}x by "
            f"the clock; {row['words_per_second_against_one_worker']}x one worker; whole command "
            f"{row['total_seconds']} s{memory}  {scores}",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("benchmarks/speed.py", partial(_main, sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--trainers", nargs="+", help="gensim, native, native-fast, torch, ... (default: all)")
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--workers", dest="numbers_of_workers", type=int, nargs="+", default=[1], metavar="INT")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, with seeds 1, 2, 3, ...")
    add_options(parser, (*OPTIONS, *OWN_OPTIONS))
    parser.add_argument("--gensim-epochs", type=int, help="time gensim on fewer epochs")
    parser.add_argument("--gensim-quality", type=Path, help="CSV with gensim's quality at these settings")
    parser.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    arguments = parser.parse_args(argv)
    config = config_of(arguments)
    arguments.settings = {name: getattr(config, name) for name in (*OPTIONS, *OWN_OPTIONS)}
    arguments.settings["negative"] = config.negatives
    available = [name for name in backends.NAMES if backends.unavailable_reason(name) is None]
    fast = [f"{name}{FAST}" for name in available if name == "native"]
    names = arguments.trainers or [GENSIM, *available, *fast]
    arguments.parity = {}
    for trainer in names:
        for mode in arguments.modes:
            if trainer != GENSIM:
                backend = backend_of(trainer)
                error = parity.largest_error(backend, "cuda" if backend == "triton" else "cpu", mode)
                if not error <= parity.largest_allowed(backend):
                    raise SystemExit(
                        f"{trainer} {mode} differs from the reference by {error:.1e}: no speed is reported"
                    )
                arguments.parity[trainer, mode] = error
    arguments.sgemm_gflops, arguments.bfloat16_gflops = machine.sgemm_peak(), machine.bfloat16_peak()
    for mode in arguments.modes:
        cases = [(trainer, workers) for workers in arguments.numbers_of_workers for trainer in names]
        runs: dict[tuple[str, int], list[Any]] = {case: [] for case in cases}
        for seed in range(1, arguments.runs + 1):
            for trainer, workers in cases:
                runs[trainer, workers].append(measure(trainer, arguments, mode, workers, seed))
        rows = [summarise(trainer, arguments, mode, workers, runs[trainer, workers]) for trainer, workers in cases]
        compare(rows)
        for row in rows:
            append(arguments.csv, row)
        report(rows)


if __name__ == "__main__":
    sys.exit(main())
