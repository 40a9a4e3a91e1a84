"""Each native build against the reference on the same plan, at awkward sizes; threads; reproducibility; refusals."""

import dataclasses
import functools

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, make_job, random_tables, reference_run, visit_of, zipf_ids
from tests.conftest import MODES, case_options
from w2vfast.kernels import contract, reference
from w2vfast.kernels.native import step as native_step
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.objectives.negative_sampling import NegativeSampling

if native_step.unavailable_reason() is not None:
    pytest.skip(f"native backend: {native_step.unavailable_reason()}", allow_module_level=True)

BUILDS = native_step.runnable_builds()
ALL_KEPT = np.full(50, 2**32 - 1, np.uint32)
CASES = {
    "defaults": {},
    "short": {"length": 200},
    "static-weights": {"falling_weights": 400.0},
    "no-mask": {"target_mask": False},
    "uniform-weights": {"words": 3000, "shared_words": 32},
    "tile-1": {"tile": 1},
    "tile-63": {"tile": 63},
    "tile-512": {"tile": 512, "chunk_size": 1024},
    "tight-cap": {"cap": 0.05},
    "window-50": {"window": 50, "tile": 16},
    "window-1000": {"window": 1000, "tile": 24, "alpha": 1e-3, "tokens": zipf_ids(50, 300) & contract.ID_MASK},
    "fixed-window-1": {"window": 1, "shrink_windows": False},
    "more-shared-words-than-words": {"words": 5, "shared_words": 33},
    "shared-words-70": {"words": 400, "shared_words": 70, "target_mask": False},
    "shared-words-1024": {"words": 4000, "shared_words": 1024, "length": 80},
    "one-shared-word": {"shared_words": 1, "negative": 1},
    "negative-20": {"negative": 20, "shared_words": 24},
    "two-words": {"words": 2},
    "one-token": {"length": 1},
    "no-token-kept": {"keep_threshold": np.zeros(50, np.uint32)},
    "all-one-sentence": {"tokens": zipf_ids(50, 700) & contract.ID_MASK},
    "all-sentences-of-one": {"tokens": zipf_ids(50, 300) | contract.SENTENCE_END},
    "every-word-once": {"words": 600, "tokens": np.arange(600, dtype=np.int32), "keep_threshold": ALL_KEPT.repeat(12)},
}


def creator(build, workers=1, poison=True):
    return functools.partial(native_step.create_step, workers=workers, build=build, poison=poison)


@functools.cache
def reference_case(mode, case, vector_size):
    """Return the job and visit of a case, and what the reference makes of them; shared by builds."""
    job, visit = make_case(**case_options(case, {"length": 600, "first_rank": 1} | CASES[case], mode))
    return job, visit, reference_run(job, visit, vector_size)


def check_case(build, mode, case, vector_size):
    job, visit, right = reference_case(mode, case, vector_size)
    outcome = hold(creator(build), job, visit, vector_size, right=right)
    assert outcome.error <= 2e-5
    return outcome


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_native_equals_the_reference(mode, case, build):
    outcome = check_case(build, mode, case, 17)
    assert outcome.expected.pairs > 0 or case in ("one-token", "no-token-kept", "all-sentences-of-one")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("vector_size", [1, 3, 7, 8, 16, 33, 64, 100, 300, 1000])
@pytest.mark.parametrize("mode", MODES)
def test_native_equals_the_reference_at_vector_sizes(mode, vector_size, build):
    check_case(build, mode, "short", vector_size)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("mode", MODES)
def test_static_weights_scale_rows(mode, build):
    uncapped, capped = (check_case(build, mode, case, 9) for case in ("defaults", "static-weights"))
    assert np.abs(uncapped.tables[1] - capped.tables[1]).max() > 1e-3


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65])
def test_tiles_of_any_length(kept, build):
    """Chunks whose kept tokens end just before, at and after a tile's end."""
    threshold = ALL_KEPT.copy()
    threshold[0] = 0
    ids = np.zeros(256, np.int32)
    ids[:kept] = 1 + np.arange(kept) % 40
    job, visit = make_case(tokens=ids, keep_threshold=threshold, tile=64)
    outcome = hold(creator(build), job, visit, 8)
    assert outcome.result.trained == kept
    assert outcome.error <= 2e-5


@pytest.mark.parametrize("chunk", [0, 5, 11])
@pytest.mark.parametrize(
    ("changes", "shared_words"),
    [({}, 16), ({}, 7), ({}, 70), ({"shrink_windows": False}, 16), ({"seed": 2**64 - 1}, 16)],
    ids=str,
)
@pytest.mark.parametrize("build", BUILDS)
def test_native_plan_is_the_references(build, chunk, changes, shared_words):
    job = make_job(length=2900, **changes)
    step = native_step.create_step(job, *random_tables(job, 4, np.float32), build=build)
    ours, right = step.plan(chunk, 3, shared_words), reference.plan(job, chunk, 3, shared_words)
    for name in ("positions", "radius", "shared_words"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(right, name), strict=True)


