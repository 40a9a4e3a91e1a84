"""The guide for users of gensim: each of its lines names a test that exists, and what only the guide says is tested."""

import ast
import itertools
import re
from pathlib import Path

import gensim
import numpy as np
import pytest
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.keyedvectors import KeyedVectors

from tests.conftest import share_of_right_neighbours
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


@pytest.fixture(scope="module")
def model(themed_sentences):
    return Word2Vec(themed_sentences, **SMALL, sg=1, epochs=5)


def test_it_is_gensims_class_with_gensims_tables(model):
    assert isinstance(model, gensim.models.Word2Vec)
    assert isinstance(model.wv, KeyedVectors)
    assert model.wv.vectors.dtype == model.syn1neg.dtype == np.float32
    assert model.wv.vectors.shape == model.syn1neg.shape == (24, 16)


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


def test_one_worker_repeats_bit_for_bit(themed_sentences):
    one, two = (Word2Vec(themed_sentences, **SMALL, epochs=2) for _ in range(2))
    np.testing.assert_array_equal(one.wv.vectors, two.wv.vectors)


def test_a_subclass_that_overrides_gensims_loop_gets_it(themed_sentences):
    class Counting(Word2Vec):
        jobs = 0

        def _do_train_job(self, sentences, alpha, inits):
            type(self).jobs += 1
            return super()._do_train_job(sentences, alpha, inits)

    with pytest.warns(RuntimeWarning, match="_do_train_job"):
        Counting(themed_sentences[:100], **SMALL, epochs=1)
    assert Counting.jobs > 0


def test_vectors_are_close_to_gensims_in_what_they_say(themed_sentences, model):
    theirs = gensim.models.Word2Vec(themed_sentences, **SMALL, sg=1, epochs=5)
    assert theirs.wv.index_to_key == model.wv.index_to_key
    assert not np.array_equal(theirs.wv.vectors, model.wv.vectors)
    quality = [share_of_right_neighbours(m.wv.index_to_key, m.wv.vectors) for m in (theirs, model)]
    assert quality[1] > quality[0] - 0.05


def test_doc2vec_and_fasttext_are_left_alone():
    assert not issubclass(gensim.models.Doc2Vec, Word2Vec)
    assert not issubclass(gensim.models.FastText, Word2Vec)


def test_a_file_that_is_not_utf8_is_read_with_replacements(tmp_path):
    (tmp_path / "latin1.txt").write_bytes("café au lait\n".encode("latin-1") * 20)
    path = str(tmp_path / "latin1.txt")
    assert sorted(Word2Vec(corpus_file=path, **SMALL).wv.index_to_key) == ["au", "caf\ufffd", "lait"]
    with pytest.raises(UnicodeDecodeError):
        gensim.models.Word2Vec(corpus_file=path, **SMALL)
