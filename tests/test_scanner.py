"""The native scanner, the Python scanner and a naive oracle give the same corpus, however the text is cut."""

import random
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2vfast.corpus import EncodedCorpus, ScannerName, native_unavailable_reason, scan
from w2vfast.errors import InputError
from w2vfast.tokens import SIGN, renumber_with_numpy
from w2vfast.vocab import Vocab

NO_NATIVE = native_unavailable_reason()
needs_native = pytest.mark.skipif(NO_NATIVE is not None, reason=str(NO_NATIVE))
SCANNERS = [pytest.param("python"), pytest.param("native", marks=needs_native)]

AWKWARD = b"""\xef\xbb\xbfone two  three\tone\r\n
\x0b\x0clone\rreturns one \x00 \x00\x00 nul\x00 nul \x1c\x1d \x85 \xa0
\xff \xfe \xff\xfe \xef\xbf\xbd \xc3\xa9t\xc3\xa9 \xc3 \xed\xa0\x80 \xf0\x9f\x98\x80 \xf4\x90\x80\x80 \xc0\x80 \xe2\x82
\xef\xbb\xbfone sixteen-bytes-xx seventeen-bytes-x seventeen-bytes-y sixteen-bytes-xx


 \t leading and trailing \t
%s %s1
last line without an end one two""" % (b"long" * 500, b"long" * 500)


def oracle(texts: list[bytes], min_count: int) -> tuple[list[str], list[int], list[list[int]], dict[str, int]]:
    """Vocabulary, counts, sentences as ids and the ledger, in the plainest way."""
    sentences = []
    undecodable = 0
    for text in texts:
        for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            words = [word.decode(errors="replace") for word in line.split()]
            undecodable += sum(word.decode(errors="ignore").encode() != word for word in line.split())
            sentences.append(words)
    counts = Counter(word for sentence in sentences for word in sentence)
    seen = {word: i for i, word in enumerate(counts)}
    vocab = sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], -seen[w]))
    ids = {word: i for i, word in enumerate(vocab)}
    encoded = [[ids[word] for word in sentence if word in ids] for sentence in sentences]
    kept = sum(counts[word] for word in vocab)
    read = sum(counts.values())
    ledger = {"read": read, "in_vocabulary": kept, "out_of_vocabulary": read - kept, "undecodable": undecodable}
    return vocab, [counts[word] for word in vocab], [s for s in encoded if s], ledger


def split_sentences(tokens: np.ndarray) -> list[list[int]]:
    sentences: list[list[int]] = [[]]
    for token in tokens.tolist():
        sentences[-1].append(token & 0x7FFFFFFF)
        if token < 0:
            sentences.append([])
    assert not sentences[-1], "the last token bears no mark"
    return sentences[:-1]


def assert_equals_oracle(corpus: EncodedCorpus, texts: list[bytes], min_count: int) -> None:
    vocab, counts, sentences, ledger = oracle(texts, min_count)
    assert corpus.vocab.words == vocab
    assert corpus.vocab.counts.tolist() == counts
    assert split_sentences(corpus.tokens) == sentences
    assert corpus.sentences == len(sentences)
    assert vars(corpus.ledger) == ledger


def scan_or_error(paths: list[Path], **options: object) -> EncodedCorpus | str:
    try:
        return scan(paths, **options)  # type: ignore[arg-type]
    except InputError as error:
        return str(error)


def assert_same(left: EncodedCorpus | str, right: EncodedCorpus | str) -> None:
    if isinstance(left, str) or isinstance(right, str):
        assert left == right
        return
    assert left.vocab.words == right.vocab.words
    np.testing.assert_array_equal(left.vocab.counts, right.vocab.counts)
    np.testing.assert_array_equal(left.tokens, right.tokens)
    assert (left.ledger, left.sentences) == (right.ledger, right.sentences)


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1000, None])
@pytest.mark.parametrize("min_count", [1, 2])
def test_awkward_text_equals_oracle(tmp_path: Path, scanner: ScannerName, block: int | None, min_count: int) -> None:
    path = tmp_path / "text"
    path.write_bytes(AWKWARD)
    corpus = scan([path], min_count=min_count, scanner=scanner, workers=3, force=True, _block_bytes=block)
    assert_equals_oracle(corpus, [AWKWARD], min_count)


