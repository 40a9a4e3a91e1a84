"""Lists of tokens into ids of a vocabulary that is given, or into counts: natively where that is built, else in Python.

A sentence is an iterable of hashable tokens, which are looked up as a dictionary looks up. What the iterators or a
token itself raise goes through: TypeError for a token that cannot be hashed.
"""

from collections.abc import Generator, Hashable, Iterable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from w2vfast.tokens import SIGN, Ids, TokenStore, renumber_with_numpy

Sentences = Iterable[Iterable[Hashable]]

# Handed over at once: few, since each may be long, and the iterator may have made it for the purpose.
_SENTENCES_AT_ONCE = 256


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
    memory_limit: int = 1 << 30,
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
        for ids, raw_words, several in _encoded(sentences, key_to_index, native):
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
    for ids, raw_words, sentences_read in _encoded(sentences, key_to_index, native=True):
        parts.append(ids)
        raw, several, kept = raw + raw_words, several + sentences_read, kept + len(ids)
        if kept >= block_tokens:
            yield np.concatenate(parts), raw, several
            parts, raw, several, kept = [], 0, 0, 0
    if several:
        yield np.concatenate(parts), raw, several


def _encoded(
    sentences: Sentences, key_to_index: dict[Any, int], native: bool
) -> Generator[tuple[Ids, int, int], None, None]:
    """Yield (ids, tokens read, sentences) of some whole sentences at a time."""
    work = import_module("w2vfast._encoder").encode if native and native_unavailable_reason() is None else encode_batch
    for batch in _batches(sentences):
        ids, raw_words = work(batch, key_to_index)
        yield ids, raw_words, len(batch)


def _batches(sentences: Sentences) -> Generator[list[Any], None, None]:
    """Yield sentences several at a time; each list as it is now, since a generator may fill one list again and again.

    The iterator is not asked again after its end: some begin anew then.
    """
    batch: list[Any] = []
    for sentence in sentences:
        batch.append(list(sentence) if type(sentence) is list else sentence)
        if len(batch) == _SENTENCES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def encode_batch(batch: list[Any], key_to_index: dict[Any, int]) -> tuple[Ids, int]:
    """Return (ids, tokens read) of a list of sentences: the Python twin of `_encoder.encode`."""
    ids: list[int] = []
    read = 0
    for sentence in batch:
        before = len(ids)
        for token in sentence:
            read += 1
            index = key_to_index.get(token)
            if index is None:
                continue
            if not 0 <= index < 2**31:
                raise ValueError(f"an id lies outside 0 .. 2^31 - 1: {index}")
            ids.append(index)
        if len(ids) > before:
            ids[-1] |= int(SIGN)
    return np.array(ids, np.int64).astype(np.int32), read


def count(sentences: Sentences, *, native: bool = True) -> tuple[dict[Any, int], int, int]:
    """Return how often each token occurs, in the order of first sight, and how many tokens and sentences there were."""
    counter: Any = PythonCounter()
    if native and native_unavailable_reason() is None:
        counter = import_module("w2vfast._encoder").Counter()
    raw = several = 0
    for batch in _batches(sentences):
        raw += counter.add(batch)
        several += len(batch)
    return counter.counts(), raw, several


class PythonCounter:
    """The Python twin of `_encoder.Counter`."""

    def __init__(self) -> None:
        self._counts: dict[Any, int] = {}

    def add(self, batch: list[Any]) -> int:
        """Count the tokens of a list of sentences; returns how many there were."""
        read = 0
        for sentence in batch:
            for token in sentence:
                read += 1
                self._counts[token] = self._counts.get(token, 0) + 1
        return read

    def counts(self) -> dict[Any, int]:
        """Return the counts by token."""
        return self._counts
