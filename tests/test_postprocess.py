"""Post-processing against plain float64, streamed in blocks, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from w2vfast.errors import InputError
from w2vfast.formats import Vectors, load_vectors, save_vectors
from w2vfast.moments import moments, sample
from w2vfast.postprocess import main, postprocess
from w2vfast.vectors import stream_of


def example(rows: int = 9000, size: int = 20) -> Vectors:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(rows, size)) * np.linspace(3, 0.3, size) @ rng.normal(size=(size, size)) + 5
    return Vectors([f"w{i}" for i in range(rows)], values.astype(np.float32))


def test_moments_are_those_of_all_rows_at_once() -> None:
    """Blocks of one row and of many, far from 0, where sums of squares would lose digits."""
    rows = example(1000, 7).vectors + np.float32(1e3)
    found = moments([rows[:1], rows[1:400], rows[400:]], 7)
    exact = rows.astype(np.float64)
    assert found.rows == 1000
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(exact.T, bias=True), rtol=1e-10)


def test_a_sample_is_rows_of_the_stream_each_once() -> None:
    vectors = Vectors([f"w{i}" for i in range(9000)], np.arange(9000, dtype=np.float32)[:, None])
    taken = sample(stream_of(vectors), 500, 1)[:, 0]
    assert len(set(taken.tolist())) == 500
    assert (np.diff(taken) > 0).all()
    assert taken[-1] > 8000
    assert np.array_equal(sample(stream_of(vectors), 10_000, 1), vectors.vectors)


def test_all_but_the_top_is_that_of_plain_float64(tmp_path: Path) -> None:
    vectors = example()
    save_vectors(vectors, tmp_path / "a.bin")
    postprocess(tmp_path / "a.bin", tmp_path / "b.bin", remove=3)
    centred = vectors.vectors.astype(np.float64) - vectors.vectors.astype(np.float64).mean(axis=0)
    top = np.linalg.svd(centred, full_matrices=False)[2][:3]
    expected = centred - centred @ top.T @ top
    np.testing.assert_allclose(load_vectors(tmp_path / "b.bin").vectors, expected, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("remove", [None, 2])
def test_pca_keeps_what_varies_most_of_what_is_left(tmp_path: Path, remove: int | None) -> None:
    vectors = example()
    save_vectors(vectors, tmp_path / "a.bin")
    postprocess(tmp_path / "a.bin", tmp_path / "b.safetensors", remove=remove, pca=5, unit=True)
    centred = vectors.vectors.astype(np.float64) - vectors.vectors.astype(np.float64).mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][remove or 0 :][:5]
    expected = centred @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    got = load_vectors(tmp_path / "b.safetensors").vectors
    signs = np.sign((got * expected).sum(axis=0))  # an eigenvector's sign is arbitrary
    np.testing.assert_allclose(got * signs, expected, atol=2e-7)


def test_the_command_measures_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "tiger",
        "cat",
        "car",
        "automobile",
        "book",
        "paper",
        "king",
        "queen",
        "computer",
        "keyboard",
        "plane",
        "train",
        "love",
        "sex",
    ]
    values = np.random.default_rng(0).normal(size=(len(words), 200)).astype(np.float32)
    save_vectors(Vectors(words, values), tmp_path / "a.bin")
    arguments = [str(tmp_path / "a.bin"), "-o", str(tmp_path / "b.bin"), "--all-but-the-top", "--unit"]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["steps"] == ["all-but-the-top 2", "unit"]  # D / 100
    assert [row["step"] for row in said["quality"]] == ["before", *said["steps"]]
    assert said["quality"][1]["wordsim353"] == pytest.approx(said["quality"][2]["wordsim353"])
    assert main(arguments) == 0
    assert "all-but-the-top 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"remove": 20}, "0 to 19 of 20 directions can be removed, not 20"),
        ({"pca": 21}, "PCA keeps 1 to 20 dimensions"),
        ({"remove": 3, "pca": 18}, "PCA keeps 1 to 17 dimensions"),
        ({}, "nothing to do: give --all-but-the-top, --pca or --unit"),
    ],
)
def test_what_is_refused_writes_nothing(tmp_path: Path, options: dict[str, int], message: str) -> None:
    save_vectors(example(50), tmp_path / "a.bin")
    with pytest.raises(InputError, match=message):
        postprocess(tmp_path / "a.bin", tmp_path / "b.bin", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_row_without_direction_is_named(tmp_path: Path) -> None:
    save_vectors(Vectors(["a", "zero"], np.float32([[1, 0], [0, 0]])), tmp_path / "a.bin")
    with pytest.raises(InputError, match="the vector of 'zero' is all zeros"):
        postprocess(tmp_path / "a.bin", tmp_path / "b.bin", unit=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_it_does_not_write_over_what_it_reads(tmp_path: Path) -> None:
    save_vectors(example(50), tmp_path / "a.bin")
    with pytest.raises(InputError, match="is the file to be read"):
        postprocess(tmp_path / "a.bin", tmp_path / "a.bin", unit=True)
