"""Each native build against the reference on the same plan, at awkward sizes; threads; reproducibility; refusals."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.conftest import make_job, random_tables, zipf_ids
from w2vfast import plan
from w2vfast.kernels import contract, native_step, reference

if native_step.unavailable_reason() is not None:
    pytest.skip(f"native backend: {native_step.unavailable_reason()}", allow_module_level=True)

BUILDS = native_step.runnable_builds()
MODES = {"sg": {"mode": "sg"}, "cbow-mean": {"mode": "cbow"}, "cbow-sum": {"mode": "cbow", "cbow_mean": False}}
ALL_KEPT = np.full(50, 2**32 - 1, np.uint32)
CASES = {
    "defaults": {},
    "short": {"length": 200},
    "static-weights": {name: np.linspace(400, 0, 50, dtype=np.float32) for name in ("in_weight", "out_weight")},
    "no-mask": {"target_mask": False},
    "uniform-negatives": {"words": 3000, "target_mask": False, "shared_negatives": 32},
    "tile-1": {"tile": 1},
    "tile-63": {"tile": 63},
    "tile-512": {"tile": 512, "chunk_size": 1024},
    "tight-cap": {"cap": 0.05},
    "window-50": {"window": 50, "tile": 16},
    "window-1000": {"window": 1000, "tile": 24, "alpha": 1e-3, "tokens": zipf_ids(50, 300) & contract.ID_MASK},
    "fixed-window-1": {"window": 1, "shrink_windows": False},
    "more-negatives-than-words": {"words": 5, "shared_negatives": 33},
    "negatives-70": {"words": 400, "shared_negatives": 70, "target_mask": False},
    "negatives-1024": {"words": 4000, "shared_negatives": 1024, "length": 80, "target_mask": False},
    "one-negative": {"shared_negatives": 1, "negative": 1},
    "negative-20": {"negative": 20, "shared_negatives": 24},
    "two-words": {"words": 2},
    "one-token": {"length": 1},
    "no-token-kept": {"keep_threshold": np.zeros(50, np.uint32)},
    "all-one-sentence": {"tokens": zipf_ids(50, 700) & contract.ID_MASK},
    "all-sentences-of-one": {"tokens": zipf_ids(50, 300) | contract.SENTENCE_END},
    "every-word-once": {"words": 600, "tokens": np.arange(600, dtype=np.int32), "keep_threshold": ALL_KEPT.repeat(12)},
}


def train(job, tables, order, *, build, workers=1, epoch=0):
    step = native_step.create_step(job, *tables, workers=workers, build=build, poison=True)
    return step.train(order, 1, epoch)


def one_tile_at_a_time(**changes):
    """Return a job for which the reference goes tile by tile, as the native backend does."""
    job = make_job(**changes)
    return dataclasses.replace(job, tokens_in_flight=job.tile)


@functools.cache
def reference_run(mode, case, vector_size):
    """Return the job of a case, the exact tables after training, and what the reference reports; shared by builds."""
    job = one_tile_at_a_time(**({"length": 600} | CASES[case] | MODES[mode]))
    exact = random_tables(len(job.keep_threshold), vector_size)
    order = plan.chunk_order(job.chunks, 1, 0)
    return job, exact, reference.train(job, *exact, order, 1, 0)


def check_case(build, mode, case, vector_size):
    job, exact, expected = reference_run(mode, case, vector_size)
    tables = random_tables(len(exact[0]), vector_size, np.float32)
    result = train(job, tables, plan.chunk_order(job.chunks, 1, 0), build=build)
    assert_same(tables, exact, result, expected)
    return tables, expected


def assert_same(tables, exact, result, expected, tolerance=2e-5):
    before = random_tables(*exact[0].shape)
    for table, right, old in zip(tables, exact, before, strict=True):
        assert np.isfinite(table).all()
        # Errors are measured against the largest step, so that a missing update cannot hide; a table in float32 is
        # rounded a few times besides.
        rounding = 16 * np.finfo(np.float32).eps * np.abs(right).max()
        assert np.abs(table - right).max() <= tolerance * np.abs(right - old).max() + rounding
    assert (result.pairs, result.trained) == (expected.pairs, expected.trained)
    assert result.loss == pytest.approx(expected.loss, rel=tolerance)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_native_equals_the_reference(mode, case, build):
    _, expected = check_case(build, mode, case, 17)
    assert expected.pairs > 0 or case in ("one-token", "no-token-kept", "all-sentences-of-one")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("vector_size", [1, 3, 7, 8, 16, 33, 64, 100, 300, 1000])
@pytest.mark.parametrize("mode", MODES)
def test_native_equals_the_reference_at_vector_sizes(mode, vector_size, build):
    check_case(build, mode, "short", vector_size)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("mode", MODES)
def test_static_weights_scale_rows(mode, build):
    uncapped, _ = check_case(build, mode, "defaults", 9)
    tables, _ = check_case(build, mode, "static-weights", 9)
    assert np.abs(uncapped[1] - tables[1]).max() > 1e-3


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65])
def test_tiles_of_any_length(kept, build):
    """Chunks whose kept tokens end just before, at and after a tile's end."""
    threshold = ALL_KEPT.copy()
    threshold[0] = 0
    ids = np.zeros(256, np.int32)
    ids[:kept] = 1 + np.arange(kept) % 40
    job = one_tile_at_a_time(tokens=ids, keep_threshold=threshold, tile=64)
    exact, tables = random_tables(50, 8), random_tables(50, 8, np.float32)
    result = train(job, tables, np.array([0]), build=build)
    assert result.trained == kept
    assert_same(tables, exact, result, reference.train(job, *exact, np.array([0]), 1, 0))


