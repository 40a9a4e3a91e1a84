"""What every Step does with visits, whatever it is made of: what a run needs to stop, resume, stream and change N."""

import dataclasses
import itertools

import numpy as np
import pytest

from benchmarks.parity import make_job, random_tables, visit_of, zipf_ids
from tests.conftest import MODES
from w2vfast import backends
from w2vfast.backends import Choice
from w2vfast.kernels import contract, reference

STEPS = [name for name in ("native", "torch") if backends.unavailable_reason(name) is None]


@pytest.fixture(params=STEPS)
def create(request):
    return lambda job, *tables: backends.create_step(Choice(request.param, "cpu", "a test"), job, *tables, 1)


def part(visit, start, stop):
    return dataclasses.replace(visit, chunks=visit.chunks[start:stop].copy(), done=visit.done[start:stop].copy())


def assert_right(tables, exact):
    for table, right in zip(tables, exact, strict=True):
        np.testing.assert_allclose(table, right, atol=2e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_visit_in_parts_is_the_visit(create, mode):
    job = make_job(length=900, **MODES[mode])
    visit, runs = visit_of(job), []
    for cuts in ((0, 4), (0, 1, 3, 4)):
        tables = random_tables(job, 12, np.float32)
        step = create(job, *tables)
        for start, stop in itertools.pairwise(cuts):
            step.train(part(visit, start, stop))
        runs.append(step.tables())
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shared_words_may_change_from_visit_to_visit(create):
    job = make_job(length=900)
    visits = [
        dataclasses.replace(part(visit_of(job), place, place + 1), shared_words=shared_words)
        for place, shared_words in enumerate((8, 33, 8, 16))
    ]
    exact, tables = random_tables(job, 12), random_tables(job, 12, np.float32)
    step = create(job, *tables)
    for visit in visits:
        reference.train(job, *exact, visit)
        step.train(visit)
    assert_right(step.tables(), exact)


def test_progress_sets_the_rate_and_nothing_else(create):
    """Chunks in an order and with progress of any kind: a shard of an epoch, a repeated call, a resumed run."""
    job = make_job(length=900)
    visit = dataclasses.replace(
        visit_of(job, np.array([2, 0])), done=np.array([500, 7_000_000_000]), total=10_000_000_000, draw_epoch=3
    )
    exact, tables = random_tables(job, 12), random_tables(job, 12, np.float32)
    reference.train(job, *exact, visit)
    step = create(job, *tables)
    step.train(visit)
    assert_right(step.tables(), exact)
    assert visit.learning_rate(1, 0) == pytest.approx(0.05 - 0.7 * (0.05 - 1e-4))


@pytest.mark.parametrize("mode", ["sg", "cbow-mean"])
def test_tokens_can_be_replaced_between_visits(create, mode):
    """Longer ones too, and ones that end in a shorter chunk."""
    job = make_job(length=20, **MODES[mode])
    exact, tables = random_tables(job, 12), random_tables(job, 12, np.float32)
    step = create(job, *tables)
    step.train(visit_of(job))
    reference.train(job, *exact, visit_of(job))
    for draw_epoch, length in ((1, 700), (2, 300)):
        other = dataclasses.replace(job, tokens=zipf_ids(40, length))
        visit = visit_of(other, draw_epoch=draw_epoch)
        step.replace_tokens(other.tokens)
        assert step.train(visit).trained == reference.train(other, *exact, visit).trained
        ours, right = step.plan(0, draw_epoch, 16), reference.plan(other, 0, draw_epoch, 16)
        np.testing.assert_array_equal(ours.positions, right.positions)
    assert_right(step.tables(), exact)
    with pytest.raises(ValueError, match="chunks must lie"):
        step.train(visit_of(dataclasses.replace(job, tokens=zipf_ids(40, 700))))
    with pytest.raises(ValueError, match="outside the vocabulary"):
        step.replace_tokens(np.array([50], np.int32))


@pytest.mark.parametrize("mode", MODES)
def test_rows_can_be_frozen_or_scaled(create, mode):
    scale = np.ones(50, np.float32)
    scale[::3], scale[1::3] = 0, 0.25
    job = make_job(length=900, in_scale=scale, cap=0.5, **MODES[mode])
    exact, tables = random_tables(job, 12), random_tables(job, 12, np.float32)
    reference.train(job, *exact, visit_of(job))
    step = create(job, *tables)
    step.train(visit_of(job))
    assert_right(step.tables(), exact)
    before = random_tables(job, 12, np.float32)
    np.testing.assert_array_equal(tables[0][::3], before[0][::3])
    assert np.abs(tables[0][1::3] - before[0][1::3]).max() > 1e-3


def test_tables_are_the_arrays_given(create):
    job = make_job()
    given = random_tables(job, 4, np.float32)
    step = create(job, *given)
    step.train(visit_of(job, np.array([0])))
    for table, array in zip(step.tables(), given, strict=True):
        assert np.shares_memory(table, array)
    assert np.abs(given[0] - random_tables(job, 4)[0]).max() > 1e-3


def test_an_empty_visit_does_nothing(create):
    job = make_job()
    step = create(job, *random_tables(job, 4, np.float32))
    assert step.train(visit_of(job, np.zeros(0, np.int64))) == contract.StepResult(0.0, 0, 0)