# Few letters, so that words repeat; bytes that begin or break UTF-8; every white space byte and its neighbours.
odd_bytes = st.lists(
    st.sampled_from([b"a", b"b", b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x0c", b"\x08", b"\x0e", b"\x00", b"\xc3\xa9"])
    | st.sampled_from([b"\xc3", b"\xa9", b"\xef\xbf\xbd", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x85", b"abcdefgh" * 2]),
    max_size=120,
).map(b"".join)


@pytest.mark.parametrize("scanner", SCANNERS)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(odd_bytes, min_size=1, max_size=3), block=st.integers(1, 40), min_count=st.integers(1, 3))
def test_any_text_equals_oracle(
    tmp_path_factory: pytest.TempPathFactory, scanner: ScannerName, texts: list[bytes], block: int, min_count: int
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    paths = []
    for i, text in enumerate(texts):
        paths.append(folder / str(i))
        paths[-1].write_bytes(text + b" ab ab\nab\nbb bb bb")
    texts = [path.read_bytes() for path in paths]
    corpus = scan(paths, min_count=min_count, scanner=scanner, workers=2, force=True, _block_bytes=block)
    assert_equals_oracle(corpus, texts, min_count)


def zipf_text(seed: int, words: int, types: int) -> bytes:
    rng = random.Random(seed)
    out = []
    for _ in range(words):
        number = int(types ** rng.random())
        out.append(b"w%d" % number if number % 7 else b"a-long-word-of-the-text-%d" % number)
        out.append(rng.choice([b" ", b" ", b" ", b" ", b"\n", b"\r\n", b"  "]))
    return b"".join(out)


@needs_native
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("block", [None, 1 << 20])
def test_many_segments_equal_python(tmp_path: Path, workers: int, block: int | None) -> None:
    # Several times the 512 KiB that a thread takes at once, in two files.
    paths = [tmp_path / "a", tmp_path / "b"]
    for seed, path in enumerate(paths):
        path.write_bytes(zipf_text(seed, 250_000, 60_000))
    native = scan(paths, min_count=2, scanner="native", workers=workers, _block_bytes=block)
    assert_same(native, scan(paths, min_count=2, scanner="python"))


@needs_native
@pytest.mark.parametrize("workers", [1, 3])
def test_a_word_longer_than_several_segments(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a b " + b"x" * 2_000_000 + b" c " + b"x" * 1_999_999 + b"\na b c " + b"x" * 2_000_000)
    native = scan([path], min_count=1, scanner="native", workers=workers)
    assert native.ledger.read == 9
    assert_same(native, scan([path], min_count=1, scanner="python"))


@needs_native
@pytest.mark.parametrize("length", range(1, 40))
def test_words_of_equal_beginning_are_told_apart(tmp_path: Path, length: int) -> None:
    base = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[:length]
    words = [base, base + b"\x00", base + b"\x00\x00", base[:-1] + b"_", b"_" + base[1:]]
    path = tmp_path / "text"
    path.write_bytes(b" ".join(words) + b"\n" + b"padding words " * 200 + base)
    assert_same(scan([path], min_count=1, scanner="native"), scan([path], min_count=1, scanner="python"))


@needs_native
@pytest.mark.parametrize("max_vocab_size", [2, 5, 50, 1000])
@pytest.mark.parametrize("min_count", [1, 3])
def test_bounded_types_equal_python(tmp_path: Path, max_vocab_size: int, min_count: int) -> None:
    path = tmp_path / "text"
    path.write_bytes(zipf_text(3, 20_000, 5_000) + b"\n\xff one \xfe\xff " * 50)
    options = {"min_count": min_count, "max_vocab_size": max_vocab_size}
    python = scan_or_error([path], scanner="python", **options)
    for workers, block in ((1, None), (4, 997)):
        native = scan_or_error([path], scanner="native", workers=workers, _block_bytes=block, **options)
        assert_same(native, python)


@needs_native
@pytest.mark.parametrize("max_vocab_size", [None, 3, 1000])
def test_given_vocabulary_equals_python(tmp_path: Path, max_vocab_size: int | None) -> None:
    path = tmp_path / "text"
    path.write_bytes(zipf_text(4, 5_000, 500) + b"\xff\xff \xff \xef\xbf\xbd\n")
    words = ["w1", "w2", "w3", "a-long-word-of-the-text-7", "a-long-word-never-seen", "\ufffd", "w5"]
    vocab = Vocab(words, np.array([90, 80, 7, 6, 6, 5, 1]))
    options = {"min_count": 2, "vocab": vocab, "max_vocab_size": max_vocab_size}
    python = scan_or_error([path], scanner="python", **options)
    assert isinstance(python, EncodedCorpus)
    assert python.vocab.words == words[:-1]
    assert_same(scan_or_error([path], scanner="native", workers=2, _block_bytes=1000, **options), python)


@needs_native
def test_renumber_equals_numpy() -> None:
    _scanner = import_module("w2vfast._scanner")
    rng = np.random.default_rng(1)
    for size in (0, 1, 2, 100):
        for drop in (0.0, 0.5, 0.95, 1.0):
            ids = rng.integers(0, 50, size, dtype=np.int32)
            ids[rng.random(size) < 0.3] |= SIGN
            table = np.where(rng.random(50) < drop, -1, rng.integers(0, 1000, 50)).astype(np.int32)
            out, expected = np.zeros(size, np.int32), np.zeros(size, np.int32)
            kept, before = renumber_with_numpy(ids, table, expected)
            assert _scanner.renumber(ids, table, out) == (kept, before)
            np.testing.assert_array_equal(out[:kept], expected[:kept])
            assert _scanner.renumber(ids, table, ids) == (kept, before), "in place"
            np.testing.assert_array_equal(ids[:kept], expected[:kept])


@needs_native
def test_renumber_refuses_ids_outside_the_table() -> None:
    _scanner = import_module("w2vfast._scanner")
    ids = np.array([0, 5], np.int32)
    with pytest.raises(IndexError):
        _scanner.renumber(ids, np.zeros(5, np.int32), ids)


@needs_native
def test_scanner_refuses_use_after_finish_and_wrong_ranges(tmp_path: Path) -> None:
    _scanner = import_module("w2vfast._scanner")
    scanner = _scanner.Scanner([b"one"], None, 2)
    with pytest.raises(ValueError, match="no such range"):
        scanner.add_file(0, 10, 5, 6, 20)
    scanner.add_block(b"one two")
    counts, undecodable, _maps, flawed = scanner.finish()
    assert (counts.tolist(), undecodable.tolist(), flawed) == ([1, 1], [], (0, 0, 0))
    assert scanner.words(np.array([1, 0])) == [b"two", b"one"]
    assert (scanner.find(b"two"), scanner.find(b"three"), scanner.find(b"")) == (1, -1, -1)
    with pytest.raises(IndexError):
        scanner.words(np.array([2]))
    with pytest.raises(RuntimeError, match="finished"):
        scanner.add_block(b"more")
    with pytest.raises(RuntimeError, match="finished"):
        scanner.finish()


@needs_native
def test_a_file_that_shrinks_is_refused(tmp_path: Path) -> None:
    _scanner = import_module("w2vfast._scanner")
    path = tmp_path / "text"
    path.write_bytes(b"one two three")
    with path.open("rb") as file, pytest.raises(ValueError, match="shorter"):
        _scanner.Scanner([], None, 1).add_file(file.fileno(), 0, 0, 20, 20)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _scanner.Scanner([], None, 2).add_file(-1, 0, 0, 20, 20)
