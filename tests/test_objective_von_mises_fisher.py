"""The von Mises-Fisher loss: Bessel functions against their series in 60 digits, the objective, targets from a file."""

import dataclasses
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

from benchmarks.parity import hold, make_job, random_tables, visit_of
from tests.conftest import share_of_right_neighbours
from w2vfast import backends, targets, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.formats import Vectors, save_vectors
from w2vfast.kernels import reference
from w2vfast.kernels.objectives import von_mises_fisher
from w2vfast.kernels.objectives.von_mises_fisher import VonMisesFisher
from w2vfast.kernels.torch import step as torch_step
from w2vfast.kernels.torch.bessel import Bessel
from w2vfast.predictions import von_mises_fisher as prediction

MODES = {"sg": {"mode": "sg"}, "cbow": {"mode": "cbow"}, "cbow-sum": {"mode": "cbow", "cbow_mean": False}}
NAME = "von-mises-fisher"
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
SIZES = (2, 3, 10, 17, 100, 300, 1024, 65536)
NORMS = (0.0, 1e-8, 0.1, 1.0, 7.5, 100.0, 1000.0, 30_000.0)


def series(order, x):
    """Return sum_k (x^2 / 4)^k / (k! (order + 1) ... (order + k)), in which nothing cancels."""
    term = total = Decimal(1)
    k = 0
    while term > total.scaleb(-55):
        k += 1
        term *= x * x / 4 / (k * (order + k))
        total += term
    return total


