"""bfloat16 products on native: held to a reference that rounds the same operands, refusals, and who takes them."""

import functools

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, make_job, random_tables, reference_run, visit_of
from tests.conftest import DRAWN_MODES, case_options
from w2vfast import backends, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels import reference
from w2vfast.kernels.native import step as native_step

if native_step.unavailable_reason() is not None:
    pytest.skip(f"native backend: {native_step.unavailable_reason()}", allow_module_level=True)

HERE = "bfloat16" in native_step.precisions("negative-sampling")
needs_bfloat16 = pytest.mark.skipif(not HERE, reason="this processor has no AVX512-BF16")
# Each word once: native merges a row or a column that occurs twice, and rounds the sum of what the reference rounds.
WORDS = 400
ONCE = {
    "words": WORDS,
    "tokens": np.random.default_rng(3).permutation(WORDS).astype(np.int32),
    "keep_threshold": np.full(WORDS, 2**32 - 1, np.uint32),
}
CASES = {
    "defaults": {},
    "tile-63": {"tile": 63},
    "shared-words-17": {"shared_words": 17},
    "one-shared-word": {"shared_words": 1, "negative": 1},
    "no-mask": {"target_mask": False},
    "tight-cap": {"cap": 0.05},
    "window-50": {"window": 50, "tile": 16},
}


def test_the_reference_rounds_to_the_nearest_even():
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 0.0], np.float64)
    expected = [1.0, 1.0, 1 + 4 * 2**-8, 1 + 2 * 2**-8, -1.0, 0.0]
    np.testing.assert_array_equal(reference.bfloat16(values), expected)


@needs_bfloat16
@pytest.mark.parametrize(
    ("case", "vector_size"), [*(("defaults", D) for D in (1, 9, 100, 300)), *((c, 33) for c in CASES)]
)
@pytest.mark.parametrize("mode", DRAWN_MODES)
def test_a_step_is_the_references(mode, case, vector_size):
    """To 1e-8 as a rule; where float32 puts a sum on the other side of a tie, one operand is a bfloat16 away."""
    job, visit = make_case(**case_options(case, ONCE | {"first_rank": 1} | CASES[case], mode))
    create = functools.partial(native_step.create_step, precision="bfloat16", poison=True)
    right = reference_run(job, visit, vector_size, "bfloat16")
    error = hold(create, job, visit, vector_size, right=right).error
    assert error <= 1e-3
    if case == "defaults":  # what is not rounded is told apart
        assert hold(create, job, visit, vector_size).error > max(1e-3, 3 * error)


@needs_bfloat16
@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_workers_change_no_bit_of_a_batch(mode):
    job = make_job(length=3000, mode=mode, row_cap="batch", tokens_in_flight=128)
    found = []
    for workers in (1, 3):
        tables = random_tables(job, 20, np.float32)
        step = native_step.create_step(job, *tables, precision="bfloat16", workers=workers)
        found.append((step.train(visit_of(job)), tables[0].tobytes(), tables[1].tobytes()))
    assert found[0] == found[1]


def test_where_it_is_and_where_it_is_not(monkeypatch):
    def chosen(**options):
        return backends.choose(Config(**options)).precision

    monkeypatch.setattr(native_step, "precisions", lambda objective: ("float32",))
    assert chosen(backend="native") == chosen(backend="torch") == "float32"
    with pytest.raises(
        InputError, match=r"native backend has no bfloat16 .* here, only float32: .*AVX512-BF16 \(AMD Zen 4"
    ):
        chosen(backend="native", precision="bfloat16")
    with pytest.raises(InputError, match="tf32 is triton's"):
        chosen(backend="native", precision="tf32")
    monkeypatch.undo()
    for options in ({"backend": "torch"}, {"backend": "native", "objective": "softmax"}):
        with pytest.raises(InputError, match="bfloat16 is native's, for negative-sampling and nce"):
            chosen(precision="bfloat16", **options)
        assert chosen(**options) == "float32"
    job = make_job(length=100, objective="softmax")
    with pytest.raises(ValueError, match="softmax has no products in bfloat16"):
        native_step.create_step(job, *random_tables(job, 4, np.float32), precision="bfloat16")


@needs_bfloat16
def test_auto_takes_it_and_says_so(themed_sentences):
    runs = {
        name: trainer.train_sentences(
            themed_sentences, Config(precision=name, vector_size=8, min_count=1, workers=1, epochs=1, backend="native")
        )
        for name in ("auto", "bfloat16", "float32")
    }
    assert {name: run.settings["precision"] for name, run in runs.items()} == {
        "auto": "bfloat16",
        "bfloat16": "bfloat16",
        "float32": "float32",
    }
    np.testing.assert_array_equal(runs["auto"].w_in, runs["bfloat16"].w_in)
    difference = np.abs(runs["auto"].w_in - runs["float32"].w_in).max()
    assert 0 < difference < 0.05 * np.abs(runs["float32"].w_in).max()
