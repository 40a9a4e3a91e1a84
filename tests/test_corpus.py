"""Inputs, options and failures of `scan` and `encode_sentences`; test_scanner.py holds the scanners to each other."""

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from w2vfast import corpus as corpus_module
from w2vfast.corpus import (
    EncodedCorpus,
    Ledger,
    ScannerName,
    encode_sentences,
    expand_inputs,
    native_unavailable_reason,
    scan,
)
from w2vfast.errors import InputError
from w2vfast.tokens import SIGN, TokenStore, renumber_with_numpy
from w2vfast.vocab import Vocab, read_vocab, save_vocab

NO_NATIVE = native_unavailable_reason()
SCANNERS = ["python", pytest.param("native", marks=pytest.mark.skipif(NO_NATIVE is not None, reason=str(NO_NATIVE)))]

TEXT = b"the cat sat on the mat\nthe dog sat on the cat\n\nthe mat\n"


@pytest.fixture(params=SCANNERS)
def scanner(request: pytest.FixtureRequest) -> ScannerName:
    name: ScannerName = request.param
    return name


def words_of(corpus: EncodedCorpus) -> list[list[str]]:
    sentences: list[list[str]] = [[]]
    for token in corpus.tokens.tolist():
        sentences[-1].append(corpus.vocab.words[token & 0x7FFFFFFF])
        if token < 0:
            sentences.append([])
    return sentences[:-1]


def error_of(*args: object, **kwargs: object) -> str:
    with pytest.raises(InputError) as error:
        scan(*args, **kwargs)  # type: ignore[arg-type]
    message = str(error.value)
    assert "\n" not in message
    return message


def test_scan_gives_vocabulary_sentences_and_ledger(tmp_path: Path, scanner: ScannerName) -> None:
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    calls = []
    with scan([path], min_count=2, scanner=scanner, progress=lambda *call: calls.append(call)) as corpus:
        assert corpus.vocab.words == ["the", "mat", "on", "sat", "cat"]
        assert corpus.vocab.counts.tolist() == [5, 2, 2, 2, 2]
        assert corpus.tokens.dtype == np.int32
        assert words_of(corpus) == [
            ["the", "cat", "sat", "on", "the", "mat"],
            ["the", "sat", "on", "the", "cat"],
            ["the", "mat"],
        ]
        assert corpus.ledger == Ledger(read=14, in_vocabulary=13, out_of_vocabulary=1, undecodable=0)
        assert corpus.sentences == 3
    assert len(corpus.tokens) == 0
    assert calls[-1] == (len(TEXT), len(TEXT))


@pytest.mark.parametrize("options", [{}, {"min_count": 2}, {"max_final_vocab": 25}, {"max_final_vocab": 10**6}])
def test_vocabulary_is_gensims(tmp_path: Path, scanner: ScannerName, options: dict[str, int]) -> None:
    from gensim.models import Word2Vec

    rng = np.random.default_rng(5)
    path = tmp_path / "text"
    lines = (" ".join(f"w{n}" for n in rng.zipf(1.3, 12) % 400) for _ in range(300))
    path.write_text("\n".join(lines))
    options = {"min_count": 1, **options}
    model = Word2Vec(**options)
    model.build_vocab(corpus_iterable=[line.split() for line in path.read_text().splitlines()])
    corpus = scan([path], scanner=scanner, **options)  # type: ignore[arg-type]
    assert len(set(corpus.vocab.counts.tolist())) < len(corpus.vocab), "the text has ties"
    assert corpus.vocab.words == model.wv.index_to_key
    assert corpus.vocab.counts.tolist() == [model.wv.get_vecattr(word, "count") for word in corpus.vocab.words]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "text.gz": gzip.compress,
    "text.bz2": bz2.compress,
    "text.xz": lzma.compress,
    "text.GZ": gzip.compress,
    "no-suffix": gzip.compress,
    "text.txt": bz2.compress,
    "text": lzma.compress,
    "two-members.gz": lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]),
}


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("block", [5, None])
def test_compressed_text_is_told_by_its_content(
    tmp_path: Path, scanner: ScannerName, name: str, block: int | None
) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[name](b"\xef\xbb\xbf" + TEXT))
    calls = []
    corpus = scan([path], min_count=1, scanner=scanner, _block_bytes=block, progress=lambda *call: calls.append(call))
    assert [" ".join(words) for words in words_of(corpus)] == [*TEXT.decode().split("\n")[:2], "the mat"]
    assert calls[-1] == (path.stat().st_size, path.stat().st_size)


