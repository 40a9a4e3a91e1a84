"""Evaluation of word vectors: similarity and analogy. Imported as `w2vfast.eval`."""
