"""The vectors that von-mises-fisher predicts: a file's, for the words of a vocabulary, as directions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.formats import open_vectors


def check(path: str, vector_size: int) -> None:
    """Find out before the work that a file of vectors cannot be read or is of another dimension (InputError)."""
    with open_vectors(path) as stream:
        _check_size(path, stream.vector_size, vector_size)


def read(path: str, words: Sequence[str], vector_size: int) -> NDArray[np.float32]:
    """Return a file's vectors of these words, scaled to length 1, float32 [V, D].

    Raises InputError for a file that cannot be read, another dimension, missing words, and vectors of length 0.
    """
    row_of = {word: row for row, word in enumerate(words)}
    found = np.zeros((len(words), vector_size), np.float32)
    missing = np.ones(len(words), bool)
    with open_vectors(path) as stream:
        _check_size(path, stream.vector_size, vector_size)
        for block_words, block in stream.blocks:
            places = [(row_of[word], i) for i, word in enumerate(block_words) if word in row_of]
            if places:
                rows, of_block = np.array(places).T
                found[rows], missing[rows] = block[of_block], False
    _refuse(
        path, "has no vector for", words, missing, "train the targets on this text, or give --read-vocab their words"
    )
    length = np.linalg.norm(found.astype(np.float64), axis=1, keepdims=True)
    _refuse(
        path, "has a vector of zeros, without a direction, for", words, length[:, 0] == 0, "mend or replace the file"
    )
    unit: NDArray[np.float32] = (found / length).astype(np.float32)
    return unit


def _check_size(path: str, size: int, wanted: int) -> None:
    if size != wanted:
        raise InputError(
            f"{path}: targets of {size} dimensions do not go with vector_size {wanted}: give --vector-size {size}"
        )


def _refuse(path: str, what: str, words: Sequence[str], bad: NDArray[np.bool_], remedy: str) -> None:
    if bad.any():
        first = words[int(np.argmax(bad))]
        raise InputError(
            f"{path}: {what} {int(bad.sum()):,} of the vocabulary's {len(words):,} words (first: {first!r}): {remedy}"
        )
