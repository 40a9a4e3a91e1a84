"""Values of one option in turn: speed and quality, one row a run.

    python benchmarks/option.py corpus.txt early_negatives 32 16 --seeds 5
    python benchmarks/option.py corpus.txt precision float32 bfloat16 --seeds 3 --set vector_size=300
    python benchmarks/option.py corpus.txt backend gensim native --set objective=hierarchical-softmax epochs=1

Each run is a process of its own, with one worker. `against_first` are its words a CPU second over those of the first
value's run with the same seed, just before.
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

DEFAULT_CSV = Path(__file__).with_name("options.csv")
NAMES = ("mode", "vector_size", "window", "negative", "alpha", "epochs", "workers", "seed", "precision", "tile")
NAMES += ("shared_negatives", "early_negatives", "objective")


def parsed(value: str) -> Any:
    """Return a setting's value as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def measure(corpus: Path, backend: str, option: str, value: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one run; its ratio is empty."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "vectors.bin"
        account, figures = trainers.run(backend, corpus, out, settings | {option: value})
        scores = quality(formats.load_vectors(out))
    return {
        "date": datetime.date.today().isoformat(),
        "corpus": corpus.name,
        "raw_words": account["tokens"]["read"],
        "backend": backend,
        "option": option,
        "value": value,
        **{name: account["settings"].get(name, "") for name in NAMES},  # gensim has not all
        "words_per_cpu_second": round(figures.words_per_cpu_second),
        "against_first": "",
        "loss": round(account["loss_per_epoch"][-1], 5) if account["loss_per_epoch"] else "",
        **{name: "" if scores[name] is None else round(scores[name], 2) for name in MEASURES},
        "machine": machine.processor(),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; arguments default to the command line's."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("option", help="an option of w2vfast.train, as --json names it")
    parser.add_argument("values", nargs="+", type=parsed)
    parser.add_argument("--backend", default="native")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other options of all runs")
    parser.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    arguments = parser.parse_args(argv)
    common = {name: parsed(value) for name, _, value in (each.partition("=") for each in arguments.set)}
    for seed in range(1, arguments.seeds + 1):
        first: dict[str, Any] | None = None
        for value in arguments.values:
            settings = {"mode": "sg", "workers": 1, "epochs": 5} | common | {"seed": seed}
            backend = value if arguments.option == "backend" else arguments.backend
            row = measure(arguments.corpus, backend, arguments.option, value, settings)
            first = first or row
            row["against_first"] = round(row["words_per_cpu_second"] / first["words_per_cpu_second"], 3)
            append(arguments.csv, row)
            print(" ".join(f"{name}={value}" for name, value in row.items() if value != ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
