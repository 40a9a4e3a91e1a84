"""The softmax, whole and from samples, and NCE's normaliser: their mathematics, with nothing of the seam assumed."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, make_job, random_tables, visit_of
from w2vfast import backends, tiles
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels import contract, reference
from w2vfast.kernels.contract import Tile, TileRow
from w2vfast.kernels.noise import alias_table
from w2vfast.kernels.objectives.nce import Nce
from w2vfast.kernels.objectives.sampled_softmax import SampledSoftmax
from w2vfast.kernels.objectives.softmax import Softmax
from w2vfast.predictions import sampled_softmax as sampled_prediction
from w2vfast.predictions import softmax as prediction

V, D = 12, 4
OBJECTIVES = ("sampled-softmax", "softmax")
ROWS = [TileRow([0], 1.0, 1.0, [3, 5, 3, 1]), TileRow([7], 1.0, 1.0, [2]), TileRow([0], 1.0, 1.0, [11, 5])]


def uniform() -> SampledSoftmax:
    return SampledSoftmax(alias_table(np.full(V, 1 / V)))


def tables(seed: int = 1, scale: float = 0.7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(V, D)) * scale, rng.normal(size=(V, D)) * scale


def steps(objective, tile, w_in, w_out):
    """Return the tile's uncapped steps of both tables, dense, and its loss."""
    job = dataclasses.replace(make_job(words=V), objective=objective)
    updates = reference.tile_updates(job, tile, w_in, w_out)
    dense = np.zeros_like(w_in), np.zeros_like(w_out)
    for table, side in zip(dense, (updates.w_in, updates.w_out), strict=True):
        for row, step in side.steps.items():
            table[row] = step
    return *dense, updates.loss


def full_gradient(rows, w_in, w_out):
    """Return minus the gradient of the pairs' -log softmax, and the loss: written out, pair by pair."""
    d_in, d_out, loss = np.zeros_like(w_in), np.zeros_like(w_out), 0.0
    for row in rows:
        for target in row.targets:
            v = w_in[row.inputs[0]]
            p = np.exp(w_out @ v)
            p /= p.sum()
            residual = (np.arange(V) == target) - p
            d_in[row.inputs[0]] += residual @ w_out
            d_out += np.outer(residual, v)
            loss -= np.log(p[target])
    return d_in, d_out, loss


