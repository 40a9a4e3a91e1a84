"""The guide for users of gensim: each of its lines names a test that exists, and what only the guide says is tested."""

import ast
import bz2
import copy
import inspect
import itertools
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gensim
import numpy as np
import pytest
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.keyedvectors import KeyedVectors

from tests.conftest import THEMES, share_of_right_neighbours
from w2vfast import Word2Vec

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "from-gensim.md"
SMALL = {"vector_size": 16, "min_count": 1, "workers": 1, "seed": 1}


def claims():
    """Return the guide's lines that say something of the class: items of lists, and rows of tables."""
    lines = GUIDE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    heads = [line for line, below in itertools.pairwise(rows) if set(below) <= set("|- ")]
    items = re.findall(r"^- .*(?:\n  .*)*", GUIDE.read_text(), re.MULTILINE)
    return items + [row for row in rows if row not in heads and not set(row) <= set("|- ")]


def named_tests(claim):
    return re.findall(r"`(test_\w+\.py)::(test_\w+)`", claim)


def test_every_line_of_the_guide_names_tests_that_exist():
    assert len(claims()) > 20
    for claim in claims():
        assert named_tests(claim), f"no test is named: {claim}"
        for file, name in named_tests(claim):
            tree = ast.parse((ROOT / "tests" / file).read_text())
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert name in functions, f"{file} has no {name}"


# The same


def test_the_constructor_is_gensims_with_more_keywords():
    theirs = inspect.signature(gensim.models.Word2Vec).parameters
    ours = inspect.signature(Word2Vec).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(ours[name].default == parameter.default for name, parameter in theirs.items())
    more = [parameter for name, parameter in ours.items() if name not in theirs]
    assert all(parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD) for parameter in more)


@pytest.fixture(scope="module")
def model(themed_sentences):
    return Word2Vec(themed_sentences, **SMALL, sg=1, epochs=5)


def test_it_is_gensims_class_with_gensims_tables(model):
    assert isinstance(model, gensim.models.Word2Vec)
    assert isinstance(model.wv, KeyedVectors)
    assert model.wv.vectors.dtype == model.syn1neg.dtype == np.float32
    assert model.wv.vectors.shape == model.syn1neg.shape == (24, 16)


def test_it_learns(model):
    assert share_of_right_neighbours(model.wv.index_to_key, model.wv.vectors) > 0.9


@pytest.mark.parametrize("how", ["save", "save with mmap", "pickle", "deepcopy"])
def test_saved_and_loaded_it_trains_on(model, themed_sentences, tmp_path, how):
    path = str(tmp_path / "model")
    match how:
        case "save":
            model.save(path)
            other = Word2Vec.load(path)
        case "save with mmap":
            model.save(path, sep_limit=0)
            other = Word2Vec.load(path, mmap="r")
        case "pickle":
            other = pickle.loads(pickle.dumps(model))
        case "deepcopy":
            other = copy.deepcopy(model)
    assert type(other) is Word2Vec
    np.testing.assert_array_equal(other.wv.vectors, model.wv.vectors)
    other.train(themed_sentences, total_examples=other.corpus_count, epochs=1)
    assert not np.array_equal(other.wv.vectors, model.wv.vectors)