def test_several_files_follow_each_other(tmp_path: Path, scanner: ScannerName) -> None:
    paths = []
    for name, content in (("a", b"one two"), ("b", b"\xef\xbb\xbfthree"), ("c.gz", gzip.compress(b"four\nfive"))):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    corpus = scan([paths[2], paths[0], str(paths[1])], min_count=1, scanner=scanner)
    assert words_of(corpus) == [["four"], ["five"], ["one", "two"], ["three"]], "the end of a file ends a sentence"


def test_folders_are_flat_sorted_and_without_hidden_or_empty_files(tmp_path: Path) -> None:
    for name in ("b", "a.txt", ".hidden", "c"):
        (tmp_path / name).write_bytes(TEXT)
    (tmp_path / "empty").touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "x").write_bytes(TEXT)
    names = [path.name if isinstance(path, Path) else path for path in expand_inputs([tmp_path, "-", tmp_path / "c"])]
    assert names == ["a.txt", "b", "c", "-", "c"]
    assert expand_inputs(str(tmp_path / "b")) == [tmp_path / "b"]


def test_standard_input_and_pipes(scanner: ScannerName, monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe(data: bytes) -> int:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as file:
            file.write(data)
        return reading

    calls = []
    with os.fdopen(pipe(TEXT)) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        corpus = scan(["-"], min_count=1, scanner=scanner, progress=lambda *call: calls.append(call))
    assert corpus.ledger.read == 14
    assert {total for _, total in calls} == {None}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(TEXT))))
    assert scan(["-"], min_count=1, scanner=scanner).ledger.read == 14
    descriptor = pipe(TEXT)
    assert scan([f"/dev/fd/{descriptor}"], min_count=1, scanner=scanner).ledger.read == 14
    os.close(descriptor)
    assert error_of(["-", "-"], scanner=scanner).startswith("'-' is given twice")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert error_of(["-"], scanner=scanner) == "standard input is empty: give a file with text"
    monkeypatch.setattr("sys.stdin", None)
    assert "no standard input" in error_of(["-"], scanner=scanner)


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\t\r\n ", "the text has no words"),
    "binary": (b"ELF\x00\x00" * 100, "is binary: 200 of its first 500 bytes are NUL"),
    "nul-late": (b"a b " * 2000 + b"\0" * 100, "is binary: 100 of"),
    "utf16": ("the cat".encode("utf-16"), "is UTF-16: convert it"),
    "plain.gz": (TEXT, "named like a gzip file but is not one"),
    "gzip.bz2": (gzip.compress(TEXT), "named like a bzip2 file but is not one"),
    "cut.gz": (gzip.compress(TEXT * 9)[:-9], "is cut short"),
    "cut.bz2": (bz2.compress(TEXT * 9)[:-9], "is cut short"),
    "cut.xz": (lzma.compress(TEXT * 9)[:-9], "is cut short"),
    "crc.gz": (gzip.compress(TEXT)[:-8] + b"12345678", "is damaged"),
    "deflate.gz": (gzip.compress(TEXT)[:10] + b"\xff" * 40, "is damaged"),
    "bits.bz2": (bz2.compress(TEXT)[:20] + b"\xff" * 40, "is damaged"),
    "bits.xz": (lzma.compress(TEXT)[:20] + b"\xff" * 40, "is damaged"),
    "binary.gz": (gzip.compress(b"\0" * 99), "is binary"),
    "empty.gz": (gzip.compress(b""), "is empty"),
    "rare": (b"a a b c", "no word reaches min_count=5: the text has 4 words, 3 of them different, and the most freque"),
    "single": (b"a a a a a b", "fewer than two words are left: only one reaches min_count=5"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_explained(tmp_path: Path, scanner: ScannerName, name: str) -> None:
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    assert message in error_of([tmp_path / name], scanner=scanner, workers=2)


def test_one_percent_of_nul_is_still_text(tmp_path: Path, scanner: ScannerName) -> None:
    (tmp_path / "text").write_bytes(b"a b \0" * 1 + b"a b " * 24)
    assert scan([tmp_path / "text"], min_count=2, scanner=scanner).vocab.words == ["b", "a"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_word_without_end_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2vfast.blocks.MAX_WORD_BYTES", 5000)
    (tmp_path / "text").write_bytes(pack(b"a b " + b"x" * 4000 + b" " + b"x" * 9000))
    message = error_of([tmp_path / "text"], scanner="python", min_count=1, _block_bytes=100)
    assert message.endswith("text has a word of more than 1 GiB: is it text with spaces?")


def test_a_reader_thread_ends_with_the_scan(tmp_path: Path, scanner: ScannerName) -> None:
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEXT * 20_000))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan([tmp_path / "text.gz"], scanner=scanner, progress=stop, _block_bytes=1000)
    assert "w2vfast-reader" not in {thread.name for thread in threading.enumerate()}


