"""What packages that train through gensim's class were seen to do, done with ours in its place."""

import copy
import json
import pickle
import random

import gensim.models
import numpy as np
import pytest
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.phrases import Phraser, Phrases
from gensim.models.word2vec import LineSentence, PathLineSentences, Text8Corpus
from gensim.test.utils import common_texts

from w2vfast import Word2Vec

TINY = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 2, "sample": 0}
WALKS = [[(start + step) % 10 for step in range(12)] for start in range(10)] * 5


def trained(model, before):
    """Return whether the tables are finite and one is not what it was.

    Among the first words that a fresh model sees only the output table moves: it begins with zeros, and what lies in
    one tile is computed from one snapshot.
    """
    assert np.isfinite(model.wv.vectors).all()
    outputs = getattr(model, "syn1neg", model.wv.vectors)
    return not np.array_equal(model.wv.vectors, before) or bool(outputs.any())


def built(sentences=common_texts, **options):
    model = Word2Vec(**TINY | options)
    model.build_vocab(sentences)
    return model, model.wv.vectors.copy()


# Several trainings of one model.


def test_vocabulary_then_several_trainings_with_other_rates_and_epochs():
    model, before = built()
    assert model.train(common_texts, total_examples=model.corpus_count, epochs=model.epochs) == (58, 58)
    assert model.train(common_texts, total_examples=9, epochs=3, start_alpha=0.05, end_alpha=0.01) == (87, 87)
    for rate in np.linspace(0.02, 0.002, 4):
        model.train(
            common_texts,
            total_words=model.corpus_total_words,
            epochs=1,
            start_alpha=rate,
            end_alpha=rate,
            compute_loss=True,
        )
        assert model.get_latest_training_loss() > 0
        model.running_training_loss = 0.0
    assert model.train_count == 6
    assert trained(model, before)


def test_a_rate_lowered_by_hand_past_min_alpha_and_to_nothing():
    model, before = built(alpha=0.025, min_alpha=0.025)
    for _ in range(4):
        model.train(common_texts, total_examples=9, epochs=1)
        model.alpha -= 0.01
        model.min_alpha = model.alpha
    assert trained(model, before)
    assert model.alpha < 0


def test_another_corpus_than_the_vocabularys():
    model, before = built()
    strange = [["human", "unheard", "of", "interface"], ["nothing", "known"], []]
    assert model.train(strange, total_examples=3, epochs=2) == (4, 12)
    assert trained(model, before)
    assert model.train([["hello", "world"]], total_examples=1, epochs=1) == (0, 2)


def test_a_generator_for_one_epoch():
    model = Word2Vec(**TINY)
    model.build_vocab(sentence for sentence in common_texts)
    before = model.wv.vectors.copy()
    assert model.train((s for s in common_texts), total_examples=9, epochs=1) == (29, 29)
    assert trained(model, before)
    with pytest.raises(TypeError, match="generator"):
        model.train((s for s in common_texts), total_examples=9, epochs=2)
    with pytest.raises(TypeError, match="generator"):
        Word2Vec((s for s in common_texts), **TINY)


def test_only_total_words_or_neither():
    model, before = built()
    assert model.train(common_texts, total_words=29, epochs=1) == (29, 29)
    assert trained(model, before)
    with pytest.raises(ValueError, match="total_examples or total_words"):
        model.train(common_texts, epochs=1)
    with pytest.raises(ValueError, match="epochs"):
        model.train(common_texts, total_examples=9)


# A vocabulary that grows.


@pytest.mark.parametrize("hs", [0, 1])
def test_the_vocabulary_grows(hs, tmp_path):
    new = [["graph", "embedding", "walk"], ["walk", "embedding", "trees"]] * 3
    model = Word2Vec(common_texts, **TINY, hs=hs, negative=5 * (1 - hs))
    model.save(str(tmp_path / "model"))
    for grown in (model, Word2Vec.load(str(tmp_path / "model"))):
        old = dict(grown.wv.key_to_index)
        grown.min_count = 2
        grown.build_vocab(new, update=True)
        assert {word: grown.wv.key_to_index[word] for word in old} == old
        assert set(grown.wv.key_to_index) - set(old) == {"embedding", "walk"}
        before = grown.wv.vectors.copy()
        grown.train(new, total_examples=grown.corpus_count, epochs=grown.epochs)
        assert trained(grown, before)
        assert grown.wv.get_vecattr("graph", "count") == 3 + 3


