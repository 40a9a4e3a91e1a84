"""Deterministic runs beside runs of the default mode: speed and quality, one row a run.

    python benchmarks/deterministic.py corpus.txt --workers 2 --seeds 3 --epochs 1       speed
    python benchmarks/deterministic.py corpus.txt --workers 1 --seeds 3 --kinds deterministic --quality

Both kinds take turns, each run in a process of its own. `against_default` are the row's words a CPU second, and by the
clock, over those of the default mode's run just before. A deterministic run's vectors do not depend on its workers.
"""

import argparse
import datetime
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
from speed import append

from w2vfast import formats
from w2vfast.eval import trainers
from w2vfast.eval.quality import MEASURES, quality

DEFAULT_CSV = Path(__file__).with_name("deterministic.csv")
KINDS = ("default", "deterministic")


def measure(arguments: argparse.Namespace, mode: str, kind: str, seed: int) -> dict[str, Any]:
    """Return the row of one run; its ratios are empty."""
    settings = {"mode": mode, "workers": arguments.workers, "seed": seed, "epochs": arguments.epochs}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "vectors.bin"
        account, figures = trainers.run(
            "native", arguments.corpus, out, settings | {"deterministic": kind == "deterministic"}
        )
        scores = quality(formats.load_vectors(out)) if arguments.quality else dict.fromkeys(MEASURES, "")
    names = ("mode", "deterministic", "seed", "workers", "epochs", "vector_size", "tile", "tokens_in_flight")
    return {
        "date": datetime.date.today().isoformat(),
        "corpus": arguments.corpus.name,
        "raw_words": account["tokens"]["read"],
        **{name: account["settings"][name] for name in names},
        "words_per_cpu_second": round(figures.words_per_cpu_second),
        "words_per_second": round(figures.words_per_second),
        "cpu_against_default": "",
        "clock_against_default": "",
        "loss": round(account["loss_per_epoch"][-1], 5),
        **{name: scores[name] for name in MEASURES},
        "machine": machine.processor(),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; arguments default to the command line's."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--quality", action="store_true", help="score the vectors")
    parser.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    arguments = parser.parse_args(argv)
    for seed in range(1, arguments.seeds + 1):
        for mode in arguments.modes:
            before: dict[str, Any] | None = None
            for kind in arguments.kinds:
                row = measure(arguments, mode, kind, seed)
                if before is not None:
                    row["cpu_against_default"] = round(row["words_per_cpu_second"] / before["words_per_cpu_second"], 3)
                    row["clock_against_default"] = round(row["words_per_second"] / before["words_per_second"], 3)
                before = row
                append(arguments.csv, row)
                print(" ".join(f"{name}={value}" for name, value in row.items() if value != ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
