"""One number for a set of vectors: what `--eval-every` follows while training."""

from collections.abc import Callable
from pathlib import Path

from w2vfast.errors import InputError
from w2vfast.eval.analogy import evaluate_analogies
from w2vfast.eval.datasets import dataset_path, read_pairs, read_questions
from w2vfast.eval.quality import ANALOGY_VOCABULARY
from w2vfast.eval.similarity import evaluate_similarity
from w2vfast.formats import Vectors


def scorer(dataset: str) -> Callable[[Vectors], float]:
    """Return a function that scores vectors on a set, higher is better.

    `dataset` is a built-in name (wordsim353, simlex999, questions-words) or a file in one of their formats. Word pairs
    give Spearman's correlation x 100, analogies the percentage right of those within the 30,000 most frequent words.
    The file is read at once, so a fault in it raises InputError before any training.
    """
    path = dataset_path(dataset)
    if _asks_analogies(path):
        if not read_questions(path):
            raise InputError(f"{path}: no questions")
        return lambda vectors: (
            100
            * evaluate_analogies(vectors, path, restrict_vocab=ANALOGY_VOCABULARY, methods=("3cosadd",)).total.accuracy(
                "3cosadd"
            )
        )
    read_pairs(path)
    return lambda vectors: 100 * evaluate_similarity(vectors, path, resamples=0).spearman


def _asks_analogies(path: Path) -> bool:
    """Tell a file of analogy questions (": section" or four words a line) from one of word pairs."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = (line.strip() for line in file)
            first = next((line for line in lines if line and not line.startswith("#")), "")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return first.startswith(":") or len(first.split()) == 4
