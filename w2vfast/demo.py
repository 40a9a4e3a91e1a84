"""The demo: the Wikipedia sample that ships inside gensim's wheel, and what to look at once it is learnt."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

from w2vfast.formats import Vectors
from w2vfast.optional import require_gensim

# The sample has 453 thousand words: enough passes for sensible neighbours.
DEFAULTS: dict[str, Any] = {"epochs": 20, "sample": 1e-3, "min_count": 5}
WORDS = ("music", "war", "river", "king", "computer", "france", "philosophy", "animals")
NEIGHBOURS = 6


def articles() -> Iterator[list[str]]:
    """Yield the words of 106 articles, each one sentence. Raises InputError where gensim is missing."""
    require_gensim("--demo", instead="a text of your own")
    from gensim.corpora import WikiCorpus
    from gensim.test.utils import datapath

    logging.getLogger("gensim").setLevel(logging.ERROR)
    path = datapath("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2")
    print("reading 106 Wikipedia articles from gensim's wheel ...", file=sys.stderr)
    yield from WikiCorpus(path, dictionary={}).get_texts()


def neighbours(vectors: Vectors) -> str:
    """Return lines that show the nearest neighbours of some words."""
    from w2vfast.eval.neighbours import nearest

    known = set(vectors.words)
    lines = ["nearest neighbours (cosine):"]
    for word, found in nearest(vectors, [word for word in WORDS if word in known], topn=NEIGHBOURS).items():
        lines.append(f"  {word:12} " + ", ".join(f"{other} {cosine:.2f}" for other, cosine in found))
    return "\n".join(lines)
