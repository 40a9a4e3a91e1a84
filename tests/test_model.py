"""w2vfast.Word2Vec itself: gensim's signature, the command's bits, rates, losses, files; gensim's defects mended."""

import copy
import inspect
import logging
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import gensim.models.word2vec as gensim_word2vec
import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.callbacks import CallbackAny2Vec
from gensim.test.utils import common_texts, datapath
from gensim.utils import RULE_DEFAULT, RULE_DISCARD, RULE_KEEP

from tests.conftest import share_of_right_neighbours
from w2vfast import Config, InputError, Word2Vec, backends
from w2vfast.formats import Vectors, load_vectors, save_vectors
from w2vfast.gensim_epoch import EXTRAS, REFUSED
from w2vfast.trainer import train_files

Gensim = gensim_word2vec.Word2Vec
LEE = datapath("lee_background.cor")
TINY = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 2, "sample": 0}


@pytest.fixture
def renamed(monkeypatch):
    """Our class under gensim's name, where programs (and gensim's own tests) put it."""
    monkeypatch.setattr(gensim_word2vec, "Word2Vec", Word2Vec)


def tables(model):
    return model.wv.vectors.copy(), model.syn1neg.copy()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class Visits:
    """Records what a model's steps are asked for."""

    def __init__(self, monkeypatch):
        self.visits, self.jobs = [], []
        create = backends.create_step

        def create_step(choice, job, *rest):
            self.jobs.append(job)
            step = create(choice, job, *rest)
            train = step.train

            def record(visit):
                self.visits.append(visit)
                return train(visit)

            step.train = record
            return step

        monkeypatch.setattr(backends, "create_step", create_step)

    def rates(self):
        """Return the rates at which each epoch begins and, as far as its last chunk shows, ends."""
        return [(v.learning_rate(0, 0), v.start_rate, v.end_rate, v.draw_epoch) for v in self.visits]


# The signature, and what importing it costs.


def test_signature_is_gensims_and_configs():
    theirs, ours = (inspect.signature(kind).parameters for kind in (Gensim, Word2Vec))
    plain = [p for p in ours.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in plain] == [(p.name, p.default) for p in theirs.values()]
    extras = {p.name: p.default for p in ours.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert set(extras) == set(EXTRAS)
    assert extras == {name: getattr(Config(), name) for name in EXTRAS}
    for method in ("train", "scan_vocab"):
        names = [list(inspect.signature(getattr(kind, method)).parameters) for kind in (Gensim, Word2Vec)]
        assert names[0] == names[1]


def test_every_option_of_config_is_gensims_or_an_extra():
    gensims = set(inspect.signature(Gensim).parameters) | {"mode"}
    fields = Config.__dataclass_fields__.values()
    commands = {field.name for field in fields if set(field.metadata["objectives"] or ["all"]) <= set(REFUSED)}
    commands |= {"eval_every", "eval_set", "keep_best", "patience", "save_vocab", "read_vocab"}
    commands |= {"checkpoint", "checkpoint_every", "resume"}  # a model is saved between its epochs
    commands |= {"alpha_scale", "exchange_every", "parallel", "rank_timeout"}  # of ranks, which torchrun starts
    commands |= {"bits", "buckets"}  # what is saved are levels, or shared rows
    commands |= {"teacher", "teacher_weight", "teacher_temperature", "teacher_partial"}  # asked by words
    assert set(Config.__dataclass_fields__) <= gensims | set(EXTRAS) | commands


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import w2vfast, sys; assert 'gensim' not in sys.modules; from w2vfast import Word2Vec; print(Word2Vec)", ""),
        (
            "import sys; sys.modules['gensim'] = None; import w2vfast\n"
            "try: from w2vfast import Word2Vec\nexcept ImportError as e: assert 'pip install gensim' in str(e)",
            "",
        ),
        ("import w2vfast\ntry: w2vfast.word2vec\nexcept AttributeError as e: print(e)", "no attribute 'word2vec'"),
    ],
    ids=["lazy", "missing", "unknown"],
)
def test_import(program, said):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_bad_extras_are_refused_at_once():
    with pytest.raises(InputError, match="backend must be one of"):
        Word2Vec(backend="cuda")
    with pytest.raises(InputError, match="tile must be"):
        Word2Vec(tile=0)
    model = Word2Vec(common_texts, **TINY, tile=8, shared_negatives=4, objective="nce", log_z=1.0, backend="native")
    assert (model.tile, model.objective, model.log_z) == (8, "nce", 1.0)


