"""Sentences into ids and counts: both twins alike, marks at sentence ends, what goes wrong in the middle, no leaks."""

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2vfast import encoder

NATIVE = [True, False] if encoder.native_unavailable_reason() is None else [False]
WORDS = ["a", "b", "c", "naïve", 1, 2.5, (1, 2), b"x", None]
INDEX = {word: index for index, word in enumerate(WORDS[:7])}
pytestmark = pytest.mark.parametrize("native", NATIVE)


def plainly(sentences, index):
    """What encode is to return, said another way."""
    ids = []
    for sentence in sentences:
        known = [index[token] for token in sentence if token in index]
        ids += [*known[:-1], known[-1] - 2**31] if known else []
    return np.array(ids, np.int64), sum(map(len, sentences)), len(sentences)


@settings(deadline=None)
@given(sentences=st.lists(st.lists(st.sampled_from(WORDS), max_size=9), max_size=600))
def test_ids_are_the_keys_indices(native, sentences):
    expected = plainly(sentences, INDEX)
    for same in (sentences, [tuple(s) for s in sentences], (iter(s) for s in sentences)):
        ids, raw, count = encoder.encode(same, INDEX, native=native)
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, expected[0])
        assert (raw, count) == expected[1:]


@settings(deadline=None)
@given(sentences=st.lists(st.lists(st.sampled_from(WORDS), max_size=9), max_size=300))
def test_counts_are_in_the_order_of_first_sight(native, sentences):
    counts, raw, count = encoder.count(sentences, native=native)
    expected = Counter(token for sentence in sentences for token in sentence)
    assert list(counts.items()) == list(expected.items())
    assert (raw, count) == (sum(expected.values()), len(sentences))


def test_tokens_are_looked_up_as_a_dictionary_does(native):
    """1, 1.0 and True are one key; numpy's strings and integers hash like Python's; a str is its letters."""
    index = {1: 0, "ab": 1, "a": 2}
    ids, raw, _ = encoder.encode([[1.0, True], np.array(["ab", "zz"]), np.array([1, 7]), "ab"], index, native=native)
    assert (ids & 2**31 - 1).tolist() == [0, 0, 1, 0, 2]
    assert (ids < 0).tolist() == [False, True, True, True, True]
    assert raw == 8


def test_large_streams_lie_in_a_file(native, tmp_path):
    sentences = [["a", "b", "zz"]] * 2000
    in_memory, *_ = encoder.encode(sentences, INDEX, native=native)
    on_disk, *_ = encoder.encode(sentences, INDEX, memory_limit=1000, cache_dir=tmp_path, native=native)
    assert isinstance(on_disk, np.memmap)
    np.testing.assert_array_equal(on_disk, in_memory)
    assert not list(tmp_path.iterdir())


def test_what_an_iterator_raises_goes_through(native):
    def broken():
        yield from [["a"]] * 300
        raise KeyboardInterrupt

    def sentence():
        yield "a"
        raise OSError("gone")

    with pytest.raises(KeyboardInterrupt):
        encoder.encode(broken(), INDEX, native=native)
    with pytest.raises(OSError, match="gone"):
        encoder.encode([["a"], sentence()], INDEX, native=native)
    with pytest.raises(TypeError, match="unhashable"):
        encoder.encode([["a", ["b"]]], INDEX, native=native)
    with pytest.raises(TypeError, match="not iterable"):
        encoder.encode([["a"], 7], INDEX, native=native)
    with pytest.raises(TypeError, match="unhashable"):
        encoder.count([[{}]], native=native)
    with pytest.raises(ValueError, match="outside"):
        encoder.encode([["a"]], {"a": -1}, native=native)