def test_damage_deep_inside_a_file_is_explained(tmp_path: Path, scanner: ScannerName) -> None:
    rng = np.random.default_rng(0)
    text = b" ".join(b"%d" % n for n in rng.integers(0, 10**9, 400_000))
    packed = bytearray(gzip.compress(text, 1))
    packed[-1000] ^= 0xFF
    (tmp_path / "text.gz").write_bytes(packed)
    assert re.search("is damaged|is cut short", error_of([tmp_path / "text.gz"], scanner=scanner, min_count=1))


def test_missing_and_unreadable_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_of([tmp_path / "no"]) == f"cannot read {tmp_path / 'no'}: No such file or directory"
    assert "no input given" in error_of([])
    (tmp_path / "folder").mkdir()
    assert "holds no text" in error_of([tmp_path / "folder"])
    (tmp_path / "text").write_bytes(TEXT)
    assert "Not a directory" in error_of([tmp_path / "text" / "x"])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert error_of([tmp_path / "text"]).endswith("text: Permission denied")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"min_count": -1}, "min_count must be at least 0"),
        ({"max_vocab_size": 0}, "max_vocab_size must be at least 2"),
        ({"max_final_vocab": 1}, "max_final_vocab must be at least 2"),
        ({"scanner": "fast"}, "scanner must be"),
        ({"vocab": Vocab(["x", "y"], np.array([9, 9]))}, "none of the 14 words of the text is in the given vocabulary"),
        ({"vocab": Vocab(["the", "a b"], np.array([9, 9]))}, "the word 'a b' holds white space"),
        ({"vocab": Vocab(["the", "cat"], np.array([9, 2]))}, "only one reaches min_count=5"),
    ],
)
def test_bad_options_are_explained(tmp_path: Path, options: dict[str, object], message: str) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    assert message in error_of([tmp_path / "text"], **options)


def test_without_the_native_scanner_one_line_says_what_it_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    monkeypatch.setattr(corpus_module, "native_unavailable_reason", lambda: "the native scanner is not built: why")
    with pytest.warns(RuntimeWarning, match="not built: why. Text is read by the Python scanner, several times slower"):
        scan([tmp_path / "text"], min_count=1)
    assert "install a C++ compiler" in error_of([tmp_path / "text"], scanner="native")
    scan([tmp_path / "text"], min_count=1, scanner="python")


def test_a_saved_vocabulary_gives_the_same_corpus(tmp_path: Path, scanner: ScannerName) -> None:
    (tmp_path / "text").write_bytes(TEXT * 3 + b"\xff \xfe \xef\xbf\xbd")
    first = scan([tmp_path / "text"], min_count=1, scanner=scanner)
    save_vocab(first.vocab, tmp_path / "vocab")
    second = scan([tmp_path / "text"], min_count=1, scanner=scanner, vocab=read_vocab(tmp_path / "vocab"))
    assert second.vocab.words == first.vocab.words
    np.testing.assert_array_equal(second.tokens, first.tokens)
    assert second.ledger == first.ledger
    assert first.ledger.undecodable == 2


# ---- The cache file ----


