"""The models that a run learns from beside its text (`--teacher`): checked, read, and in the order of its words."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2vfast import memory, model_file
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels.contract import TAUGHT
from w2vfast.kernels.teacher import Teacher


def check(config: Config) -> None:
    """Find out before the work that a teacher cannot be read, or is none for this config (InputError)."""
    for path in config.teacher or ():
        objective, settings = model_file.about(path)
        if objective != TAUGHT:
            raise InputError(
                f"{path}: a teacher's scores must be log odds against the noise, which {objective} does not learn: "
                f"train the teacher with --objective {TAUGHT}"
            )
        names = ("mode", "cbow_mean") if config.mode == "cbow" else ("mode",)
        for name in names:
            if settings[name] != getattr(config, name):
                raise InputError(
                    f"{path}: a teacher scores what this run scores: it was trained with {name} {settings[name]}, this "
                    f"run has {getattr(config, name)}: give both the same"
                )


def read(config: Config, words: Sequence[str] | None) -> Teacher:
    """Return a config's teacher for these words. Raises InputError for files that cannot be read and missing words."""
    if words is None:
        raise InputError("a teacher is asked by the words: train by the command or train_files")
    paths = config.teacher or ()
    for path in paths:
        needed = 2 * os.path.getsize(path)  # as it is read, and in the order of the words
        memory.require({f"to read {path}": needed}, "give fewer or smaller teachers, or more memory")
    models, known = [], np.ones(len(words), np.bool_)
    for path in paths:
        model = model_file.load(path)
        row_of = {word: row for row, word in enumerate(model.words)}
        rows = np.array([row_of.get(word, -1) for word in words])
        known &= rows >= 0
        models.append((_in_order(model.w_in, rows), _in_order(model.w_out, rows)))
        lacks = int((rows < 0).sum())
        if lacks and not config.teacher_partial:
            first = words[int(np.argmin(rows))]
            raise InputError(
                f"{path}: has no {lacks:,} of the vocabulary's {len(words):,} words (first: {first!r}): train the "
                "teacher on this text, give --read-vocab its words, or --teacher-partial to learn theirs from the text"
            )
    if not known.any():
        raise InputError("the teachers have no word of the vocabulary in common: give models of this text's language")
    return Teacher(tuple(models), known, config.teacher_weight, config.teacher_temperature)


def digest(teacher: Teacher) -> str:
    """Return by what a teacher is known again, whatever its files are called."""
    found = hashlib.sha256(np.packbits(teacher.known).data)
    for model in teacher.models:
        for table in model:
            found.update(str(table.shape).encode())
            found.update(table.data)
    return found.hexdigest()


def _in_order(table: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return these rows of a table, row 0 for -1, which is not used; the table itself if it is in order."""
    if np.array_equal(rows, np.arange(len(table))):
        return table
    return np.ascontiguousarray(table[np.maximum(rows, 0)])