# The command's bits.


@pytest.mark.parametrize(("mode", "early"), [("sg", None), ("sg", 8), ("cbow", 8)])
def test_bits_are_the_commands(mode, early):
    options = {
        "early_negatives": early,
        "vector_size": 24,
        "window": 3,
        "negative": 4,
        "epochs": 2,
        "seed": 7,
        "workers": 1,
        "sample": 1e-3,
    }
    result = train_files([LEE], Config(mode=mode, backend="native", **options))
    sg = int(mode == "sg")
    whole = Word2Vec(corpus_file=LEE, sg=sg, backend="native", **options)
    assert whole.wv.index_to_key == result.vocab.words
    assert same(tables(whole), (result.w_in, result.w_out))
    np.testing.assert_allclose(whole.loss_per_epoch, result.loss_per_epoch, rtol=1e-12)
    # Built and trained apart, from the file or from sentences in memory, it is the same again.
    for source in ({"corpus_file": LEE}, {"corpus_iterable": list(gensim_word2vec.LineSentence(LEE))}):
        model = Word2Vec(sg=sg, backend="native", **options)
        model.build_vocab(**source)
        words = {"total_words": model.corpus_total_words}
        trained, raw = model.train(**source, epochs=2, **words)
        assert same(tables(model), tables(whole)), source.keys()
        assert (trained, raw) == (result.tokens["trained"], 2 * result.tokens["read"])


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_it_learns(backend, themed_sentences):
    for sg in (0, 1):
        model = Word2Vec(
            themed_sentences, sg=sg, vector_size=16, window=4, epochs=10, backend=backend, device="cpu", alpha=0.05
        )
        assert isinstance(model, Gensim)
        assert share_of_right_neighbours(model.wv.index_to_key, model.wv.vectors) > 0.9


def test_tables_are_trained_in_place():
    model = Word2Vec(**TINY)
    model.build_vocab(common_texts)
    vectors, outputs, before = model.wv.vectors, model.syn1neg, model.wv.vectors.copy()
    model.train(common_texts, total_examples=9, epochs=3)
    assert model.wv.vectors is vectors
    assert model.syn1neg is outputs
    assert not np.array_equal(vectors, before)


def test_negatives_grow_where_a_call_is_a_whole_run(monkeypatch):
    seen = Visits(monkeypatch)
    model = Word2Vec(common_texts, **TINY, shared_negatives=8, early_negatives=2)
    model.train(common_texts, total_words=29, epochs=2)
    assert [v.shared_words for v in seen.visits] == [2, 8] * 2
    seen.visits.clear()
    model.train(common_texts, total_words=29, epochs=2, start_alpha=0.02, end_alpha=0.01)  # and another after it
    assert [v.shared_words for v in seen.visits] == [8, 8]


# The vocabulary of a file.


