"""Every backend that takes float32 or float64 arrays against the reference, on the same plan, at awkward sizes."""

import dataclasses
import functools

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, make_job, random_tables, reference_run, visit_of, zipf_ids
from tests.conftest import MODES, case_options
from w2vfast import objectives
from w2vfast.kernels import contract, reference
from w2vfast.kernels.contract import Tile, TileRow
from w2vfast.kernels.torch import step as torch_step

CASES = {
    "defaults": {},
    "no-mask": {"target_mask": False},
    "tile-1": {"tile": 1},
    "tile-63-batch-of-3": {"tile": 63, "tokens_in_flight": 189, "row_cap": "batch"},
    "batch-cap-tight": {"tokens_in_flight": 256, "row_cap": "batch", "cap": 0.05},
    "tile-cap-in-batches": {"tokens_in_flight": 256, "cap": 0.2},
    "window-50": {"window": 50, "tile": 16},
    "fixed-window-1": {"window": 1, "shrink_windows": False},
    "more-shared-words-than-words": {"words": 5, "shared_words": 33},
    "one-shared-word": {"shared_words": 1, "negative": 1},
    "two-words": {"words": 2},
    "one-token": {"length": 1},
    "all-one-sentence": {"tokens": zipf_ids(50, 700) & contract.ID_MASK},
    "last-epoch": {"draw_epoch": 2, "first_rank": 1},
}


@functools.cache
def reference_case(mode, case, vector_size, length):
    """Return the job and visit of a case, and what the reference makes of them; shared by types of numbers."""
    job, visit = make_case(**case_options(case, {"length": length} | CASES[case], mode))
    return job, visit, reference_run(job, visit, vector_size)


def torch_error(mode, case, vector_size, length, dtype=np.float32):
    job, visit, right = reference_case(mode, case, vector_size, length)
    outcome = hold(torch_step.create_step, job, visit, vector_size, dtype=dtype, right=right)
    assert outcome.expected.pairs > 0 or len(job.tokens) == 1
    return outcome.error


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_the_reference(mode, case, dtype, poison_empty):
    error = torch_error(mode, case, 17, 700, dtype)
    assert error <= (1e-12 if dtype is np.float64 else 2e-5)


@pytest.mark.parametrize("vector_size", [1, 33, 100, 300])
@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_the_reference_at_vector_sizes(mode, vector_size):
    assert torch_error(mode, "defaults", vector_size, 300) <= 2e-5


@pytest.mark.parametrize("row_cap", ["tile", "batch"])
@pytest.mark.parametrize("mode", MODES)
def test_static_weights_scale_rows(mode, row_cap):
    options = {"length": 600, "tokens_in_flight": 128, "row_cap": row_cap} | MODES[mode]
    job, visit = make_case(**options)
    weighted = make_case(falling_weights=400.0, **options)[0]
    capped = hold(torch_step.create_step, weighted, visit, 9, dtype=np.float64)
    assert capped.error <= 1e-12
    uncapped = hold(torch_step.create_step, job, visit, 9, dtype=np.float64)
    assert np.abs(uncapped.tables[1] - capped.tables[1]).max() > 1e-3


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65])
def test_tiles_of_any_length(kept):
    """Chunks whose kept tokens end just before, at and after a tile's end."""
    threshold = np.full(50, 2**32 - 1, np.uint32)
    threshold[0] = 0
    ids = np.zeros(256, np.int32)
    ids[:kept] = 1 + np.arange(kept) % 40
    job, visit = make_case(tokens=ids, keep_threshold=threshold, tile=64)
    outcome = hold(torch_step.create_step, job, visit, 8, dtype=np.float64)
    assert outcome.result.trained == kept
    assert outcome.error <= 1e-12


@pytest.mark.parametrize("chunk", [0, 5, 11])
@pytest.mark.parametrize(
    ("changes", "shared_words"),
    [({}, 16), ({}, 7), ({"shrink_windows": False}, 16), ({"seed": 2**64 - 1}, 16)],
    ids=str,
)
def test_torch_plan_is_the_references(chunk, changes, shared_words):
    job = make_job(**changes)
    step = torch_step.create_step(job, *random_tables(job, 4))
    ours, right = step.plan(chunk, 3, shared_words), reference.plan(job, chunk, 3, shared_words)
    for name in ("positions", "radius", "shared_words"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(right, name))


