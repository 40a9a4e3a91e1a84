"""gensim's class with hs=1: the model's own tree and tables, trained in place by our kernels, in both modes."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from gensim.models import Word2Vec as Gensim
from gensim.test.utils import common_texts

from benchmarks import parity
from w2vfast import Word2Vec
from w2vfast.gensim_epoch import config_of, output_table, tree_of
from w2vfast.kernels import reference
from w2vfast.kernels.contract import SENTENCE_END, Visit, chunk_count
from w2vfast.kernels.objectives.hierarchical_softmax import HierarchicalSoftmax
from w2vfast.plan import chunk_order

TINY = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 2, "sample": 0}
PARTS = {"tree": {"hs": 1, "negative": 0}, "both": {"hs": 1, "negative": 3}}
TABLES = {"tree": ["syn1"], "both": ["syn1", "syn1neg"]}
parts = pytest.mark.parametrize("part", PARTS)
modes = pytest.mark.parametrize("sg", [0, 1], ids=["cbow", "sg"])


def outputs(model, part):
    return [getattr(model, name) for name in TABLES[part]]


def held_out_loss(model, sentences):
    """Return the mean loss of a pair in the model's mode by its tree, as the reference has it."""
    index = model.wv.key_to_index
    tokens = np.array([index[word] for sentence in sentences for word in sentence], np.int32)
    tokens[np.cumsum([len(sentence) for sentence in sentences]) - 1] |= SENTENCE_END
    job = parity.make_job(
        words=len(index),
        tokens=tokens,
        sample=0,
        mode="sg" if model.sg else "cbow",
        objective_value=HierarchicalSoftmax(tree_of(model)),
    )
    visit = parity.visit_of(job, shared_words=0)
    w_in, w_out = model.wv.vectors.astype(float), model.syn1[:-1].astype(float)
    tiles = [tile for place in range(len(visit.chunks)) for tile in reference.tiles_of(job, visit, place)]
    pairs = sum(len(row.targets) for tile in tiles for row in tile.rows)
    return sum(reference.tile_updates(job, tile, w_in, w_out).loss for tile in tiles) / pairs


@modes
@parts
def test_our_kernels_train_it_in_place_and_nothing_warns(part, sg):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Word2Vec(sg=sg, **TINY, **PARTS[part])
        model.build_vocab(common_texts)
        held = model.wv.vectors, *outputs(model, part)
        before = [table.copy() for table in held]
        model.train(common_texts, total_examples=9, epochs=2)
    assert model.draw_epochs == 2
    after = model.wv.vectors, *outputs(model, part)
    for now, was, old in zip(after, held, before, strict=True):
        assert now is was
        assert not np.array_equal(now, old)
    assert not model.syn1[-1].any()  # gensim's table has a row more than the tree has nodes


@modes
@parts
def test_an_epoch_is_the_reference_of_the_models_own_tree(part, sg):
    model = Word2Vec(sg=sg, **TINY | {"epochs": 1}, **PARTS[part], tile=16)
    model.build_vocab(common_texts)
    V = len(model.wv)
    assert [model.wv.get_vecattr(w, "code").tolist() for w in model.wv.index_to_key] == [
        tree_of(model).path(i)[1].tolist() for i in range(V)
    ]
    w_in, w_out = model.wv.vectors.astype(float), np.zeros((len(outputs(model, part)) * V - 1, 8))
    jobs_made = []
    from w2vfast import backends

    def spy(choice, job, *tables_and_workers, real=backends.create_step):
        jobs_made.append(job)
        return real(choice, job, *tables_and_workers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "create_step", spy)
        model.train(common_texts, total_examples=9, epochs=1)
    job = jobs_made[0]
    n, order = len(job.tokens), chunk_order(chunk_count(job, job.tokens), 1, 0)
    visit = Visit(
        chunks=order,
        done=np.arange(len(order)) * job.chunk_size,
        total=n,
        start_rate=model.alpha,
        end_rate=model.min_alpha,
        draw_epoch=0,
        shared_words=64 if part == "both" else 0,
    )
    result = reference.train(job, w_in, w_out, visit)
    np.testing.assert_allclose(model.wv.vectors, w_in, atol=1e-6)
    both = np.concatenate(outputs(model, part)[::-1])
    np.testing.assert_allclose(both[:-1], w_out, atol=1e-6)
    assert model.loss_per_epoch == [pytest.approx(result.loss / result.pairs, rel=1e-5)]


