"""Word2Vec on sentences that are encoded a block at a time beside the training on the block before."""

import threading

import numpy as np
import pytest

from tests.conftest import share_of_right_neighbours
from w2vfast import Word2Vec, model

SETTINGS = {"vector_size": 16, "min_count": 1, "sample": 0, "workers": 1, "sg": 1, "epochs": 15}


@pytest.fixture
def blocks_of_500(monkeypatch):
    monkeypatch.setattr(model, "STREAM_TOKENS", 500)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("w2vfast")]


@pytest.mark.usefixtures("blocks_of_500")
def test_blocks_train_as_the_whole_does(themed_sentences):
    first, again = (Word2Vec(themed_sentences, **SETTINGS) for _ in range(2))
    np.testing.assert_array_equal(first.wv.vectors, again.wv.vectors)
    assert share_of_right_neighbours(first.wv.index_to_key, first.wv.vectors) > 0.95
    assert first.loss_per_epoch[-1] < first.loss_per_epoch[0]
    assert len(first.loss_per_epoch) == 15
    # Another draw for each block of 63 sentences.
    assert first.draw_epochs == 15 * (12_000 // 504 + 1)
    assert not threads()


def test_counts_and_rates_are_those_of_the_whole(themed_sentences, monkeypatch):
    returned, rates = [], []
    for size in (500, 1 << 21):
        monkeypatch.setattr(model, "STREAM_TOKENS", size)
        ours = Word2Vec(**SETTINGS)
        ours.build_vocab(themed_sentences)
        returned.append(ours.train(themed_sentences, total_examples=ours.corpus_count, epochs=2))
        rates.append(ours.min_alpha_yet_reached)
    assert returned[0] == returned[1] == (24_000, 24_000)
    assert rates[0] == rates[1] == pytest.approx(1e-4)


@pytest.mark.usefixtures("blocks_of_500")
def test_an_iterator_that_fails_in_the_middle_ends_the_training_and_the_thread(themed_sentences):
    class Broken:
        def __init__(self):
            self.passes = 0

        def __iter__(self):
            self.passes += 1
            yield from themed_sentences[:700]
            if self.passes == 3:
                raise OSError("the disk is gone")
            yield from themed_sentences[700:]

    with pytest.raises(OSError, match="the disk is gone"):
        Word2Vec(Broken(), **SETTINGS)
    assert not threads()


@pytest.mark.usefixtures("blocks_of_500")
def test_a_corpus_longer_or_shorter_than_said_trains_whole(themed_sentences):
    ours = Word2Vec(**SETTINGS)
    ours.build_vocab(themed_sentences)
    for part in (themed_sentences * 2, themed_sentences[:900]):
        trained, raw = ours.train(part, total_examples=1500, epochs=1)
        assert trained == raw == 8 * len(part)
    assert np.isfinite(ours.wv.vectors).all()


@pytest.mark.usefixtures("blocks_of_500")
def test_sentences_of_unknown_words_alone_teach_nothing(themed_sentences):
    ours = Word2Vec(**SETTINGS)
    ours.build_vocab(themed_sentences)
    before = ours.wv.vectors.copy()
    assert ours.train([["nothing", "known"]] * 3000, total_examples=1500, epochs=1) == (0, 6000)
    np.testing.assert_array_equal(before, ours.wv.vectors)
