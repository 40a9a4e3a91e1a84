"""Training that diverges: finite vectors or a stop that names cause and remedy, and never NaN or infinity in a file."""

import numpy as np
import pytest

from tests.conftest import triton_device
from w2vfast import backends, trainer
from w2vfast.checkpoint import Folder
from w2vfast.config import Config
from w2vfast.errors import DivergenceError, InputError
from w2vfast.formats import Vectors, save_vectors
from w2vfast.kernels.contract import StepResult
from w2vfast.run import Run
from w2vfast.train import main

DEVICE = triton_device()
NATIVE = backends.unavailable_reason("native") is None
# What makes training diverge, if anything does: the largest learning rates, without a row cap, and widest windows.
HARSH = [{"alpha": 1.0}, {"alpha": 1.0, "cap": 1e9}, {"alpha": 1.0, "window": 50}, {"window": 50}]
REMEDY = r"training diverged \((the loss is not finite|the vectors are not finite)\) at alpha=.*: lower alpha, or leave"


def sentences(words, tokens, length=40):
    ids = np.random.default_rng(words).zipf(1.5, tokens).clip(max=words)
    return [[f"w{i}" for i in ids[k : k + length]] for k in range(0, tokens, length)]


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    words = [f"w{i}" for i in range(21)]
    path = tmp_path_factory.mktemp("targets") / "t.bin"
    save_vectors(Vectors(words, np.random.default_rng(1).normal(size=(21, 8)).astype(np.float32)), path)
    return str(path)


