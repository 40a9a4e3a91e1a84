"""Every objective on every backend in every mode, through the trainer: as the float64 reference says, or refused."""

import importlib
from typing import Any, get_args

import numpy as np
import pytest

from tests.conftest import triton_device
from w2vfast import backends, jobs, plan, trainer
from w2vfast.backends import Choice
from w2vfast.config import DRAWN, Config, Mode, ObjectiveName
from w2vfast.corpus import EncodedCorpus, encode_sentences
from w2vfast.errors import InputError
from w2vfast.formats import Vectors, save_vectors
from w2vfast.kernels import reference
from w2vfast.kernels.contract import FixedOut, Mined, Mining, StepResult, Visit, chunk_count

DEVICE = triton_device()
CHOICES = {
    "torch": Choice("torch", "cpu", "a test"),
    "native": Choice("native", "cpu", "a test"),
    "triton": Choice("triton", DEVICE or "cuda", "a test"),
}
# One tile in flight: the one order of tiles that all backends can take. Subsampling, a shorter last chunk, two epochs.
OPTIONS = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 2, "sample": 1e-2, "alpha": 0.1}
OPTIONS |= {"tile": 16}
SENTENCES = 115
# float32's rounding over some hundred steps; tf32's where a GPU multiplies.
TOLERANCE = {"cpu": 1e-5, "interpreter": 1e-5, "cuda": 4e-3}


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest) -> Choice:
    found = CHOICES[request.param]
    reason = backends.unavailable_reason(found.name) if found.name != "triton" or DEVICE is None else None
    if reason is not None:
        pytest.skip(f"{found.name} cannot run here: {reason}")
    return found


@pytest.fixture(scope="module")
def corpus(themed_sentences: list[list[str]]) -> EncodedCorpus:
    return encode_sentences(themed_sentences[:SENTENCES], min_count=1)


@pytest.fixture(scope="module")
def own_options(corpus: EncodedCorpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what each objective is given besides: small numbers, and vectors to predict."""
    path = tmp_path_factory.mktemp("targets") / "targets.bin"
    vectors = np.random.default_rng(4).normal(size=(len(corpus.vocab), 8)).astype(np.float32)
    save_vectors(Vectors(corpus.vocab.words, vectors), path)
    return {
        "margin": {"mined": 3, "mine_every": 500},
        "von-mises-fisher": {"targets": str(path), "norm_penalty": 0.02, "alpha": 0.5},
    }


def options_of(choice: Choice, mode: str, objective: str, own: dict[str, Any] | None = None) -> Config:
    in_flight = {} if choice.name == "native" else {"tokens_in_flight": OPTIONS["tile"]}
    drawn = {"shared_negatives": 16} if objective in DRAWN else {}
    options = OPTIONS | in_flight | drawn | (own or {})
    return Config(backend=choice.name, mode=mode, objective=objective, **options)


def by_reference(corpus: EncodedCorpus, config: Config, choice: Choice):
    """Return the tables and what each epoch came to."""
    work = jobs.prepare(corpus, config, choice)
    job, n = work.job, len(corpus.tokens)
    w_in = plan.initial_vectors(job.vocabulary, config.vector_size, config.seed).astype(np.float64)
    w_out = np.zeros((job.objective.out_rows(job.vocabulary), config.vector_size))
    if isinstance(job.objective, FixedOut):
        w_out[:] = job.objective.fixed_out
    mined = Mined.nothing(job.vocabulary, job.objective) if isinstance(job.objective, Mining) else None
    epochs = []
    for epoch in range(config.epochs):
        order = plan.chunk_order(chunk_count(job, job.tokens), config.seed, epoch)
        visit = Visit(
            chunks=order,
            done=epoch * n + np.arange(len(order)) * job.chunk_size,
            total=config.epochs * n,
            start_rate=config.alpha,
            end_rate=config.min_alpha,
            draw_epoch=epoch,
            shared_words=work.shared_words,
        )
        epochs.append(reference.train(job, w_in, w_out, visit, mined=mined))
    return (w_in, w_out), epochs


@pytest.mark.parametrize("objective", get_args(ObjectiveName))
@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_combination_is_as_the_reference_says_or_refused(choice, mode, objective, corpus, own_options):
    if (mode, objective) == ("cbow", "margin"):
        with pytest.raises(InputError, match="needs mode sg"):
            options_of(choice, mode, objective)
        return
    config = options_of(choice, mode, objective, own_options.get(objective))
    if objective not in backends.objectives(choice.name):
        with pytest.raises(InputError, match=f"no objective {objective}: "):
            trainer.train_corpus(corpus, config, choice)
        return
    result = trainer.train_corpus(corpus, config, choice)
    tables, epochs = by_reference(corpus, config, choice)
    whole = sum(epochs, StepResult(0.0, 0, 0))
    assert (result.pairs, result.tokens["trained"]) == (whole.pairs, whole.trained)
    assert 0.1 < result.tokens["trained"] / (2 * len(corpus.tokens)) < 0.9
    tolerance = TOLERANCE[choice.device]
    losses = [epoch.loss / epoch.pairs for epoch in epochs]
    np.testing.assert_allclose(result.loss_per_epoch, losses, rtol=tolerance)
    for table, right in zip((result.w_in, result.w_out), tables, strict=True):
        assert np.abs(right).max() > 0.1  # far from where it began
        np.testing.assert_allclose(table, right, rtol=0, atol=tolerance)


def test_a_backend_without_the_objective_refuses_and_names_those_that_have_it(choice, corpus, monkeypatch):
    module = importlib.import_module(f"w2vfast.kernels.{choice.name}.step")
    monkeypatch.setattr(module, "objectives", lambda: ("negative-sampling",))
    monkeypatch.setattr(backends, "unavailable_reason", lambda name: None if name != "triton" else "not here")
    have = " or ".join(name for name in ("native", "torch") if name != choice.name)
    config = options_of(choice, "sg", "nce")
    with pytest.raises(InputError, match=f"the {choice.name} backend .* has no objective nce: take --backend {have}$"):
        trainer.train_corpus(corpus, config, choice)
    trainer.train_corpus(corpus, options_of(choice, "sg", "negative-sampling"), choice)


def test_an_objective_that_no_backend_here_has_is_refused(monkeypatch):
    monkeypatch.setattr(backends, "objectives", lambda name: ("negative-sampling",))
    with pytest.raises(InputError, match="no backend that can run here has it"):
        backends.choose(Config(backend="torch", objective="nce"))


def test_auto_takes_torch_for_an_objective_that_its_choice_lacks(monkeypatch):
    monkeypatch.setattr(backends, "_GPU_DEVICES", ())
    monkeypatch.setattr(backends, "unavailable_reason", lambda name: None if name != "triton" else "not here")
    lacking = {"native": ("negative-sampling",), "torch": ("negative-sampling", "nce")}
    monkeypatch.setattr(backends, "objectives", lambda name: lacking.get(name, ()))
    assert backends.choose(Config()).name == "native"
    choice = backends.choose(Config(objective="nce"))
    assert (choice.name, choice.device) == ("torch", "cpu")
    assert "native has no nce" in choice.reason
    with pytest.raises(InputError, match="the native backend"):
        backends.choose(Config(objective="nce", backend="native"))
