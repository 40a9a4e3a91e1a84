"""What every backend must do, whatever it is made of: one suite, run over all that can run here."""

import numpy as np
import pytest

from tests.conftest import share_of_right_neighbours
from w2vfast import backends, trainer
from w2vfast.config import Config
from w2vfast.corpus import encode_sentences, scan
from w2vfast.errors import DivergenceError

NAMES = ["torch", "native"]


@pytest.fixture(scope="module", params=NAMES)
def backend(request):
    reason = backends.unavailable_reason(request.param)
    if reason is not None:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    return request.param


def train(sentences, backend, **options):
    options = {"vector_size": 16, "min_count": 1, "workers": 1, "sample": 0.0, "backend": backend} | options
    config = Config(**options)
    with encode_sentences(sentences, min_count=config.min_count) as corpus:
        return trainer.train_corpus(corpus, config)


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_neighbours_come_out_right(backend, mode, themed_sentences):
    result = train(themed_sentences, backend, mode=mode, epochs=15)
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.95
    losses = result.loss_per_epoch
    assert losses[-1] < losses[0] < 2 * np.log(2) * 6
    assert result.tokens["trained"] == 15 * 12_000


def test_two_workers_learn_too(backend, themed_sentences):
    # torch's threads wait for each other after every small product: what they do is the same, so few epochs show it.
    epochs = 30 if backend == "native" else 2
    in_flight = None if backend == "native" else 1024
    result = train(themed_sentences, backend, epochs=epochs, workers=2, tokens_in_flight=in_flight)
    assert result.tokens["trained"] == epochs * 12_000
    assert result.loss_per_epoch[-1] < result.loss_per_epoch[0]
    if backend == "native":
        assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.95


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_cosines_agree_with_gensims(backend, mode, themed_sentences):
    """Correlation of all cosines with gensim's: two seeds of gensim reach 0.99 on this corpus."""
    from gensim.models import Word2Vec

    settings = {"vector_size": 16, "min_count": 1, "sample": 0, "epochs": 15, "workers": 1}
    theirs = Word2Vec(themed_sentences, sg=int(mode == "sg"), **settings).wv
    ours = train(themed_sentences, backend, mode=mode, epochs=15)
    assert ours.vocab.words == theirs.index_to_key
    pairs = np.triu_indices(len(theirs), 1)
    cosines = []
    for vectors in (ours.w_in, theirs.vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines.append((unit @ unit.T)[pairs])
    assert np.corrcoef(*cosines)[0, 1] > 0.97


def test_one_worker_repeats_bit_for_bit(backend, themed_sentences):
    first, again, other = (train(themed_sentences[:300], backend, seed=seed, epochs=2) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.w_in, again.w_in)
    np.testing.assert_array_equal(first.w_out, again.w_out)
    assert first.loss_per_epoch == again.loss_per_epoch
    assert np.abs(first.w_in - other.w_in).max() > 1e-3


def test_backends_agree_on_the_same_plan(backend, themed_sentences):
    """At equal T, N and one tile in flight every backend takes the same steps; float32 rounding is all that differs."""
    settings = {"epochs": 2, "tile": 16, "shared_negatives": 16, "tokens_in_flight": 16}
    torch, other = (train(themed_sentences[:400], name, **settings) for name in ("torch", backend))
    np.testing.assert_allclose(other.w_in, torch.w_in, atol=2e-4)
    np.testing.assert_allclose(other.loss_per_epoch, torch.loss_per_epoch, rtol=1e-4)


def test_no_token_of_a_long_sentence_is_lost(backend):
    rng = np.random.default_rng(0)
    sentence = [f"w{i}" for i in rng.integers(0, 50, 30_000)]
    result = train([sentence], backend, epochs=1)
    assert result.tokens["read"] == result.tokens["trained"] == 30_000


def test_subsampling_is_accounted_for(backend, themed_sentences):
    result = train(themed_sentences, backend, epochs=3, sample=1e-2)
    expected = 3 * sum(
        result.vocab.counts * np.minimum(1, np.sqrt(0.01 / (f := result.vocab.counts / 12_000)) + 0.01 / f)
    )
    assert result.tokens["trained"] == pytest.approx(expected, rel=0.03)
    assert result.tokens["trained"] + result.tokens["subsampled"] == 36_000


@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize(
    "options", [{"vector_size": 1}, {"window": 40}, {"negative": 20}, {"cbow_mean": False}], ids=str
)
def test_unusual_settings_train(backend, mode, options, themed_sentences):
    result = train(themed_sentences[:200], backend, mode=mode, epochs=3, **options)
    assert np.isfinite(result.w_in).all()
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


def test_lists_and_files_meet_in_one_path(backend, themed_sentences, themed_file):
    config = Config(vector_size=8, min_count=1, workers=1, epochs=1, backend=backend)
    from_file = trainer.train_files([themed_file], config)
    from_lists = train(themed_sentences, backend, vector_size=8, epochs=1, sample=1e-3)
    assert from_file.vocab.words == from_lists.vocab.words
    np.testing.assert_array_equal(from_file.w_in, from_lists.w_in)


def test_divergence_is_an_error_that_names_the_settings(backend, themed_sentences):
    settings = {"alpha": 1.0, "cap": 1e9, "tile": 256, "shared_negatives": 1, "negative": 1000, "window": 50}
    with pytest.raises(DivergenceError, match="alpha=1, tile=256"):
        train(themed_sentences, backend, epochs=60, vector_size=64, **settings)


def test_progress_ends_where_the_run_ends(backend, themed_sentences):
    seen = []
    config = Config(vector_size=8, min_count=1, workers=1, epochs=2, backend=backend)
    with encode_sentences(themed_sentences, min_count=1) as corpus:
        trainer.train_corpus(corpus, config, on_progress=seen.append)
    done = [progress.tokens_done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].tokens_total == 24_000
    assert seen[-1].learning_rate == pytest.approx(config.min_alpha)
    assert seen[0].learning_rate < config.alpha


@pytest.mark.parametrize("in_flight", [32, 512])
def test_vectors_do_not_depend_on_how_often_progress_is_reported(in_flight, themed_file, monkeypatch):
    config = Config(vector_size=8, min_count=1, workers=1, epochs=1, backend="torch", tokens_in_flight=in_flight)
    with scan([themed_file], min_count=1) as corpus:
        often = trainer.train_corpus(corpus, config)
        monkeypatch.setattr(trainer, "REPORT_SECONDS", 1e9)
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
    from w2vfast.kernels import torch_step

    def too_large(*_, **__):
        raise MemoryError("80 GiB are needed: lower vector_size")

    monkeypatch.setattr(torch_step, "create_step", too_large)
    with pytest.raises(InputError, match="80 GiB are needed"):
        train(themed_sentences[:10], "torch")


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
    config = Config(vector_size=8, min_count=1, workers=1, sample=0, backend=backend, **options)
    evaluate, shown = scores_given(values)
    with encode_sentences(sentences, min_count=1) as corpus:
        return trainer.train_corpus(corpus, config, evaluate=evaluate), shown


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
    assert result.tokens["trained"] + result.tokens["subsampled"] == 3 * 12_000


def test_scoring_changes_nothing_in_training(backend, themed_sentences):
    scored, _ = train_scored(themed_sentences, backend, list(range(9)), epochs=2, eval_every=0.5)
    plain, _ = train_scored(themed_sentences, backend, [], epochs=2)
    np.testing.assert_array_equal(scored.w_in, plain.w_in)
