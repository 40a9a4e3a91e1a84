"""Gives each distinct word (type) an id as it comes, and counts it: the scanner's Python half.

`w2vfast._scanner.Scanner` is the same in C++. Ids are provisional, in the order of first sight.

With `max_types`, when a type not yet known arrives and there are `max_types` already, the rarest go first: all types
with a count of at most t, the smallest t that frees a quarter of the places. Their tokens become out of vocabulary; if
such a type comes again it is a new one, with a new id and a count from 0. Pinned types (a given vocabulary) take no
place and never go. The rule looks at nothing but the sequence of words, so it cannot depend on how text is cut.
"""

from collections.abc import Sequence
from itertools import chain
from typing import AnyStr, Generic

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.no_text import find_flaws
from w2vfast.tokens import SIGN, Ids

MAX_IDS = 2**31 - 1

Piece = tuple[Ids, bool, int]  # ids, whether a sentence ends before them, and the table they refer to
Packed = tuple[NDArray[np.uint8], NDArray[np.int64]]  # the bytes of words, one after another, and how long each is


class _NextId(dict[AnyStr, int]):
    """Gives every new key the next number."""

    def __missing__(self, key: AnyStr) -> int:
        self[key] = number = len(self)
        return number


class PythonInterner(Generic[AnyStr]):
    """Interns words of bytes (from text) or str (from lists of words); `pinned` ones have the ids 0, 1, 2..."""

    def __init__(self, pinned: Sequence[AnyStr], max_types: int | None) -> None:
        self._ids: _NextId[AnyStr] = _NextId(zip(pinned, range(len(pinned)), strict=True))
        self._pinned = len(pinned)
        self._max_types = max_types
        self._counts = np.zeros(max(1024, len(pinned)), dtype=np.int64)
        # With max_types: [id, count] of each living type, in the order of ids.
        self._living: dict[AnyStr, list[int]] = {word: [i, 0] for i, word in enumerate(pinned)} if max_types else {}
        self._types: list[AnyStr] = []
        self._dropped = np.zeros(3, dtype=np.int64)
        self.next_id = len(pinned)
        self.read = 0

    def add_block(self, block: bytes) -> list[Piece]:
        """Intern the words of a text cut at white space; a sentence ends at each newline."""
        return [self.add_sentences([line.split() for line in block.split(b"\n")], ended=False)]  # type: ignore[misc]

    def add_sentences(self, sentences: Sequence[Sequence[AnyStr]], *, ended: bool) -> Piece:
        """Intern the words of `sentences`; the last of them goes on in the next call unless `ended`."""
        lengths = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
        last = np.cumsum(lengths) - 1
        total = int(last[-1]) + 1 if len(last) else 0
        self.read += total
        words = chain.from_iterable(sentences)
        if self._max_types:
            ids = np.fromiter(map(self._bounded_id, words), dtype=np.int32, count=total)
        else:
            ids = np.fromiter(map(self._ids.__getitem__, words), dtype=np.int32, count=total)
            self._count(ids)
            self.next_id = len(self._ids)
        if self.next_id > MAX_IDS:
            raise InputError("the text has more than 2^31 - 1 different words: set max_vocab_size")
        if not ended:
            last = last[:-1]
        ids[last[last >= 0]] |= SIGN
        return ids, bool(len(last)) and int(last[0]) < 0, 0

    def _count(self, ids: Ids) -> None:
        counts = np.bincount(ids)
        if len(counts) > len(self._counts):
            self._counts = np.concatenate((self._counts, np.zeros(len(counts) * 2 - len(self._counts), np.int64)))
        self._counts[: len(counts)] += counts

    def _bounded_id(self, word: AnyStr) -> int:
        entry = self._living.get(word)
        if entry is None:
            if len(self._living) - self._pinned == self._max_types:
                self._drop_rare()
            self._living[word] = entry = [self.next_id, 0]
            self.next_id += 1
        entry[1] += 1
        return entry[0]

    def _drop_rare(self) -> None:
        entries = list(self._living.items())
        counts = np.fromiter((entry[1] for _, entry in entries[self._pinned :]), np.int64)
        quarter = (len(counts) - 1) // 4
        threshold = int(np.partition(counts, quarter)[quarter])
        rare = [(word, entry) for word, entry in entries[self._pinned :] if entry[1] <= threshold]
        for word, _ in rare:
            del self._living[word]
        self._dropped += _count_flawed([word for word, _ in rare], [entry[1] for _, entry in rare])[1]

    def renumber(self) -> Ids:
        """Number the living types 0, 1, 2... in their order; return the new id of each id so far, -1 for the dead."""
        table = np.full(self.next_id, -1, dtype=np.int32)
        for new, entry in enumerate(self._living.values()):
            table[entry[0]] = new
            entry[0] = new
        self.next_id = len(self._living)
        return table

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Ids], tuple[int, int, int]]:
        """End interning: return counts of the types, which of them are not UTF-8, and for each table id -> type.

        The last three numbers are how many words are not UTF-8, are binary and are foreign (no_text.py), those of types
        dropped on the way too.
        """
        if self._max_types:
            table = self.renumber()
            self._counts = np.fromiter((entry[1] for entry in self._living.values()), np.int64)
            self._ids = _NextId((word, entry[0]) for word, entry in self._living.items())
        else:
            table = np.arange(len(self._ids), dtype=np.int32)
            self._counts = self._counts[: len(self._ids)]
        self._types = list(self._ids)
        undecodable, flawed = _count_flawed(self._types, self._counts.tolist())
        total, binary, foreign = (self._dropped + flawed).tolist()
        return self._counts, np.array(undecodable, dtype=np.int64), [table], (total, binary, foreign)

    def words(self, types: NDArray[np.int64]) -> list[AnyStr]:
        """Return the words of the given type numbers."""
        return [self._types[i] for i in types.tolist()]

    def texts(self, types: NDArray[np.int64]) -> list[str]:
        """Return the words of the given type numbers as str, with replacement characters for what is not UTF-8."""
        return [word if isinstance(word, str) else word.decode(errors="replace") for word in self.words(types)]

    def find(self, word: AnyStr) -> int:
        """Return the number of the type `word`, -1 if there is none."""
        return self._ids.get(word, -1)

    def packed(self) -> Packed:
        """Return the bytes of all types by number, one after another, and how long each is."""
        words = [word.encode() if isinstance(word, str) else word for word in self._types]
        return np.frombuffer(b"".join(words), np.uint8), np.array([len(word) for word in words], np.int64)


def number_words(text: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number distinct words 0, 1, 2... in the order of first sight: return each word's number.

    `text` is the bytes of the words, one after another, `lengths` how long each is, above 0.
    """
    numbers: _NextId[bytes] = _NextId()
    data, ends = text.tobytes(), np.cumsum(lengths)
    bounds = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    return np.array([numbers[data[start:end]] for start, end in bounds], np.int64)


def _count_flawed(words: Sequence[AnyStr], counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return which of the words are not UTF-8, and how many such, binary and foreign words their counts come to."""
    if not words or isinstance(words[0], str):
        return [], [0, 0, 0]
    flaws = find_flaws(words)
    return flaws.undecodable, [sum(counts[i] for i in kind) for kind in flaws]
