"""Training for few bits: each backend against the reference, what is learnt and saved, and what is refused."""

import json
from functools import partial

import numpy as np
import pytest

from benchmarks.parity import make_case, random_tables
from tests.conftest import share_of_right_neighbours
from w2vfast import backends, trainer
from w2vfast.backends import Choice
from w2vfast.codecs import method_of
from w2vfast.compress import open_compressed
from w2vfast.config import Config
from w2vfast.convert import convert
from w2vfast.errors import InputError
from w2vfast.formats import load_vectors
from w2vfast.kernels import contract, reference
from w2vfast.kernels.levels import BITS, levels_of
from w2vfast.kernels.triton import step as triton_step
from w2vfast.kernels.triton.config import tuning
from w2vfast.train import main

METHODS = {1: "binary", 2: "int2", 8: "int8"}
MODES = {
    "sg": {"mode": "sg"},
    "cbow": {"mode": "cbow"},
    "cbow-sum": {"mode": "cbow", "cbow_mean": False},
    "sg-tree": {"mode": "sg", "objective": "hierarchical-softmax"},
}
STEPS = {
    "torch": {"tokens_in_flight": 96, "row_cap": "batch"},
    "native": {"tokens_in_flight": 32, "row_cap": "tile"},
    "native-batches": {"tokens_in_flight": 96, "row_cap": "batch"},
}
TRAINED = {"vector_size": 24, "min_count": 1, "workers": 1, "sample": 0.0, "alpha": 0.05}


def native_or_skip(name):
    reason = backends.unavailable_reason(name)
    if reason is not None:
        pytest.skip(f"{name} cannot run here: {reason}")


@pytest.mark.parametrize("bits", BITS)
def test_levels_are_the_nearest_of_their_number(bits):
    levels = levels_of(bits, 50)
    s = np.sqrt(8 / 50)
    right = {1: [-s, s], 2: [-1.5 * s, -0.5 * s, 0.5 * s, 1.5 * s], 8: np.arange(-127, 128) * s / 16}[bits]
    values = np.random.default_rng(1).normal(size=(40, 50)) * 4 * s
    nearest = np.array(right)[np.abs(values[..., None] - np.array(right)).argmin(axis=2)]
    np.testing.assert_allclose(levels.nearest(values), nearest, rtol=1e-12)
    assert levels.nearest(np.full(3, np.nan, np.float32)).dtype == np.float32
    assert np.isnan(levels.nearest(np.array([np.nan]))).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_a_backend_equals_the_reference(name, mode, bits):
    """Rows large enough that all levels occur; each step's gradient is that of the levels, added to what is behind."""
    native_or_skip(name.partition("-")[0])
    job, visit = make_case(length=300, bits=bits, alpha=0.02, **MODES[mode], **STEPS[name])

    def tables(dtype):
        w_in, w_out = random_tables(job, 19)
        return (6 * w_in).astype(dtype), w_out.astype(dtype)

    right, ours = tables(np.float64), tables(np.float32)
    expected = reference.train(job, *right, visit)
    step = backends.module_of(name.partition("-")[0]).create_step(job, *ours, device="cpu", workers=1)
    result = step.train(visit)
    assert result.loss == pytest.approx(expected.loss, rel=1e-5)
    for before, exact, table in zip(tables(np.float64), right, ours, strict=True):
        step_size = np.abs(exact - before).max()
        assert step_size > 0
        np.testing.assert_allclose(table, exact, rtol=1e-5, atol=1e-4 * step_size)


def test_the_reference_reads_levels_and_steps_what_is_behind():
    job, visit = make_case(length=40, bits=1, min_alpha=0.05)
    w_in, w_out = random_tables(job, 10)
    plain_in, plain_out = levels_of(1, 10).nearest(w_in), w_out.copy()
    first = contract.Visit(**vars(visit) | {"chunks": visit.chunks[:1], "done": visit.done[:1]})
    tile = reference.tiles_of(job, first, 0)[0]
    behind = w_in.copy()
    reference.apply(job, [tile], w_in, w_out)
    before = plain_in.copy()
    unquantised = contract.Job(**vars(job) | {"bits": None})
    reference.apply(unquantised, [tile], plain_in, plain_out)
    np.testing.assert_allclose(w_in - behind, plain_in - before, atol=1e-12)
    np.testing.assert_array_equal(w_out, plain_out)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_few_bits_learn_the_themes(backend, mode, bits, themed_sentences):
    native_or_skip(backend)
    alpha = 0.2 if mode == "sg" else 0.05
    config = Config(backend=backend, mode=mode, bits=bits, epochs=5, **TRAINED | {"vector_size": 64, "alpha": alpha})
    result = trainer.train_sentences(themed_sentences, config)
    assert len(np.unique(result.w_in)) <= 2**bits
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > (0.5 if bits == 1 else 0.9)


