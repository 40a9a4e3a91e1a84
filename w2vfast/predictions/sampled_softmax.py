"""The sampled softmax's distribution: the whole softmax, which its normalisers estimate."""

from w2vfast.predictions.softmax import PROBABILITIES, scores

__all__ = ["PROBABILITIES", "scores"]