def test_growing_an_empty_model():
    model = Word2Vec(**TINY)
    with pytest.raises(RuntimeError, match="no prior vocabulary"):
        model.build_vocab(common_texts, update=True)
    model = Word2Vec(**TINY)
    model.build_vocab(common_texts, update=False)
    model.build_vocab([["a", "b"]], update=True)
    assert len(model.wv) == 14
    model.train([["a", "b"]], total_examples=1, epochs=1)


def test_the_updates_own_subsampling_holds(monkeypatch):
    """gensim makes thresholds from the update's counts alone: a word rare in all may be frequent in it."""
    from w2vfast import gensim_epoch, plan

    model, _ = built(common_texts * 100, sample=1e-2)
    counts = np.array(model.wv.expandos["count"])
    np.testing.assert_array_equal(
        gensim_epoch.keep_probability(model, counts), plan.keep_probability(counts, model.sample)
    )
    model.build_vocab([["human", "human", "graph"]], update=True)
    keep = gensim_epoch.keep_probability(model, np.array(model.wv.expandos["count"]))
    np.testing.assert_array_equal(plan.keep_thresholds(keep), model.wv.expandos["sample_int"])


def test_a_vocabulary_from_frequencies():
    model = Word2Vec(**TINY)
    model.build_vocab_from_freq({"human": 10, "graph": 7, "trees": 3}, corpus_count=9)
    before = model.wv.vectors.copy()
    model.train(common_texts, total_examples=model.corpus_count, epochs=1)
    assert trained(model, before)
    assert model.wv.index_to_key == ["human", "graph", "trees"]


# What sentences are made of.


@pytest.mark.parametrize(
    "walks",
    [
        WALKS,
        [list(np.array(walk)) for walk in WALKS],
        [np.array(walk) for walk in WALKS],
        [np.array(walk).astype(str) for walk in WALKS],
        [tuple(map(str, walk)) for walk in WALKS],
        [[("node", step) for step in walk] for walk in WALKS],
        [[frozenset([step]) for step in walk] for walk in WALKS],
    ],
    ids=["int", "numpy-int", "arrays", "arrays-of-str", "tuples", "pairs", "sets"],
)
def test_walks_of_any_hashable_tokens(walks):
    model = Word2Vec(walks, vector_size=8, min_count=0, window=2, sg=1, workers=2, epochs=30, alpha=0.05, sample=0)
    assert len(model.wv) == 10
    key = walks[0][0]
    assert model.wv.get_vecattr(key, "count") == 60
    assert isinstance(model.wv.key_to_index[key], int)
    # On a ring the neighbours are the nodes beside; after them those two steps away.
    vectors = model.wv.vectors[[model.wv.key_to_index[token] for token in walks[0][:10]]]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (unit[0] @ unit[1]) > (unit[0] @ unit[5])


def test_documents_that_reset_themselves():
    class Documents:
        """An iterator with a length, as mass-spectra packages have it."""

        def __init__(self, documents):
            self.documents, self.at = documents, 0

        def __len__(self):
            return len(self.documents)

        def __iter__(self):
            return self

        def __next__(self):
            if self.at == len(self.documents):
                self.at = 0
                raise StopIteration
            self.at += 1
            return self.documents[self.at - 1]

    assert same_training(Documents(common_texts), common_texts, window=500)


def same_training(one, other, **options):
    models = [Word2Vec(sentences, **TINY | options) for sentences in (one, other)]
    return np.array_equal(models[0].wv.vectors, models[1].wv.vectors)