@pytest.mark.parametrize("bits", BITS)
def test_what_is_saved_is_what_was_trained(tmp_path, themed_file, bits, capsys):
    flags = ["--bits", str(bits), "--vector-size", "21", "--backend", "torch", "--workers", "1", "--min-count", "1"]
    model = str(tmp_path / "model.safetensors")
    outputs = [tmp_path / "v.safetensors", tmp_path / "v.bin"]
    for output in outputs:
        assert main([str(themed_file), "-o", str(output), "--json", "--save-model", model, *flags]) == 0
        assert json.loads(capsys.readouterr().out)["settings"]["bits"] == bits
    small, plain = open_compressed(outputs[0]), load_vectors(outputs[1])
    assert method_of(small.codec) == METHODS[bits]
    assert small.arrays["codes"].nbytes == len(plain.words) * -(-21 * bits // 8)
    rows = load_vectors(outputs[0]).vectors
    if bits == 1:  # of length 1
        rows = rows * np.sqrt(8)
    np.testing.assert_allclose(rows, plain.vectors, rtol=1e-5)
    np.testing.assert_array_equal(load_vectors(model).vectors, plain.vectors)
    convert(outputs[0], tmp_path / "again.bin")
    assert load_vectors(tmp_path / "again.bin").words == plain.words


def test_scores_and_the_best_are_of_the_levels(themed_sentences):
    seen = []

    def evaluate(vectors):
        seen.append(vectors.vectors.copy())
        return -float(len(seen))  # the first is the best

    config = Config(backend="torch", bits=2, epochs=3, eval_every=1, keep_best=True, **TRAINED)
    result = trainer.train_sentences(themed_sentences[:200], config, evaluate=evaluate)
    assert all(len(np.unique(vectors)) <= 4 for vectors in seen)
    np.testing.assert_array_equal(result.w_in, seen[0])


def test_a_resumed_run_goes_on_from_the_rows_behind(tmp_path, themed_sentences):
    base = Config(backend="torch", bits=1, epochs=4, **TRAINED)
    whole = trainer.train_sentences(themed_sentences[:200], base)
    options = {"checkpoint": str(tmp_path / "state"), "checkpoint_every": 1e-6}
    calls = iter([False, True])
    first = Config(**vars(base) | options)
    with pytest.raises(Exception, match="stopped in epoch"):
        trainer.train_sentences(themed_sentences[:200], first, stop=partial(next, calls, True))
    resumed = trainer.train_sentences(themed_sentences[:200], Config(**vars(first) | {"resume": True}))
    np.testing.assert_array_equal(resumed.w_in, whole.w_in)
    np.testing.assert_array_equal(resumed.w_out, whole.w_out)


def test_what_cannot_be_had_is_refused(capsys, monkeypatch):
    for bits in (3, 0, True):
        with pytest.raises(InputError, match="bits must be one of 1, 2, 8, not"):
            Config(bits=bits)
    assert main(["none.txt", "--bits", "4"]) == 2
    assert "--bits: invalid choice: 4" in capsys.readouterr().err
    with pytest.raises(InputError, match="has no bits: take --backend native or torch"):
        backends.require(Choice("triton", "cuda", "asked for"), Config(bits=1))
    monkeypatch.setattr(backends, "_choose", lambda _: Choice("triton", "cuda", "a GPU"))
    monkeypatch.setattr(backends, "_torch_devices", lambda: ["cuda", "cpu"])
    assert backends.choose(Config(bits=1)).name == "torch"
    job, _ = make_case(bits=1)
    with pytest.raises(ValueError, match="triton backend has no bits"):
        triton_step._check_supported(job, tuning(None))
    with pytest.raises(ValueError, match="bits must be 1, 2 or 8, not 5"):
        contract.check(contract.Job(**vars(job) | {"bits": 5}), *random_tables(job, 8))
