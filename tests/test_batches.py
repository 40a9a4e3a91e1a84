"""Native in batches, what deterministic runs are of: the same bits for any number of workers, and the reference's."""

import functools
import hashlib

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, random_tables, reference_run, visit_of
from tests.conftest import MODES
from w2vfast.kernels.contract import StepResult, Visit
from w2vfast.kernels.native import step as native_step

if native_step.unavailable_reason() is not None:
    pytest.skip(f"native backend: {native_step.unavailable_reason()}", allow_module_level=True)

WORKERS = (1, 2, 3, 8)
BUILDS = native_step.runnable_builds()
BATCH = {"tile": 16, "tokens_in_flight": 80, "row_cap": "batch"}  # batches of 5 tiles


def bits(*tables):
    return hashlib.sha256(b"".join(table.tobytes() for table in tables)).hexdigest()


def native_run(job, visits, vector_size=33, **options):
    """Return the bits of the tables after some visits, and what they came to together."""
    tables = random_tables(job, vector_size, np.float32)
    step, result = native_step.create_step(job, *tables, poison=True, **options), StepResult(0.0, 0, 0)
    for visit in visits:
        result += step.train(visit)
    return bits(*tables), result


def cut(visit, *places):
    """Return a visit in parts, which end at these places."""
    parts = zip((0, *places), (*places, len(visit.chunks)), strict=True)
    return [Visit(**vars(visit) | {n: getattr(visit, n)[a:b] for n in ("chunks", "done")}) for a, b in parts]


@pytest.mark.parametrize("mode", MODES)
def test_workers_change_no_bit(mode):
    """Nor, in the loss, how an epoch's groups of chunks come in visits."""
    job, visit = make_case(length=3000, **BATCH, **MODES[mode])
    whole, *others = [native_run(job, [visit], workers=workers) for workers in WORKERS]
    assert others == [whole] * len(others)
    assert native_run(job, cut(visit, 5, 10), workers=2) == whole
    assert native_run(job, cut(visit, 1), workers=2)[0] != whole[0]  # not a whole group: other batches


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("mode", ["sg", "cbow-mean"])
def test_no_build_depends_on_workers(build, mode):
    job, visit = make_case(length=3000, **BATCH, **MODES[mode])
    assert len({native_run(job, [visit], 100, workers=workers, build=build)[0] for workers in WORKERS}) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_the_references(mode):
    """Computed from the tables as they were before it, the cap counted over its tiles."""
    job, visit = make_case(length=700, chunk_size=128, **BATCH, **MODES[mode])
    right = reference_run(job, visit, 17)
    for build in BUILDS:
        outcome = hold(functools.partial(native_step.create_step, workers=2, build=build), job, visit, 17, right=right)
        assert outcome.error <= 2e-5


CASES = {
    "tight-cap": {"cap": 0.05},
    "static-weights": {"falling_weights": 400.0},
    "frozen-rows": {"in_scale": np.linspace(0, 2, 50, dtype=np.float32)},
    "one-tile": {"tokens_in_flight": 16},
    "more-tiles-than-there-are": {"tokens_in_flight": 16 * 500},
    "groups-of-two-chunks": {"group_tokens": 512},
    "short": {"length": 100},
    "one-token": {"length": 1},
    "no-token-kept": {"keep_threshold": np.zeros(50, np.uint32)},
    "large-tiles": {"tile": 512, "chunk_size": 1024, "tokens_in_flight": 1024},
}


@pytest.mark.parametrize("mode", ["sg", "cbow-sum"])
@pytest.mark.parametrize("case", CASES)
def test_batches_of_any_kind_are_the_references(case, mode):
    job, visit = make_case(**{"length": 600} | BATCH | CASES[case] | MODES[mode])
    right = reference_run(job, visit, 9)
    create = functools.partial(native_step.create_step, workers=3, poison=True)
    outcome = hold(create, job, visit, 9, right=right)
    assert outcome.error <= 2e-5


@pytest.mark.parametrize("vector_size", [1, 3, 7, 8, 16, 64, 100, 300])
@pytest.mark.parametrize("build", BUILDS)
def test_batches_of_any_vector_size_are_the_references(vector_size, build):
    job, visit = make_case(length=300, **BATCH)
    outcome = hold(functools.partial(native_step.create_step, workers=2, build=build), job, visit, vector_size)
    assert outcome.error <= 2e-5


def test_builds_differ_in_rounding_alone():
    """AVX2 and AVX-512 add a dot's products in other orders: last bits, though not the plan."""
    job, visit = make_case(length=3000, **BATCH)
    found = []
    for build in BUILDS:
        tables = random_tables(job, 33, np.float32)
        result = native_step.create_step(job, *tables, build=build, workers=2).train(visit)
        found.append((tables, result))
    for tables, result in found[1:]:
        assert (result.pairs, result.trained) == (found[0][1].pairs, found[0][1].trained)
        for table, other in zip(tables, found[0][0], strict=True):
            np.testing.assert_allclose(table, other, atol=2e-5 * float(np.abs(other).max()))


def test_other_tokens_do_not_change_that():
    job, visit = make_case(length=3000, **BATCH)
    other = np.roll(job.tokens, 1000)[:2000].copy()
    found = set()
    for workers in WORKERS:
        tables = random_tables(job, 9, np.float32)
        step = native_step.create_step(job, *tables, workers=workers)
        step.train(visit)
        step.replace_tokens(other)
        step.train(visit_of(job, np.arange(8)[::-1]))
        found.add(bits(*tables))
    assert len(found) == 1
