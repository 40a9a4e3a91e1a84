"""What training for few bytes gains over making vectors smaller afterwards.

    python benchmarks/smaller_trained.py corpus.txt --cases bits-800 --seeds 3      adds rows to smaller_trained.csv

Each case is some trainings on one corpus, whose rows stand beside each other; bytes are those of a word's row, without
what rows share but for `buckets`, where they are all bytes by the number of words. There a word of the text that a
vocabulary lacks has a direction by chance, so that all are asked the same.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2vfast.compress import compress
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus
from w2vfast.eval.quality import MEASURES, quality
from w2vfast.trainer import TrainResult, scan_files, train_corpus
from w2vfast.vectors import Vectors, collect

CSV = Path(__file__).parent / "smaller_trained.csv"
COLUMNS = ["corpus", "words", "seed", "mode", "what", "vector_size", "alpha", "bytes", *MEASURES]
BITS_ALPHA = 0.05
BUCKETS = 20_000


@dataclass(frozen=True)
class Trainings:
    """Trains on a corpus with one seed, as often as a case asks for."""

    corpus: EncodedCorpus
    path: str
    common: dict[str, Any]
    teacher: str

    def __call__(self, **settings: Any) -> TrainResult:
        """Train; a smaller vocabulary is scanned anew."""
        config = Config(**self.common | settings)
        if config.max_final_vocab is None:
            return train_corpus(self.corpus, config)
        with scan_files([self.path], config) as corpus:
            return train_corpus(corpus, config)

    def with_all_words(self, vectors: Vectors) -> Vectors:
        """Return vectors of all of the text's words, directions by chance for those that are not there."""
        words = self.corpus.vocab.words
        rows = np.random.default_rng(1).normal(size=(len(words), vectors.shape[1])).astype(np.float32)
        row_of = {word: row for row, word in enumerate(vectors.words)}
        found = [i for i, word in enumerate(words) if word in row_of]
        rows[found] = vectors.vectors[[row_of[words[i]] for i in found]]
        return Vectors(words, rows, self.corpus.vocab.counts)


Row = tuple[str, int, float, float, Vectors]  # what, D, alpha, bytes a word, the vectors


def bits(train: Trainings, D: int) -> Iterator[Row]:
    """Signs taken afterwards, and one bit trained, at D dimensions."""
    plain = train(vector_size=D)
    yield "float32", D, 0.025, 4 * D, plain.vectors
    yield "signs afterwards", D, 0.025, D / 8, collect(compress(plain.vectors, "binary")[0].stream())
    yield "1 bit trained", D, BITS_ALPHA, D / 8, train(vector_size=D, bits=1, alpha=BITS_ALPHA).vectors


def equal_quality(train: Trainings) -> Iterator[Row]:
    """One bit at D = 800 beside float32 at D = 100: a quarter of the bytes."""
    yield "float32", 100, 0.025, 400, train(vector_size=100).vectors
    yield "1 bit trained", 800, BITS_ALPHA, 100, train(vector_size=800, bits=1, alpha=BITS_ALPHA).vectors


def two_bits(train: Trainings, D: int) -> Iterator[Row]:
    """Two bits trained, and taken afterwards."""
    plain = train(vector_size=D).vectors
    yield "int2 afterwards", D, 0.025, D / 4 + 4, collect(compress(plain, "int2")[0].stream())
    yield "2 bits trained", D, 0.025, D / 4 + 4, train(vector_size=D, bits=2).vectors


def buckets(train: Trainings, D: int) -> Iterator[Row]:
    """Rows that words share, and a smaller vocabulary of as many bytes: a shared row's number takes 4 a word."""
    V = len(train.corpus.vocab)
    size = 4 * (BUCKETS * D + V)
    words = size // (4 * D)
    yield "a row a word", D, 0.025, 4 * D, train(vector_size=D).vectors
    yield f"{BUCKETS:,} buckets", D, 0.025, size / V, train(vector_size=D, buckets=BUCKETS).vectors
    few = train.with_all_words(train(vector_size=D, max_final_vocab=words).vectors)
    yield f"{words:,} words", D, 0.025, size / V, few


def distilled(train: Trainings, D: int, alpha: float) -> Iterator[Row]:
    """Plain, and from a teacher of D = 300, the same one for every seed."""
    if not Path(train.teacher).exists():
        train(vector_size=300, seed=1).save_model(train.teacher)
    yield "plain", D, alpha, 4 * D, train(vector_size=D, alpha=alpha).vectors
    yield "distilled", D, alpha, 4 * D, train(vector_size=D, alpha=alpha, teacher=(train.teacher,)).vectors


CASES: dict[str, Callable[[Trainings], Iterator[Row]]] = {
    "bits-200": lambda train: bits(train, 200),
    "bits-800": equal_quality,
    "2-bits-200": lambda train: two_bits(train, 200),
    "buckets-100": lambda train: buckets(train, 100),
    "distilled-50": lambda train: distilled(train, 50, 0.025),
    "distilled-50-faster": lambda train: distilled(train, 50, 0.05),
}


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--mode", choices=("sg", "cbow"), default="sg")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--teacher", default="teacher.safetensors", help="model to be distilled; made if not there")
    options = parser.parse_args(argv)
    common = {"mode": options.mode, "workers": options.workers}
    new = not options.csv.exists()
    with scan_files([options.corpus], Config(**common)) as corpus, options.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for seed in options.seeds:
            train = Trainings(corpus, options.corpus, common | {"seed": seed}, options.teacher)
            for case in options.cases:
                for what, D, alpha, size, vectors in CASES[case](train):
                    row: dict[str, Any] = {"corpus": Path(options.corpus).name, "words": corpus.ledger.read}
                    row |= {"seed": seed, "mode": options.mode, "what": what, "vector_size": D, "alpha": alpha}
                    scores = {name: round(score, 2) for name, score in quality(vectors).items() if score is not None}
                    writer.writerow(row | {"bytes": round(size, 2)} | scores)
                    file.flush()
                    print(row | scores, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
