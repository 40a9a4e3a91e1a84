"""The three numbers that this project compares trainers by."""

from w2vfast.errors import InputError
from w2vfast.eval.analogy import evaluate_analogies
from w2vfast.eval.datasets import lengths
from w2vfast.eval.similarity import evaluate_similarity
from w2vfast.formats import Vectors

ANALOGY_VOCABULARY = 30_000


def quality(vectors: Vectors) -> dict[str, float | None]:
    """Return wordsim353 and simlex999 (Spearman x 100) and analogy_30k (%, of the questions used).

    The analogies are Google's within the 30,000 most frequent words, by 3CosAdd: the conventions of gensim's own
    evaluation. A measure without a usable pair or question is None. Raises InputError where none of the three can be
    taken, or a vector has no direction.
    """
    lengths(vectors)  # a fault in the vectors is not the same as a data set in another language
    results: dict[str, float | None] = {"wordsim353": None, "simlex999": None, "analogy_30k": None}
    faults = []
    for name in ("wordsim353", "simlex999"):
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
