"""Vectors that stand for trained ones in the tests of evaluation: right about many questions, wrong about many."""

from functools import cache

import numpy as np

from w2vfast.eval.datasets import data_path, read_pairs, read_questions
from w2vfast.formats import Vectors


@cache
def eval_vectors(size: int = 40) -> Vectors:
    """Return vectors of half of the words of the built-in sets, some in several cases, with words of no set.

    A question's pair differs by its section's direction, and similar words by less, under noise.
    """
    rng = np.random.default_rng(5)
    base: dict[str, np.ndarray] = {}
    for section in read_questions(data_path("questions-words.txt")):
        direction = rng.normal(size=size)
        for a, b in dict.fromkeys(pair for q in section.questions for pair in (q[:2], q[2:])):
            start = base.setdefault(a.lower(), rng.normal(size=size))
            base.setdefault(b.lower(), start + direction + 0.8 * rng.normal(size=size))
    for name in ("wordsim353.tsv", "simlex999.txt"):
        for a, b, score in read_pairs(data_path(name)):
            start = base.setdefault(a.lower(), rng.normal(size=size))
            base.setdefault(b.lower(), score / 10 * start + rng.normal(size=size))
    words = [word for word in base if rng.random() < 0.85]
    words += [f"filler{i}" for i in range(3000)]
    words += [word.title() for word in words[::9]] + [word.upper() for word in words[:600:3] if word.upper() != word]
    words = [words[i] for i in rng.permutation(len(words))]
    words = list(dict.fromkeys(words))
    near = [base.get(word.lower()) for word in words]
    rows = [rng.normal(size=size) if v is None else v + 0.2 * rng.normal(size=size) for v in near]
    lengths = rng.uniform(0.5, 4, (len(rows), 1))
    return Vectors(words, np.ascontiguousarray(np.array(rows) * lengths, dtype=np.float32))