def test_windows_stop_at_sentences_and_chunks():
    """Tokens of one sentence a chunk: every target of a row is of its own sentence and chunk."""
    ids = (np.arange(1024) // 8 % 50).astype(np.int32)  # the word is the sentence
    ids[7::8] |= contract.SENTENCE_END
    keep_all = np.full(50, 2**32 - 1, np.uint32)
    job = make_job(tokens=ids, keep_threshold=keep_all, window=9, shrink_windows=False)
    for tile in reference.tiles_of(job, visit_of(job, np.array([1])), 0):
        for row in tile.rows:
            assert row.targets == row.inputs * 7


def loss_of(job, tile, w_in, w_out):
    return reference.tile_updates(job, tile, w_in, w_out).loss


def numeric_gradient(job, tile, tables, side, row, d, h=1e-5):
    moved = [[table.copy() for table in tables] for _ in range(2)]
    moved[0][side][row, d] += h
    moved[1][side][row, d] -= h
    return (loss_of(job, tile, *moved[0]) - loss_of(job, tile, *moved[1])) / (2 * h)


@pytest.mark.parametrize(
    ("mode", "side"),
    [
        *(("sg", 0), ("sg", 1), ("cbow-mean", 1), ("cbow-sum", 1), ("sg-nce", 0), ("sg-nce", 1), ("cbow-nce", 1)),
        *(("sg-sampled-softmax", 0), ("sg-sampled-softmax", 1), ("cbow-sampled-softmax", 1)),
        *(("sg-softmax", 0), ("sg-softmax", 1), ("cbow-softmax", 1)),
    ],
)
def test_steps_are_minus_the_gradient_of_the_loss(mode, side):
    job, visit = make_case(words=12, alpha=1.0, min_alpha=1.0, tile=8, shared_words=6, **MODES[mode])
    tile = reference.tiles_of(job, visit, 0)[0]
    tables = random_tables(job, 3)
    updates = reference.tile_updates(job, tile, *tables)
    steps = (updates.w_in, updates.w_out)[side].steps
    assert len(steps) > 3
    for row, step in steps.items():
        for d in range(3):
            gradient = numeric_gradient(job, tile, tables, side, row, d)
            assert step[d] == pytest.approx(-gradient, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("mode", "power"), [("cbow-mean", 1), ("cbow-sum", -1)])
def test_cbow_input_rows_differ_from_the_gradient_by_gensims_factor(mode, power):
    """A window of n tokens gives each W_in row n times the gradient (mean) or a share 1 / n of it (sum)."""
    job, visit = make_case(words=12, alpha=1.0, min_alpha=1.0, **MODES[mode])
    tile = next(
        Tile([row], tile.shared_words, 1.0, 1)
        for tile in reference.tiles_of(job, visit, 0)
        for row in tile.rows
        if len(set(row.inputs)) == len(row.inputs) > 3
    )
    n = len(tile.rows[0].inputs)
    tables = random_tables(job, 3)
    steps = reference.tile_updates(job, tile, *tables).w_in.steps
    assert len(steps) == n
    for row, step in steps.items():
        gradient = numeric_gradient(job, tile, tables, 0, row, 0)
        assert step[0] / n**power == pytest.approx(-gradient, rel=1e-6, abs=1e-8)


def noise_of(job):
    counts = np.bincount(job.tokens & contract.ID_MASK, minlength=job.vocabulary) + 1
    return objectives.noise_distribution(counts, 0.75)


def mean_loss(job, visit, tables, expected_of_pair):
    """Return (the loss over all tiles, the loss that `expected_of_pair(input, target)` sums up to)."""
    got = wanted = 0.0
    for place in range(len(visit.chunks)):
        for tile in reference.tiles_of(job, visit, place):
            got += loss_of(job, tile, *tables)
            wanted += sum(expected_of_pair(row.inputs[0], target) for row in tile.rows for target in row.targets)
    return got, wanted


def test_shared_words_are_word2vecs_objective_in_expectation():
    """The mean over many tiles of the weighted negative term equals K negatives a pair."""
    job, visit = make_case(words=20, length=12_000, target_mask=False, shared_words=8)
    tables = random_tables(job, 6)
    scores = tables[0] @ tables[1].T
    negative = 5 * (np.logaddexp(0, scores) @ noise_of(job))
    got, wanted = mean_loss(job, visit, tables, lambda i, t: np.logaddexp(0, -scores[i, t]) + negative[i])
    assert got == pytest.approx(wanted, rel=5e-3)


def test_nce_is_logistic_regression_against_the_noise_in_expectation():
    """Mnih & Teh 2012, equation 7: the logit is s - log Z - log(K q), for the target and for K draws of the noise."""
    job, visit = make_case(words=20, length=12_000, objective="nce", log_z=0.5, shared_words=128)
    tables, noise = random_tables(job, 6), noise_of(job)
    logits = tables[0] @ tables[1].T - 0.5 - np.log(5 * noise)
    draws = 5 * (np.logaddexp(0, logits) @ noise)
    got, wanted = mean_loss(job, visit, tables, lambda i, t: np.logaddexp(0, -logits[i, t]) + draws[i])
    assert got == pytest.approx(wanted, rel=5e-3)


def test_nce_never_masks():
    """A draw that hits the target counts as any other: negative sampling's would weigh nothing."""
    row = TileRow([0], 1.0, 1.0, [1])
    tile = Tile([row], [1], 1.0, 1)
    for objective, weight in (("nce", 5.0), ("negative-sampling", 0.0)):
        job = make_job(objective=objective)
        _, own = job.objective.columns(tile)
        gradient = job.objective.gradient(tile, own, np.zeros(1), np.zeros((1, 1)))
        assert gradient.shared_weight == weight


def changed(**changes):
    return dataclasses.replace(make_job(), **changes)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (changed(cap=0.0), "cap"),
        (changed(mode="hs"), "mode"),
        (changed(in_weight=np.ones(50, np.float32)), "go together"),
        (changed(objective=make_job(words=49).objective), "noise prob"),
        (changed(objective=dataclasses.replace(make_job().objective, negative=0)), "negative"),
        (changed(keep_threshold=np.ones(50, np.int64)), "keep_threshold"),
        (changed(tokens=zipf_ids(64, 300)), "outside the vocabulary"),
        (changed(tokens=np.zeros(0, np.int32)), "no tokens"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_jobs_that_kernels_could_not_bear_are_refused(job, message):
    with pytest.raises(ValueError, match=message):
        torch_step.create_step(job, *random_tables(make_job(), 4))


def test_tables_of_another_shape_are_refused():
    job = make_job()
    w_in, w_out = random_tables(job, 4)
    for tables, message in (((w_in[:49], w_out), "w_in has 49 rows"), ((w_in, w_out[:, :3].copy()), "w_out is")):
        with pytest.raises(ValueError, match=message):
            torch_step.create_step(job, *tables)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared_words": 5000}, "shares 1 to 1024 drawn words"),
        ({"shared_words": 0}, "shares 1 to 1024 drawn words"),
        ({"total": 0}, "total"),
        ({"done": np.array([-1])}, "done must not be negative"),
        ({"done": np.array([0, 1])}, "as long as"),
        ({"chunks": np.array([99])}, "chunks must lie in"),
        ({"chunks": np.array([0], np.int32)}, "chunks must be int64"),
        ({"draw_epoch": 2**32}, "draw_epoch"),
        ({"start_rate": float("nan")}, "finite"),
    ],
    ids=str,
)
def test_visits_that_mean_nothing_are_refused(changes, message):
    job = make_job()
    step = torch_step.create_step(job, *random_tables(job, 4))
    with pytest.raises(ValueError, match=message):
        step.train(dataclasses.replace(visit_of(job, np.array([0])), **changes))
