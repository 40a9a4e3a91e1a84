"""The three numbers that this project compares trainers by."""

from w2vfast.errors import InputError
from w2vfast.eval.analogy import evaluate_analogies
from w2vfast.eval.datasets import lengths
from w2vfast.eval.similarity import evaluate_similarity
from w2vfast.formats import Vectors

ANALOGY_VOCABULARY = 30_000
# What people call the measures: Spearman x 100 on two sets of word pairs, and % right of the analogies.
SIMILARITY = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999"}
MEASURES = SIMILARITY | {"analogy_30k": "analogies"}


def quality(vectors: Vectors) -> dict[str, float | None]:
    """Return the MEASURES: wordsim353 and simlex999 (Spearman x 100) and analogy_30k (%, of the questions used).

    The analogies are Google's within the 30,000 most frequent words, by 3CosAdd: the conventions of gensim's own
    evaluation. A measure without a usable pair or question is None. Raises InputError where none of the three can be
    taken, or a vector has no direction.
    """
    lengths(vectors)  # a fault in the vectors is not the same as a data set in another language
    results: dict[str, float | None] = dict.fromkeys(MEASURES)
    faults = []
    for name in SIMILARITY:
        try:
            results[name] = 100 * evaluate_similarity(vectors, name, resamples=0).spearman
        except InputError as error:
            faults.append(str(error))
    try:
        analogies = evaluate_analogies(vectors, restrict_vocab=ANALOGY_VOCABULARY, methods=("3cosadd",))
        results["analogy_30k"] = 100 * analogies.total.accuracy("3cosadd")
    except InputError as error:
        faults.append(str(error))
    if len(faults) == len(results):
        raise InputError(f"no quality can be measured: {'; '.join(faults)}")
    return results
