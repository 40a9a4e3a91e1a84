"""Every backend that takes float32 or float64 arrays against the reference, on the same plan, at awkward sizes."""

import dataclasses

import numpy as np
import pytest

from tests.conftest import make_job, random_tables, zipf_ids
from w2vfast import plan
from w2vfast.kernels import contract, reference, torch_step

MODES = {"sg": {"mode": "sg"}, "cbow-mean": {"mode": "cbow"}, "cbow-sum": {"mode": "cbow", "cbow_mean": False}}
CASES = {
    "defaults": {},
    "no-mask": {"target_mask": False},
    "tile-1": {"tile": 1, "tokens_in_flight": 1},
    "tile-63-batch-of-3": {"tile": 63, "tokens_in_flight": 189, "row_cap": "batch"},
    "batch-cap-tight": {"tokens_in_flight": 256, "row_cap": "batch", "cap": 0.05},
    "tile-cap-in-batches": {"tokens_in_flight": 256, "cap": 0.2},
    "window-50": {"window": 50, "tile": 16},
    "fixed-window-1": {"window": 1, "shrink_windows": False},
    "more-negatives-than-words": {"words": 5, "shared_negatives": 33},
    "one-negative": {"shared_negatives": 1, "negative": 1},
    "two-words": {"words": 2},
    "one-token": {"length": 1},
    "all-one-sentence": {"tokens": zipf_ids(50, 700) & contract.ID_MASK},
}


def run_both(vector_size, dtype, **changes):
    job = make_job(**changes)
    exact = random_tables(len(job.keep_threshold), vector_size)
    tables = tuple(table.astype(dtype) for table in exact)
    order = plan.chunk_order(job.chunks, 1, 0)
    result = torch_step.create_step(job, *tables).train(order, 1, 0)
    return tables, exact, result, reference.train(job, *exact, order, 1, 0)


def assert_same(tables, exact, result, expected, tolerance):
    before = random_tables(*exact[0].shape)
    for table, right, old in zip(tables, exact, before, strict=True):
        assert np.isfinite(table).all()
        # Errors are measured against the largest step, so that a missing update cannot hide; a table in float32 is
        # rounded a few times besides.
        rounding = 16 * np.finfo(table.dtype).eps * np.abs(right).max()
        assert np.abs(table - right).max() <= tolerance * np.abs(right - old).max() + rounding
    assert (result.pairs, result.trained) == (expected.pairs, expected.trained)
    assert result.loss == pytest.approx(expected.loss, rel=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_the_reference(mode, case, dtype, poison_empty):
    tables, exact, result, expected = run_both(17, dtype, **({"length": 700} | CASES[case] | MODES[mode]))
    assert expected.pairs > 0 or case == "one-token"
    assert_same(tables, exact, result, expected, 1e-12 if dtype is np.float64 else 2e-5)


@pytest.mark.parametrize("vector_size", [1, 33, 100, 300])
@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_the_reference_at_vector_sizes(mode, vector_size):
    tables, exact, result, expected = run_both(vector_size, np.float32, length=300, **MODES[mode])
    assert_same(tables, exact, result, expected, 2e-5)


@pytest.mark.parametrize("row_cap", ["tile", "batch"])
@pytest.mark.parametrize("mode", MODES)
def test_static_weights_scale_rows(mode, row_cap):
    weights = {name: np.linspace(400, 0, 50, dtype=np.float32) for name in ("in_weight", "out_weight")}
    changes = {"length": 600, "tokens_in_flight": 128, "row_cap": row_cap, **MODES[mode]}
    tables, exact, result, expected = run_both(9, np.float64, **changes, **weights)
    assert_same(tables, exact, result, expected, 1e-12)
    uncapped, *_ = run_both(9, np.float64, **changes)
    assert np.abs(uncapped[1] - tables[1]).max() > 1e-3


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65])
def test_tiles_of_any_length(kept):
    """Chunks whose kept tokens end just before, at and after a tile's end."""
    threshold = np.full(50, 2**32 - 1, np.uint32)
    threshold[0] = 0
    ids = np.zeros(256, np.int32)
    ids[:kept] = 1 + np.arange(kept) % 40
    job = make_job(tokens=ids, keep_threshold=threshold, tile=64)
    exact = random_tables(50, 8)
    tables = tuple(table.copy() for table in exact)
    order = np.array([0])
    result = torch_step.create_step(job, *tables).train(order, 0, 0)
    expected = reference.train(job, *exact, order, 0, 0)
    assert result.trained == kept
    assert_same(tables, exact, result, expected, 1e-12)


@pytest.mark.parametrize("chunk", [0, 5, 11])
@pytest.mark.parametrize(
    "changes", [{}, {"shared_negatives": 7}, {"shrink_windows": False}, {"seed": 2**64 - 1}], ids=str
)
def test_torch_plan_is_the_references(chunk, changes):
    job = make_job(**changes)
    step = torch_step.create_step(job, *random_tables(50, 4))
    ours, right = step.plan(chunk, 3), reference.plan(job, chunk, 3)
    for name in ("positions", "radius", "negatives"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(right, name))


