"""Word vectors from real text: gensim's way of working, with one import changed.

    python examples/real_text.py

The text is a sample of the English Wikipedia (106 articles, 453 thousand words) that ships inside gensim's wheel.
"""

import argparse
import logging
import tempfile
from pathlib import Path

import gensim
from gensim.corpora import WikiCorpus
from gensim.test.utils import datapath

from w2vfast import Word2Vec  # instead of: from gensim.models import Word2Vec

SAMPLE = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"


def main() -> None:
    """Read, train, ask, evaluate, save, load in plain gensim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    logging.getLogger("gensim.corpora.wikicorpus").setLevel(logging.ERROR)  # it warns that so few articles are odd
    sentences = list(WikiCorpus(datapath(SAMPLE), dictionary={}).get_texts())
    print(f"{len(sentences)} articles, {sum(map(len, sentences)):,} words")

    model = Word2Vec(vector_size=100, window=5, sg=1, min_count=5, workers=arguments.workers, seed=1)
    model.build_vocab(sentences)
    trained, read = model.train(sentences, total_examples=model.corpus_count, epochs=arguments.epochs)
    print(f"{len(model.wv):,} words in the vocabulary; {trained:,} of {read:,} words read were trained on")

    for word in ("music", "war", "river", "computer"):
        found = ", ".join(f"{other} {cosine:.2f}" for other, cosine in model.wv.most_similar(word, topn=5))
        print(f"  {word:9} {found}")

    _, spearman, unknown = model.wv.evaluate_word_pairs(datapath("wordsim353.tsv"))
    print(f"WordSim-353: Spearman {100 * spearman[0]:.1f}, {unknown:.0f} % of its pairs are not in the vocabulary")
    accuracy, _ = model.wv.evaluate_word_analogies(datapath("questions-words.txt"))
    print(f"Google's analogies: {100 * accuracy:.1f} % right of those whose words are known")

    with tempfile.TemporaryDirectory() as folder:
        # as gensim's own class: whoever loads it needs no w2vfast
        path = str(Path(folder) / "wiki.model")
        model.to_gensim().save(path)
        plain = gensim.models.Word2Vec.load(path)
        assert type(plain) is gensim.models.Word2Vec
        assert (plain.wv.vectors == model.wv.vectors).all()
        print(f"loaded by gensim {gensim.__version__}: {plain}")
        plain.train(sentences[:5], total_examples=5, epochs=1)
        print("and trained on there")


if __name__ == "__main__":
    main()
