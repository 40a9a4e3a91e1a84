"""What training for few bytes gains over making vectors smaller afterwards.

    python benchmarks/smaller_trained.py corpus.txt --cases bits-800 --seeds 3      adds rows to smaller_trained.csv

Each case is some trainings on one corpus, whose rows stand beside each other; bytes are those of a word's row, without
what rows share.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from w2vfast.compress import compress
from w2vfast.config import Config
from w2vfast.eval.quality import MEASURES, quality
from w2vfast.trainer import TrainResult, scan_files, train_corpus
from w2vfast.vectors import Vectors, collect

CSV = Path(__file__).parent / "smaller_trained.csv"
COLUMNS = ["corpus", "words", "seed", "mode", "what", "vector_size", "alpha", "bytes", *MEASURES]
Row = tuple[str, int, float, float, Vectors]  # what, D, alpha, bytes a word, the vectors


def bits(train: Any, D: int) -> Iterator[Row]:
    """Signs taken afterwards, and one bit trained, at D dimensions."""
    plain = train(vector_size=D)
    yield "float32", D, 0.025, 4 * D, plain.vectors
    yield "signs afterwards", D, 0.025, D / 8, collect(compress(plain.vectors, "binary")[0].stream())
    yield "1 bit trained", D, 0.05, D / 8, train(vector_size=D, bits=1, alpha=0.05).vectors


def equal_quality(train: Any) -> Iterator[Row]:
    """One bit at D = 800 beside float32 at D = 100: a quarter of the bytes."""
    yield "float32", 100, 0.025, 400, train(vector_size=100).vectors
    yield "1 bit trained", 800, 0.05, 100, train(vector_size=800, bits=1, alpha=0.05).vectors


def two_bits(train: Any, D: int) -> Iterator[Row]:
    """Two bits trained, and taken afterwards."""
    plain = train(vector_size=D).vectors
    yield "int2 afterwards", D, 0.025, D / 4 + 4, collect(compress(plain, "int2")[0].stream())
    yield "2 bits trained", D, 0.025, D / 4 + 4, train(vector_size=D, bits=2).vectors


CASES: dict[str, Any] = {
    "bits-200": lambda train: bits(train, 200),
    "bits-800": equal_quality,
    "2-bits-200": lambda train: two_bits(train, 200),
}


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mode", choices=("sg", "cbow"), default="sg")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(argv)
    common = {"mode": options.mode, "workers": options.workers}
    new = not CSV.exists()
    with scan_files([options.corpus], Config(**common)) as corpus, CSV.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for seed in range(1, options.seeds + 1):

            def train(seed: int = seed, **settings: Any) -> TrainResult:
                return train_corpus(corpus, Config(seed=seed, **common, **settings))

            for case in options.cases:
                for what, D, alpha, size, vectors in CASES[case](train):
                    row: dict[str, Any] = {"corpus": Path(options.corpus).name, "words": corpus.ledger.read}
                    row |= {"seed": seed, "mode": options.mode, "what": what, "vector_size": D, "alpha": alpha}
                    scores = {name: round(score, 2) for name, score in quality(vectors).items() if score is not None}
                    writer.writerow(row | {"bytes": size} | scores)
                    file.flush()
                    print(row | scores, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
