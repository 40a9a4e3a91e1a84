import stat
from pathlib import Path

import numpy as np
import pytest

from w2vfast.errors import InputError
from w2vfast.files import atomic_path
from w2vfast.vocab import Vocab, read_vocab, save_vocab, select_types


def vocab(**counts: int) -> Vocab:
    return Vocab(list(counts), np.array(list(counts.values()), dtype=np.int64))


def test_types_are_sorted_by_count_and_ties_last_seen_first() -> None:
    counts = np.array([3, 5, 3, 1, 5, 0, 3])
    assert select_types(counts, min_count=1, max_final_vocab=None).tolist() == [4, 1, 6, 2, 0, 3]
    assert select_types(counts, min_count=3, max_final_vocab=None, fixed_order=True).tolist() == [0, 1, 2, 4, 6]


@pytest.mark.parametrize(("limit", "kept"), [(6, 6), (7, 6), (5, 5), (4, 2), (3, 2), (2, 2)])
def test_max_final_vocab_drops_all_types_of_the_count_of_the_first_too_many(limit: int, kept: int) -> None:
    counts = np.array([3, 5, 3, 1, 5, 0, 3])
    assert len(select_types(counts, min_count=1, max_final_vocab=limit)) == kept


@pytest.mark.parametrize(
    ("counts", "min_count", "limit", "message"),
    [
        ([3, 2, 1], 5, None, "no word reaches min_count=5: the text has 6 words, 3 of them different, and the most f"),
        ([3, 2, 1], 3, None, "fewer than two words are left: only one reaches min_count=3"),
        ([1], 0, None, "fewer than two words are left"),
        ([0, 0], 0, None, "the text has no words"),
        ([2, 2, 2], 1, 2, "no word reaches max_final_vocab .*at least 3 times.*raise max_final_vocab"),
    ],
)
def test_too_few_words_are_explained(counts: list[int], min_count: int, limit: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select_types(np.array(counts), min_count=min_count, max_final_vocab=limit)


def test_a_vocabulary_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    # Ties in an order that sorting would not give, words that other ways to split a line would break.
    saved = vocab(**{"z": 2**62, "é": 7, "a": 7, "no\u00a0break": 7, "next\u0085line": 3, "\x00\x1c": 2, "\ufeff": 1})
    save_vocab(saved, tmp_path / "vocab.txt")
    read = read_vocab(tmp_path / "vocab.txt")
    assert read.words == saved.words
    assert read.counts.dtype == np.int64
    np.testing.assert_array_equal(read.counts, saved.counts)


def test_lines_of_other_tools_are_read(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbflow 1\r\n</s> 5\r\nhigh\t 9 \r\n\nmid 5")
    assert read_vocab(path).words == ["high", "</s>", "mid", "low"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"word", "line 2: 'word': expected 'word count'"),
        (b"two words 3", "line 2: 'two words 3': expected 'word count'"),
        (b"word 0", "above 0"),
        (b"word -3", "above 0"),
        (b"word 1_0", "above 0"),
        (b"word 2.5", "above 0"),
        (b"word 9223372036854775808", "above 0"),
        (b"word " + b"9" * 5000, "above 0"),
        (b"\xff 3", "line 2: .*not UTF-8"),
        (b"one 3", "line 2: 'one 3': the word stands in line 1 already"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"one 1\n" + line + b"\n")
    with pytest.raises(InputError, match=message) as error:
        read_vocab(path)
    assert "\n" not in str(error.value)


def test_an_empty_or_missing_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"\n\n")
    with pytest.raises(InputError, match="has no words"):
        read_vocab(tmp_path / "empty")
    with pytest.raises(InputError, match=r"cannot read the vocabulary .*No such file"):
        read_vocab(tmp_path / "missing")


@pytest.mark.parametrize("word", ["two words", "line\nend", "", "tab\t", "\ud800"])
def test_a_word_that_cannot_be_written_is_named_and_nothing_written(tmp_path: Path, word: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("as it was")
    with pytest.raises(InputError) as error:
        save_vocab(vocab(**{"good": 2, word: 1}), path)
    assert repr(word) in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["vocab.txt"]
    assert path.read_text() == "as it was"


def test_words_and_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="2 words but 1 counts"):
        Vocab(["a", "b"], np.array([1]))


def test_atomic_path_replaces_on_success(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".bin"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode), "the umask decides"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_atomic_path_leaves_nothing_on_failure(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file"

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_atomic_path_follows_links_and_writes_pipes_in_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "text"
    with atomic_path("/dev/null") as temporary:
        assert temporary == Path("/dev/null")


def test_atomic_path_refuses_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder"), atomic_path(tmp_path):
        pass
    with pytest.raises(InputError, match=r"cannot write .*No such file"), atomic_path(tmp_path / "no" / "file"):
        pass
