"""Sentences of tokens into ids of a vocabulary that is given, or into counts: natively where built, else in Python.

A sentence is an iterable of hashable tokens, which are looked up as a dictionary looks up; the vocabulary's dictionary
is read when encoding begins. What the iterators or a token itself raise goes through: TypeError for a token that cannot
be hashed.
"""

from collections.abc import Generator, Hashable, Iterable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from w2vfast.config import CACHE_ABOVE
from w2vfast.tokens import SIGN, Ids, TokenStore, renumber_with_numpy

Sentences = Iterable[Iterable[Hashable]]

# Taken at once: what an iterator makes is let go of in between, and Ctrl-C is seen.
_TOKENS_AT_ONCE = 1 << 16


def native_unavailable_reason() -> str | None:
    """Return None if the native encoder can run, else why it cannot."""
    try:
        import_module("w2vfast._encoder")
    except ImportError as error:
        return f"the native encoder (w2vfast._encoder) is not built: {error}"
    return None


def encode(
    sentences: Sentences,
    key_to_index: dict[Any, int],
    *,
    memory_limit: int = CACHE_ABOVE,
    cache_dir: Path | None = None,
    native: bool = True,
) -> tuple[Ids, int, int]:
    """Return the ids of the tokens that are keys, int32 [n], and how many tokens and sentences there were in all.

    The sign bit marks the last known token of a sentence. The sentences are iterated over once. Ids of more than
    `memory_limit` bytes lie in a file without a name in `cache_dir` (default: the system's temporary folder) and come
    back as a memory-map. `native` False takes the Python twin. Raises InputError where that file cannot be written.
    """
    raw = count = kept = 0
    with closing(TokenStore(memory_limit, cache_dir)) as store:
        for ids, raw_words, several in _encoded(sentences, key_to_index, native, _TOKENS_AT_ONCE):
            store.append(ids, ends_before=False)
            raw, count, kept = raw + raw_words, count + several, kept + len(ids)
        if not kept:
            return np.empty(0, np.int32), raw, count
        same = np.arange(max(key_to_index.values()) + 1, dtype=np.int32)
        return store.finish([same], renumber_with_numpy, kept), raw, count


def blocks(
    sentences: Sentences, key_to_index: dict[Any, int], block_tokens: int
) -> Generator[tuple[Ids, int, int], None, None]:
    """Yield what `encode` returns, of as many whole sentences at a time as `block_tokens` known tokens take.

    A block is empty only where all sentences are without a known token.
    """
    parts: list[Ids] = []
    raw = several = kept = 0
    for ids, raw_words, sentences_read in _encoded(sentences, key_to_index, True, min(block_tokens, _TOKENS_AT_ONCE)):
        parts.append(ids)
        raw, several, kept = raw + raw_words, several + sentences_read, kept + len(ids)
        if kept >= block_tokens:
            yield np.concatenate(parts), raw, several
            parts, raw, several, kept = [], 0, 0, 0
    if several:
        yield np.concatenate(parts), raw, several


def _encoded(
    sentences: Sentences, key_to_index: dict[Any, int], native: bool, tokens: int
) -> Generator[tuple[Ids, int, int], None, None]:
    """Yield (ids, tokens read, sentences) of whole sentences, of `tokens` tokens or somewhat more at a time."""
    maker, source = _maker(sentences, native)
    encoder, ended = maker.Encoder(key_to_index), False
    while not ended:
        ids, raw_words, several, ended = encoder.add(source, tokens)
        yield ids, raw_words, several


def _maker(sentences: Sentences, native: bool) -> tuple[Any, Any]:
    """Return what has Encoder and Counter, native or here, and the sentences as they take them."""
    if native and native_unavailable_reason() is None:
        module = import_module("w2vfast._encoder")
        return module, module.Sentences(sentences)
    return _Python, iter(sentences)


class PythonEncoder:
    """The Python twin of `_encoder.Encoder`."""

    def __init__(self, index: dict[Any, int]) -> None:
        self._index = index

    def add(self, iterator: Iterator[Any], tokens: int) -> tuple[Ids, int, int, bool]:
        """Return (ids, tokens, sentences, ended) of an iterator's next sentences."""
        ids: list[int] = []
        read = several = 0
        for sentence in iterator:
            several += 1
            before = len(ids)
            for token in sentence:
                read += 1
                index = self._index.get(token)
                if index is None:
                    continue
                if not 0 <= index < 2**31:
                    raise ValueError(f"an id lies outside 0 .. 2^31 - 1: {index}")
                ids.append(index)
            if len(ids) > before:
                ids[-1] |= int(SIGN)
            if read >= tokens:
                return _array(ids), read, several, False
        return _array(ids), read, several, True


def _array(ids: list[int]) -> Ids:
    return np.array(ids, np.int64).astype(np.int32)


def count(sentences: Sentences, *, native: bool = True) -> tuple[dict[Any, int], int, int]:
    """Return how often each token occurs, in the order of first sight, and how many tokens and sentences there were."""
    maker, source = _maker(sentences, native)
    counter, ended = maker.Counter(), False
    raw = several = 0
    while not ended:
        raw_words, sentences_read, ended = counter.add(source, _TOKENS_AT_ONCE)
        raw, several = raw + raw_words, several + sentences_read
    return counter.counts(), raw, several


class PythonCounter:
    """The Python twin of `_encoder.Counter`."""

    def __init__(self) -> None:
        self._counts: dict[Any, int] = {}

    def add(self, iterator: Iterator[Any], tokens: int) -> tuple[int, int, bool]:
        """Count an iterator's next sentences; returns (tokens, sentences, ended)."""
        read = several = 0
        for sentence in iterator:
            several += 1
            for token in sentence:
                read += 1
                self._counts[token] = self._counts.get(token, 0) + 1
            if read >= tokens:
                return read, several, False
        return read, several, True

    def counts(self) -> dict[Any, int]:
        """Return the counts by token."""
        return self._counts


class _Python:
    Encoder, Counter = PythonEncoder, PythonCounter
