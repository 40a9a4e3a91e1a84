"""gensim's class with an objective other than its own: the command's bits, what it cannot hold, predict_output_word."""

from typing import get_args

import numpy as np
import pytest
from gensim.models import Word2Vec as Gensim
from gensim.test.utils import common_texts, datapath

from tests.conftest import share_of_right_neighbours
from w2vfast import Config, InputError, Word2Vec, load_model
from w2vfast.config import ObjectiveName
from w2vfast.gensim_epoch import REFUSED
from w2vfast.trainer import train_files

LEE = datapath("lee_background.cor")
TINY = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 2, "sample": 0}
OF_ARGUMENTS = ("hierarchical-softmax", "hierarchical-softmax,negative-sampling")  # gensim's: hs, negative
HELD = [name for name in get_args(ObjectiveName) if name not in REFUSED and name not in OF_ARGUMENTS]
SOFTMAXES = ["sampled-softmax", "softmax"]


@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("objective", HELD)
def test_bits_are_the_commands(objective, mode, tmp_path):
    options = {"vector_size": 12, "window": 3, "epochs": 1, "seed": 7, "workers": 1, "backend": "native"}
    result = train_files([LEE], Config(mode=mode, objective=objective, **options))
    model = Word2Vec(corpus_file=LEE, sg=int(mode == "sg"), objective=objective, **options)
    assert model.wv.index_to_key == result.vocab.words
    np.testing.assert_array_equal(model.wv.vectors, result.w_in)
    np.testing.assert_array_equal(model.syn1neg, result.w_out)
    assert model.syn1neg.any()
    assert model.loss_per_epoch == pytest.approx(result.loss_per_epoch, rel=1e-12)
    if objective in SOFTMAXES:  # what predict_output_word says is what the command's model file says
        result.save_model(tmp_path / "model.safetensors")
        context = model.wv.index_to_key[5:9]
        ours = load_model(tmp_path / "model.safetensors").predict(context, topn=5)
        theirs = model.predict_output_word(context, topn=5)
        assert [word for word, _ in theirs] == [word for word, _ in ours]
        np.testing.assert_allclose([p for _, p in theirs], [p for _, p in ours], rtol=1e-4)


@pytest.mark.parametrize("objective", SOFTMAXES)
def test_it_learns_is_saved_and_grows(objective, themed_sentences, tmp_path):
    options = {"vector_size": 16, "min_count": 1, "epochs": 3, "workers": 1, "alpha": 0.05, "sample": 0}
    model = Word2Vec(themed_sentences, sg=1, objective=objective, **options)
    assert share_of_right_neighbours(model.wv.index_to_key, model.wv.vectors) > 0.9
    model.save(str(tmp_path / "model"))
    again = Word2Vec.load(str(tmp_path / "model"))
    assert again.objective == objective
    for each in (model, again):
        each.build_vocab([["new", "words"] * 5], update=True)
        each.train([["new", "words"] * 5], total_examples=1, epochs=1)
    np.testing.assert_array_equal(again.syn1neg, model.syn1neg)
    assert model.syn1neg[model.wv.key_to_index["new"]].any()


@pytest.mark.parametrize("objective", REFUSED)
def test_objectives_without_a_place_in_gensims_class(objective):
    with pytest.raises(
        InputError, match=f"objective='{objective}' is not Word2Vec's: .*--objective {objective} --save"
    ):
        Word2Vec(objective=objective)
    model = Word2Vec(common_texts, **TINY)
    model.objective = objective
    with pytest.raises(ValueError, match="is not Word2Vec's"):
        model.train(common_texts, total_examples=9, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "softmx"}, "objective must be one of"),
        ({"objective": "softmax", "negative": 10}, "negative=10 is for negative-sampling, nce, .*: leave it out"),
        ({"objective": "softmax", "negative": 0}, "negative=0 is for"),
        ({"objective": "sampled-softmax", "negative": 10}, "negative=10 is for"),
        ({"objective": "softmax", "shared_negatives": 8}, "does not go with objective softmax"),
        ({"objective": "softmax", "ns_exponent": 0.5}, "ns_exponent is .* does not go with objective softmax"),
        ({"objective": "softmax", "preset": "fast"}, "does not go with objective softmax"),
        ({"objective": "softmax", "hs": 1}, "hs=1 with negative=5 is hierarchical-softmax,negative-sampling, not"),
        ({"objective": "nce", "hs": 1, "negative": 0}, "hs=1 with negative=0 is hierarchical-softmax, not"),
        ({"objective": "hierarchical-softmax", "hs": 1}, "0: the tree alone"),
        ({"objective": "hierarchical-softmax"}, "give hs=1 in its place"),
        ({"objective": "hierarchical-softmax,negative-sampling"}, "give hs=1 in its place"),
        ({"hs": 1, "negative": 0, "shared_negatives": 8}, "does not go with objective hierarchical-softmax"),
    ],
    ids=str,
)
def test_arguments_that_contradict_each_other(options, message):
    with pytest.raises(InputError, match=message):
        Word2Vec(common_texts, **TINY, **options)


def test_gensims_loop_trains_no_objective_that_it_lacks():
    model = Word2Vec(**TINY, objective="softmax", window=1001)
    model.build_vocab(common_texts)
    with pytest.raises(ValueError, match=r"gensim's own loop has no objective softmax.*window=1001"):
        model.train(common_texts, total_examples=9, epochs=1)


def test_predict_output_word_goes_by_syn1neg():
    tree = Word2Vec(common_texts, **TINY, hs=1, negative=0)
    with pytest.raises(RuntimeError, match=r"--save-model FILE, and ask w2vfast.load_model\(FILE\).predict"):
        tree.predict_output_word(["human"])
    both = Word2Vec(common_texts, **TINY, hs=1, negative=2)
    assert both.predict_output_word(["human"], 3) == Gensim.predict_output_word(both, ["human"], 3)