def test_the_softmax_is_the_gradient_written_out():
    for got, wanted in zip(
        steps(Softmax(V), Tile(ROWS, [], 1.0, 3), *tables()), full_gradient(ROWS, *tables()), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


def test_every_word_drawn_once_at_an_expected_count_of_one_is_the_whole_softmax():
    tile = Tile(ROWS, np.random.default_rng(2).permutation(V).tolist(), 1.0, 3)
    for got, wanted in zip(steps(uniform(), tile, *tables()), full_gradient(ROWS, *tables()), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-10)


def test_over_draws_bias_falls_as_one_over_n_and_error_as_its_root():
    """N q = 1 for every word in expectation only: 4 times the draws leave a quarter of the bias and half the error."""
    rng = np.random.default_rng(5)
    q = rng.dirichlet(np.full(V, 4.0))
    objective, (w_in, w_out) = SampledSoftmax(alias_table(q)), tables(scale=0.6)
    row = TileRow([0], 1.0, 1.0, [3])
    _, own = objective.columns(Tile([row], [0], 1.0, 1))
    score = w_out @ w_in[0]
    exact = np.exp(score) / np.exp(score).sum()
    bias, error = [], []
    for N, draws in ((6, 16_000), (24, 16_000), (96, 4_000)):
        total, squares = np.zeros(V), 0.0
        for _ in range(draws // 100):
            words = rng.choice(V, size=(100, N), p=q)
            for drawn in words:
                tile = Tile([row], drawn.tolist(), 1.0, 1)
                g = objective.gradient(tile, own, score[[3]], score[drawn][None, :])
                p = np.bincount(drawn, -g.shared[0], V)
                p[3] += 1 - g.own[0]
                total += p
                squares += ((p - exact) ** 2).sum()
        bias.append(np.linalg.norm(total / draws - exact))
        error.append(np.sqrt(squares / draws))
    assert error[0] / error[1] == pytest.approx(2, rel=0.15)
    assert error[1] / error[2] == pytest.approx(2, rel=0.15)
    assert bias[0] / bias[1] == pytest.approx(4, rel=0.35)
    assert bias[2] < bias[1] / 2


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("size", [80.0, -80.0])
@pytest.mark.parametrize("backend", ["reference", "torch", "native"])
def test_extreme_scores_stay_finite(objective, size, backend):
    """All scores near `size`, or one of +80 among -80: no step is lost and none is infinite."""
    job, visit = make_case(words=30, length=200, objective=objective, alpha=1e-3)
    w_in = np.full((30, 1), abs(size) ** 0.5)
    for w_out in (np.full((30, 1), size / w_in[0, 0]), np.where(np.arange(30) == 4, 1, -1)[:, None] * w_in):
        exact = w_in.copy(), w_out.copy()
        right = reference.train(job, *exact, visit)
        if backend == "reference":
            assert all(np.isfinite(table).all() for table in exact)
            assert np.isfinite(right.loss)
            continue
        dtype = np.float32
        given = w_in.astype(dtype), w_out.astype(dtype)
        step = backends.module_of(backend).create_step(job, *given)
        result = step.train(visit)
        assert result.loss == pytest.approx(right.loss, rel=1e-4)
        for table, wanted in zip(step.tables(), exact, strict=True):
            np.testing.assert_allclose(table, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_probabilities_sum_to_one_and_agree_with_the_loss(objective):
    w_in, w_out = tables()
    module = prediction if objective == "softmax" else sampled_prediction
    assert module.PROBABILITIES
    log_p = module.scores(Softmax(V), w_in, w_out.astype(np.float32))
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, atol=1e-12)
    tile = Tile(ROWS, list(range(V)), 1.0, 3)
    loss = steps(Softmax(V) if objective == "softmax" else uniform(), tile, w_in, w_out)[2]
    assert -sum(log_p[row.inputs[0], t] for row in ROWS for t in row.targets) == pytest.approx(loss, rel=1e-6)
    extreme = module.scores(Softmax(V), np.array([[1.0]]), np.linspace(-80, 80, V, dtype=np.float32)[:, None])
    assert np.exp(extreme).sum() == pytest.approx(1)


@pytest.mark.parametrize("words", [2, 47, 48, 49, 300])
@pytest.mark.parametrize("tile", [1, 15, 16, 64])
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_blocks_of_words_end_anywhere(backend, tile, words):
    job, visit = make_case(words=words, length=150, objective="softmax", tile=tile)
    create = partial(backends.module_of(backend).create_step)
    assert hold(create, job, visit, 33).error <= 2e-5


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_words_whose_scores_torch_cannot_hold_come_in_blocks(mode, monkeypatch):
    from w2vfast.kernels.torch import step as torch_step
    from w2vfast.kernels.torch.objectives import softmax as torch_softmax

    monkeypatch.setattr(torch_softmax, "BLOCK_SCORES", 64 * 7)
    for row_cap in ("tile", "batch"):
        job, visit = make_case(objective="softmax", length=400, tokens_in_flight=64, row_cap=row_cap, mode=mode)
        assert hold(torch_step.create_step, job, visit, 9, dtype=np.float64).error <= 1e-12


def test_workers_share_the_whole_table():
    """Two workers of the softmax write the same rows all the time: the loss falls as one worker's does."""
    from w2vfast.kernels.native import step as native_step

    losses = []
    for workers in (1, 2):
        job = make_job(words=200, length=20_000, objective="softmax", static=True, tokens_in_flight=64)
        step = native_step.create_step(job, *random_tables(job, 24, np.float32), workers=workers)
        losses.append(step.train(visit_of(job, epochs=1)).loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_nce_trained_to_the_end_is_normalised():
    """Mnih & Teh 2012: with enough freedom NCE's optimum is log p, so that Z is 1 without ever being computed.

    The noise in expectation: every word once among the shared ones, and the n K / N that it weighs made n K q.
    """
    size, K = 20, 5
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 9, (size, size)).astype(np.float64)
    q = counts.sum(0) / counts.sum()
    objective = Nce(alias_table(q), K, 0.0)
    pairs = [np.repeat(np.arange(size), counts[c].astype(int)).tolist() for c in range(size)]
    tile = Tile([TileRow([c], 1.0, 1.0, pairs[c]) for c in range(size)], list(range(size)), 1.0, size)
    _, own = objective.columns(tile)
    row = np.array([pair.row for pair in own])
    column = np.array([pair.column for pair in own])
    n = counts.sum(1, keepdims=True)
    w_in, w_out = (rng.normal(size=(size, size)) * 0.1 for _ in range(2))

    def gradient(flat):
        left, right = flat.reshape(2, size, size)
        scores = left @ right.T
        result = objective.gradient(tile, own, scores[row, column], scores)
        # The shared words as drawn, each K / N a pair, made K q a pair: their expectation.
        g = result.shared * (size * q)
        np.add.at(g, (row, column), result.own)
        logits = scores - objective.bias.astype(np.float64)
        loss = (counts * np.logaddexp(0, -logits)).sum() + (n * K * q * np.logaddexp(0, logits)).sum()
        return loss, -np.concatenate([(g @ right).ravel(), (g.T @ left).ravel()])

    from scipy.optimize import minimize

    found = minimize(
        gradient, np.concatenate([w_in.ravel(), w_out.ravel()]), jac=True, method="L-BFGS-B",
        options={"maxiter": 500},
    )  # fmt: skip
    left, right = found.x.reshape(2, size, size)
    z = np.exp(left @ right.T).sum(1)
    np.testing.assert_allclose(z, 1, atol=0.01)
    np.testing.assert_allclose(np.exp(left @ right.T), counts / n, atol=0.005)


def test_a_noise_that_never_draws_a_word_is_refused():
    table = dataclasses.replace(
        alias_table(np.full(50, 0.02)), distribution=np.append(np.zeros(1), np.full(49, 1 / 49))
    )
    job = make_job(objective="sampled-softmax", noise=table)
    with pytest.raises(ValueError, match="gives every word a chance"):
        contract.check(job, *random_tables(job, 3))


def test_a_softmax_of_another_vocabulary_is_refused():
    job = make_job(objective_value=Softmax(49))
    with pytest.raises(ValueError, match="the softmax is over 49 words, the vocabulary has 50"):
        contract.check(job, *random_tables(job, 3))


@pytest.mark.parametrize(
    ("objective", "option"),
    [
        ("sampled-softmax", "negative"),
        ("softmax", "negative"),
        ("softmax", "shared_negatives"),
        ("softmax", "ns_exponent"),
    ],
)
def test_options_of_other_objectives_are_refused(objective, option):
    value = 0.5 if option == "ns_exponent" else 5
    with pytest.raises(InputError, match=f"{option} is .*'s: it does not go with objective {objective}"):
        Config(objective=objective, **{option: value})


def test_triton_has_no_exact_softmax():
    from w2vfast.backends import Choice

    with pytest.raises(InputError, match=r"has no objective softmax: take --backend .*torch"):
        backends.require_objective(Choice("triton", "cuda", "asked for"), "softmax")


def test_tiles_are_chosen_for_the_objective():
    chosen = {
        name: tiles.choose(Config(objective=name, workers=1), "native", "cpu", 1e8, 20_000_000, 70_000)
        for name in ("negative-sampling", *OBJECTIVES)
    }
    assert chosen["sampled-softmax"].shared_negatives > chosen["negative-sampling"].shared_negatives
    assert chosen["softmax"].tile > chosen["negative-sampling"].tile
