"""Turns text, or lists of words, into a vocabulary and one stream of word ids: the only pass over the input.

Words are split at ASCII white space (space, \\t, \\v, \\f, \\r), sentences end at \\n and at the end of a file; both
have any length. A type is a sequence of bytes; what is not UTF-8 is decoded with replacement characters, and types
that are then equal are one.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, Self
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from w2vfast.blocks import read_ahead, whole_words
from w2vfast.config import CACHE_ABOVE
from w2vfast.errors import InputError
from w2vfast.inputs import Bounds, TextInput, expand_inputs, open_text, refuse_no_texts, share_of, total_size
from w2vfast.interner import Packed, Piece, PythonInterner, number_words
from w2vfast.kernels.mapped import blocks
from w2vfast.memory import require, rss_bytes, trim
from w2vfast.no_text import refuse_flawed
from w2vfast.ranks import Ranks
from w2vfast.shared_scan import Rules, merge_types, replaced
from w2vfast.tokens import Ids, Renumber, TokenStore, renumber_with_numpy
from w2vfast.vocab import Vocab, encode_words, select_types

__all__ = ["EncodedCorpus", "Ledger", "encode_sentences", "expand_inputs", "native_unavailable_reason", "scan"]

Progress = Callable[[int, int | None], None]
ScannerName = Literal["auto", "native", "python"]

_BLOCK_BYTES = 1 << 20
_NATIVE_BLOCK_BYTES = 1 << 23  # of a stream; shared out among the workers
_NATIVE_STEP_BYTES = 1 << 25  # of a plain file; between two steps Ctrl-C is seen and progress reported
_SENTENCE_BATCH = 1 << 16  # words
# With max_vocab_size, ids are renumbered when this many have been given out, and this many times max_vocab_size.
_RENUMBER_IDS = 1 << 19
_LEAST_ROOM = 1 << 25  # bytes of memory that are left before the next block is read
_IDS_PER_TYPE = 8


@dataclass(frozen=True)
class Ledger:
    """What became of every word read: `read` = `in_vocabulary` + `out_of_vocabulary`.

    `undecodable` of the words read were not valid UTF-8; replacement characters stand in their place.
    """

    read: int
    in_vocabulary: int
    out_of_vocabulary: int
    undecodable: int

    def __post_init__(self) -> None:
        if self.read != self.in_vocabulary + self.out_of_vocabulary or not 0 <= self.undecodable <= self.read:
            raise AssertionError(f"words were lost or counted twice: {self}")


@dataclass
class EncodedCorpus:
    """The in-vocabulary words of a corpus as ids.

    `tokens` is int32 [n], in memory or memory-mapped; the sign bit (id | -2**31) marks the last one of a sentence.
    `sentences` counts those that hold at least one in-vocabulary word. `ids_sha256` is the checksum of the tokens'
    bytes where it is known, `kept` the file where the scan is kept for later runs (kept_scan.py). Where ranks share a
    text, `tokens` are those of this one's part, all else is the whole text's. `close`, or leaving a
    `with` block, gives memory and disk space back; any other file that tokens lie in has no name: nothing stays behind.
    """

    tokens: Ids
    vocab: Vocab
    ledger: Ledger
    sentences: int
    ids_sha256: str | None = None
    kept: Path | None = None

    def close(self) -> None:
        """Let go of the ids; their memory or file goes with the last view of them."""
        self.tokens = np.empty(0, dtype=np.int32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Interner(Protocol):
    """What `_Stream` needs of PythonInterner, and of the native Scanner in its place."""

    read: int
    next_id: int

    def renumber(self) -> Ids: ...
    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Ids], tuple[int, int, int]]: ...
    def words(self, types: NDArray[np.int64]) -> list[Any]: ...
    def texts(self, types: NDArray[np.int64]) -> list[str]: ...
    def find(self, word: Any) -> int: ...
    def packed(self) -> Packed: ...


@dataclass(frozen=True)
class _Options:
    min_count: int
    max_vocab_size: int | None
    max_final_vocab: int | None
    vocab: Vocab | None

    def __post_init__(self) -> None:
        if self.min_count < 0:
            raise InputError(f"min_count must be at least 0, not {self.min_count}")
        for name, least in (("max_vocab_size", 2), ("max_final_vocab", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, not {value}")


def native_unavailable_reason() -> str | None:
    """Return None if the native scanner can run, else why it cannot."""
    try:
        import_module("w2vfast._scanner")
    except ImportError as error:
        return f"the native scanner (w2vfast._scanner) is not built: {error}"
    return None


def scan(
    inputs: Sequence[str | PathLike[str]],
    *,
    min_count: int = 5,
    max_vocab_size: int | None = None,
    max_final_vocab: int | None = None,
    vocab: Vocab | None = None,
    cache_dir: Path | None = None,
    memory_limit: int = CACHE_ABOVE,
    workers: int = 1,
    force: bool = False,
    scanner: ScannerName = "auto",
    progress: Progress | None = None,
    ranks: Ranks | None = None,
    _block_bytes: int | None = None,
) -> EncodedCorpus:
    """Read text files (plain, .gz, .bz2, .xz, .zst), folders of them, or '-' (standard input), in the order given.

    Words are kept that occur `min_count` times, or more often where that leaves more than `max_final_vocab` types. With
    `vocab` the vocabulary is given and keeps its counts, by which the same rules prune it. `max_vocab_size` bounds the
    types held while reading: the rarest are dropped, as interner.py says. Ids of more than `memory_limit` bytes lie in
    a file in `cache_dir` (default: the system's temporary folder). `progress` is called with bytes done and in all
    (None where unknown: pipes). The native scanner shares the work among `workers` threads; the result is the same for
    any number of them, and the same as the Python scanner's.

    With `ranks` each reads its part, and all get the vocabulary of the whole text, the same as without; but with
    `max_vocab_size` each drops the rarest of its part, and all together in the end those of the whole.

    What is no text (no_text.py) is refused, by the beginning of each file before any is read, and in the end by all the
    words, unless `force` is set.

    Raises InputError for input that cannot be read, changes while it is read, or is no text, when fewer than two words
    are left, when the cache cannot be written, and when `scanner` is 'native' and was not built.
    """
    if workers < 1:
        raise InputError(f"workers must be at least 1, not {workers}")
    options = _Options(min_count, max_vocab_size, max_final_vocab, vocab)
    files = expand_inputs(inputs)
    total = total_size(files)
    if not force and len(files) > 1:  # a single one is looked at when it is opened
        refuse_no_texts(files)
    parts: Sequence[tuple[Path | Literal["-"], Bounds | None]] = [(file, None) for file in files]
    if ranks is not None:
        parts = share_of(files, ranks.rank, ranks.size)
        total = sum(bounds[1] - bounds[0] if bounds else total_size([file]) or 0 for file, bounds in parts)
    pinned = encode_words(vocab.words) if vocab is not None else []
    native = _load_native(scanner)
    interner: Any = (
        PythonInterner(pinned, max_vocab_size) if native is None else native.Scanner(pinned, max_vocab_size, workers)
    )
    done = 0
    with closing(TokenStore(memory_limit, cache_dir)) as store:
        stream = _Stream(interner, store, options, native.renumber if native is not None else renumber_with_numpy)
        for file, bounds in parts:
            first = bounds[0] if bounds is not None else 0
            # The pieces are closed first: a thread may be reading from the file.
            with (
                open_text(file, force=force, bounds=bounds) as text,
                closing(_pieces(text, interner, native is not None, _block_bytes)) as read,
            ):
                for pieces, position in read:
                    stream.add(pieces)
                    if progress is not None:
                        progress(done + position - first, total)
                text.refuse_change()
                done += (text.size or 0) - first
                name = text.name
            store.end_sentence()
        return stream.finish(None if force else name if len(files) == 1 else "the text", ranks)


def encode_sentences(
    sentences: Iterable[Iterable[str]],
    *,
    min_count: int = 5,
    max_vocab_size: int | None = None,
    max_final_vocab: int | None = None,
    vocab: Vocab | None = None,
    cache_dir: Path | None = None,
    memory_limit: int = CACHE_ABOVE,
) -> EncodedCorpus:
    """Encode lists of words, gensim's `sentences`; they are iterated over once. The options are those of `scan`.

    Raises InputError if a sentence is a str (its letters would be taken for words) or holds what is no str.
    """
    options = _Options(min_count, max_vocab_size, max_final_vocab, vocab)
    interner: PythonInterner[str] = PythonInterner(vocab.words if vocab is not None else [], max_vocab_size)
    with closing(TokenStore(memory_limit, cache_dir)) as store:
        stream = _Stream(interner, store, options, renumber_with_numpy)
        for batch in _batches(sentences):
            stream.add([interner.add_sentences(batch, ended=True)])
        return stream.finish()


def _load_native(scanner: str) -> Any:
    if scanner == "python":
        return None
    if scanner not in ("auto", "native"):
        raise InputError(f"scanner must be 'auto', 'native' or 'python', not {scanner!r}")
    reason = native_unavailable_reason()
    if reason is None:
        return import_module("w2vfast._scanner")
    if scanner == "native":
        raise InputError(f"{reason}; install a C++ compiler and reinstall w2vfast, or use scanner='python'")
    warn(
        f"{reason}. Text is read by the Python scanner, several times slower and on one processor; to build the native "
        "one, install a C++ compiler and reinstall w2vfast",
        RuntimeWarning,
        stacklevel=3,
    )
    return None


def _pieces(
    text: TextInput, interner: Any, native: bool, block_bytes: int | None
) -> Generator[tuple[list[Piece], int], None, None]:
    """Yield the pieces of one input as the interner makes them, each time with the position on disk."""
    if native and text.plain_fd is not None and text.size is not None:
        step = block_bytes or _NATIVE_STEP_BYTES
        for begin in range(text.start, text.size, step):
            end = min(begin + step, text.size)
            with text.explained():
                pieces = interner.add_file(text.plain_fd, text.start, begin, end, text.size)
            yield pieces, end
        return
    blocks = whole_words(text, block_bytes or (_NATIVE_BLOCK_BYTES if native else _BLOCK_BYTES))
    if text.plain_fd is None:
        blocks = read_ahead(blocks)
    with closing(blocks):
        for block, position in blocks:
            yield interner.add_block(block), position


def _batches(sentences: Iterable[Iterable[str]]) -> Iterator[list[Sequence[str]]]:
    if isinstance(sentences, str | bytes):
        raise InputError("sentences must be lists of words, not a str; to read a file, use corpus_file or scan()")
    if not isinstance(sentences, Iterable):
        raise InputError(f"sentences must be lists of words, not {sentences!r:.60}")
    batch: list[Sequence[str]] = []
    words = 0
    for number, sentence in enumerate(sentences):
        if isinstance(sentence, str | bytes):
            raise InputError(
                f"sentence {number} is a {type(sentence).__name__}, {sentence!r:.60}, where a list of words is "
                "expected (its letters would be taken for words); split it into words first"
            )
        try:
            listed = sentence if isinstance(sentence, list | tuple) else list(sentence)
        except TypeError as error:
            raise InputError(f"sentence {number} is {sentence!r:.60}, where a list of words is expected") from error
        if not set(map(type, listed)) <= {str}:
            for word in listed:
                if not isinstance(word, str):
                    raise InputError(f"sentence {number} holds {word!r:.60}, which is no str; make it one first")
        batch.append(listed)
        words += len(listed)
        if words >= _SENTENCE_BATCH or len(batch) >= _SENTENCE_BATCH:
            yield batch
            batch, words = [], 0
    yield batch


class _Stream:
    """Where the interner's pieces go, and how they become an EncodedCorpus in the end."""

    def __init__(self, interner: _Interner, store: TokenStore, options: _Options, renumber: Renumber) -> None:
        self._interner = interner
        self._store = store
        self._options = options
        self._renumber = renumber
        self._rss = rss_bytes() or 0  # before the scan
        self._taken = 0  # since then, when it was last looked at
        pinned = len(options.vocab) if options.vocab is not None else 0
        # Bounds what grows with the types ever seen: tables over ids.
        self._renumber_at = (
            None
            if options.max_vocab_size is None
            else pinned + max(_RENUMBER_IDS, _IDS_PER_TYPE * options.max_vocab_size)
        )

    def add(self, pieces: list[Piece]) -> None:
        """Store pieces. Raises InputError before what the scan holds would no longer fit in memory."""
        self._refuse_lack_of_memory()
        for ids, ends_before, table in pieces:
            self._store.append(ids, ends_before, table)
        if self._renumber_at is not None and self._interner.next_id > self._renumber_at:
            self._store.renumber([self._interner.renumber()], self._renumber)

    def _refuse_lack_of_memory(self) -> None:
        """Raise InputError where tables that grow with the words seen could not grow once more."""
        taken = (rss_bytes() or 0) - self._rss
        if taken - self._taken < _LEAST_ROOM // 4:
            return
        self._taken = taken
        require(
            {"for the words to come": max(_LEAST_ROOM, taken // 2)},
            f"{self._interner.read:,} words are read; set max_vocab_size, by which the rarest go while reading, or "
            "give it more memory",
        )

    def finish(self, text: str | None = None, ranks: Ranks | None = None) -> EncodedCorpus:
        """Return the corpus; InputError if its words are those of no text, where `text` names it."""
        given = self._options.vocab
        counts, undecodable, tables, (lost, binary, foreign) = self._interner.finish()
        read = self._interner.read
        if ranks is not None:
            read, lost, binary, foreign = ranks.sum([read, lost, binary, foreign])
        if text is not None:
            refuse_flawed(text, read, binary, foreign)
        if ranks is not None and given is None:
            vocab, final = self._merge_ranks(ranks, counts, undecodable)
            return self._corpus(vocab, np.append(final, np.int32(-1)), tables, (read, lost), counts, ranks)
        twins = self._merge_undecodable(counts, undecodable)
        select = partial(select_types, min_count=self._options.min_count, max_final_vocab=self._options.max_final_vocab)
        if given is None:
            kept = select(counts)
            vocab = Vocab(self._interner.texts(kept), counts[kept])
        else:
            kept = select(given.counts, fixed_order=True)
            vocab = Vocab([given.words[i] for i in kept.tolist()], given.counts[kept])
        # One entry more than types, for the -1 of ids that died.
        final = np.full(len(counts) + 1, -1, dtype=np.int32)
        final[kept] = np.arange(len(kept), dtype=np.int32)
        if twins:
            copies, firsts = np.array(twins).T
            final[copies] = final[firsts]
        return self._corpus(vocab, final, tables, (read, lost), counts, ranks)

    def _corpus(
        self,
        vocab: Vocab,
        final: Ids,
        tables: list[Ids],
        words: tuple[int, int],
        counts: NDArray[np.int64],
        ranks: Ranks | None,
    ) -> EncodedCorpus:
        """Return the corpus; `final` is each type's id, `words` how many were read and undecodable, of all ranks."""
        read, lost = words
        found = of_all = int(counts[final[:-1] >= 0].sum())
        if ranks is not None:
            (of_all,) = ranks.sum([found])
        if not of_all:
            raise InputError(
                f"none of the {read:,} words of the text is in the given vocabulary of {len(vocab):,}: "
                "do they belong together?"
            )
        del self._interner
        tokens = self._store.finish([final[table] for table in tables], self._renumber, found)
        trim()
        sentences = sum(int(np.count_nonzero(ids < 0)) for _, ids in blocks(tokens, 1 << 18))
        if ranks is not None:
            (sentences,) = ranks.sum([sentences])
        return EncodedCorpus(tokens, vocab, Ledger(read, of_all, read - of_all, lost), sentences)

    def _merge_ranks(
        self, ranks: Ranks, counts: NDArray[np.int64], undecodable: NDArray[np.int64]
    ) -> tuple[Vocab, Ids]:
        """Return the vocabulary of all ranks, and the id of each type here."""
        options = self._options
        texts = [word.decode(errors="replace").encode() for word in self._interner.words(undecodable)]
        packed = replaced(self._interner.packed(), undecodable, texts)
        select = partial(select_types, min_count=options.min_count, max_final_vocab=options.max_final_vocab)
        in_python = isinstance(self._interner, PythonInterner)
        number = number_words if in_python else import_module("w2vfast._scanner").number_words
        return merge_types(
            ranks, packed, counts, Rules(select, number, max(options.min_count, 1), options.max_vocab_size)
        )

    def _merge_undecodable(self, counts: NDArray[np.int64], undecodable: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Add the counts of types that decode to the same word to the first of them; return pairs (copy, first)."""
        groups: dict[bytes, list[int]] = {}
        for kind, word in zip(undecodable.tolist(), self._interner.words(undecodable), strict=True):
            groups.setdefault(word.decode(errors="replace").encode(), []).append(kind)
        twins = []
        for word, kinds in groups.items():
            if (valid := self._interner.find(word)) >= 0:
                kinds.append(valid)
            first = min(kinds)
            for kind in kinds:
                if kind != first:
                    counts[first] += counts[kind]
                    counts[kind] = 0
                    twins.append((kind, first))
        return twins
