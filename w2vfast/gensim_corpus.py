"""Text files for a gensim model: its vocabulary's raw counts, and its words as ids, from the scanner's one pass."""

import os
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from w2vfast.corpus import EncodedCorpus, native_unavailable_reason, scan
from w2vfast.kernels.mapped import release
from w2vfast.tokens import ID_MASK, SIGN, Ids, Renumber, renumber_with_numpy
from w2vfast.vocab import Vocab

_BLOCK_TOKENS = 1 << 18


@dataclass
class FileTokens:
    """A file's words as a model's indices, marked as `Job.tokens`, and what was read."""

    tokens: Ids
    raw_words: int
    sentences: int


class ScannedFile:
    """A file of which every word was counted and encoded."""

    def __init__(self, path: str, workers: int, cache_dir: str | None, cache_above: int, force: bool) -> None:
        """Raise InputError for what is no text, and TooFewWordsError for fewer than two different words."""
        self._stamp = _stamp(path)
        self._indices: tuple[dict[Any, int], int] | None = None  # a dictionary, and its length when it was asked
        self._corpus: EncodedCorpus = scan(
            [path],
            min_count=1,
            workers=workers,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            memory_limit=cache_above,
            force=force,
        )

    @property
    def raw_words(self) -> int:
        """Words read."""
        return self._corpus.ledger.read

    @property
    def sentences(self) -> int:
        """Lines with a word on them."""
        return self._corpus.sentences

    def raw_vocab(self) -> "defaultdict[str, int]":
        """Return the count of every word, in the order of first sight, which gensim numbers words by."""
        vocab, tokens = self._corpus.vocab, self._corpus.tokens
        first = np.zeros(len(vocab), np.int64)
        for start in reversed(range(0, len(tokens), _BLOCK_TOKENS)):
            ids = tokens[start : start + _BLOCK_TOKENS] & ID_MASK
            release(tokens)
            # Of positions written to one word's place the last one written stays: the first in the text.
            first[ids[::-1]] = np.arange(start + len(ids) - 1, start - 1, -1)
        order = np.argsort(first)
        counts = vocab.counts[order].tolist()
        return defaultdict(int, zip((vocab.words[i] for i in order.tolist()), counts, strict=True))

    def settle(self, key_to_index: dict[Any, int]) -> None:
        """Settle what the words are to become: their text, of which most vocabularies keep a part, is let go of."""
        words = self._corpus.vocab.words
        self._indices = key_to_index, len(key_to_index)
        self._table = np.fromiter((key_to_index.get(word, -1) for word in words), np.int32, len(words))
        self._corpus.vocab = Vocab([], np.empty(0, np.int64))

    def fits(self, path: str, key_to_index: dict[Any, int]) -> bool:
        """Return whether `take` gives what the file holds now, in these indices."""
        if self._indices is None or self._stamp != _stamp(path):
            return False
        settled, length = self._indices
        return settled is key_to_index and length == len(key_to_index)

    def take(self) -> FileTokens:
        """Return the words as indices; they are renumbered in place, so that this is the last use of the scan."""
        tokens = _renumbered(self._corpus.tokens, self._table)
        self._corpus.close()
        return FileTokens(tokens, self.raw_words, self.sentences)


def read_file(
    path: str, key_to_index: Mapping[Hashable, int], workers: int, cache_dir: str | None, cache_above: int, force: bool
) -> FileTokens:
    """Return a file's words as indices; words that are no keys are left out. Raises InputError as `scan` does."""
    keys = {key: index for key, index in key_to_index.items() if isinstance(key, str) and _is_one_word(key)}
    corpus = scan(
        [path],
        min_count=1,
        vocab=Vocab(list(keys), np.ones(len(keys), np.int64)),
        workers=workers,
        cache_dir=None if cache_dir is None else Path(cache_dir),
        memory_limit=cache_above,
        force=force,
    )
    table = np.fromiter(keys.values(), np.int32, len(keys))
    if not np.array_equal(table, np.arange(len(table))):
        corpus.tokens = _renumbered(corpus.tokens, table)
    return FileTokens(corpus.tokens, corpus.ledger.read, corpus.sentences)


def _is_one_word(key: str) -> bool:
    """Return whether a text could hold the key as one word."""
    try:
        raw = key.encode()
    except UnicodeEncodeError:
        return False
    return raw.split() == [raw]


def _renumbered(tokens: Ids, table: Ids) -> Ids:
    """Replace ids by their entries in a table in place; return the part that is left."""
    native = native_unavailable_reason() is None
    renumber: Renumber = import_module("w2vfast._scanner").renumber if native else renumber_with_numpy
    written = 0
    for start in range(0, len(tokens), _BLOCK_TOKENS):
        block = tokens[start : start + _BLOCK_TOKENS]
        kept, ends_before = renumber(block, table, tokens[written : written + len(block)])
        if ends_before and written:
            tokens[written - 1] |= SIGN
        written += kept
        release(tokens)
    return tokens[:written]


def _stamp(path: str) -> tuple[str, int, int]:
    status = os.stat(path)
    return os.path.realpath(path), status.st_size, status.st_mtime_ns