@parts
def test_frozen_words_stay(part):
    model = Word2Vec(**TINY, **PARTS[part])
    model.build_vocab(common_texts)
    model.wv.vectors_lockf = np.ones(len(model.wv), np.float32)
    model.wv.vectors_lockf[[0, 3]] = 0
    before = model.wv.vectors.copy()
    model.train(common_texts, total_examples=9, epochs=2)
    moved = (model.wv.vectors != before).any(1)
    assert moved.tolist() == [i not in (0, 3) for i in range(len(model.wv))]


@modes
@parts
def test_saved_and_copied_models_are_gensims_and_train_on(part, sg, tmp_path):
    model = Word2Vec(common_texts, sg=sg, **TINY, **PARTS[part])
    model.to_gensim().save(str(tmp_path / "plain"))
    plain = Gensim.load(str(tmp_path / "plain"))
    for name in TABLES[part]:
        assert getattr(plain, name).shape == (len(model.wv), 8)
        np.testing.assert_array_equal(getattr(plain, name), getattr(model, name))
    plain.train(common_texts, total_examples=9, epochs=1)
    model.save(str(tmp_path / "ours"))
    again = Word2Vec.load(str(tmp_path / "ours")), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    model.train(common_texts, total_examples=9, epochs=2)
    for each in again:
        each.train(common_texts, total_examples=9, epochs=2)
        np.testing.assert_array_equal(each.wv.vectors, model.wv.vectors)
        for one, other in zip(outputs(each, part), outputs(model, part), strict=True):
            np.testing.assert_array_equal(one, other)
    mapped = Word2Vec.load(str(tmp_path / "ours"), mmap="r")
    mapped.train(common_texts, total_examples=9, epochs=2)
    np.testing.assert_array_equal(mapped.syn1, model.syn1)


def test_tables_of_both_are_joined_once():
    model = Word2Vec(common_texts, **TINY, **PARTS["both"])
    joined = output_table(model)
    assert output_table(model) is joined
    assert np.shares_memory(joined, model.syn1)
    model.syn1 = model.syn1.copy()
    again = output_table(model)
    assert again is not joined
    assert np.shares_memory(again, model.syn1)
    assert np.shares_memory(again, model.syn1neg)


@parts
def test_the_tree_of_a_grown_vocabulary_is_the_models(part):
    model = Word2Vec(common_texts, **TINY, **PARTS[part])
    model.build_vocab([["graph", "embedding", "walk"], ["walk", "embedding", "trees"]] * 3, update=True)
    tree = tree_of(model)
    tree.check(len(model.wv))
    assert len(tree.lengths) == 14
    before = model.syn1.copy()
    model.train([["walk", "embedding"]] * 4, total_examples=4, epochs=1)
    assert not np.array_equal(model.syn1, before)


@modes
def test_a_model_of_gensims_goes_on_as_with_gensim(sg, themed_sentences, tmp_path):
    """An epoch more lowers the held-out loss about as much as gensim's own does."""
    train, held_out = themed_sentences[:1200], themed_sentences[1200:1300]
    options = {"vector_size": 16, "min_count": 1, "sg": sg, "hs": 1, "negative": 0, "workers": 1, "sample": 0}
    gensims = Gensim(train, **options, epochs=1, seed=3, alpha=0.004)
    gensims.save(str(tmp_path / "model"))
    ours = Word2Vec.load(str(tmp_path / "model"))
    before = held_out_loss(gensims, held_out)
    for model in (gensims, ours):
        model.train(train, total_examples=len(train), epochs=1, start_alpha=0.004, end_alpha=0.002)
    theirs_fell, ours_fell = before - held_out_loss(gensims, held_out), before - held_out_loss(ours, held_out)
    assert theirs_fell > 0.03, (before, theirs_fell, ours_fell)
    assert 0.7 * theirs_fell < ours_fell < 1.4 * theirs_fell


def test_score_is_gensims():
    model = Word2Vec(common_texts, **TINY, **PARTS["tree"])
    np.testing.assert_array_equal(model.score(common_texts, 9), model.to_gensim().score(common_texts, 9))


@parts
def test_the_objective_may_be_named_beside_hs(part):
    model = Word2Vec(common_texts, **TINY, **PARTS[part])
    named = Word2Vec(common_texts, **TINY, **PARTS[part], objective=config_of(model, 1).objective)
    assert config_of(named, 1) == config_of(model, 1)
    np.testing.assert_array_equal(named.wv.vectors, model.wv.vectors)


def test_a_vocabulary_without_a_tree():
    model = Word2Vec(common_texts, **TINY)
    model.hs, model.syn1 = 1, np.zeros((12, 8), np.float32)
    with pytest.raises(ValueError, match="create_binary_tree"):
        model.train(common_texts, total_examples=9, epochs=1)
    model.create_binary_tree()
    model.train(common_texts, total_examples=9, epochs=1)
    assert model.syn1.any()
