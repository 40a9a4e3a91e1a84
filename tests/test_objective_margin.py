"""The margin loss and its mined columns: the exact best, never the target, renewed at places of the run."""

import dataclasses
import heapq
import importlib.util
import itertools

import numpy as np
import pytest
import torch

from benchmarks.parity import hold, make_case, make_job, random_tables, visit_of
from tests.conftest import share_of_right_neighbours
from w2vfast import backends, jobs, objectives, plan, trainer
from w2vfast.config import Config
from w2vfast.corpus import encode_sentences
from w2vfast.errors import InputError
from w2vfast.kernels import reference
from w2vfast.kernels.contract import Mined
from w2vfast.kernels.torch import mining
from w2vfast.kernels.torch import step as torch_step
from w2vfast.predictions import margin as prediction
from w2vfast.run import Run

MARGIN = {"objective": "margin", "mine_every": 500}


def best(vector, columns, count, but=()):
    """Return the columns of largest inner product, largest first, the first of equals first; some left out."""
    scores = columns @ vector
    left = (c for c in range(len(columns)) if c not in but)
    return heapq.nsmallest(count, left, key=lambda c: (-scores[c], c))


@pytest.mark.parametrize("block_scores", [1, 1000, 1 << 24])
@pytest.mark.parametrize("count", [1, 7, 39, 40])
@pytest.mark.parametrize("kind", ["random", "ties", "zeros"])
def test_mined_columns_are_the_exact_largest(kind, count, block_scores, monkeypatch):
    monkeypatch.setattr(mining, "BLOCK_SCORES", block_scores)
    rng = np.random.default_rng(count)
    w_in, w_out = rng.normal(size=(40, 6)), rng.normal(size=(40, 6))
    if kind == "ties":
        w_in, w_out = np.round(w_in), np.round(w_out)
    elif kind == "zeros":
        w_out[:] = 0
    found = mining.largest(torch.from_numpy(w_in), torch.from_numpy(w_out), count).tolist()
    assert found == [best(vector, w_out, count) for vector in w_in]
    mined = Mined.nothing(40, objectives.Margin(None, count - 1, 1.0, 1))
    reference.mine(objectives.Margin(None, count - 1, 1.0, 1), 0, w_in, w_out, mined)
    assert mined.columns.tolist() == found


def test_mining_survives_tables_that_are_not_finite():
    w_out = torch.ones(5, 2)
    w_out[1], w_out[2] = torch.nan, torch.inf
    assert mining.largest(torch.ones(5, 2), w_out, 3).tolist() == [[2, 0, 3]] * 5


def wrong_words(job, tile, row, target):
    """Return the mined and the drawn words that weigh in a pair, with their weights."""
    weight = job.objective.wrong(target, row.mined, tile.shared_words).tolist()
    words = [*row.mined, *tile.shared_words]
    parts = zip(words, weight, strict=True)
    counted = [(word, w) for word, w in parts if w]
    hard = [word for word, w in zip(row.mined, weight, strict=False) if w]
    return hard, counted


@pytest.mark.parametrize("hard", [1, 4, 49])
def test_a_pairs_hard_negatives_are_the_best_wrong_words_and_never_its_target(hard):
    """Of the tables as they were at the last snapshot, whatever the target; the loss is theirs and the drawn ones'."""
    job, visit = make_case(length=600, mined=hard, mined_share=0.3, **MARGIN)
    snapshot, now = random_tables(job, 5), random_tables(job, 7)
    mined = Mined.nothing(50, job.objective)
    reference.mine(job.objective, 0, *snapshot, mined)
    targets_mined = 0
    for tile in reference.tiles_of(job, visit, 0, mined=mined):
        loss = 0.0
        for row in tile.rows:
            scores = now[1] @ now[0][row.inputs[0]]
            for target in row.targets:
                wrong = best(snapshot[0][row.inputs[0]], snapshot[1], hard, but={target})
                found, counted = wrong_words(job, tile, row, target)
                assert found == wrong
                assert target not in dict(counted)
                targets_mined += target in row.mined
                hinge = np.maximum(0, 1 + scores - scores[target])
                hinge[target] = 0
                loss += 0.3 * hinge[wrong].mean() + 0.7 * hinge[tile.shared_words].mean()
        assert reference.tile_updates(job, tile, *now).loss == pytest.approx(loss, rel=1e-12)
    assert targets_mined > 0


@pytest.mark.parametrize("side", [0, 1])
def test_steps_are_minus_the_gradient_of_the_loss(side):
    job, visit = make_case(words=12, alpha=1.0, min_alpha=1.0, tile=8, shared_words=6, mined=3, **MARGIN)
    tables = random_tables(job, 3)
    mined = Mined.nothing(12, job.objective)
    reference.mine(job.objective, 0, *tables, mined)
    tile = reference.tiles_of(job, visit, 0, mined=mined)[0]
    updates = reference.tile_updates(job, tile, *tables)
    steps = (updates.w_in, updates.w_out)[side].steps
    assert len(steps) > 3
    for row, step in steps.items():
        for d in range(3):
            losses = []
            for h in (1e-6, -1e-6):
                moved = [table.copy() for table in tables]
                moved[side][row, d] += h
                losses.append(reference.tile_updates(job, tile, *moved).loss)
            assert step[d] == pytest.approx((losses[1] - losses[0]) / 2e-6, rel=1e-6, abs=1e-6)


