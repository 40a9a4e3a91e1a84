"""gensim's own format (.kv), a pickle of KeyedVectors, and vectors as such an object: the only files to need gensim."""

import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from w2vfast.errors import InputError
from w2vfast.files import PathLike, explained_writes, replace_together
from w2vfast.formats.words import encode
from w2vfast.optional import require_gensim
from w2vfast.vectors import Vectors, VectorStream, stream_of


def to_keyed_vectors(vectors: Vectors) -> Any:
    """Return a gensim KeyedVectors that shares the array, with the counts as its attribute "count".

    Raises InputError where gensim is missing.
    """
    require_gensim("a KeyedVectors")
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(vectors.vectors.shape[1])
    keyed.index_to_key = list(vectors.words)
    keyed.key_to_index = {word: i for i, word in enumerate(vectors.words)}
    keyed.next_index = len(vectors.words)
    keyed.vectors = vectors.vectors
    if vectors.counts is not None:
        keyed.expandos["count"] = vectors.counts
    return keyed


def from_keyed_vectors(keyed: Any) -> Vectors:
    """Return the words, vectors and (where present) counts of a gensim KeyedVectors."""
    counts = keyed.expandos.get("count")
    return Vectors(
        [str(word) for word in keyed.index_to_key],
        np.ascontiguousarray(keyed.vectors, dtype=np.float32),
        None if counts is None else np.asarray(counts).astype(np.int64),
    )


def open_file(path: PathLike, limit: int | None) -> VectorStream:
    """Return the first `limit` rows of a file that KeyedVectors.save, or a model's save, wrote.

    The array is mapped where gensim put it into a file of its own. Raises InputError for any other file, and where
    gensim is missing.
    """
    require_gensim(f"reading {path}", instead="a .bin of it")
    from gensim.models import KeyedVectors

    try:
        keyed = KeyedVectors.load(os.fspath(path), mmap="r")
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a file of gensim's KeyedVectors.save ({error})") from error
    keyed = getattr(keyed, "wv", keyed)
    if not isinstance(keyed, KeyedVectors):
        raise InputError(f"{path}: holds a {type(keyed).__name__}, not gensim's KeyedVectors")
    return stream_of(from_keyed_vectors(keyed), limit)


def write(vectors: Vectors, path: PathLike) -> None:
    """Save through gensim; large arrays lie in files of their own beside the main one, and all appear together."""
    encode(vectors.words)  # pickle would write a word that is no text, and no other program could read it
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a device or a pipe
        to_keyed_vectors(vectors).save(str(target), separately=[])
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        with explained_writes(path):
            to_keyed_vectors(vectors).save(str(folder / target.name))
            files = sorted(folder.iterdir(), reverse=True)  # the main one last
            replace_together({file: target.with_name(file.name) for file in files})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if len(files) == 1:
        target.with_name(target.name + ".vectors.npy").unlink(missing_ok=True)
