"""Files that say which class each word is in, 'word class' a line, for class-softmax."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError

_SHOWN = 5  # words that a message names


def read(path: str) -> dict[str, str]:
    """Return the class of each word of a file; classes are named by anything without white space.

    Raises InputError for a file that cannot be read, a line that is not 'word class', or words that stand there twice.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise InputError(f"cannot read the classes {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason}); convert it (with iconv, say)") from error
    class_of: dict[str, str] = {}
    repeated = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        fields = line.encode().split()  # at ASCII white space, as text is
        if not fields:
            continue
        if len(fields) != 2:
            raise InputError(f"{path}, line {number}: expected 'word class'; mend the line")
        word, name = fields[0].decode(), fields[1].decode()
        if word in class_of:
            repeated.append(word)
        class_of[word] = name
    if repeated:
        raise InputError(f"{path}: {_named(repeated)} more than once; keep one line for each word")
    return class_of


def number(path: str, words: Sequence[str]) -> NDArray[np.int32]:
    """Return the number of each word's class, int32 [V], from 0 in the order of the classes' first words.

    Raises InputError, which names them and counts them, for words of the file that are not in the vocabulary and words
    of the vocabulary that are not in the file, and whatever `read` raises.
    """
    class_of = read(path)
    known = set(words)
    missing = [word for word in words if word not in class_of]
    unknown = [word for word in class_of if word not in known]
    wrong = []
    if missing:
        wrong.append(f"{_named(missing)} missing: give each word of the vocabulary a class")
    if unknown:
        wrong.append(f"{_named(unknown)} not in the vocabulary: remove the lines (or lower min_count)")
    if wrong:
        raise InputError(f"{path} does not fit the vocabulary of {len(words):,} words; {'; '.join(wrong)}")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(class_of[word], len(numbers)) for word in words], np.int32)


def _named(words: list[str]) -> str:
    """Return how many words, the first of them, and the verb."""
    shown = ", ".join(words[:_SHOWN]) + (", ..." if len(words) > _SHOWN else "")
    return f"{len(words):,} word{'s' * (len(words) > 1)} ({shown}) {'are' if len(words) > 1 else 'is'}"