def test_a_pair_outside_the_margin_neither_pushes_nor_weighs():
    job, visit = make_case(words=12, mined=3, **MARGIN)
    tile = reference.tiles_of(job, visit, 0, mined=Mined(np.tile(np.arange(4, dtype=np.int32), (12, 1))))[0]
    w_in, w_out = np.ones((12, 1)), np.zeros((12, 1))
    right = {target for row in tile.rows for target in row.targets}
    w_out[list(right)] = 2.0
    updates = reference.tile_updates(job, tile, w_in, w_out)
    untouched = {word for word, weight in updates.w_out.weights.items() if weight == 0}
    assert untouched >= set(range(12)).intersection(updates.w_out.weights) - right
    assert untouched


CASES = {
    "defaults": {},
    "one-mined": {"mined": 1},
    "all-mined": {"mined": 49},
    "nothing-drawn": {"mined_share": 1.0, "shared_words": 0},
    "tile-1": {"tile": 1},
    "tile-63-batch-of-3": {"tile": 63, "tokens_in_flight": 189, "row_cap": "batch"},
    "batch-cap-tight": {"tokens_in_flight": 256, "row_cap": "batch", "cap": 0.05},
    "mined-often": {"mine_every": 1, "tokens_in_flight": 96},
    "window-50": {"window": 50, "tile": 16},
    "fixed-window-1": {"window": 1, "shrink_windows": False},
    "two-words": {"words": 2, "mined": 1},
    "one-token": {"length": 1},
    "one-shared-word": {"shared_words": 1},
    "static-weights": {"static": True},
    "frozen-rows": {"in_scale": np.linspace(0, 1, 50, dtype=np.float32)},
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_torch_equals_the_reference(case, dtype, poison_empty):
    job, visit = make_case(**({"length": 700} | MARGIN | CASES[case]))
    outcome = hold(torch_step.create_step, job, visit, 17, dtype=dtype)
    assert outcome.error <= (1e-12 if dtype is np.float64 else 2e-5)


@pytest.mark.parametrize("vector_size", [1, 33, 100, 300])
def test_torch_equals_the_reference_at_vector_sizes(vector_size):
    job, visit = make_case(length=300, **MARGIN)
    assert hold(torch_step.create_step, job, visit, vector_size, dtype=np.float64).error <= 1e-12


def parts(visit, cuts):
    for start, stop in itertools.pairwise(cuts):
        chunks, done = (array[start:stop].copy() for array in (visit.chunks, visit.done))
        yield dataclasses.replace(visit, chunks=chunks, done=done)


@pytest.mark.parametrize("chunks_in_flight", [1, 2])
def test_snapshots_are_places_in_the_run_whatever_the_visits(chunks_in_flight, monkeypatch):
    """Due before the groups of chunks where a multiple of mine_every has been passed, and at the beginning."""
    taken = []
    largest = mining.largest
    monkeypatch.setattr(mining, "largest", lambda *args: taken.append(1) or largest(*args))
    job = make_job(length=2500, mined=3, tokens_in_flight=32 * chunks_in_flight, **MARGIN)
    visit, runs = visit_of(job), []
    for cuts in ((0, 2, 4, 6, 8, 10), (0, 10), (0, 6, 10)):
        tables = random_tables(job, 12)
        step = torch_step.create_step(job, *tables)
        for part in parts(visit, cuts):
            step.train(part)
        runs.append((len(taken), tables))
        taken.clear()
    assert [found for found, _ in runs] == [5, 5, 5]  # before 0, 512, 1024, 1536 and 2048 tokens
    for _, tables in runs[1:]:
        for table, right in zip(tables, runs[0][1], strict=True):
            np.testing.assert_array_equal(table, right)
    exact, mined = random_tables(job, 12), Mined.nothing(50, job.objective)
    for part in parts(visit, (0, 2, 6, 10)):
        reference.train(job, *exact, part, mined=mined)
    for table, right in zip(runs[0][1], exact, strict=True):
        np.testing.assert_allclose(table, right, atol=1e-12)


def test_a_run_taken_up_again_with_what_was_mined_ends_in_the_same_bits(themed_sentences):
    config = Config(objective="margin", backend="torch", vector_size=8, min_count=1, tile=16, tokens_in_flight=48)
    config = dataclasses.replace(config, epochs=2, mine_every=2500, mined=3, workers=1)
    corpus, choice = encode_sentences(themed_sentences, min_count=1), backends.choose(config)
    work = jobs.prepare(corpus, config, choice)
    ends = []
    for stop_after in (None, 2):
        tables = plan.initial_vectors(24, 8, 1), np.zeros((24, 8), np.float32)
        run = Run(work, backends.create_step(choice, work.job, *tables, 1), config)
        while not run.finished and stop_after != 0:
            run.advance(run.state.place + run.group * 3)
            stop_after = None if stop_after is None else stop_after - 1
        if not run.finished:
            again = backends.create_step(choice, work.job, *tables, 1)
            again.mined = run.step.mined
            run = Run(work, again, config, run.state)
            while not run.finished:
                run.advance()
        ends.append(tables)
    for table, right in zip(*ends, strict=True):
        np.testing.assert_array_equal(table, right)


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_themes_are_learnt(share, themed_sentences):
    options = {"vector_size": 8, "min_count": 1, "workers": 1, "backend": "torch", "alpha": 0.1, "mine_every": 3000}
    config = Config(objective="margin", mined=4, mined_share=share, **options)
    result = trainer.train_sentences(themed_sentences, config)
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.8


def test_static_weights_are_the_targets_and_the_drawn():
    job = make_job(static=True, mined_share=0.4, **MARGIN)
    pairs = np.arange(50.0)
    expected = pairs + 0.6 * pairs.sum() * job.objective.noise.distribution
    np.testing.assert_allclose(job.objective.static_out_weight(pairs), expected, rtol=1e-6)
    alone = make_job(mined_share=1.0, **MARGIN).objective
    np.testing.assert_allclose(alone.static_out_weight(pairs), pairs)
    assert alone.noise is None


def test_faiss_finds_most_of_the_exact_columns(monkeypatch):
    if importlib.util.find_spec("faiss") is None:
        pytest.skip("faiss is not installed: pip install w2vfast[faiss]")
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(30, 16))
    w_in, w_out = (
        torch.from_numpy(centres[rng.integers(30, size=4000)] + rng.normal(size=(4000, 16)) / 2) for _ in "io"
    )
    right = mining.largest(w_in, w_out, 10)
    monkeypatch.setattr(mining, "EXACT_MINING", 100)
    monkeypatch.setattr(mining, "_exactly", None)
    found = mining.largest(w_in, w_out, 10)
    assert found.shape == right.shape
    assert found.dtype == torch.int64
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), right.tolist(), strict=True)]) > 0.8
    assert mining.largest(w_in, torch.zeros_like(w_out), 10).shape == found.shape


