"""gensim's phrases as input: Phrases and its frozen form (Phraser), chained and as streams that are iterated again."""

import itertools

import numpy as np
import pytest
from gensim.models.phrases import ENGLISH_CONNECTOR_WORDS, FrozenPhrases, Phraser, Phrases

from tests.conftest import THEMES
from w2vfast import Word2Vec

SETTINGS = {"vector_size": 16, "min_count": 1, "epochs": 3, "sample": 0, "workers": 1, "seed": 1}
PHRASE = ("bank", "of", "new", "york")


class Sentences:
    """A re-iterable that counts how often it is iterated."""

    def __init__(self, sentences):
        self.sentences, self.iterations = sentences, 0

    def __iter__(self):
        self.iterations += 1
        yield from self.sentences


@pytest.fixture(scope="module")
def text(themed_sentences):
    """Sentences of four words of a theme, of which each third one ends in "new york", half of these within PHRASE."""
    endings = itertools.cycle([(), (), ("new", "york"), (), (), PHRASE])
    return [[*words[:4], *next(endings), *words[4:]] for words in themed_sentences[:600]]


@pytest.fixture(scope="module")
def bigrams(text):
    return Phrases(text, min_count=5, threshold=0.5)


@pytest.fixture(scope="module")
def trigrams(text, bigrams):
    # another delimiter: when gensim freezes phrases of phrases it takes them apart at the delimiter
    return Phrases(bigrams[text], min_count=5, threshold=0.5, delimiter="~")


def same_model(model, other):
    assert model.wv.index_to_key == other.wv.index_to_key
    np.testing.assert_array_equal(model.wv.get_vecattr("new_york", "count"), other.wv.get_vecattr("new_york", "count"))
    np.testing.assert_array_equal(model.wv.vectors, other.wv.vectors)
    np.testing.assert_array_equal(model.syn1neg, other.syn1neg)


def test_a_stream_of_bigrams_is_what_the_same_lists_are(text, bigrams):
    streamed = Word2Vec(bigrams[text], **SETTINGS)
    assert "new_york" in streamed.wv
    same_model(streamed, Word2Vec(list(bigrams[text]), **SETTINGS))


def test_the_stream_is_iterated_for_the_vocabulary_and_once_an_epoch(text, bigrams):
    sentences = Sentences(text)
    stream = bigrams[sentences]
    peeks = sentences.iterations  # gensim looks whether it was given one sentence or many
    model = Word2Vec(stream, **SETTINGS)
    assert sentences.iterations - peeks == 1 + SETTINGS["epochs"]
    assert (model.corpus_count, model.corpus_total_words) == (len(text), sum(map(len, bigrams[text])))


def test_frozen_phrases_and_the_old_name(text, bigrams):
    assert Phraser is FrozenPhrases
    expected = Word2Vec(bigrams[text], **SETTINGS)
    same_model(expected, Word2Vec(Phraser(bigrams)[text], **SETTINGS))
    same_model(expected, Word2Vec(bigrams.freeze()[text], **SETTINGS))


@pytest.mark.parametrize("frozen", [False, True], ids=["Phrases", "Phraser"])
def test_chained(text, bigrams, trigrams, frozen):
    """As the documentation chains them: trigram[bigram[sentences]]."""
    first, second = (Phraser(bigrams), Phraser(trigrams)) if frozen else (bigrams, trigrams)
    model = Word2Vec(second[first[text]], **SETTINGS)
    assert "bank_of~new_york" in model.wv
    same_model(model, Word2Vec([second[first[sentence]] for sentence in text], **SETTINGS))


def test_chained_the_other_way(text, bigrams, trigrams):
    """bigram[trigram[sentences]], a stream of a stream."""
    model = Word2Vec(bigrams[trigrams[text]], **SETTINGS)
    same_model(model, Word2Vec([bigrams[trigrams[sentence]] for sentence in text], **SETTINGS))


def test_build_vocab_and_train_apart(text, bigrams):
    model = Word2Vec(**SETTINGS)
    model.build_vocab(bigrams[text])
    model.train(bigrams[text], total_examples=model.corpus_count, epochs=model.epochs)
    same_model(model, Word2Vec(bigrams[text], **SETTINGS))


def test_new_sentences_with_phrases_extend_the_vocabulary(text, bigrams):
    model = Word2Vec(text, **SETTINGS)
    assert "new_york" not in model.wv
    model.build_vocab(bigrams[text], update=True)
    before = model.wv["new_york"].copy()
    model.train(bigrams[text], total_examples=model.corpus_count, epochs=2)
    assert not np.array_equal(model.wv["new_york"], before)


def test_connector_words_and_another_delimiter(text):
    phrases = Phrases(text, min_count=5, threshold=0.5, delimiter=" ", connector_words=ENGLISH_CONNECTOR_WORDS)
    model = Word2Vec(phrases[text], **SETTINGS)
    assert "bank of new" in model.wv, "a token with spaces and a connector word within"


def test_phrases_learn_their_neighbours(text, bigrams):
    """What the phrases are for: words of a theme stay together though the stream changes the sentences."""
    model = Word2Vec(bigrams[text], **SETTINGS | {"epochs": 30, "sg": 1, "alpha": 0.05})
    sea = [word for word in THEMES["sea"] if word in model.wv]
    others = [word for word in THEMES["kitchen"] if word in model.wv]
    within = np.mean([model.wv.similarity(one, other) for one, other in itertools.combinations(sea, 2)])
    across = np.mean([model.wv.similarity(one, other) for one in sea for other in others])
    assert within > across + 0.2
