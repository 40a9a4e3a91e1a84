"""gensim's KeyedVectors with its broken methods mended, for a model's `wv`."""

import copyreg
import os
from contextlib import ExitStack
from typing import Any

import numpy as np
from gensim.models.keyedvectors import KeyedVectors
from gensim.models.keyedvectors import logger as gensim_logger

from w2vfast.errors import InputError
from w2vfast.formats import open_vectors
from w2vfast.vectors import all_finite


class MendedVectors(KeyedVectors):  # type: ignore[misc]
    """A KeyedVectors whose `intersect_word2vec_format` works and whose analogies do not score 0 for want of words.

    It is pickled, saved and copied as gensim's own class, so that a file of it needs no w2vfast to be read.
    """

    vectors: Any
    vectors_lockf: Any

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Not __newobj__, which insists on the object's own class.
        return copyreg._reconstructor, (KeyedVectors, object, None), self.__dict__  # type: ignore[attr-defined]

    def intersect_word2vec_format(
        self,
        fname: str | os.PathLike[str],
        lockf: float = 0.0,
        binary: bool = False,
        encoding: str = "utf8",
        unicode_errors: str = "strict",
    ) -> None:
        """Take over the vectors of a word2vec file, text or binary, for the words of it that are keys here.

        Their entries of `vectors_lockf` become `lockf`: 0.0 freezes them, 1.0 lets them train on. Raises ValueError for
        another vector size, and InputError for a broken file.
        """
        factors = np.atleast_1d(np.asarray(self.vectors_lockf, np.float32))
        # gensim writes past the one entry that stands for all; resize repeats what there is, as its kernels read it.
        self.vectors_lockf = np.resize(factors, len(self))
        if encoding.lower().replace("-", "") not in ("utf8", "ascii"):
            raise ValueError(f"encoding {encoding!r} is not supported: convert {fname} to UTF-8 first")
        overlap = 0
        gensim_logger.info("loading projection weights from %s", fname)
        with ExitStack() as stack:
            stream = stack.enter_context(open_vectors(fname, format="binary" if binary else "text"))
            if stream.vector_size != self.vector_size:
                raise ValueError(
                    f"incompatible vector size {stream.vector_size} in file {fname}: this model's is {self.vector_size}"
                )
            if not self.vectors.flags.writeable:
                self.vectors = np.array(self.vectors)
            for words, vectors in stream.blocks:
                pairs = [(self.key_to_index[word], row) for row, word in enumerate(words) if word in self.key_to_index]
                if pairs:
                    index, rows = np.array(pairs).T
                    self.vectors[index] = vectors[rows]
                    self.vectors_lockf[index] = lockf
                    overlap += len(pairs)
        self.norms = None
        self.add_lifecycle_event(
            "intersect_word2vec_format", msg=f"merged {overlap} vectors into {self.vectors.shape} matrix from {fname}"
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save as gensim does. Raises InputError for vectors that hold NaN or infinity."""
        refuse_infinite(self.vectors)
        super().save(*args, **kwargs)

    def save_word2vec_format(self, *args: Any, **kwargs: Any) -> None:
        """Save as gensim does. Raises InputError for vectors that hold NaN or infinity."""
        refuse_infinite(self.vectors)
        super().save_word2vec_format(*args, **kwargs)

    def evaluate_word_analogies(self, analogies: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what gensim does. Raises ValueError where not one question could be asked, for which it says 0.0."""
        score, sections = super().evaluate_word_analogies(analogies, *args, **kwargs)
        if not any(section["correct"] or section["incorrect"] for section in sections):
            raise ValueError(
                f"no question of {analogies} has all its words among the {len(self):,} of the vocabulary: "
                "raise restrict_vocab, change case_insensitive, or take questions in the language of the vectors"
            )
        return score, sections


def refuse_infinite(*tables: Any) -> None:
    """Raise InputError if one of the tables, float32 [n, D], holds NaN or infinity."""
    if not all_finite(map(np.asarray, tables)):
        raise InputError("nothing is saved: the vectors hold NaN or infinity, so training diverged; lower alpha")


def mended(vectors: KeyedVectors) -> KeyedVectors:
    """Give gensim's own KeyedVectors this class; any other is left as it is."""
    if type(vectors) is KeyedVectors:
        vectors.__class__ = MendedVectors
    return vectors


def plain(vectors: KeyedVectors) -> KeyedVectors:
    """Return gensim's KeyedVectors with the same vectors, and dictionaries of its own."""
    copy = KeyedVectors.__new__(KeyedVectors if type(vectors) is MendedVectors else type(vectors))
    copy.__dict__.update(vectors.__dict__)
    copy.index_to_key, copy.key_to_index = list(vectors.index_to_key), dict(vectors.key_to_index)
    copy.expandos = {name: np.array(values) for name, values in vectors.expandos.items()}
    return copy