def chunk_disjoint_job(**changes):
    """Each chunk has words of its own, and the shared words of all chunks are words that no chunk has."""
    chunks, size, words = 24, 256, 24 * 40
    ids = (np.arange(chunks * size) // size * 40 + np.random.default_rng(5).integers(0, 40, chunks * size)).astype(
        np.int32
    )
    ids[13::14] |= contract.SENTENCE_END
    V = words + 2
    alias = np.where(np.arange(V) % 2, words, words + 1).astype(np.int32)
    noise = NoiseTable(np.zeros(V, np.uint32), alias, np.bincount(alias, minlength=V) / V)
    return make_job(words=V, tokens=ids, keep_threshold=np.full(V, 2**32 - 1, np.uint32), noise=noise, **changes)


@pytest.mark.parametrize("mode", ["sg", "cbow-mean", "cbow-sum"])
@pytest.mark.parametrize("build", BUILDS)
def test_threads_are_exact_on_disjoint_work(build, mode):
    """The shared rows are capped to no movement by their static weight, so that chunks do not touch each other."""
    still = np.zeros(24 * 40 + 2, np.float32)
    still[-2:] = 1e30
    job = chunk_disjoint_job(in_weight=np.zeros_like(still), out_weight=still, **MODES[mode])
    results, tables = [], []
    for workers in (1, 3):
        tables.append(random_tables(job, 20, np.float32))
        results.append(creator(build, workers)(job, *tables[-1]).train(visit_of(job)))
    np.testing.assert_array_equal(tables[0][0], tables[1][0])
    np.testing.assert_array_equal(tables[0][1][:-2], tables[1][1][:-2])
    assert (results[0].pairs, results[0].trained) == (results[1].pairs, results[1].trained)
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_racing_threads_stay_in_a_band(mode):
    losses = []
    for workers in (1, 4):
        job = make_job(words=200, length=40_000, static=workers > 1, tokens_in_flight=32 * workers, **MODES[mode])
        tables = random_tables(job, 24, np.float32)
        step = native_step.create_step(job, *tables, workers=workers)
        losses.append([step.train(visit_of(job, draw_epoch=epoch, alpha=0.01)).loss for epoch in range(3)][-1])
        assert all(np.isfinite(table).all() for table in tables)
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("build", BUILDS)
def test_one_worker_is_reproducible(build, mode):
    """Whatever the buffers held before."""
    job = make_job(length=2000, **MODES[mode])
    runs = []
    for poison in (False, True):
        tables = random_tables(job, 33, np.float32)
        runs.append((tables, creator(build, poison=poison)(job, *tables).train(visit_of(job))))
    for one, other in zip(runs[0][0], runs[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert runs[0][1] == runs[1][1]


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
    tables = random_tables(job, 20, np.float32)
    tables[1][:] = np.nan
    assert np.isnan(creator(build)(job, *tables).train(visit_of(job)).loss)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"window": 5000}, {}, "window"),
        ({"chunk_size": 1 << 31}, {}, "chunk_size"),
        ({}, {"device": "cuda"}, "CPU"),
        ({}, {"workers": 0}, "workers"),
        ({}, {"build": "mmx"}, "mmx"),
    ],
)
def test_what_cannot_be_honoured_is_refused(changes, options, message):
    job = dataclasses.replace(make_job(), **changes)
    with pytest.raises(ValueError, match=message):
        native_step.create_step(job, *random_tables(job, 4, np.float32), **options)


def test_tables_that_cannot_be_updated_in_place_are_refused():
    w_in, w_out = random_tables(make_job(), 4, np.float32)
    for table in (w_in.astype(np.float64), np.asfortranarray(w_in), w_out):
        with pytest.raises(ValueError, match=r"w_in must|overlap"):
            native_step.create_step(make_job(), table, w_out)


def test_an_objective_that_the_build_lacks_is_refused():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Unknown(NegativeSampling):
        name = "unknown"

    objective = make_job().objective
    job = dataclasses.replace(make_job(), objective=Unknown(objective.noise, objective.negative, objective.mask))
    with pytest.raises(ValueError, match="no such objective: unknown"):
        native_step.create_step(job, *random_tables(job, 4, np.float32))


def test_chunks_outside_are_refused():
    step = native_step.create_step(make_job(), *random_tables(make_job(), 4, np.float32))
    with pytest.raises(ValueError, match="chunks must lie"):
        step.train(visit_of(make_job(), np.array([99])))
    with pytest.raises(ValueError, match="chunks must lie"):
        step.plan(-1, 0, 16)