def test_tokens_may_run_code_that_changes_what_is_walked(native):
    """Comparison in Python that empties the sentence and grows the vocabulary: no crash, no stale reference."""
    index = {f"w{i}": i for i in range(50)}
    sentence = []

    class Token:
        def __hash__(self):
            return hash("w3")

        def __eq__(self, other):
            sentence.clear()
            index.update({f"new{len(index)}": 0 for _ in range(100)})
            return False

    sentence += [Token(), *("w1" for _ in range(20))]
    ids, raw, _ = encoder.encode([sentence], index, native=native)
    assert (len(ids), raw) == (0, 1)


@pytest.mark.parametrize("size", [3, 256, 300])
def test_an_iterator_that_begins_anew_at_its_end_is_read_once(native, size):
    class Anew:
        at = 0

        def __iter__(self):
            return self

        def __next__(self):
            assert self.at <= 2 * size, "asked for ever"
            self.at += 1
            if self.at % (size + 1) == 0:
                raise StopIteration
            return ["a"]

    assert encoder.encode(Anew(), INDEX, native=native)[2] == size
    assert encoder.count(Anew(), native=native)[2] == size


def test_a_list_that_a_generator_fills_again_is_taken_as_it_was(native):
    def refilled():
        sentence = []
        for word in ("a", "b", "c"):
            sentence[:] = [word]
            yield sentence

    ids, *_ = encoder.encode(refilled(), INDEX, native=native)
    assert (ids & 2**31 - 1).tolist() == [0, 1, 2]
    assert encoder.count(refilled(), native=native)[0] == {"a": 1, "b": 1, "c": 1}


def test_no_reference_is_kept(native):
    token, number = "".join(["some", "thing"]), 2**20 + 1
    index = {token: number}
    before = sys.getrefcount(token), sys.getrefcount(number)
    sentences = [[token, "other"] * 50] * 50
    for _ in range(20):
        encoder.encode(sentences, index, native=native)
        encoder.count(sentences, native=native)
    del sentences
    after = sys.getrefcount(token), sys.getrefcount(number)
    assert abs(after[0] - before[0]) <= 1
    assert abs(after[1] - before[1]) <= 1


@pytest.mark.parametrize("letter", ["a", "é", "я", "語", "😀"])
def test_words_of_every_length_and_kind_are_told_apart(native, letter):
    """Short ones have a table of their own; a word of 0 to 40 letters is no prefix's and no other letter's."""
    words = [letter * n for n in range(40)] + ["x" + letter * n for n in range(40)]
    assert len(set(words)) == len(words)
    index = {word: i for i, word in enumerate(words)}
    sentences = [["".join(list(word)) for word in words], [word + "!" for word in words]]
    ids, *_ = encoder.encode(sentences, index, native=native)
    assert (ids & 2**31 - 1).tolist() == list(range(80))
    assert encoder.count(sentences, native=native)[0] == dict.fromkeys([*words, *sentences[1]], 1)


def test_a_key_that_equals_a_str_without_being_one_is_found(native):
    index = {np.str_("ship"): 0, "sea": 1}
    ids, *_ = encoder.encode([["ship", "sea", np.str_("sea"), "none"]], index, native=native)
    assert (ids & 2**31 - 1).tolist() == [0, 1, 1]
    counts, *_ = encoder.count([[np.str_("ship"), "ship"], ["ship"]], native=native)
    assert counts == {"ship": 3}


def test_words_added_while_an_iterator_runs_are_known_later(native):
    index = {"a": 0}

    def growing():
        yield ["a", "b"] * 40_000
        index["b"] = 1
        yield ["b"]

    ids, *_ = encoder.encode(growing(), index, native=native)
    assert (len(ids), ids[-1] & 2**31 - 1) == (40_001, 1)


def test_many_words_are_counted(native):
    words = [f"w{i}" for i in range(30_000)]
    counts, raw, several = encoder.count([words, words[::-1]], native=native)
    assert counts == dict.fromkeys(words, 2)
    assert (raw, several) == (60_000, 2)
    ids, *_ = encoder.encode([words], {word: i for i, word in enumerate(words)}, native=native)
    assert np.array_equal(ids & 2**31 - 1, np.arange(30_000))