def test_plain_gensim_loads_what_to_gensim_saves(model, themed_sentences, tmp_path):
    """In a process that cannot import w2vfast."""
    model.to_gensim().save(str(tmp_path / "model"))
    program = (
        "import sys; sys.modules['w2vfast'] = None\n"
        "from gensim.models import Word2Vec\n"
        "model = Word2Vec.load('model')\n"
        "before = model.wv.vectors.copy()\n"
        "model.train([['ship', 'wave', 'sailor']] * 999, total_examples=999, epochs=1)\n"
        "assert (before != model.wv.vectors).any()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_of_gensims_goes_on_here(themed_sentences, tmp_path):
    theirs = gensim.models.Word2Vec(themed_sentences, **SMALL, epochs=1)
    theirs.save(str(tmp_path / "theirs"))
    ours = Word2Vec.load(str(tmp_path / "theirs"))
    assert type(ours) is Word2Vec
    np.testing.assert_array_equal(ours.wv.vectors, theirs.wv.vectors)
    ours.train(themed_sentences, total_examples=ours.corpus_count, epochs=10)
    assert share_of_right_neighbours(ours.wv.index_to_key, ours.wv.vectors) > 0.9


def test_callbacks_are_called_as_gensim_calls_them(themed_sentences):
    class Notes(CallbackAny2Vec):
        def __init__(self):
            self.calls = []

        def on_train_begin(self, model):
            self.calls.append("train begins")

        def on_epoch_begin(self, model):
            self.calls.append("epoch begins")

        def on_epoch_end(self, model):
            self.calls.append(("epoch ends", model.get_latest_training_loss() > 0))

        def on_train_end(self, model):
            self.calls.append("train ends")

    notes = Notes()
    Word2Vec(themed_sentences, **SMALL, epochs=2, compute_loss=True, callbacks=[notes])
    assert notes.calls == ["train begins", *["epoch begins", ("epoch ends", True)] * 2, "train ends"]


def test_locked_rows_stay(themed_sentences):
    model = Word2Vec(**SMALL)
    model.build_vocab(themed_sentences)
    before = model.wv.vectors.copy()
    model.wv.vectors_lockf = np.ones(len(model.wv), np.float32)
    model.wv.vectors_lockf[3] = 0
    model.train(themed_sentences, total_examples=model.corpus_count, epochs=1)
    changed = (model.wv.vectors != before).any(axis=1)
    assert changed.sum() == len(model.wv) - 1
    assert not changed[3]


def test_integers_are_words_too():
    model = Word2Vec([[1, 2, 3, 4]] * 50, **SMALL)
    assert sorted(model.wv.index_to_key) == [1, 2, 3, 4]


# Better


def test_long_sentences_are_trained_whole():
    """gensim trains the first 10,000 words and reports all."""
    words = [f"w{i % 50}" for i in range(29_950)] + ["late", "later"] * 25
    model = Word2Vec(**SMALL, sample=0)
    model.build_vocab([words])
    before = model.wv.vectors.copy()
    assert model.train([words], total_examples=1, epochs=2) == (60_000, 60_000)
    assert (model.wv["late"] != before[model.wv.get_index("late")]).any()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_corpus_file_of_one_line_is_trained_once_an_epoch(tmp_path, workers):
    path = tmp_path / "line.txt"
    path.write_text(" ".join(f"w{i % 50}" for i in range(30_000)))
    model = Word2Vec(**SMALL | {"workers": workers}, sample=0)
    model.build_vocab(corpus_file=str(path))
    trained = model.train(corpus_file=str(path), total_words=model.corpus_total_words, epochs=1)
    assert trained == (30_000, 30_000)


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_is_an_error(themed_sentences, workers):
    with pytest.raises(ValueError, match="workers"):
        Word2Vec(themed_sentences, **SMALL | {"workers": workers})


def test_a_window_of_zero_is_an_error(themed_sentences):
    with pytest.raises(ValueError, match="window"):
        Word2Vec(themed_sentences, **SMALL, window=0)


class Failing:
    """Sentences whose reading fails in the second pass, which is the first epoch."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        for number in range(1000):
            if self.passes == 2 and number == 500:
                raise OSError("the disk is gone")
            yield ["a", "b", "c"]


def test_sentences_that_raise_in_an_epoch_raise_in_train():
    with pytest.raises(OSError, match="the disk is gone"):
        Word2Vec(Failing(), **SMALL)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_intersect_word2vec_format_works(model, themed_sentences, tmp_path, binary):
    path = str(tmp_path / "vectors")
    model.wv.save_word2vec_format(path, binary=binary)
    other = Word2Vec(**SMALL | {"seed": 2})
    other.build_vocab([*themed_sentences, ["unheard"]])
    fresh = other.wv["unheard"].copy()
    other.wv.intersect_word2vec_format(path, binary=binary, lockf=0.0)
    np.testing.assert_allclose(other.wv["ship"], model.wv["ship"], atol=1e-6)
    np.testing.assert_array_equal(other.wv["unheard"], fresh)
    other.train(themed_sentences, total_examples=len(themed_sentences), epochs=1)
    np.testing.assert_allclose(other.wv["ship"], model.wv["ship"], atol=1e-6)


def test_the_loss_means_something(themed_sentences):
    model = Word2Vec(themed_sentences, **SMALL, sg=1, epochs=4, compute_loss=True)
    assert len(model.loss_per_epoch) == 4
    assert model.loss_per_epoch[0] > model.loss_per_epoch[-1] > 0
    pair_at_first = np.log(2) * 6  # a positive and five negatives, all undecided
    assert model.loss_per_epoch[0] < pair_at_first * 1.05
    assert model.get_latest_training_loss() > 1000 * model.loss_per_epoch[-1], "the sum over the pairs of all epochs"


@pytest.mark.parametrize("sentences", ["hello world", ["hello world"]], ids=["str", "list of str"])
def test_strings_are_no_sentences(sentences):
    with pytest.raises(TypeError, match="list"):
        Word2Vec(sentences, **SMALL)


def test_analogies_of_unknown_words_have_no_score(model, tmp_path):
    (tmp_path / "questions").write_text(": capitals\nathens greece oslo norway\n")
    with pytest.raises(ValueError, match="no question"):
        model.wv.evaluate_word_analogies(str(tmp_path / "questions"))


def test_an_empty_vocabulary_names_the_cause(themed_sentences):
    with pytest.raises(RuntimeError, match="min_count"):
        Word2Vec(themed_sentences, **SMALL | {"min_count": 10**6})


def test_one_worker_repeats_bit_for_bit(themed_sentences):
    one, two = (Word2Vec(themed_sentences, **SMALL, epochs=2) for _ in range(2))
    np.testing.assert_array_equal(one.wv.vectors, two.wv.vectors)


def test_a_compressed_corpus_file(tmp_path, themed_sentences):
    path = tmp_path / "corpus.txt.bz2"
    path.write_bytes(bz2.compress("\n".join(" ".join(sentence) for sentence in themed_sentences).encode()))
    model = Word2Vec(corpus_file=str(path), **SMALL)
    assert sorted(model.wv.index_to_key) == sorted(word for words in THEMES.values() for word in words)


# Not there, or otherwise


def test_hierarchical_softmax_says_whose_loop_it_runs(themed_sentences):
    with pytest.warns(RuntimeWarning, match="hs=1"):
        model = Word2Vec(themed_sentences[:100], **SMALL, hs=1, negative=0, epochs=1)
    assert model.syn1.any()


def test_a_subclass_that_overrides_gensims_loop_gets_it(themed_sentences):
    class Counting(Word2Vec):
        jobs = 0

        def _do_train_job(self, sentences, alpha, inits):
            type(self).jobs += 1
            return super()._do_train_job(sentences, alpha, inits)

    with pytest.warns(RuntimeWarning, match="_do_train_job"):
        Counting(themed_sentences[:100], **SMALL, epochs=1)
    assert Counting.jobs > 0


def test_vectors_are_not_gensims_bit_for_bit(themed_sentences, model):
    theirs = gensim.models.Word2Vec(themed_sentences, **SMALL, sg=1, epochs=5)
    assert theirs.wv.index_to_key == model.wv.index_to_key
    assert not np.array_equal(theirs.wv.vectors, model.wv.vectors)
    quality = [share_of_right_neighbours(m.wv.index_to_key, m.wv.vectors) for m in (theirs, model)]
    assert quality[1] > quality[0] - 0.05


def test_doc2vec_and_fasttext_are_left_alone():
    assert not issubclass(gensim.models.Doc2Vec, Word2Vec)
    assert not issubclass(gensim.models.FastText, Word2Vec)
