"""The vocabulary: which types are kept, in which order, and 'word count' files."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError, TooFewWordsError
from w2vfast.files import atomic_path

_MAX_COUNT = 2**63 - 1


@dataclass(frozen=True)
class Vocab:
    """The words that vectors are trained for, most frequent first; among equals the one first seen later comes first.

    This is the order of gensim 4.4's `index_to_key`. `counts` is int64 [V].
    """

    words: list[str]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.counts):
            raise ValueError(f"{len(self.words)} words but {len(self.counts)} counts")

    def __len__(self) -> int:
        return len(self.words)


def select_types(
    counts: NDArray[np.int64], *, min_count: int, max_final_vocab: int | None, fixed_order: bool = False
) -> NDArray[np.int64]:
    """Return the indices of the types to keep, in vocabulary order; `counts` are in the order of first sight.

    A type is kept if it occurs at least `min_count` times. If that leaves more than `max_final_vocab` types, the
    threshold rises above the count of the first type too many, so all types of that count go (as in gensim).
    With `fixed_order` the kept types stay in the order given. A type of count 0 is never kept.
    Raises TooFewWordsError if fewer than two types are left.
    """
    present = counts[counts > 0]
    threshold = max(min_count, 1)
    if max_final_vocab is not None and max_final_vocab < len(present):
        first_too_many = len(present) - 1 - max_final_vocab
        threshold = max(threshold, int(np.partition(present, first_too_many)[first_too_many]) + 1)
    kept = np.flatnonzero(counts >= threshold)
    if len(kept) < 2:
        raise TooFewWordsError(_too_few(present, len(kept), min_count, threshold))
    if fixed_order:
        return kept
    return kept[np.lexsort((-kept, -counts[kept]))]


def _too_few(present: NDArray[np.int64], kept: int, min_count: int, threshold: int) -> str:
    if not len(present):
        return "the text has no words; at least two different ones are needed"
    seen = (
        f"{int(present.sum()):,} words, {len(present):,} of them different, "
        f"and the most frequent occurs {int(present.max()):,} times"
    )
    limit = f"min_count={min_count}"
    remedy = "lower min_count or give more text"
    if threshold > max(min_count, 1):
        limit = f"max_final_vocab (it keeps words that occur at least {threshold:,} times)"
        remedy = "raise max_final_vocab"
    if kept:
        return f"fewer than two words are left: only one reaches {limit}; the text has {seen}; {remedy}"
    return f"no word reaches {limit}: the text has {seen}; {remedy}"


def encode_words(words: Sequence[str]) -> list[bytes]:
    """Return the UTF-8 bytes of each word; InputError for one that could not stand in a text as one word."""
    encoded = []
    for word in words:
        try:
            raw = word.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"the word {word!r} cannot be written as UTF-8; remove it from the vocabulary") from error
        if raw.split() != [raw]:
            raise InputError(f"the word {word!r} holds white space or is empty; replace it (with '_', say) first")
        encoded.append(raw)
    return encoded


def save_vocab(vocab: Vocab, path: str | PathLike[str]) -> None:
    """Write `vocab` as UTF-8 lines 'word count', whole or not at all."""
    lines = [b"%b %d\n" % pair for pair in zip(encode_words(vocab.words), vocab.counts.tolist(), strict=True)]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(lines)


def read_vocab(path: str | PathLike[str]) -> Vocab:
    """Read lines 'word count' as `save_vocab` or word2vec.c wrote them.

    The words are sorted by falling count; words of equal count keep the file's order, so that a saved vocabulary comes
    back as it was. Raises InputError that names the line for a broken line, a count below 1 or a word met twice.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    lines_of: dict[str, int] = {}
    counts: list[int] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}, line {number}: {_shown(line)}"
        if len(fields) != 2:
            raise InputError(f"{where}: expected 'word count'; mend the line")
        try:
            word = fields[0].decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8; convert the file (with iconv, say)") from error
        if not fields[1].isdigit() or len(fields[1]) > 19 or not 0 < int(fields[1]) <= _MAX_COUNT:
            raise InputError(f"{where}: the count must be a whole number above 0; mend the line")
        if word in lines_of:
            raise InputError(f"{where}: the word stands in line {lines_of[word]} already; keep one of the two")
        lines_of[word] = number
        counts.append(int(fields[1]))
    if not counts:
        raise InputError(f"the vocabulary {path} has no words; expected lines 'word count'")
    words = list(lines_of)
    array = np.array(counts, dtype=np.int64)
    order = np.argsort(-array, kind="stable")
    return Vocab([words[i] for i in order], array[order])


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").rstrip("\r")
    return repr(text if len(text) <= 60 else text[:60] + "…")