def finite_or_stopped(text, targets, **options):
    """Train; return the vectors, None if it was stopped."""
    own = {"targets": targets} if options.get("objective") == "von-mises-fisher" else {}
    config = Config(**{"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 2, "sample": 0.0} | own | options)
    try:
        result = trainer.train_sentences(text, config)
    except DivergenceError as error:
        assert_names_remedy(error)
        return None
    assert np.isfinite(result.w_in).all()
    assert np.isfinite(result.w_out).all()
    return result.w_in


def assert_names_remedy(error):
    with pytest.raises(DivergenceError, match=REMEDY):
        raise error


def modes(objective):
    return ("sg",) if objective == "margin" else ("sg", "cbow")


@pytest.mark.skipif(not NATIVE, reason=str(backends.unavailable_reason("native")))
@pytest.mark.parametrize("words", [2, 5, 20])
@pytest.mark.parametrize("objective", backends.objectives("native"))
def test_native(objective, words, targets):
    ended = [
        finite_or_stopped(sentences(words, 1200), targets, backend="native", objective=objective, mode=mode, **harsh)
        for mode in modes(objective)
        for harsh in HARSH
    ]
    assert any(vectors is not None for vectors in ended)


@pytest.mark.parametrize("objective", backends.objectives("torch"))
def test_torch(objective, targets):
    how = {"backend": "torch", "objective": objective, "tile": 32, "tokens_in_flight": 320, "epochs": 1}
    how |= {"mined": 3} if objective == "margin" else {}
    for mode, harsh in zip(("sg", *modes(objective)), HARSH[1:], strict=False):
        finite_or_stopped(sentences(5, 600), targets, mode=mode, **how, **harsh)


@pytest.mark.skipif(DEVICE is None, reason="triton has no wheel here")
def test_triton():
    choice = backends.Choice("triton", DEVICE, "a test")
    config = {"vector_size": 8, "min_count": 1, "epochs": 1, "sample": 0.0, "alpha": 1.0, "cap": 1e9, "tile": 16}
    with trainer.encode_sentences(sentences(5, 48), min_count=1) as corpus:
        try:
            result = trainer.train_corpus(corpus, Config(**config, shared_negatives=16, backend="triton"), choice)
        except DivergenceError as error:
            assert_names_remedy(error)
        else:
            assert np.isfinite(result.w_in).all()


@pytest.mark.parametrize("times", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_one_word_over_and_over(times, targets):
    text = [["a"] * times + ["b"] * 5]
    for mode in ("sg", "cbow"):
        for harsh in HARSH[:1] if times < 1_000_000 else HARSH:
            finite_or_stopped(text, targets, mode=mode, epochs=1, **harsh)


def test_a_rate_above_1_is_bad_usage(themed_file, tmp_path, capsys):
    assert main([str(themed_file), "-o", str(tmp_path / "v.bin"), "--alpha", "10"]) == 2
    assert "alpha must be" in capsys.readouterr().err


class PoisonedStep:
    """A step that leaves NaN in a table, and a loss that does not tell."""

    def __init__(self, step, table):
        self._step, self._table = step, table

    def __getattr__(self, name):
        return getattr(self._step, name)

    def train(self, visit):
        done = self._step.train(visit)
        self._step.tables()[self._table][1, 1] = np.nan
        return StepResult(1.0, done.pairs, done.trained)


@pytest.fixture(params=[0, 1], ids=["w_in", "w_out"])
def poisoned(request, monkeypatch):
    """Have every run's tables hold NaN after its first visit, while its loss stays finite."""
    real = backends.create_step
    monkeypatch.setattr(backends, "create_step", lambda *arguments: PoisonedStep(real(*arguments), request.param))


def test_vectors_are_looked_at_though_the_loss_is_finite(poisoned, themed_sentences):
    with pytest.raises(DivergenceError, match=r"the vectors are not finite.*: lower alpha"):
        trainer.train_sentences(themed_sentences, Config(min_count=1, workers=1, vector_size=8))


def test_no_such_vectors_are_scored(poisoned, themed_sentences):
    def evaluate(_):
        raise AssertionError("scored")

    config = Config(min_count=1, workers=1, vector_size=8, eval_every=0.1, keep_best=True, epochs=1)
    with pytest.raises(DivergenceError, match="the vectors are not finite"):
        trainer.train_sentences(themed_sentences, config, evaluate=evaluate)


def test_no_such_checkpoint_is_written_and_the_command_stops(poisoned, themed_file, tmp_path, capsys):
    words = [themed_file, "-o", tmp_path / "v.bin", "--min-count", "1", "--workers", "1"]
    words += ["--checkpoint", tmp_path / "state", "--checkpoint-every", "1e-6"]
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "training diverged (the vectors are not finite)" in told
    assert "lower alpha" in told
    assert Folder(tmp_path / "state").newest() is None
    assert not (tmp_path / "v.bin").exists()


def test_checkpoints_from_before_are_what_a_run_goes_on_from(themed_sentences, tmp_path, monkeypatch):
    """The run that diverges is stopped by its checkpoint's writer, which leaves the one before."""
    config = Config(min_count=1, workers=1, vector_size=8, checkpoint=str(tmp_path), checkpoint_every=1e-6, epochs=1000)
    real = Run.advance

    def advance(self, *arguments):
        if Folder(tmp_path).newest() is not None:
            self.step.tables()[0][0, 0] = np.inf
        return real(self, *arguments)

    monkeypatch.setattr(Run, "advance", advance)
    with pytest.raises(DivergenceError):
        trainer.train_sentences(themed_sentences, config)
    found = Folder(tmp_path).newest()
    assert found is not None
    assert all(np.isfinite(table).all() for table in found.read().tables)


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.kv", "v.safetensors"])
def test_vectors_that_are_not_finite_are_not_saved(name, tmp_path):
    vectors = np.zeros((3000, 4), np.float32)
    for bad in (np.nan, np.inf, -np.inf):
        vectors[2999, 3] = bad
        if name == "v.kv":
            pytest.importorskip("gensim")
        with pytest.raises(InputError, match="a vector holds NaN or infinity; train with a lower alpha"):
            save_vectors(Vectors([f"w{i}" for i in range(3000)], vectors), tmp_path / name)
    assert not list(tmp_path.iterdir())


KINDS = {"cbow": {}, "sg": {"sg": 1}, "tree": {"hs": 1, "negative": 0}, "both": {"hs": 1}, "wide": {"window": 50}}


@pytest.mark.parametrize("alpha", [1.0, 10.0, 1e30])
@pytest.mark.parametrize("kind", KINDS)
def test_gensims_class(kind, alpha):
    pytest.importorskip("gensim")
    from w2vfast import Word2Vec

    model = Word2Vec(vector_size=8, min_count=1, workers=1, alpha=alpha, epochs=2, **KINDS[kind])
    text = sentences(20, 1200)
    model.build_vocab(text)
    try:
        model.train(text, total_examples=len(text), epochs=2)
    except DivergenceError as error:
        assert_names_remedy(error)
    else:
        assert np.isfinite(model.wv.vectors).all()


@pytest.mark.parametrize("table", ["vectors", "syn1neg"])
def test_gensims_class_saves_no_such_model(table, themed_sentences, tmp_path):
    pytest.importorskip("gensim")
    from w2vfast import Checkpoints, Word2Vec

    model = Word2Vec(themed_sentences, vector_size=8, min_count=1, workers=1, epochs=1)
    (model.wv.vectors if table == "vectors" else model.syn1neg)[2, 2] = np.nan
    how = {"total_examples": model.corpus_count, "epochs": 1}
    with pytest.raises(DivergenceError, match="lower alpha"):
        model.train(themed_sentences, callbacks=[Checkpoints(tmp_path / "state", every=1e-6)], **how)
    assert Folder(tmp_path / "state").newest() is None
    with pytest.raises(InputError, match="nothing is saved: the vectors hold NaN or infinity"):
        model.save(str(tmp_path / "m"))
    model.wv.vectors[0, 0] = np.inf
    for save in (model.wv.save, model.wv.save_word2vec_format):
        with pytest.raises(InputError, match="nothing is saved"):
            save(str(tmp_path / "v"))
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