def test_sentences_that_differ_in_each_epoch():
    class Walks:
        def __init__(self):
            self.passes = []

        def __iter__(self):
            rng = random.Random(len(self.passes))
            self.passes.append(0)
            for walk in WALKS:
                self.passes[-1] += 1
                yield rng.sample(walk, rng.randint(2, len(walk)))

    walks = Walks()
    model = Word2Vec(walks, **TINY | {"epochs": 4})
    assert walks.passes == [50] * 5
    assert model.draw_epochs == 4
    assert not same_training(Walks(), WALKS)


def test_wide_windows_reach_across_a_document():
    documents = [[f"{theme}{i}" for i in range(100)] for theme in "ab"] * 30
    model = Word2Vec(documents, **TINY | {"vector_size": 16, "epochs": 20}, window=500, sg=1, alpha=0.05)
    assert model.wv.similarity("a0", "a99") > 0.5 > model.wv.similarity("a0", "b99")


def test_gensims_streams_and_phrases(tmp_path):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "text.txt"
    path.write_text("\n".join(map(" ".join, common_texts)) + "\n")
    for stream in (LineSentence(str(path)), PathLineSentences(str(tmp_path / "folder"))):
        assert same_training(stream, common_texts)
    assert Word2Vec(Text8Corpus(str(path)), **TINY).corpus_total_words == 29
    phrases = Phrases(common_texts, min_count=1, threshold=1)
    for stream in (phrases[common_texts], Phraser(phrases)[common_texts], phrases[Phraser(phrases)[common_texts]]):
        model = Word2Vec(stream, **TINY)
        assert any("_" in word for word in model.wv.index_to_key)
        assert model.draw_epochs == 2


def test_scan_vocab_by_itself():
    model = Word2Vec(min_count=1)
    assert model.scan_vocab(common_texts) == (29, 9)
    assert model.prepare_vocab(dry_run=True)["num_retained_words"] == 12


# Settings.


@pytest.mark.parametrize(
    "options",
    [
        {"sg": 1},
        {"cbow_mean": 0},
        {"cbow_mean": 1, "sg": 1},
        {"ns_exponent": -0.5},
        {"ns_exponent": 0},
        {"ns_exponent": 1.5},
        {"shrink_windows": False},
        {"shrink_windows": False, "sg": 1, "window": 2},
        {"min_count": 0},
        {"min_count": 2},
        {"sample": 1e-3},
        {"sample": 2},
        {"negative": 20},
        {"window": 500, "sg": 1},
        {"vector_size": 1},
        {"vector_size": np.int64(33), "window": np.int64(2), "negative": np.int64(3), "seed": np.int64(5)},
        {"alpha": 0.5, "min_alpha": 0.5},
        {"alpha": 0.01, "min_alpha": 0.02},
        {"preset": "fast"},
        {"objective": "nce"},
        {"max_final_vocab": 5},
        {"null_word": 1},
        {"workers": 4, "batch_words": 10},
        {"epochs": 50},
        {"trim_rule": lambda word, count, least: gensim.utils.RULE_DEFAULT},
        {"hashfxn": hash, "comment": "a model", "sorted_vocab": 0},
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items() if not callable(v)),
)
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_settings(options, backend):
    rule = {"trim_rule": options["trim_rule"]} if "trim_rule" in options else {}
    options = {name: value for name, value in options.items() if name != "trim_rule"}
    model = Word2Vec(backend=backend, device="cpu", **TINY | options)
    model.build_vocab(common_texts * 20, **rule)
    before = model.wv.vectors.copy()
    words = model.train(common_texts * 20, total_examples=180, epochs=model.epochs)
    assert words[1] == 580 * model.epochs
    assert trained(model, before)
    assert np.abs(model.syn1neg).sum() > 0


def test_positional_arguments():
    model = Word2Vec(common_texts, None, 8, 0.05, 3, 1, None, 0, 7, 1, 0.001, 1)
    assert (model.vector_size, model.alpha, model.window, model.min_count) == (8, 0.05, 3, 1)
    assert (model.sample, model.seed, model.workers, model.min_alpha, model.sg) == (0, 7, 1, 0.001, 1)
    with pytest.raises(TypeError, match="size"):
        Word2Vec(common_texts, size=100)


