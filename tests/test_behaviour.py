"""What every backend must do, whatever it is made of: one suite, run over all that can run here.

Triton runs on the GPU where there is one, at full size, and else in its interpreter, a thousand times slower, on a toy.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.conftest import share_of_right_neighbours, triton_device
from w2vfast import backends, run, trainer
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.corpus import encode_sentences, scan
from w2vfast.errors import DivergenceError


@dataclass(frozen=True)
class Backend:
    """A backend under test, and the part of each test's text that it trains on: one `toy`-th, all by default."""

    name: str
    choice: Choice | None = None  # None leaves the device to be chosen
    toy: int = 1
    lesson_sentences: int = 1500
    lesson: dict = field(default_factory=lambda: {"epochs": 15})  # options with which these are learnt
    exact: bool = True  # runs repeat bit for bit

    def some(self, text):
        """Return the part of a text, a list, that is trained on."""
        return text[: len(text) // self.toy]


DEVICE = triton_device()
BACKENDS = {
    "torch": Backend("torch"),
    "native": Backend("native"),
    "triton": Backend("triton", Choice("triton", "cuda", "a test"), exact=False)
    if DEVICE == "cuda"
    # 4 ms a token.
    else Backend("triton", Choice("triton", "interpreter", "a test"), 30, 100, {"epochs": 5, "shared_negatives": 32}),
}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    reason = backends.unavailable_reason(request.param) if request.param != "triton" or DEVICE is None else None
    if reason is not None:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    return BACKENDS[request.param]


def train(sentences, backend, evaluate=None, on_progress=None, **options):
    options = {"vector_size": 16, "min_count": 1, "workers": 1, "sample": 0.0, "backend": backend.name} | options
    if backend.toy > 1:
        # Few steps, so large ones; tiles.py would have them share hundreds of negatives.
        options = {"alpha": 0.1, "shared_negatives": 16} | options
    config = Config(**options)
    with encode_sentences(sentences, min_count=config.min_count) as corpus:
        return trainer.train_corpus(corpus, config, backend.choice, evaluate=evaluate, on_progress=on_progress)


def assert_same_vectors(backend, ours, theirs):
    """Bit for bit, but on a GPU: there the additions of one tile to a row come in any order."""
    if backend.exact:
        np.testing.assert_array_equal(ours, theirs)
    else:
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.fixture(scope="module", params=["sg", "cbow"])
def lesson(request, backend, themed_sentences):
    """Sentences, settings, and what the backend has learnt from them."""
    sentences = themed_sentences[: backend.lesson_sentences]
    settings = {"mode": request.param} | backend.lesson
    return sentences, settings, train(sentences, backend, **settings)


def test_neighbours_come_out_right(lesson):
    sentences, settings, result = lesson
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.95
    losses = result.loss_per_epoch
    assert losses[-1] < losses[0] < 2 * np.log(2) * 6
    assert result.tokens["trained"] == settings["epochs"] * 8 * len(sentences)


def test_cosines_agree_with_gensims(lesson):
    """Correlation of all cosines with gensim's: two seeds of gensim reach 0.99 on the whole corpus."""
    from gensim.models import Word2Vec

    sentences, settings, ours = lesson
    options = {"vector_size": 16, "min_count": 1, "sample": 0, "workers": 1, "alpha": ours.settings["alpha"]}
    theirs = Word2Vec(sentences, sg=int(settings["mode"] == "sg"), epochs=settings["epochs"], **options).wv
    assert ours.vocab.words == theirs.index_to_key
    pairs = np.triu_indices(len(theirs), 1)
    cosines = []
    for vectors in (ours.w_in, theirs.vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines.append((unit @ unit.T)[pairs])
    assert np.corrcoef(*cosines)[0, 1] > 0.97


def test_two_workers_learn_too(backend, themed_sentences):
    # torch's threads wait for each other after every small product: what they do is the same, so few epochs show it.
    # triton's workers are its grid, which the interpreter runs one after another.
    epochs = 30 if backend.name == "native" else 2
    in_flight = None if backend.name == "native" else max(64, 1024 // backend.toy)
    sentences = backend.some(themed_sentences)
    result = train(sentences, backend, epochs=epochs, workers=2, tokens_in_flight=in_flight)
    assert result.tokens["trained"] == epochs * 8 * len(sentences)
    assert result.loss_per_epoch[-1] < result.loss_per_epoch[0]
    if backend.name == "native":
        assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.95


def test_one_worker_repeats_bit_for_bit(backend, themed_sentences):
    if not backend.exact:
        pytest.skip("a GPU adds the steps of one tile to a row in any order")
    sentences = backend.some(themed_sentences[:300])
    first, again, other = (train(sentences, backend, seed=seed, epochs=2) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.w_in, again.w_in)
    np.testing.assert_array_equal(first.w_out, again.w_out)
    assert first.loss_per_epoch == again.loss_per_epoch
    assert np.abs(first.w_in - other.w_in).max() > 1e-3


def test_backends_agree_on_the_same_plan(backend, themed_sentences):
    """At equal T, N and one tile in flight every backend takes the same steps; float32 rounding is all that differs."""
    settings = {"epochs": 2, "tile": 16, "shared_negatives": 16, "tokens_in_flight": 16, "alpha": 0.025}
    sentences = backend.some(themed_sentences[:400])
    torch = train(sentences, BACKENDS["torch"], **settings)
    precision = "float32" if backend.name == "native" else "auto"
    other = train(sentences, backend, **settings, precision=precision)
    # Large on a GPU alone, where products are tf32: ten bits of each factor.
    tolerance = 1 if backend.exact else 20
    np.testing.assert_allclose(other.w_in, torch.w_in, atol=2e-4 * tolerance)
    np.testing.assert_allclose(other.loss_per_epoch, torch.loss_per_epoch, rtol=1e-4 * tolerance)


def test_no_token_of_a_long_sentence_is_lost(backend):
    rng = np.random.default_rng(0)
    sentence = backend.some([f"w{i}" for i in rng.integers(0, 50, 30_000)])
    result = train([sentence], backend, epochs=1)
    assert result.tokens["read"] == result.tokens["trained"] == len(sentence)


def test_subsampling_is_accounted_for(backend, themed_sentences):
    sentences = backend.some(themed_sentences)
    result = train(sentences, backend, epochs=3, sample=1e-2)
    share = result.vocab.counts / (8 * len(sentences))
    kept = np.minimum(1, np.sqrt(0.01 / share) + 0.01 / share)
    expected, deviation = 3 * result.vocab.counts @ kept, np.sqrt(3 * result.vocab.counts @ (kept * (1 - kept)))
    assert abs(result.tokens["trained"] - expected) < 4 * deviation
    assert result.tokens["trained"] + result.tokens["subsampled"] == 3 * 8 * len(sentences)


@pytest.mark.parametrize(
    "options",
    [
        *({"mode": mode} | options for mode in ("sg", "cbow") for options in ({"vector_size": 1}, {"window": 40})),
        *({"mode": mode, "negative": 20} for mode in ("sg", "cbow")),
        {"mode": "cbow", "cbow_mean": False},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_unusual_settings_train(backend, options, themed_sentences):
    result = train(backend.some(themed_sentences[:200]), backend, epochs=3, **options)
    assert np.isfinite(result.w_in).all()
    assert result.w_out.any()
    # The static cap expects 41 targets, sentences of eight words have seven: a toy's few steps are too small to show.
    if backend.toy == 1 or "window" not in options:
        assert result.loss_per_epoch[-1] < result.loss_per_epoch[0]


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_sentences_of_one_word_teach_nothing(backend, mode):
    """No pairs: the tables stay as they were, and the loss is zero, not a division by zero."""
    result = train([["a"], ["b"], ["c"]] * 20, backend, mode=mode, epochs=2)
    assert result.loss_per_epoch == [0.0, 0.0]
    assert not result.w_out.any()


def test_two_words_train(backend):
    result = train([["left", "right"]] * 100, backend, epochs=2)
    assert np.isfinite(result.w_in).all()
    assert result.w_out.any()


def test_lists_and_files_meet_in_one_path(backend, themed_sentences, tmp_path):
    sentences, path = backend.some(themed_sentences), tmp_path / "themed.txt"
    path.write_text("".join(" ".join(sentence) + "\n" for sentence in sentences))
    config = Config(vector_size=8, min_count=1, workers=1, epochs=1, backend=backend.name)
    with trainer.scan_files([path], config) as corpus:
        from_file = trainer.train_corpus(corpus, config, backend.choice)
    from_lists = train(
        sentences, backend, vector_size=8, epochs=1, sample=1e-3, alpha=config.alpha, shared_negatives=None
    )
    assert from_file.vocab.words == from_lists.vocab.words
    assert_same_vectors(backend, from_file.w_in, from_lists.w_in)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")  # the interpreter's NumPy
def test_divergence_is_an_error_that_names_the_settings(backend, themed_sentences):
    settings = {"alpha": 1.0, "cap": 1e9, "tile": 256, "shared_negatives": 1, "negative": 1000}
    with pytest.raises(DivergenceError, match="alpha=1, tile=256"):
        train(backend.some(themed_sentences), backend, epochs=60, **settings)


def test_progress_ends_where_the_run_ends(backend, themed_sentences):
    seen, sentences = [], backend.some(themed_sentences)
    settings = train(sentences, backend, epochs=2, vector_size=8, on_progress=seen.append).settings
    done = [progress.tokens_done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].tokens_total == 2 * 8 * len(sentences)
    assert seen[-1].learning_rate == pytest.approx(settings["min_alpha"])
    assert seen[0].learning_rate < settings["alpha"]


@pytest.mark.parametrize("in_flight", [32, 512])
def test_vectors_do_not_depend_on_how_often_progress_is_reported(in_flight, themed_file, monkeypatch):
    config = Config(vector_size=8, min_count=1, workers=1, epochs=1, backend="torch", tokens_in_flight=in_flight)
    with scan([themed_file], min_count=1) as corpus:
        often = trainer.train_corpus(corpus, config)
        monkeypatch.setattr(run, "REPORT_SECONDS", 1e9)
        seldom = trainer.train_corpus(corpus, config)
    np.testing.assert_array_equal(often.w_in, seldom.w_in)


def test_an_unavailable_backend_is_an_error_with_the_reason(monkeypatch):
    from w2vfast.errors import InputError

    monkeypatch.setattr(backends, "unavailable_reason", lambda name: "no such luck")
    with pytest.raises(InputError, match="native cannot run: no such luck"):
        backends.choose(Config(backend="native"))
    with pytest.raises(InputError, match="runs on cpu, not on cuda"):
        backends.choose(Config(backend="native", device="cuda"))


def test_too_little_memory_is_an_error_that_says_what_is_needed(monkeypatch, themed_sentences):
    from w2vfast.errors import InputError
    from w2vfast.kernels.torch import step as torch_step

    def too_large(*_, **__):
        raise MemoryError("80 GiB are needed: lower vector_size")

    monkeypatch.setattr(torch_step, "create_step", too_large)
    with pytest.raises(InputError, match="80 GiB are needed"):
        train(themed_sentences[:10], BACKENDS["torch"])


def test_what_a_backend_cannot_do_is_an_error_that_says_so(monkeypatch, themed_sentences):
    from w2vfast.errors import InputError
    from w2vfast.kernels.contract import Unsupported
    from w2vfast.kernels.torch import step as torch_step

    def unable(*_, **__):
        raise Unsupported("tiles of 64 tokens do not compile: give --tile 32")

    monkeypatch.setattr(torch_step, "create_step", unable)
    with pytest.raises(InputError, match="give --tile 32"):
        train(themed_sentences[:10], BACKENDS["torch"])


def test_auto_says_loudly_that_native_kernels_are_missing(monkeypatch):
    monkeypatch.setattr(backends, "_GPU_DEVICES", ())
    monkeypatch.setattr(backends, "unavailable_reason", lambda name: "not built" if name == "native" else None)
    choice = backends.choose(Config())
    assert (choice.name, choice.device) == ("torch", "cpu")
    assert "WARNING: native kernels missing" in choice.reason
    assert "not built" in choice.reason


def scores_given(values):
    """Return an evaluate function that gives these scores in turn, and the copies of what it was shown."""
    shown = []

    def evaluate(vectors):
        shown.append(vectors.vectors.copy())
        return values[len(shown) - 1]

    return evaluate, shown


def train_scored(sentences, backend, values, **options):
    evaluate, shown = scores_given(values)
    return train(backend.some(sentences), backend, evaluate, vector_size=8, **options), shown


def test_scores_come_at_fractions_of_epochs(backend, themed_sentences):
    result, _ = train_scored(themed_sentences, backend, [1.0, 2.0, 3.0, 4.0], epochs=2, eval_every=0.5)
    assert [entry["score"] for entry in result.scores] == [1, 2, 3, 4]
    assert [entry["epoch"] for entry in result.scores] == pytest.approx([0.5, 1, 1.5, 2], abs=0.2)
    assert len(result.loss_per_epoch) == 2
    result, _ = train_scored(themed_sentences, backend, [1.0], epochs=3, eval_every=2)
    assert [entry["epoch"] for entry in result.scores] == [2]


def test_the_best_vectors_are_kept(backend, themed_sentences):
    values = [1.0, 7.0, 3.0, 2.0]
    last, shown = train_scored(themed_sentences, backend, values, epochs=4, eval_every=1)
    np.testing.assert_array_equal(last.w_in, shown[3])
    best, shown = train_scored(themed_sentences, backend, values, epochs=4, eval_every=1, keep_best=True)
    np.testing.assert_array_equal(best.w_in, shown[1])
    assert np.abs(shown[1] - shown[3]).max() > 1e-3


def test_patience_stops_the_run_and_the_ledger_says_so(backend, themed_sentences):
    values = [5.0, 4.0, 3.0, 2.0, 1.0]
    result, shown = train_scored(themed_sentences, backend, values, epochs=5, eval_every=1, patience=2)
    assert len(shown) == 3
    assert len(result.loss_per_epoch) == 3
    assert result.epochs_visited == 3
    assert result.tokens["trained"] + result.tokens["subsampled"] == 3 * 8 * len(backend.some(themed_sentences))


def test_scoring_changes_nothing_in_training(backend, themed_sentences):
    scored, _ = train_scored(themed_sentences, backend, list(range(9)), epochs=2, eval_every=0.5)
    plain = train(backend.some(themed_sentences), backend, vector_size=8, epochs=2)
    assert_same_vectors(backend, scored.w_in, plain.w_in)