def test_without_faiss_a_large_vocabulary_is_warned_of_what_it_costs_and_goes_on(themed_sentences, monkeypatch):
    monkeypatch.setattr(objectives, "EXACT_MINING", 20)
    monkeypatch.setattr(objectives, "is_installed", lambda package: False)
    config = Config(objective="margin", backend="torch", vector_size=8, min_count=1, epochs=2, mine_every=5000)
    with pytest.warns(
        UserWarning, match=r"24 words .* about 5 searches takes 4.6e\+03 mult.*pip install w2vfast.faiss"
    ):
        assert trainer.train_sentences(themed_sentences, config).pairs > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "margin", "mode": "cbow"}, "needs mode sg"),
        ({"objective": "margin", "negative": 3}, "negative is"),
        ({"objective": "margin", "mined_share": 0.0}, "mined_share must be above 0"),
        ({"objective": "margin", "mined_share": 1.0, "shared_negatives": 8}, "draws no words"),
        ({"objective": "margin", "mined_share": 1.0, "ns_exponent": 0.5}, "draws no words"),
        ({"mined": 3}, "mined is margin's"),
        ({"mine_every": 3}, "mine_every is margin's"),
        ({"mined_share": 0.3}, "mined_share is margin's"),
    ],
    ids=str,
)
def test_options_that_would_be_ignored_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config(**options)


def test_more_hard_negatives_than_wrong_words_are_refused(themed_sentences):
    config = Config(objective="margin", backend="torch", vector_size=8, min_count=1, mined=24)
    with pytest.raises(InputError, match="the vocabulary of 24 has 23; lower mined"):
        trainer.train_sentences(themed_sentences, config)


def test_a_backend_that_lacks_it_names_torch():
    if backends.unavailable_reason("native") is not None:
        pytest.skip("native cannot run here")
    with pytest.raises(InputError, match="has no objective margin: take --backend torch"):
        backends.choose(Config(objective="margin", backend="native"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": dataclasses.replace(make_job(**MARGIN).objective, hard=50)}, "hard must be 1 to 49"),
        ({"objective": dataclasses.replace(make_job(**MARGIN).objective, share=1.0)}, "share must be"),
        ({"objective": dataclasses.replace(make_job(**MARGIN).objective, mine_every=0)}, "mine_every"),
        ({"mode": "cbow"}, "margin is skip-gram's"),
    ],
    ids=["hard", "share", "mine_every", "mode"],
)
def test_jobs_that_kernels_could_not_bear_are_refused(change, message):
    job = make_job(**MARGIN)
    with pytest.raises(ValueError, match=message):
        torch_step.create_step(dataclasses.replace(job, **change), *random_tables(job, 4))


def test_predictions_rank_by_score():
    left, w_out = np.eye(3), np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(prediction.scores(make_job(**MARGIN).objective, left, w_out), w_out.T)
    assert not prediction.PROBABILITIES