@pytest.mark.parametrize("chunk", [0, 5, 11])
@pytest.mark.parametrize(
    "changes",
    [{}, {"shared_negatives": 7}, {"shared_negatives": 70}, {"shrink_windows": False}, {"seed": 2**64 - 1}],
    ids=str,
)
@pytest.mark.parametrize("build", BUILDS)
def test_native_plan_is_the_references(build, chunk, changes):
    job = make_job(length=2900, **changes)
    step = native_step.create_step(job, *random_tables(50, 4, np.float32), build=build)
    ours, right = step.plan(chunk, 3), reference.plan(job, chunk, 3)
    for name in ("positions", "radius", "negatives"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(right, name), strict=True)


def chunk_disjoint_job(**changes):
    """Each chunk has words of its own, and the negatives of all chunks are words that no chunk has."""
    chunks, size, words = 24, 256, 24 * 40
    ids = (np.arange(chunks * size) // size * 40 + np.random.default_rng(5).integers(0, 40, chunks * size)).astype(
        np.int32
    )
    ids[13::14] |= contract.SENTENCE_END
    V = words + 2
    return make_job(
        words=V,
        tokens=ids,
        keep_threshold=np.full(V, 2**32 - 1, np.uint32),
        noise_prob=np.zeros(V, np.uint32),
        noise_alias=np.where(np.arange(V) % 2, words, words + 1).astype(np.int32),
        **changes,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("build", BUILDS)
def test_threads_are_exact_on_disjoint_work(build, mode):
    """The negatives' rows are capped to no movement by their static weight, so that chunks do not touch each other."""
    still = np.zeros(24 * 40 + 2, np.float32)
    still[-2:] = 1e30
    job = chunk_disjoint_job(in_weight=np.zeros_like(still), out_weight=still, **MODES[mode])
    order = plan.chunk_order(job.chunks, 1, 0)
    results, tables = [], []
    for workers in (1, 3):
        tables.append(random_tables(len(still), 20, np.float32))
        results.append(train(job, tables[-1], order, build=build, workers=workers))
    np.testing.assert_array_equal(tables[0][0], tables[1][0])
    np.testing.assert_array_equal(tables[0][1][:-2], tables[1][1][:-2])
    assert (results[0].pairs, results[0].trained) == (results[1].pairs, results[1].trained)
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_racing_threads_stay_in_a_band(mode):
    job = make_job(words=200, length=40_000, **MODES[mode])
    order = plan.chunk_order(job.chunks, 1, 0)
    losses = []
    for workers in (1, 4):
        tables = random_tables(200, 24, np.float32)
        step = native_step.create_step(job, *tables, workers=workers)
        losses.append([step.train(order, 0, epoch).loss for epoch in range(3)][-1])
        assert all(np.isfinite(table).all() for table in tables)
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("build", BUILDS)
def test_one_worker_is_reproducible(build, mode):
    job = make_job(length=2000, **MODES[mode])
    order = plan.chunk_order(job.chunks, 1, 0)
    runs = []
    for poison in (False, True):
        tables = random_tables(50, 33, np.float32)
        step = native_step.create_step(job, *tables, build=build, poison=poison)
        # In one call or in two: nothing is carried from chunk to chunk.
        calls = [step.train(order, 0, 0)] if poison else [step.train(order[:3], 0, 0), step.train(order[3:], 3, 0)]
        runs.append((tables, sum(call.loss for call in calls)))
    for one, other in zip(runs[0][0], runs[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert runs[0][1] == pytest.approx(runs[1][1], rel=1e-14)


@pytest.mark.parametrize("build", BUILDS)
def test_sigmoid_and_its_logarithm(build):
    scores = np.concatenate([np.linspace(-30, 30, 200_001), [-1e4, -88, 0, 88, 1e4]]).astype(np.float32)
    value, log_part = native_step._module(build).sigmoid(scores)
    exact = 1 / (1 + np.exp(-np.clip(scores.astype(np.float64), -500, 500)))
    assert np.abs(value - exact).max() <= 1.2e-7
    assert np.abs(value / exact - 1)[np.abs(scores) < 80].max() <= 5e-7
    softplus = log_part + np.maximum(scores, 0).astype(np.float64)
    assert np.abs(softplus - np.logaddexp(0, scores.astype(np.float64))).max() <= 1.5e-7


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_diverged_shows_it(build, mode):
    job = make_job(**MODES[mode])
    tables = random_tables(50, 20, np.float32)
    tables[1][:] = np.nan
    assert np.isnan(train(job, tables, plan.chunk_order(job.chunks, 1, 0), build=build).loss)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"cap": 0.0}, {}, "cap"),
        ({"row_cap": "batch", "tokens_in_flight": 64}, {}, "torch"),
        ({"window": 5000}, {}, "window"),
        ({}, {"device": "cuda"}, "CPU"),
        ({}, {"workers": 0}, "workers"),
        ({}, {"build": "mmx"}, "mmx"),
    ],
)
def test_what_cannot_be_honoured_is_refused(changes, options, message):
    with pytest.raises(ValueError, match=message):
        native_step.create_step(make_job(**changes), *random_tables(50, 4, np.float32), **options)


def test_tables_that_cannot_be_updated_in_place_are_refused():
    w_in, w_out = random_tables(50, 4, np.float32)
    for table in (w_in.astype(np.float64), np.asfortranarray(w_in), w_out):
        with pytest.raises(ValueError, match=r"w_in must|overlap"):
            native_step.create_step(make_job(), table, w_out)


def test_ids_and_chunks_outside_are_refused():
    job = make_job(tokens=zipf_ids(50, 300) | np.int32(32), words=64)
    smaller = {name: getattr(make_job(), name) for name in ("keep_threshold", "noise_prob", "noise_alias")}
    with pytest.raises(ValueError, match="outside the vocabulary"):
        native_step.create_step(dataclasses.replace(job, **smaller), *random_tables(50, 4, np.float32))
    step = native_step.create_step(make_job(), *random_tables(50, 4, np.float32))
    with pytest.raises(ValueError, match="chunks must lie"):
        step.train(np.array([99]), 0, 0)
    with pytest.raises(ValueError, match="chunks must lie"):
        step.plan(-1, 0)
