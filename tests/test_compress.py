"""Compression: every method against plain float64 or its own formula, files that read as any other, and faults."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors

from w2vfast.codecs import int4, int8, pq
from w2vfast.compress import METHODS, compress, compress_file, cosine_errors, main, open_compressed
from w2vfast.convert import convert
from w2vfast.errors import InputError
from w2vfast.formats import Vectors, load_vectors, open_vectors, save_vectors
from w2vfast.vectors import collect

HAS_FAISS = importlib.util.find_spec("faiss") is not None
NEEDED: dict[str, dict[str, Any]] = {"prune": {"keep": 0.3}, "svd": {"rank": 5}, "pq": {"bytes_per_row": 6}}
CASES = [
    pytest.param(
        method,
        options,
        id="-".join([method, *options]),
        marks=[pytest.mark.skipif(method == "pq" and not HAS_FAISS, reason="pip install 'w2vfast[faiss]'")],
    )
    for method, options in [*((m, NEEDED.get(m, {})) for m in METHODS), ("binary", {"rotate": True})]
]


def example(rows: int = 5000, size: int = 13, counts: bool = True) -> Vectors:
    rng = np.random.default_rng(rows)
    values = rng.normal(size=(rows, size)) @ rng.normal(size=(size, size)) + 0.5
    number = np.arange(rows, 0, -1, dtype=np.int64) if counts else None
    return Vectors([f"wört{i}" for i in range(rows)], values.astype(np.float32), number)


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_file_reads_as_any_other_and_as_what_is_in_memory(
    tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    vectors = example()
    save_vectors(vectors, tmp_path / "a.safetensors")
    report = compress_file(tmp_path / "a.safetensors", tmp_path / "b.safetensors", method, **options)
    small, same = compress(vectors, method, **options)
    assert report.largest_error == pytest.approx(same.largest_error, rel=1e-3, abs=1e-6)
    assert report.bytes_before == 4 * vectors.vectors.size
    assert report.bytes_after == small.nbytes < report.bytes_before
    loaded, held = load_vectors(tmp_path / "b.safetensors"), open_compressed(tmp_path / "b.safetensors")
    assert loaded.words == held.words == small.words == vectors.words
    assert loaded.counts is not None
    assert np.array_equal(loaded.counts, np.arange(5000, 0, -1))
    assert held.shape == loaded.shape == (5000, 13)
    assert np.array_equal(collect(held.stream()).vectors, loaded.vectors)
    ids = np.array([4999, 0, 4097, 7, 7, 2500])
    np.testing.assert_allclose(held.rows(ids), loaded.rows(ids), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(small.rows(ids), loaded.rows(ids), rtol=1e-4, atol=1e-5)
    errors = cosine_errors(vectors.vectors, loaded.vectors)
    assert report.mean_error == pytest.approx(errors.mean(), rel=1e-3, abs=1e-6)
    with open_vectors(tmp_path / "b.safetensors", limit=3) as stream:
        assert [words for words, _ in stream.blocks] == [vectors.words[:3]]
    convert(tmp_path / "b.safetensors", tmp_path / "c.bin")
    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / "c.bin"), binary=True)
    assert np.array_equal(theirs.vectors, loaded.vectors)


def test_int8_is_its_formula_and_half_a_step_wrong_at_most() -> None:
    vectors = example(300, 33)
    small, _ = compress(vectors, "int8")
    scales = np.abs(vectors.vectors).max(axis=1) / 127
    assert small.arrays["codes"].dtype == np.int8
    np.testing.assert_allclose(small.arrays["scales"], scales, rtol=1e-6)
    off = np.abs(small.rows(np.arange(300)) - vectors.vectors)
    assert (off <= scales[:, None] * 0.5001).all()


@pytest.mark.parametrize("codec", [int8.Codec(3), int4.Codec(3)])
def test_rows_of_zeros_and_of_tiny_and_huge_values_stay_finite(codec: Any) -> None:
    rows = np.float32([[0, 0, 0], [1e-42, 0, -1e-42], [3e38, -1e38, 0], [1e-30, 1e-31, 0]])
    read = codec.decode(codec.encode(rows))
    assert np.isfinite(read).all()
    assert not read[0].any()
    assert read[2][0] > 2e38


def test_int4_turns_rows_less_than_its_largest_scale_would() -> None:
    vectors = example(400, 64)
    small, report = compress(vectors, "int4")
    assert small.arrays["codes"].shape == (400, 32)
    scale = np.abs(vectors.vectors).max(axis=1, keepdims=True) / 7.5
    plain = np.clip(np.floor(vectors.vectors / scale) + 0.5, -7.5, 7.5) * scale
    assert report.mean_error < cosine_errors(vectors.vectors, plain.astype(np.float32)).mean()
    assert report.mean_error < 0.01


def test_binary_codes_are_packbits_and_a_rotation_turns_rows_less() -> None:
    vectors = example(2000, 24)
    small, plain = compress(vectors, "binary")
    assert np.array_equal(small.arrays["codes"], np.packbits(vectors.vectors > 0, axis=1))
    turned, rotated = compress(vectors, "binary", rotate=True)
    assert rotated.mean_error < plain.mean_error
    rotation: Any = turned.codec
    np.testing.assert_allclose(rotation.rotation @ rotation.rotation.T, np.eye(24), atol=1e-5)


def test_prune_keeps_the_largest_values_of_each_row_as_they_are() -> None:
    vectors = example(500, 20)
    small, _ = compress(vectors, "prune", keep=0.25)
    rows = small.rows(np.arange(500))
    largest = np.sort(np.abs(vectors.vectors), axis=1)[:, -5:]
    assert np.array_equal(np.sort(np.abs(rows), axis=1)[:, -5:], largest)
    assert ((rows == 0) | (rows == vectors.vectors)).all()


def test_svd_is_the_nearest_of_its_rank() -> None:
    vectors = example(800, 16)
    small, _ = compress(vectors, "svd", rank=6)
    left, values, right = np.linalg.svd(vectors.vectors.astype(np.float64), full_matrices=False)
    nearest = (left[:, :6] * values[:6]) @ right[:6]
    np.testing.assert_allclose(small.rows(np.arange(800)), nearest, atol=1e-4)


@pytest.mark.skipif(not HAS_FAISS, reason="pip install 'w2vfast[faiss]'")
def test_pq_gives_frequent_words_more_bytes_and_keeps_to_its_mean() -> None:
    vectors = example(4000, 16)
    small, _ = compress(vectors, "pq", bytes_per_row=4)
    errors = cosine_errors(vectors.vectors, small.rows(np.arange(4000)))
    assert errors[:1500].mean() < 0.5 * errors[1500:].mean()
    assert sum(array.nbytes for array in small.arrays.values()) <= 4 * 4000
    alike, _ = compress(vectors, "pq", bytes_per_row=4, frequent=0)
    errors = cosine_errors(vectors.vectors, alike.rows(np.arange(4000)))
    assert errors[:1500].mean() == pytest.approx(errors[1500:].mean(), rel=0.2)


def test_pq_is_read_without_faiss() -> None:
    books = np.arange(2 * 256 * 2, dtype=np.float32).reshape(2, 256, 2)
    finer = np.full((4, 256, 1), 0.25, dtype=np.float32)
    codec = pq.Codec(4, 1, books, np.eye(4, dtype=np.float32), finer, np.eye(4, dtype=np.float32))
    arrays = {"codes": np.uint8([[0, 1], [255, 0]]), "finer_codes": np.zeros((1, 4), np.uint8)}
    assert codec.decode(arrays).tolist() == [[0.25, 1.25, 514.25, 515.25], [510, 511, 512, 513]]


def test_usearch_takes_the_codes_as_they_are() -> None:
    index = pytest.importorskip("usearch.index", reason="usearch is not installed: pip install usearch")
    vectors = example(300, 32)
    for method, dtype, metric in (("int8", "i8", "cos"), ("binary", "b1", "hamming")):
        codes = compress(vectors, method)[0].arrays["codes"]
        built = index.Index(ndim=32, metric=metric, dtype=dtype)
        built.add(np.arange(300), codes)
        assert built.search(codes[7], 1).keys[0] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "svd", "--rank", "14"], "the rank must be from 1 to the 13 dimensions of the vectors, not 14"),
        (["--to", "svd"], r"svd needs --rank"),
        (["--to", "prune", "--keep", "1.5"], "the share of values to keep must be above 0 and at most 1"),
        (["--to", "int8", "--rank", "3"], "int8 has no option 'rank': it is one of svd"),
        (["--to", "int3"], "invalid choice: 'int3'"),
    ],
)
def test_what_is_refused_writes_nothing(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_vectors(example(50), tmp_path / "a.bin")
    assert main([str(tmp_path / "a.bin"), "-o", str(tmp_path / "b.safetensors"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    save_vectors(example(50), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"written as \.safetensors"):
        compress_file(tmp_path / "a.safetensors", tmp_path / "b.bin", "int8")
    with pytest.raises(InputError, match="is the file to be read"):
        compress_file(tmp_path / "a.safetensors", tmp_path / "a.safetensors", "int8")
    (tmp_path / "short.bin").write_bytes(b"2 3\na " + bytes(12) + b"b " + bytes(5) + b"\n")
    with pytest.raises(InputError, match="truncated"):
        compress_file(tmp_path / "short.bin", tmp_path / "b.safetensors", "int8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "short.bin"]


def test_broken_and_foreign_files_are_named(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    save_vectors(example(50), tmp_path / "a.safetensors")
    compress_file(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "int8")
    with pytest.raises(InputError, match="not compressed; read it with load_vectors"):
        open_compressed(tmp_path / "a.safetensors")
    tensors, held = load_file(tmp_path / "b.safetensors"), {"codec": "int8", "vector_size": "13"}
    for change, about, message in (
        ({"codes": None}, {}, "no tensor 'codes'"),
        ({"codes": tensors["codes"][:, :5].copy()}, {}, "no tensor 'codes' of int8"),
        ({}, {"codec": "int3"}, "compressed by 'int3', which this version"),
        ({}, {"vector_size": "many"}, "no number 'vector_size'"),
        ({}, {"codec": "svd"}, "no tensor 'directions'"),
    ):
        changed = {name: array for name, array in (tensors | change).items() if array is not None}
        save_file(changed, tmp_path / "c.safetensors", metadata=held | about)
        with pytest.raises(InputError, match=message):
            load_vectors(tmp_path / "c.safetensors")
    whole = (tmp_path / "b.safetensors").read_bytes()
    (tmp_path / "c.safetensors").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="broken safetensors file"):
        load_vectors(tmp_path / "c.safetensors")


def test_a_row_without_direction_is_named_where_only_directions_are_kept() -> None:
    vectors = Vectors(["a", "zero"], np.float32([[1, 0], [0, 0]]))
    assert compress(vectors, "int8")[1].largest_error < 1e-6
    for options in ({}, {"rotate": True}):
        with pytest.raises(InputError, match="the vector of 'zero' is all zeros"):
            compress(vectors, "binary", **options)


def test_a_missing_faiss_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2vfast.optional.is_installed", lambda package: False)
    with pytest.raises(InputError, match=r"product quantisation needs faiss: pip install 'w2vfast\[faiss\]'"):
        compress(example(300), "pq")


def test_the_command_says_what_was_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vectors(example(50), tmp_path / "a.bin")
    arguments = [str(tmp_path / "a.bin"), "-o", str(tmp_path / "b.safetensors"), "--to", "int8"]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["bytes_before"], said["bytes_after"]) == (50 * 52, 50 * 17)
    assert main(arguments) == 0
    assert "2,600 bytes of vectors before, 850 after (3.06 times smaller)" in capsys.readouterr().out
