"""Evaluation of word vectors: similarity, analogies, categories, and side by side with gensim.

Imported as `w2vfast.eval`; the command line is ``python -m w2vfast.eval``.
"""

from w2vfast.eval.analogy import AnalogyResult, evaluate_analogies
from w2vfast.eval.quality import quality
from w2vfast.eval.similarity import SimilarityResult, evaluate_similarity

__all__ = ["AnalogyResult", "SimilarityResult", "evaluate_analogies", "evaluate_similarity", "quality"]