def test_windows_stop_at_sentences_and_chunks():
    """Tokens of one sentence a chunk: every target of a centre is of its own sentence and chunk."""
    ids = (np.arange(1024) // 8 % 50).astype(np.int32)  # the word is the sentence
    ids[7::8] |= contract.SENTENCE_END
    keep_all = np.full(50, 2**32 - 1, np.uint32)
    job = make_job(tokens=ids, keep_threshold=keep_all, window=9, shrink_windows=False)
    for tile in reference.tiles_of(job, 1, 0, 0):
        for centre, targets in zip(tile.centres, tile.targets, strict=True):
            assert targets == [centre] * 7


def loss_of(job, tile, w_in, w_out):
    return reference.tile_updates(job, tile, w_in, w_out).loss


def numeric_gradient(job, tile, tables, side, row, d, h=1e-5):
    moved = [[table.copy() for table in tables] for _ in range(2)]
    moved[0][side][row, d] += h
    moved[1][side][row, d] -= h
    return (loss_of(job, tile, *moved[0]) - loss_of(job, tile, *moved[1])) / (2 * h)


@pytest.mark.parametrize(("mode", "side"), [("sg", 0), ("sg", 1), ("cbow-mean", 1), ("cbow-sum", 1)])
def test_steps_are_minus_the_gradient_of_the_loss(mode, side):
    job = make_job(words=12, alpha=1.0, min_alpha=1.0, tile=8, shared_negatives=6, **MODES[mode])
    tile = reference.tiles_of(job, 0, 0, 0)[0]
    tables = random_tables(12, 3)
    updates = reference.tile_updates(job, tile, *tables)
    rows = (updates.rows_in, updates.rows_out)[side]
    assert len(rows) > 3
    for row, step in rows.items():
        for d in range(3):
            gradient = numeric_gradient(job, tile, tables, side, row, d)
            assert step[d] == pytest.approx(-gradient, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("mode", "power"), [("cbow-mean", 1), ("cbow-sum", -1)])
def test_cbow_input_rows_differ_from_the_gradient_by_gensims_factor(mode, power):
    """A window of n tokens gives each W_in row n times the gradient (mean) or a share 1 / n of it (sum)."""
    job = make_job(words=12, alpha=1.0, min_alpha=1.0, **MODES[mode])
    tile = next(
        reference.Tile([centre], [targets], tile.negatives, 1.0)
        for tile in reference.tiles_of(job, 0, 0, 0)
        for centre, targets in zip(tile.centres, tile.targets, strict=True)
        if len(set(targets)) == len(targets) > 3
    )
    n = len(tile.targets[0])
    tables = random_tables(12, 3)
    updates = reference.tile_updates(job, tile, *tables)
    assert len(updates.rows_in) == n
    for row, step in updates.rows_in.items():
        gradient = numeric_gradient(job, tile, tables, 0, row, 0)
        assert step[0] / n**power == pytest.approx(-gradient, rel=1e-6, abs=1e-8)


def test_shared_negatives_are_word2vecs_objective_in_expectation():
    """The mean over many tiles of the weighted negative term equals K negatives a pair."""
    job = make_job(words=20, length=12_000, target_mask=False, shared_negatives=8)
    w_in, w_out = random_tables(20, 6)
    ratio = w_in @ w_out.T
    counts = np.bincount(job.tokens & contract.ID_MASK, minlength=20) + 1
    noise = plan.noise_distribution(counts, 0.75)
    expected_negative = job.negative * (np.log1p(np.exp(ratio)) @ noise)
    got = wanted = 0.0
    for chunk in range(job.chunks):
        for tile in reference.tiles_of(job, chunk, 0, 0):
            for centre, targets in zip(tile.centres, tile.targets, strict=True):
                positive = sum(np.log1p(np.exp(-ratio[centre, target])) for target in targets)
                wanted += positive + len(targets) * expected_negative[centre]
            got += loss_of(job, tile, w_in, w_out)
    assert got == pytest.approx(wanted, rel=5e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cap": 0.0}, "cap"),
        ({"shared_negatives": 5000}, "shared_negatives"),
        ({"mode": "hs"}, "mode"),
        ({"in_weight": np.ones(50, np.float32)}, "go together"),
        ({"noise_prob": np.ones(49, np.uint32)}, "noise_prob"),
        ({"keep_threshold": np.ones(50, np.int64)}, "keep_threshold"),
    ],
)
def test_jobs_that_kernels_could_not_bear_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        torch_step.create_step(make_job(**changes), *random_tables(50, 4))


def test_ids_outside_the_vocabulary_are_refused():
    job = make_job(tokens=zipf_ids(50, 300) | np.int32(32), words=64)
    smaller = {name: getattr(make_job(), name) for name in ("keep_threshold", "noise_prob", "noise_alias")}
    job = dataclasses.replace(job, **smaller)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        torch_step.create_step(job, *random_tables(50, 4))
