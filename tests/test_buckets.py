"""Words that share rows of W_in: each backend against the reference, what is learnt and saved, and what is refused."""

import json
import zlib

import numpy as np
import pytest

from benchmarks.parity import make_case, random_tables
from tests.conftest import share_of_right_neighbours
from w2vfast import backends, trainer
from w2vfast.backends import Choice
from w2vfast.codecs import method_of
from w2vfast.compress import open_compressed
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.formats import load_vectors
from w2vfast.kernels import contract, reference
from w2vfast.train import main

MODES = {"sg": {"mode": "sg"}, "cbow": {"mode": "cbow"}, "cbow-sum": {"mode": "cbow", "cbow_mean": False}}
STEPS = {
    "torch": {"tokens_in_flight": 96, "row_cap": "batch"},
    "native": {"tokens_in_flight": 32, "row_cap": "tile"},
    "native-batches": {"tokens_in_flight": 96, "row_cap": "batch"},
}
TRAINED = {"vector_size": 16, "min_count": 1, "workers": 1, "sample": 0.0, "alpha": 0.05, "epochs": 5}


def native_or_skip(name):
    reason = backends.unavailable_reason(name)
    if reason is not None:
        pytest.skip(f"{name} cannot run here: {reason}")


def tables(job, dtype):
    w_in, w_out = random_tables(job, 19, dtype)
    return w_in[: job.in_rows].copy(), w_out


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_a_backend_equals_the_reference(name, mode, tight):
    """Rows are shared by words of one tile too; with a tight cap what they weigh together shows."""
    native_or_skip(name.partition("-")[0])
    in_row = (np.arange(50) % 13).astype(np.int32)
    job, visit = make_case(length=400, in_row=in_row, cap=0.1 if tight else 2.0, **MODES[mode], **STEPS[name])
    right, ours = tables(job, np.float64), tables(job, np.float32)
    expected = reference.train(job, *right, visit)
    step = backends.module_of(name.partition("-")[0]).create_step(job, *ours, device="cpu", workers=1)
    result = step.train(visit)
    assert (result.pairs, result.trained) == (expected.pairs, expected.trained)
    assert result.loss == pytest.approx(expected.loss, rel=1e-5)
    for before, exact, table in zip(tables(job, np.float64), right, ours, strict=True):
        np.testing.assert_allclose(table, exact, rtol=1e-5, atol=1e-4 * np.abs(exact - before).max())


def test_a_row_of_its_own_for_every_word_changes_nothing():
    job, visit = make_case(length=100, in_row=np.arange(50, dtype=np.int32))
    ours, theirs = random_tables(job, 8), random_tables(job, 8)
    reference.train(job, *ours, visit)
    reference.train(contract.Job(**vars(job) | {"in_row": None}), *theirs, visit)
    np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_frequent_words_have_rows_and_the_others_share(backend, themed_sentences):
    native_or_skip(backend)
    config = Config(backend=backend, buckets=20, **TRAINED)
    result = trainer.train_sentences(themed_sentences, config)
    words, rows = result.vocab.words, result.in_row
    assert rows[:10].tolist() == list(range(10))
    for one in range(10, 24):
        for other in range(10, 24):
            same = zlib.crc32(words[one].encode()) % 10 == zlib.crc32(words[other].encode()) % 10
            assert same == (rows[one] == rows[other])
    assert result.w_in.shape == (rows.max() + 1, 16)
    assert result.w_in.shape[0] <= 20
    assert result.vectors.shape == (24, 16)
    alone = [i for i in range(24) if (rows == rows[i]).sum() == 1]
    vectors = result.vectors.vectors[alone]
    assert share_of_right_neighbours([words[i] for i in alone], vectors) > 0.6


def test_what_is_saved_holds_the_shared_rows_once(tmp_path, themed_file, capsys):
    flags = ["--buckets", "12", "--vector-size", "100", "--backend", "torch", "--workers", "1", "--min-count", "1"]
    model = str(tmp_path / "model.safetensors")
    outputs = [tmp_path / "v.safetensors", tmp_path / "v.bin"]
    for output in outputs:
        assert main([str(themed_file), "-o", str(output), "--json", "--save-model", model, *flags]) == 0
        assert json.loads(capsys.readouterr().out)["settings"]["buckets"] == 12
    small, plain = open_compressed(outputs[0]), load_vectors(outputs[1])
    assert method_of(small.codec) == "buckets"
    assert small.nbytes <= 12 * 400 + 24 * 4
    for path in (outputs[0], model):
        np.testing.assert_array_equal(load_vectors(path).vectors, plain.vectors)
    small.arrays["codes"][3] = 12
    with pytest.raises(InputError, match="row is not in the file's table"):
        small.rows(np.array([3]))


def test_what_cannot_be_had_is_refused(themed_sentences):
    with pytest.raises(InputError, match="buckets does not go with bits"):
        Config(buckets=10, bits=1)
    with pytest.raises(InputError, match="buckets does not go with objective margin"):
        Config(buckets=10, objective="margin")
    with pytest.raises(InputError, match="24 buckets for 24 words leave nothing to share"):
        trainer.train_sentences(themed_sentences, Config(buckets=24, backend="torch", **TRAINED))
    with pytest.raises(InputError, match="has no buckets: take --backend native or torch"):
        backends.require(Choice("triton", "cuda", "asked for"), Config(buckets=10))
    job, _ = make_case(in_row=np.zeros(50, np.int32))
    for wrong in (np.zeros(49, np.int32), np.zeros(50, np.int64), np.full(50, -1, np.int32)):
        with pytest.raises(ValueError, match="in_row must be"):
            contract.check(contract.Job(**vars(job) | {"in_row": wrong}), *tables(job, np.float64))