@pytest.mark.parametrize("options", [{"hs": 1, "negative": 0}, {"hs": 1, "negative": 5}, {"hs": 1, "sg": 1}])
def test_hierarchical_softmax(options):
    model, before = built(**options)
    model.train(common_texts, total_examples=9, epochs=20)
    assert trained(model, before)


def test_neither_softmax_nor_negatives():
    with pytest.raises(ValueError, match="either 'hs' or 'negative'"):
        Word2Vec(common_texts, **TINY, hs=0, negative=0)


def test_no_seed(tmp_path):
    one, other = (Word2Vec(common_texts, **TINY | {"seed": None}) for _ in range(2))
    assert not np.array_equal(one.wv.vectors, other.wv.vectors)
    assert one.seed is None
    one.save(str(tmp_path / "model"))
    assert Word2Vec.load(str(tmp_path / "model")).train(common_texts, total_examples=9, epochs=1) == (29, 29)
    assert same_training(common_texts, common_texts, seed=11)
    assert not np.array_equal(*(Word2Vec(common_texts, **TINY, seed=seed).wv.vectors for seed in (1, 2)))


# Callbacks.


class Follow(CallbackAny2Vec):
    """Does at an epoch's end what packages were seen to do there."""

    def __init__(self, folder):
        self.folder, self.losses, self.models, self.events = folder, [], [], []

    def on_train_begin(self, model):
        self.events.append("train begins")

    def on_epoch_begin(self, model):
        self.events.append("begins")

    def on_epoch_end(self, model):
        self.events.append("ends")
        self.losses.append(model.get_latest_training_loss())
        model.running_training_loss = 0.0
        model.save(str(self.folder / f"epoch{len(self.losses)}"))
        self.models.append(copy.deepcopy(model))
        written = {
            name: value.tolist() if isinstance(value, np.ndarray) else repr(value)
            for name, value in vars(model.wv).items()
        }
        json.dumps(written)
        model.alpha /= 2

    def on_train_end(self, model):
        self.events.append("train ends")


def test_callbacks(tmp_path):
    follow = Follow(tmp_path)

    class Sentences:
        def __iter__(self):
            follow.events.append("read")
            return iter(common_texts)

    model = Word2Vec(Sentences(), **TINY | {"epochs": 3}, compute_loss=True, callbacks=[follow])
    epoch = ["begins", "read", "ends"]
    assert follow.events == ["read", "train begins", *epoch, *epoch, *epoch, "train ends"]
    assert max(follow.losses) < 2 * min(follow.losses)  # each epoch's own
    assert model.alpha == 0.025 / 8
    for number, copied in enumerate(follow.models, 1):
        saved = Word2Vec.load(str(tmp_path / f"epoch{number}"))
        np.testing.assert_array_equal(saved.wv.vectors, copied.wv.vectors)
        assert saved.draw_epochs == number
        saved.train(common_texts, total_examples=9, epochs=1)
    np.testing.assert_array_equal(follow.models[-1].wv.vectors, model.wv.vectors)


def test_a_callback_that_raises_leaves_a_model_that_trains_on():
    class Stop(CallbackAny2Vec):
        def on_epoch_end(self, model):
            raise KeyboardInterrupt

    model, before = built()
    with pytest.raises(KeyboardInterrupt):
        model.train(common_texts, total_examples=9, epochs=3, callbacks=[Stop()])
    assert trained(model, before)
    assert pickle.loads(pickle.dumps(model)).train(common_texts, total_examples=9, epochs=1) == (29, 29)


def test_a_callback_that_replaces_tables_and_grows_the_vocabulary():
    class Change(CallbackAny2Vec):
        epoch = 0

        def on_epoch_begin(self, model):
            self.epoch += 1
            if self.epoch == 2:
                model.build_vocab([["new", "words"]], update=True)
                model.wv.vectors = model.wv.vectors.astype(np.float64)
            if self.epoch == 3:
                model.wv.vectors_lockf = np.zeros(1)
                self.frozen = model.wv.vectors.copy()

    change = Change()
    model = Word2Vec([*common_texts, ["new", "words"]], **TINY | {"epochs": 3, "min_count": 2}, callbacks=[change])
    np.testing.assert_array_equal(model.wv.vectors, change.frozen)
    assert model.wv.vectors.dtype == np.float32