def log_gamma_of_half(D):
    """Return log Gamma(D / 2)."""
    if D % 2 == 0:
        return Decimal(math.factorial(D // 2 - 1)).ln()
    return (Decimal(math.prod(range(D - 2, 0, -2))) * PI.sqrt() / Decimal(2) ** ((D - 1) // 2)).ln()


def exact_bessel(D, x):
    """Return log(I_v(x) / x^v) and I_(v+1)(x) / (x I_v(x)), v = D / 2 - 1."""
    with localcontext() as context:
        context.prec = 60
        v, x = Decimal(D) / 2 - 1, Decimal(x)
        here = series(v, x)
        return here.ln() - v * Decimal(2).ln() - log_gamma_of_half(D), series(v + 1, x) / here / D


def in_torch(D, x):
    log, ratio = Bessel(D)(torch.tensor([x], dtype=torch.float64))
    return float(log), float(ratio)


@pytest.mark.parametrize("D", SIZES)
@pytest.mark.parametrize("bessel", [in_torch, von_mises_fisher.bessel], ids=["torch", "reference"])
def test_bessel_functions_are_those_of_their_series(bessel, D):
    for x in NORMS:
        (log, ratio), (right_log, right_ratio) = bessel(D, x), exact_bessel(D, x)
        assert log == pytest.approx(float(right_log), rel=1e-13, abs=1e-13)
        assert ratio == pytest.approx(float(right_ratio), rel=1e-14)


@pytest.mark.parametrize("D", SIZES)
def test_large_concentrations_do_not_overflow(D):
    """Far out I_(v+1) / I_v is 1 - (v + 1/2) / x (DLMF 10.40.1), and log I_v is x - log(2 pi x) / 2."""
    x = torch.tensor([1e12, 1e30, 1e150, 1e300], dtype=torch.float64)
    log, ratio = Bessel(D)(x)
    v = D / 2 - 1
    torch.testing.assert_close(ratio * x, 1 - (v + 0.5) / x, rtol=1e-12, atol=0)
    torch.testing.assert_close(log, x - torch.log(2 * math.pi * x) / 2 - v * torch.log(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("D", "error"), [(10, 0.25), (100, 0.0204), (300, 0.0067)])
def test_what_the_published_approximation_differs_by(D, error):
    """Kumar & Tsvetkov's code has a closed form beside the exact one, whose A is kappa / (v - 1 + ...) as below.

    The bound it is taken from has D / 2 in v's place. Relative to A it is off by most for small kappa: 2 / (D - 2).
    """
    v, x = D / 2 - 1, np.geomspace(0.01, 1000, 40)
    theirs = 1 / (v - 1 + np.sqrt((v + 1) ** 2 + x**2))
    ours = np.array([in_torch(D, each)[1] for each in x])
    assert np.abs(theirs / ours - 1).max() == pytest.approx(error, rel=0.02)


def unit(V, D, dtype=np.float32):
    vectors = np.random.default_rng(5).normal(size=(V, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)


def case(D, penalty=0.02, weight=0.1, V=50, **options):
    of_visit = {"shared_words": 0, "alpha": options.pop("alpha", 1.0)}
    objective = VonMisesFisher(unit(V, D), penalty, weight)
    job = make_job(words=V, objective_value=objective, **({"length": 700} | options))
    return job, visit_of(job, **of_visit)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("D", [1, 2, 17, 100, 300])
@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_the_reference(mode, D, dtype, poison_empty):
    job, visit = case(D, length=300, **MODES[mode])
    assert hold(torch_step.create_step, job, visit, D, dtype=dtype).error <= (1e-12 if dtype is np.float64 else 2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": 1},
        {"tile": 63, "tokens_in_flight": 189, "row_cap": "batch"},
        {"tokens_in_flight": 256, "row_cap": "batch", "cap": 0.01},
        {"window": 50, "tile": 16},
        {"window": 1, "shrink_windows": False},
        {"V": 2},
        {"static": True},
        {"penalty": 0.0, "weight": 1.0},
        {"in_scale": np.linspace(0, 1, 50, dtype=np.float32)},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_the_reference_in_cases(mode, options):
    job, visit = case(17, **options, **MODES[mode])
    outcome = hold(torch_step.create_step, job, visit, 17, dtype=np.float64)
    assert outcome.error <= 1e-12
    np.testing.assert_array_equal(outcome.tables[1], outcome.before[1])  # W_out is fixed
    assert np.abs(outcome.tables[0] - outcome.before[0]).max() > 1e-3


@pytest.mark.parametrize("row_length", [0.01, 3.0, 500.0])
@pytest.mark.parametrize("D", [2, 5, 1024])
def test_steps_are_minus_the_gradient_of_the_loss(D, row_length):
    job, visit = case(D, V=12, length=300, cap=1e9, tile=8, mode="sg")
    tile = dataclasses.replace(reference.tiles_of(job, visit, 0)[0], learning_rate=1.0)
    w_in, w_out = unit(12, D, np.float64) * row_length, unit(12, D, np.float64)
    updates = reference.tile_updates(job, tile, w_in, w_out)
    assert len(updates.w_in.steps) > 2
    for row, step in updates.w_in.steps.items():
        for d in (0, D - 1):
            h = 1e-4 * row_length
            losses = []
            for sign in (1, -1):
                moved = w_in.copy()
                moved[row, d] += sign * h
                losses.append(reference.tile_updates(job, tile, moved, w_out).loss)
            assert step[d] == pytest.approx((losses[1] - losses[0]) / (2 * h), rel=2e-5, abs=2e-5)


def test_the_loss_is_the_negative_log_likelihood():
    """On a circle and a sphere the density is known in closed form, and it integrates to 1."""
    angles = 2 * np.pi * np.arange(4000) / 4000
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    row = np.array([1.5, -2.0])
    assert np.exp(-nll(row, circle)).mean() * 2 * np.pi == pytest.approx(1, rel=1e-12)
    kappa = np.sqrt(1 + 4 + 9)
    density = kappa / (4 * np.pi * np.sinh(kappa))  # at a right angle
    np.testing.assert_allclose(nll(np.array([1.0, 2.0, 3.0]), np.array([[2.0, -1.0, 0.0]])), -np.log(density))


def nll(row, directions):
    D = len(row)
    log, _ = von_mises_fisher.bessel(D, float(np.linalg.norm(row)))
    return D / 2 * np.log(2 * np.pi) + log - directions @ row


def test_a_row_of_zeros_is_finite_and_leaves_it():
    job, visit = case(17)
    for dtype in (np.float64, np.float32):
        w_in, w_out = np.zeros((50, 17), dtype), random_tables(job, 17, dtype)[1]
        step = torch_step.create_step(job, w_in, w_out)
        assert np.isfinite(step.train(visit).loss)
        assert np.isfinite(w_in).all()
        assert np.abs(w_in).max() > 1e-3


def test_steps_at_the_cap_settle():
    """A pair weighs the loss's curvature, 1 / D: at the cap of 1 a step goes to the optimum of a small row at once."""
    D = 50
    job, visit = case(D, penalty=0.0, weight=0.1, V=2, tokens=np.array([0, 1] * 32, np.int32), cap=1.0, tile=64)
    w_in, w_out = np.zeros((2, D)), unit(2, D, np.float64)
    for _ in range(3):
        reference.train(job, w_in, w_out, dataclasses.replace(visit, start_rate=1e6, end_rate=1e6))
    for row in range(2):
        length = np.linalg.norm(w_in[row])
        pull = length * von_mises_fisher.bessel(D, float(length))[1]  # A(kappa): at the optimum that of the mean target
        assert 0 < pull <= 0.1 + 1e-3


def test_a_larger_penalty_makes_shorter_rows(themed_sentences, tmp_path):
    lengths = [
        np.linalg.norm(train(themed_sentences, tmp_path, norm_penalty=penalty).w_in, axis=1).mean()
        for penalty in (0.0, 0.2)
    ]
    assert lengths[1] < 0.8 * lengths[0]


def write_targets(path, words, D=8):
    save_vectors(Vectors(words, np.ascontiguousarray(3 * unit(len(words), D))), path)
    return str(path)


def train(sentences, tmp_path, **options):
    words = sorted({word for sentence in sentences for word in sentence})
    path = write_targets(tmp_path / "targets.bin", ["unknown", *words])
    options = {"vector_size": 8, "min_count": 1, "workers": 1, "backend": "torch", "alpha": 0.5} | options
    return trainer.train_sentences(sentences, Config(objective=NAME, targets=path, **options))


@pytest.mark.parametrize("mode", MODES)
def test_themes_are_learnt_from_targets_that_know_none(mode, themed_sentences, tmp_path):
    result = train(themed_sentences, tmp_path, **MODES[mode])
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.9
    np.testing.assert_allclose(np.linalg.norm(result.w_out, axis=1), 1, rtol=1e-6)
    assert result.loss_per_epoch[-1] < result.loss_per_epoch[0]


def test_targets_are_those_of_the_words(tmp_path):
    save_vectors(Vectors(["b", "a", "c"], np.array([[0, 2], [3, 4], [1, 0]], np.float32)), tmp_path / "t.txt")
    found = targets.read(str(tmp_path / "t.txt"), ["a", "b"], 2)
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 1]], rtol=1e-7)


@pytest.mark.parametrize(
    ("words", "D", "message"),
    [
        (["ship", "moon"], 8, "has no vector for 1 of the vocabulary's 3 words .first: 'oven'"),
        (["ship", "moon", "oven"], 9, "9 dimensions .* give --vector-size 9"),
        (["ship", "zero", "oven"], 8, "has no vector for 1 of"),
    ],
    ids=["missing", "dimension", "other"],
)
def test_targets_that_do_not_fit_are_refused(words, D, message, tmp_path):
    path = write_targets(tmp_path / "t.bin", words, D)
    with pytest.raises(InputError, match=message):
        targets.read(path, ["ship", "moon", "oven"], 8)


def test_targets_without_a_direction_or_a_file_are_refused(tmp_path):
    save_vectors(Vectors(["a", "b"], np.array([[0, 0], [3, 4]], np.float32)), tmp_path / "t.txt")
    with pytest.raises(InputError, match=r"a vector of zeros, without a direction, for 1 of .*'a'"):
        targets.read(str(tmp_path / "t.txt"), ["a", "b"], 2)
    config = Config(objective=NAME, targets=str(tmp_path / "none.bin"), backend="torch")
    with pytest.raises(InputError, match=r"cannot read .*none.bin"):
        trainer.train_sentences(iter([["never", "read"]]), config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": NAME}, "name a file of them with --targets"),
        ({"targets": "t.bin"}, "targets is von-mises-fisher's"),
        ({"norm_penalty": 0.1}, "norm_penalty is von-mises-fisher's"),
        ({"dot_weight": 0.1}, "dot_weight is von-mises-fisher's"),
        ({"objective": NAME, "targets": "t.bin", "negative": 3}, "negative is"),
        ({"objective": NAME, "targets": "t.bin", "shared_negatives": 3}, "shared_negatives is"),
        ({"objective": NAME, "targets": "t.bin", "dot_weight": 0.0}, "dot_weight must be above 0"),
    ],
    ids=str,
)
def test_options_that_would_be_ignored_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config(**options)


def test_a_backend_that_lacks_it_names_torch(tmp_path):
    if backends.unavailable_reason("native") is not None:
        pytest.skip("native cannot run here")
    with pytest.raises(InputError, match=f"has no objective {NAME}: take --backend torch"):
        backends.choose(Config(objective=NAME, targets="t.bin", backend="native"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.ones((50, 4), np.float32)}, "of length 1"),
        ({"targets": unit(49, 4)}, r"float32 \[50, D\]"),
        ({"targets": unit(50, 5)}, "what von-mises-fisher gives is"),
        ({"dot_weight": 0.0}, "dot_weight"),
    ],
    ids=["length", "words", "dimension", "weight"],
)
def test_objectives_that_kernels_could_not_bear_are_refused(change, message):
    job, _ = case(4)
    job = dataclasses.replace(job, objective=dataclasses.replace(job.objective, **change))
    with pytest.raises(ValueError, match=message):
        torch_step.create_step(job, *random_tables(case(4)[0], 4))


def test_tables_given_must_hold_the_targets(themed_sentences, tmp_path):
    first = train(themed_sentences, tmp_path, epochs=1)
    words = first.vocab.words
    path = write_targets(tmp_path / "targets.bin", words)
    config = Config(objective=NAME, targets=path, vector_size=8, min_count=1, epochs=1, backend="torch")
    w_in = first.w_in.copy()
    trainer.train_sentences(themed_sentences, config, tables=(w_in, targets.read(path, words, 8)))
    assert np.abs(w_in - first.w_in).max() > 1e-3
    with pytest.raises(InputError, match="w_out is fixed by von-mises-fisher"):
        trainer.train_sentences(themed_sentences, config, tables=(w_in, np.zeros((len(words), 8), np.float32)))


def test_predictions_rank_by_density():
    objective, left = VonMisesFisher(unit(9, 5), 0.0, 1.0), np.random.default_rng(0).normal(size=(4, 5)) * 10
    ranks = prediction.scores(objective, left, objective.targets).argsort(1)
    densities = np.array([-nll(row, objective.targets.astype(np.float64)) for row in left])
    np.testing.assert_array_equal(ranks, densities.argsort(1))
    assert not prediction.PROBABILITIES