def keep_some(word, count, least):
    return RULE_KEEP if word == "arafat" else RULE_DISCARD if word.startswith("s") else RULE_DEFAULT


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_count": 1},
        {"min_count": 0},
        {"max_final_vocab": 100},
        {"max_final_vocab": 100, "min_count": 90},
        {"max_vocab_size": 500, "min_count": 1},
        {"trim_rule": keep_some},
        {"sorted_vocab": 0},
        {"sample": 3},
        {"null_word": 1},
    ],
    ids=lambda options: "-".join(map(str, options)) or "defaults",
)
def test_vocabulary_of_a_file_is_gensims(options):
    options = dict(options)
    rule = {"trim_rule": options.pop("trim_rule")} if "trim_rule" in options else {}
    theirs, ours = Gensim(**options), Word2Vec(**options)
    for model in (theirs, ours):
        model.build_vocab(corpus_file=LEE, keep_raw_vocab=True, **rule)
    assert ours.wv.index_to_key == theirs.wv.index_to_key
    assert ours.wv.key_to_index == theirs.wv.key_to_index
    assert ours.raw_vocab == theirs.raw_vocab
    for name in ("count", "sample_int"):
        np.testing.assert_array_equal(ours.wv.expandos[name], theirs.wv.expandos[name])
    np.testing.assert_allclose(ours.cum_table, theirs.cum_table, atol=1)
    for name in ("corpus_count", "corpus_total_words", "effective_min_count", "min_count"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for model in (theirs, ours):
        model.build_vocab(corpus_file=datapath("head500.noblanks.cor"), update=True)
    assert ours.wv.index_to_key == theirs.wv.index_to_key


def test_compressed_files_are_read(tmp_path):
    import bz2

    for name in ("text.bz2", "text.of.a.bz2.file"):
        (tmp_path / name).write_bytes(bz2.compress(Path(LEE).read_bytes()))
        model = Word2Vec(corpus_file=str(tmp_path / name), workers=1, vector_size=8, epochs=1)
        assert model.corpus_total_words == 59890
        assert model.wv.key_to_index["the"] == 0


@pytest.mark.parametrize("options", [{}, {"max_vocab_size": 50}], ids=["own-scan", "gensims-scan"])
def test_a_corpus_file_that_is_no_text(tmp_path, options):
    path = tmp_path / "corpus"
    path.write_bytes(b"%PDF-1.7\n" + Path(LEE).read_bytes())
    options = {"corpus_file": str(path), "workers": 1, "vector_size": 8, "epochs": 1, **options}
    with pytest.raises(ValueError, match="is a PDF document: extract its text"):
        Word2Vec(**options)
    assert "the" in Word2Vec(**options, force=True).wv
    model = Word2Vec([["a", "b"]] * 9, min_count=1, vector_size=8)
    with pytest.raises(ValueError, match="is a PDF document"):
        model.train(corpus_file=str(path), total_words=18, epochs=1)


# Rates, draws, losses, and what is returned and logged.


def test_rates_fall_within_a_call_and_draws_never_repeat(monkeypatch):
    seen = Visits(monkeypatch)
    model = Word2Vec(common_texts, **TINY, alpha=0.05, min_alpha=0.01)
    assert seen.rates() == [(0.05, 0.05, 0.01, 0), (pytest.approx(0.03), 0.05, 0.01, 1)]
    assert model.min_alpha_yet_reached == pytest.approx(0.01)
    seen.visits.clear()
    model.train(common_texts, total_words=29, epochs=1, start_alpha=0.02, end_alpha=0.02)
    assert (model.alpha, model.min_alpha) == (0.02, 0.02)
    copied = pickle.loads(pickle.dumps(model))
    for each in (model, copied):
        each.train(common_texts, total_examples=9, epochs=2, start_alpha=0.04, end_alpha=0.0)
    assert [v.draw_epoch for v in seen.visits] == [2, 3, 4, 3, 4]
    assert model.min_alpha == 0.02  # as in gensim, an end_alpha of 0 is none
    assert same(tables(model), tables(copied))
    assert model.draw_epochs == 5
    model.init_weights()
    assert (model.draw_epochs, model.loss_per_epoch) == (0, [])


def test_epochs_of_different_length_end_at_min_alpha(monkeypatch):
    class Growing:
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter(common_texts * (300 * self.passes))

    seen = Visits(monkeypatch)
    model = Word2Vec(min_count=1, workers=1, vector_size=4, alpha=0.04, min_alpha=0.02, sample=0)
    model.build_vocab(common_texts)
    _, raw = model.train(Growing(), total_examples=5, epochs=2)
    assert raw == 29 * 300 * 3
    last = seen.visits[-1]
    assert last.learning_rate(len(last.chunks) - 1, seen.jobs[-1].chunk_size) == pytest.approx(0.02, abs=2e-4)


def test_losses():
    losses = []

    class Read(CallbackAny2Vec):
        def on_epoch_end(self, model):
            losses.append(model.get_latest_training_loss())

    model = Word2Vec(common_texts * 50, **TINY | {"epochs": 4}, compute_loss=True, callbacks=[Read()])
    assert isinstance(losses[-1], float)
    steps = np.diff([0.0, *losses])
    assert (steps > 0).all()
    assert losses[-1] == model.get_latest_training_loss() == model.running_training_loss
    assert len(model.loss_per_epoch) == 4
    assert model.loss_per_epoch[0] > model.loss_per_epoch[-1] > 0
    # One sentence of nine is one word, without a window; a word may be cut off at the end of a chunk.
    windows = steps / model.loss_per_epoch
    assert (np.abs(windows - 28 * 50) < 10).all()
    np.testing.assert_allclose(windows, np.round(windows[0]), rtol=1e-9)
    model.train(common_texts, total_examples=9, epochs=1)
    assert model.get_latest_training_loss() == 0  # not asked for
    assert len(model.loss_per_epoch) == 5


def test_a_loss_past_float32_still_grows():
    model = Word2Vec(common_texts, **TINY)
    model.compute_loss, model.running_training_loss = True, float(2**27)
    before = model.running_training_loss
    model._train_epoch(common_texts, cur_epoch=0, total_examples=9)
    assert 0 < model.running_training_loss - before < 1000


def test_log_has_gensims_lines(caplog):
    with caplog.at_level(logging.INFO, logger="gensim"):
        model = Word2Vec(common_texts * 200, **TINY | {"epochs": 1})
        model.train(common_texts * 200, total_examples=1800, epochs=1, report_delay=0)
        model.train(common_texts, total_examples=8, total_words=3, epochs=1)
    text = caplog.text
    for line in (
        "backend native on cpu: ",
        "collected 12 word types from a corpus of 5800 raw words and 1800 sentences",
        "training model with 1 workers on 12 vocabulary and 8 features",
        "EPOCH 0: training on 5800 raw words (5800 effective words) took",
        "supplied example count (9) did not equal expected count (8)",
        "supplied raw word count (29) did not equal expected count (3)",
    ):
        assert line in text, line
    assert "EPOCH 0 - PROGRESS: at" in text


# Files, copies, and both classes beside each other.


@pytest.mark.parametrize("name", ["gensim's name", "ours"])
def test_save_and_load(name, tmp_path, request):
    if name == "ours":
        request.getfixturevalue("renamed")
    model = Word2Vec(common_texts, **TINY, tile=16)
    path = str(tmp_path / "model")
    for options in ({}, {"separately": ["syn1neg"], "sep_limit": 1}):
        model.save(path, **options)
        for mmap in (None, "r"):
            loaded = Word2Vec.load(path, mmap=mmap)
            assert type(loaded) is Word2Vec
            assert loaded.tile == 16
            assert same(tables(loaded), tables(model))
            again = copy.deepcopy(model)
            for each in (loaded, again):
                each.train(common_texts, total_examples=9, epochs=1)
            assert same(tables(loaded), tables(again))
    assert not any("_call" in vars(each) and each._call for each in (model, loaded))


def test_mapped_tables_are_copied_when_training_begins(tmp_path):
    model = Word2Vec(common_texts, **TINY)
    model.wv.save(str(tmp_path / "wv"), separately=["vectors"])
    stored = (tmp_path / "wv.vectors.npy").read_bytes()
    model.wv = KeyedVectors.load(str(tmp_path / "wv"), mmap="r")
    assert not model.wv.vectors.flags.writeable
    model.train(common_texts, total_examples=9, epochs=1)
    assert model.wv.vectors.flags.writeable
    assert (tmp_path / "wv.vectors.npy").read_bytes() == stored


@pytest.mark.parametrize("name", ["gensim's name", "ours"])
def test_gensims_models_load_and_train_on(name, tmp_path, request):
    theirs = Gensim(common_texts, **TINY)
    theirs.save(str(tmp_path / "model"))
    if name == "ours":
        request.getfixturevalue("renamed")
    model = Word2Vec.load(str(tmp_path / "model"))
    assert type(model) is Word2Vec
    assert model.backend == "auto"
    before = tables(model)
    model.train(common_texts, total_examples=9, epochs=1)
    assert not same(tables(model), before)
    assert model.draw_epochs == 1


@pytest.mark.parametrize(
    "old",
    ["word2vec_3.3", "model-from-gensim-3.8.0.w2v", "old_w2v_models/w2v_1.0.0.mdl", "old_w2v_models/w2v_2.3.0.mdl"],
)
def test_old_models_of_gensims_wheel_train_on(old):
    model = Word2Vec.load(datapath(old))
    assert type(model) is Word2Vec
    model.sample, sentences = 0, [list(model.wv.index_to_key[:8])] * 20
    output = "syn1" if model.hs else "syn1neg"
    before = model.wv.vectors.copy(), getattr(model, output).copy()
    model.train(sentences, total_examples=20, epochs=1)
    assert not same((model.wv.vectors, getattr(model, output)), before)


def test_to_gensim_trains_on_and_is_saved_without_us(tmp_path):
    model = Word2Vec(common_texts, **TINY, tile=16)
    plain = model.to_gensim()
    assert type(plain) is Gensim
    assert type(plain.wv) is KeyedVectors
    assert plain.wv.vectors is model.wv.vectors
    assert plain.syn1neg is model.syn1neg
    assert set(vars(plain)) == set(vars(Gensim(common_texts, **TINY)))
    plain.save(str(tmp_path / "plain"))
    assert b"w2vfast" not in (tmp_path / "plain").read_bytes()
    code = (
        "import sys; sys.modules['w2vfast'] = None; from gensim.models import Word2Vec\n"
        f"model = Word2Vec.load({str(tmp_path / 'plain')!r})\n"
        "model.build_vocab([['new', 'words'] * 3], update=True)\n"
        "print(model.train([['new', 'human']], total_examples=1, epochs=1)[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
    plain.build_vocab([["new", "words"]], update=True)
    assert len(model.wv) == len(model.wv.key_to_index) == 12


def test_files_of_the_vectors_need_no_w2vfast(tmp_path):
    model = Word2Vec(common_texts, **TINY)
    model.wv.save(str(tmp_path / "wv"))
    assert b"w2vfast" not in (tmp_path / "wv").read_bytes()
    assert b"w2vfast" not in pickle.dumps(model.wv)
    assert type(copy.deepcopy(model.wv)) is KeyedVectors
    assert isinstance(model.wv, KeyedVectors)
    assert str(KeyedVectors.load(str(tmp_path / "wv"))).startswith("KeyedVectors<")


def test_loading_what_is_no_model(tmp_path):
    model = Word2Vec(common_texts, **TINY)
    model.wv.save(str(tmp_path / "wv"))
    with pytest.raises(AttributeError, match="can't be loaded"):
        Word2Vec.load(str(tmp_path / "wv"))
    with pytest.raises(AttributeError, match="called on a class"):
        model.load(str(tmp_path / "wv"))


# Gensim's own loop.


def test_wide_windows_and_single_words_go_through_gensims_loop():
    with pytest.warns(RuntimeWarning, match="window=5000"):
        Word2Vec(common_texts, **TINY, window=5000)
    with pytest.warns(RuntimeWarning, match="one word"):
        Word2Vec([["a", "a"]], **TINY)


# gensim's defects.


@pytest.mark.parametrize("workers", [1, 3])
def test_long_sentences_are_trained_whole(tmp_path, workers):
    words = ["a", "b", "c", "d", "e", "f"] * 5000
    (tmp_path / "line.txt").write_text(" ".join(words) + "\n")
    for source in ({"sentences": [words]}, {"corpus_file": str(tmp_path / "line.txt")}):
        model = Word2Vec(**source, **TINY | {"workers": workers, "epochs": 1})
        trained, raw = model.train(
            **{name.replace("sentences", "corpus_iterable"): value for name, value in source.items()},
            total_words=30000,
            epochs=1,
        )
        assert (trained, raw) == (30000, 30000)


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_below_one(workers):
    with pytest.raises(ValueError, match=r"workers must be at least 1.*no thread would train.*give the number"):
        Word2Vec(common_texts, **TINY | {"workers": workers})


def test_window_zero():
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        Word2Vec(common_texts, **TINY, window=0)


@pytest.mark.parametrize("options", [{}, {"negative": 2000}], ids=["ours", "gensim's loop"])
@pytest.mark.filterwarnings("ignore:gensim's own loop")
def test_an_iterator_that_raises_ends_training(options):
    class Broken:
        def __iter__(self):
            yield from common_texts
            raise OSError("the disk is gone")

    model = Word2Vec(**TINY, **options)
    model.build_vocab(common_texts)
    met = []

    def train():
        try:
            model.train(Broken(), total_examples=9, epochs=1)
        except OSError as error:
            met.append(error)

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    thread.join(20)
    assert [str(error) for error in met] == ["the disk is gone"]
    assert model._call is None


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("lockf", [0.0, 1.0])
def test_intersect_word2vec_format(tmp_path, binary, lockf):
    given = Vectors(["human", "unheard", "graph"], np.arange(24, dtype=np.float32).reshape(3, 8) / 24)
    path = tmp_path / "vectors.data"
    save_vectors(given, path, "binary" if binary else "text")
    model = Word2Vec(**TINY)
    model.build_vocab(common_texts)
    model.wv.intersect_word2vec_format(str(path), lockf=lockf, binary=binary)
    np.testing.assert_allclose(model.wv["human"], given.vectors[0], atol=1e-6)
    np.testing.assert_allclose(model.wv["graph"], given.vectors[2], atol=1e-6)
    assert len(model.wv) == len(model.wv.vectors_lockf) == 12
    before = {word: model.wv[word].copy() for word in model.wv.index_to_key}
    model.train(common_texts, total_examples=9, epochs=5)
    for word, vector in before.items():
        frozen = lockf == 0 and word in ("human", "graph")
        assert np.array_equal(model.wv[word], vector) == frozen, word
    small = Word2Vec(common_texts, **TINY | {"vector_size": 5})
    with pytest.raises(ValueError, match="incompatible vector size 8"):
        small.wv.intersect_word2vec_format(str(path), binary=binary)


def test_a_str_as_sentences_and_as_a_sentence():
    with pytest.raises(TypeError, match="for a text file give corpus_file="):
        Word2Vec("corpus.txt")
    with pytest.raises(TypeError, match="split it"):
        Word2Vec(["hello world"])
    model = Word2Vec(**TINY)
    model.build_vocab([["hello", "world"]])
    with pytest.raises(TypeError, match="split it"):
        model.train(["hello world"], total_examples=1, epochs=1)
    # A word alone may be meant as its letters, as gensim takes it, with its warning in the log.
    assert len(Word2Vec(["human", "machine"], **TINY).wv) == 8


def test_an_empty_vocabulary_names_its_cause(tmp_path):
    with pytest.raises(RuntimeError, match=r"no word reaches min_count=5 .*29 words, 12 of them.*4 times: lower min_c"):
        Word2Vec(common_texts)
    with pytest.raises(RuntimeError, match="the corpus has no words"):
        Word2Vec([])
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(RuntimeError, match="the corpus has no words"):
        Word2Vec(corpus_file=str(tmp_path / "empty.txt"))
    with pytest.raises(RuntimeError, match="you must first build vocabulary before training the model"):
        Word2Vec().train(common_texts, total_examples=9, epochs=1)


def test_analogies_without_a_question_to_ask():
    model = Word2Vec(common_texts, **TINY)
    with pytest.raises(ValueError, match=r"no question of .* has all its words among the 12"):
        model.wv.evaluate_word_analogies(datapath("questions-words.txt"))


def test_rates_with_many_workers_are_those_of_one(monkeypatch):
    seen = Visits(monkeypatch)
    for workers in (1, 3):
        Word2Vec(corpus_file=LEE, vector_size=4, epochs=2, workers=workers)
    assert {(v.total, v.start_rate, v.end_rate) for v in seen.visits} == {(seen.visits[0].total, 0.025, 0.0001)}


# Methods that stay gensim's.


def test_predict_output_word_reset_from_and_estimates():
    model = Word2Vec(common_texts * 20, **TINY | {"epochs": 20, "alpha": 0.05}, sg=1)
    theirs = model.to_gensim()
    context = ["system", "human"]
    assert model.predict_output_word(context) == theirs.predict_output_word(context)
    assert model.estimate_memory() == theirs.estimate_memory()
    other = Word2Vec(**TINY)
    other.reset_from(model)
    assert other.wv.key_to_index == model.wv.key_to_index
    other.train(common_texts, total_examples=9, epochs=1)
    with pytest.warns(DeprecationWarning, match="init_sims"):
        model.init_sims(replace=True)
    np.testing.assert_allclose(np.linalg.norm(model.wv.vectors, axis=1), 1, rtol=1e-5)
    with pytest.raises(RuntimeError, match="hierarchical softmax"):
        model.score(common_texts)


def test_formats_read_what_the_model_saves(tmp_path):
    model = Word2Vec(common_texts, **TINY)
    model.wv.save_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    np.testing.assert_array_equal(load_vectors(tmp_path / "v.bin").vectors, model.wv.vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(Word2Vec(common_texts, **TINY).wv.most_similar("human", topn=3), list)


def test_old_names_are_answered_with_the_new_ones():
    with pytest.raises(TypeError, match=r"no argument 'size' \(gensim 4: vector_size\), 'iter' \(gensim 4: epochs\)"):
        Word2Vec([["a", "b"]], size=8, iter=3)
    with pytest.raises(TypeError, match=r"no argument 'sizes'$"):
        Word2Vec([["a", "b"]], sizes=8)


@pytest.mark.parametrize("name", ["wv.vectors", "syn1neg"])
def test_tables_of_another_shape_are_refused(name):
    model = Word2Vec(common_texts, vector_size=8, min_count=1, workers=1)
    owner = model.wv if name == "wv.vectors" else model
    setattr(owner, name.rpartition(".")[2], np.zeros((11, 8), np.float32))
    with pytest.raises(ValueError, match=rf"{name} is \(11, 8\), words and dimensions are \(12, 8\)"):
        model.train(common_texts, total_examples=9, epochs=1)
