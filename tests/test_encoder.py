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