def test_a_callback_that_grows_the_vocabulary_of_a_file(tmp_path):
    class Grow(CallbackAny2Vec):
        def on_epoch_end(self, model):
            if "survey" not in model.wv:
                model.build_vocab([["survey"] * 2], update=True)

    path = tmp_path / "text.txt"
    path.write_text("\n".join(map(" ".join, common_texts)))
    model = Word2Vec(min_count=3, workers=1, vector_size=8, sample=0)
    model.build_vocab(corpus_file=str(path))
    assert model.train(corpus_file=str(path), total_words=29, epochs=1) == (13, 29)
    model.min_count = 2
    assert model.train(corpus_file=str(path), total_words=29, epochs=2, callbacks=[Grow()]) == (13 + 15, 58)


# Frozen rows, and tables of one's own.


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("sg", [0, 1])
@pytest.mark.parametrize(
    "factors",
    [0.0, np.zeros(1), np.ones(12), np.array([1, 0]), np.repeat([0.0, 1.0], 6), np.array([0, 1, 1], np.float64)],
    ids=["scalar", "all", "none", "alternate", "half", "period-3"],
)
def test_frozen_rows(backend, sg, factors):
    model, before = built(sg=sg, backend=backend, device="cpu", negative=3)
    model.wv.vectors_lockf = factors
    model.train(common_texts, total_examples=9, epochs=10)
    frozen = np.resize(np.atleast_1d(factors), 12) == 0
    moved = (model.wv.vectors != before).any(axis=1)
    np.testing.assert_array_equal(moved, ~frozen)
    assert np.abs(model.syn1neg).sum() > 0


def test_a_scaled_row_moves_less():
    steps = []
    for factor in (1.0, 0.25):
        model, before = built(alpha=1e-5, min_alpha=1e-5)
        model.syn1neg[:] = 0.1
        model.wv.vectors_lockf = np.full(12, factor, np.float32)
        model.train(common_texts, total_examples=9, epochs=1)
        steps.append(np.abs(model.wv.vectors - before).sum())
    assert steps[1] == pytest.approx(steps[0] / 4, rel=0.02)


def test_assigned_tables_are_where_training_starts():
    rng = np.random.default_rng(0)
    vectors, outputs = (rng.normal(size=(12, 8)).astype(np.float32) for _ in range(2))
    model, _ = built(alpha=1e-6, min_alpha=1e-6)
    model.wv.vectors, model.syn1neg = vectors, outputs
    start = vectors.copy(), outputs.copy()
    model.train(common_texts, total_examples=9, epochs=1)
    assert model.wv.vectors is vectors
    np.testing.assert_allclose(vectors, start[0], atol=1e-3)
    np.testing.assert_allclose(outputs, start[1], atol=1e-3)
    assert not np.array_equal(vectors, start[0])
    model.syn1neg = outputs[:5]
    with pytest.raises(ValueError, match=r"syn1neg is \(5, 8\)"):
        model.train(common_texts, total_examples=9, epochs=1)


def test_counts_of_ones_own():
    model, before = built()
    for word in model.wv.index_to_key:
        model.wv.set_vecattr(word, "count", model.wv.get_vecattr(word, "count") + 5)
    model.train(common_texts, total_examples=9, epochs=1)
    assert trained(model, before)


# Whole models, and both classes together.


def test_pickle_deepcopy_and_queries(tmp_path):
    model = Word2Vec(common_texts, **TINY)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert type(copied) is Word2Vec
        np.testing.assert_array_equal(copied.wv[["human", "graph"]], model.wv[["human", "graph"]])
        assert copied.wv.most_similar("human") == model.wv.most_similar("human")
        assert copied.backend == "auto"
    assert str(model) == "Word2Vec<vocab=12, vector_size=8, alpha=0.025>"
    model.wv.add_vectors(["other"], np.ones((1, 8), np.float32))
    assert "other" in model.wv
    assert model.wv.vectors.copy().shape == (13, 8)