def test_a_large_corpus_lies_in_a_file_that_leaves_nothing_behind(tmp_path: Path, scanner: ScannerName) -> None:
    (tmp_path / "text").write_bytes(TEXT * 2000)
    cache = tmp_path / "cache"
    cache.mkdir()
    expected = scan([tmp_path / "text"], min_count=2001, scanner=scanner)
    assert not isinstance(expected.tokens, np.memmap)
    with scan([tmp_path / "text"], min_count=2001, scanner=scanner, cache_dir=cache, memory_limit=20_000) as corpus:
        assert isinstance(corpus.tokens, np.memmap)
        np.testing.assert_array_equal(corpus.tokens, expected.tokens)
        assert corpus.sentences == expected.sentences
        corpus.tokens[0] = 0  # a view of a file opened for reading only would refuse
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, InputError])
def test_failure_leaves_no_file(tmp_path: Path, scanner: ScannerName, failure: type[BaseException]) -> None:
    (tmp_path / "text").write_bytes(TEXT * 500)
    cache = tmp_path / "cache"
    cache.mkdir()

    def stop(done: int, _: int | None) -> None:
        if done > 20_000:
            raise failure

    with pytest.raises(failure):
        scan([tmp_path / "text"], scanner=scanner, cache_dir=cache, memory_limit=0, progress=stop, _block_bytes=1000)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    message = error_of([tmp_path / "text"], min_count=1, cache_dir=tmp_path / "no", memory_limit=0)
    assert message.startswith(f"cannot write the cache of word ids in {tmp_path / 'no'}: No such file or directory")
    assert "--cache-dir" in message

    class FullDisk(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FullDisk())
    message = error_of([tmp_path / "text"], min_count=1, cache_dir=tmp_path, memory_limit=0)
    assert "no space is left after 0 bytes of at least 56" in message


@pytest.mark.parametrize("memory_limit", [0, 10**9])
@pytest.mark.parametrize("chunk", [1, 2, 5, 4096])
def test_a_store_keeps_every_id_and_mark(tmp_path: Path, memory_limit: int, chunk: int) -> None:
    rng = np.random.default_rng(chunk)
    store = TokenStore(memory_limit, tmp_path, chunk)
    expected: list[int] = []
    identity = np.arange(100, dtype=np.int32)
    reverse = identity[::-1].copy()
    for round_ in range(60):
        ids = rng.integers(0, 100, rng.integers(0, 9), dtype=np.int32)
        ends_before = bool(rng.random() < 0.3)
        table = int(rng.integers(0, 2))
        if ends_before and expected:
            expected[-1] |= int(SIGN)
        store.append(ids, ends_before, table)
        expected += (99 - ids if table else ids).tolist()
        if round_ in (20, 40):  # odd numbers go, and marks move to the number before
            keep = np.where(identity % 2 == 0, identity, -1).astype(np.int32)
            store.renumber([keep, keep[::-1].copy()], renumber_with_numpy)
            expected = thinned(expected)
        assert len(store) == len(expected)
    ids = store.finish([identity, reverse], renumber_with_numpy, len(expected))
    store.close()
    assert isinstance(ids, np.memmap) == (memory_limit == 0)
    assert ids.tolist() == expected


def thinned(ids: list[int]) -> list[int]:
    out: list[int] = []
    for token in ids:
        if token % 2 == 0:  # the sign bit changes nothing about this
            out.append(token & 0x7FFFFFFF)
        if token < 0 and out:
            out[-1] |= int(SIGN)
    return out


# ---- max_vocab_size ----