def test_a_model_of_gensims_goes_on_with_ours_as_with_its_own(tmp_path):
    """Words of one theme come closer, by most of what gensim's own continuation brings."""
    sentences = [
        [f"t{theme}w{word}" for word in np.random.default_rng(i).integers(0, 8, 10)]
        for i in range(400)
        for theme in [i % 4]
    ]
    theirs = gensim.models.Word2Vec(sentences, vector_size=16, min_count=1, workers=1, epochs=1, sg=1)
    theirs.save(str(tmp_path / "model"))

    def score(model):
        vectors = model.wv.vectors / np.linalg.norm(model.wv.vectors, axis=1, keepdims=True)
        themes = np.array([key[1] for key in model.wv.index_to_key])
        inside = themes[:, None] == themes
        cosines = vectors @ vectors.T
        return cosines[inside].mean() - cosines[~inside].mean()

    scores = [score(theirs)]
    for kind in (gensim.models.Word2Vec, Word2Vec):
        model = kind.load(str(tmp_path / "model"))
        model.train(sentences, total_examples=400, epochs=5, start_alpha=0.05)
        scores.append(score(model))
    assert scores[2] > scores[0] + 0.6 * (scores[1] - scores[0])


class OwnJob(Word2Vec):
    """Makes its sentences in gensim's worker threads, as a graph package does."""

    def _do_train_job(self, sentences, alpha, inits):
        return super()._do_train_job([[str(number), str(number + 1)] for number in sentences], alpha, inits)

    def _raw_word_count(self, job):
        return 2 * len(job)


def test_a_subclass_that_overrides_hooks_of_gensims_loop():
    model = OwnJob(**TINY)
    model.build_vocab([[str(number), str(number + 1)] for number in range(20)])
    before = model.wv.vectors.copy()
    with pytest.warns(RuntimeWarning, match="OwnJob overrides _do_train_job, _raw_word_count") as warned:
        model.train(iter(range(20)), total_examples=20, epochs=1)
    assert len(warned) == 1
    assert trained(model, before)


@pytest.mark.parametrize("hook", ["_get_next_alpha", "_worker_loop", "_job_producer"])
def test_each_hook_is_noticed(hook):
    calls = []
    theirs = getattr(Word2Vec, hook)

    def own(self, *args, **kwargs):
        calls.append(hook)
        return theirs(self, *args, **kwargs)

    kind = type("Own", (Word2Vec,), {hook: own})
    with pytest.warns(RuntimeWarning, match=f"Own overrides {hook}"):
        kind(common_texts, **TINY)
    assert calls


def test_a_subclass_that_overrides_nothing_of_the_loop_is_fast(recwarn):
    class Node2Vec(Word2Vec):
        def __init__(self, walks, dimensions=8, **options):
            super().__init__(walks, vector_size=dimensions, **options)

        def train(self, *args, **kwargs):
            return super().train(*args, **kwargs)

    model = Node2Vec(WALKS, min_count=0, workers=1)
    assert model.draw_epochs == 5
    assert not recwarn.list


class OwnWord2Vec(Word2Vec):
    pass


def test_a_subclass_in_gensims_place_saves_and_loads(tmp_path, monkeypatch):
    """super(Word2Vec, self) in gensim's methods is then the subclass's next: ours, again."""
    monkeypatch.setattr("gensim.models.word2vec.Word2Vec", OwnWord2Vec)
    model = OwnWord2Vec([["a", "b", "c"]] * 20, vector_size=4, min_count=1, workers=1)
    model.save(str(tmp_path / "model"))
    for kind in (OwnWord2Vec, Word2Vec):
        loaded = kind.load(str(tmp_path / "model"))
        assert type(loaded) is OwnWord2Vec
        np.testing.assert_array_equal(loaded.wv.vectors, model.wv.vectors)