def test_max_vocab_size_keeps_frequent_words_and_the_ledger(
    tmp_path: Path, scanner: ScannerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    rare = iter(rng.permutation(20_000))
    text = " ".join(f"common{n}" if n < 50 else f"rare{next(rare)}" for n in rng.integers(0, 100, 20_000))
    (tmp_path / "text").write_text(text)
    exact = scan([tmp_path / "text"], min_count=100, scanner=scanner)
    options = {"min_count": 100, "max_vocab_size": 400, "scanner": scanner, "_block_bytes": 3000}
    bounded = scan([tmp_path / "text"], **options)  # type: ignore[arg-type]
    assert sorted(bounded.vocab.words) == sorted(exact.vocab.words)
    assert bounded.ledger.read == exact.ledger.read
    # Renumbering on the way changes nothing.
    monkeypatch.setattr(corpus_module, "_RENUMBER_IDS", 0)
    monkeypatch.setattr(corpus_module, "_IDS_PER_TYPE", 2)
    for memory_limit in (10**9, 0):
        renumbered = scan([tmp_path / "text"], memory_limit=memory_limit, cache_dir=tmp_path, **options)  # type: ignore[arg-type]
        assert renumbered.vocab.words == bounded.vocab.words
        np.testing.assert_array_equal(renumbered.tokens, bounded.tokens)
        assert renumbered.ledger == bounded.ledger


def test_dropped_words_that_are_not_utf8_stay_counted(tmp_path: Path, scanner: ScannerName) -> None:
    words = [b"a", b"b"] * 30
    for n in range(40):
        words.insert(n * 2, b"\xff%d" % n)
    (tmp_path / "text").write_bytes(b" ".join(words))
    corpus = scan([tmp_path / "text"], min_count=2, max_vocab_size=5, scanner=scanner, force=True)
    assert corpus.ledger.undecodable == 40


# ---- Lists of words ----


def test_sentences_give_what_the_same_text_gives(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT * 5)
    sentences = [line.split() for line in (TEXT * 5).decode().split("\n")]

    def once() -> Iterator[Iterator[str]]:
        yield from (iter(sentence) for sentence in sentences)

    for options in ({"min_count": 6}, {"min_count": 1, "max_final_vocab": 5}, {"min_count": 2, "max_vocab_size": 4}):
        text = scan([tmp_path / "text"], **options)  # type: ignore[arg-type]
        listed = encode_sentences(once(), **options)  # type: ignore[arg-type]
        assert listed.vocab.words == text.vocab.words
        np.testing.assert_array_equal(listed.tokens, text.tokens)
        assert (listed.ledger, listed.sentences) == (text.ledger, text.sentences)


def test_sentences_may_be_longer_than_a_batch_and_hold_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "_SENTENCE_BATCH", 4)
    sentences = [["New York", "a\nb", ""], [], ["a\nb"] * 9, ("New York", ""), ["\ud800", "\ud800"]]
    corpus = encode_sentences(sentences, min_count=2)
    assert words_of(corpus) == [list(sentence) for sentence in sentences if sentence]
    vocab = Vocab(["New York", "a\nb"], np.array([5, 4]))
    assert encode_sentences(sentences, min_count=1, vocab=vocab).ledger == Ledger(16, 12, 4, 0)


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("the text", "lists of words, not a str"),
        (["hello world"], "sentence 0 is a str, 'hello world', where a list of words is expected"),
        ([["a"], b"hello"], "sentence 1 is a bytes"),
        ([["a"], 7], "sentence 1 is 7, where a list of words is expected"),
        ([["a", 7]], "holds 7, which is no str"),
        ([["a", b"b"]], "holds b'b', which is no str"),
        ([["a", ["b"]]], "holds \\['b'\\], which is no str"),
        (7, "sentences must be lists of words"),
        ([], "the text has no words"),
    ],
)
@pytest.mark.parametrize("max_vocab_size", [None, 5])
def test_what_is_no_sentence_is_refused(sentences: object, message: str, max_vocab_size: int | None) -> None:
    with pytest.raises(InputError, match=message):
        encode_sentences(sentences, min_count=1, max_vocab_size=max_vocab_size)  # type: ignore[arg-type]


def test_an_error_of_the_iterator_comes_through() -> None:
    def broken() -> Iterator[list[str]]:
        yield ["a", "b"]
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        encode_sentences(broken(), min_count=1)


def test_a_ledger_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(AssertionError, match="lost or counted twice"):
        Ledger(read=3, in_vocabulary=1, out_of_vocabulary=1, undecodable=0)


# ---- Files that change while they are read ----


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_bytes(TEXT), id="cut"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + TEXT), id="longer"),
        pytest.param(lambda path: os.utime(path, ns=(1, 1)), id="written-to"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, scanner: ScannerName, packed: bool, change: Callable[[Path], object]
) -> None:
    path = tmp_path / "text"
    path.write_bytes(gzip.compress(os.urandom(1 << 18).hex().encode(), 1) if packed else TEXT * 5000)
    done: list[int] = []

    def progress(position: int, _: int | None) -> None:
        if not done:
            change(path)
        done.append(position)

    message = error_of([path], scanner=scanner, min_count=1, progress=progress, force=packed, _block_bytes=20_000)
    assert message.startswith(f"{path} ")
    assert re.search("while it was read|is cut short|is damaged", message)
    assert "start again when it is complete" in message or "copy" in message
