"""Nearest rows by blocks and by an index, against plain float64, and what is said of an index that does not fit."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from w2vfast.errors import InputError
from w2vfast.eval import search
from w2vfast.eval.__main__ import main
from w2vfast.eval.neighbours import complete_analogy, nearest
from w2vfast.formats import Vectors, save_vectors

needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="faiss is not installed: pip install 'w2vfast[faiss]'"
)


def clustered(rows: int, size: int = 12) -> Vectors:
    rng = np.random.default_rng(rows)
    centres = rng.normal(size=(20, size))
    values = centres[rng.integers(20, size=rows)] + rng.normal(size=(rows, size)) * 0.5
    values *= rng.uniform(0.1, 10, size=(rows, 1))
    return Vectors([f"w{i}" for i in range(rows)], values.astype(np.float32))


def plain(vectors: Vectors, queries: np.ndarray, count: int) -> np.ndarray:
    rows = vectors.vectors.astype(np.float64)
    cosines = queries.astype(np.float64) @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


@pytest.mark.parametrize(("rows", "count"), [(1, 3), (30, 30), (2500, 7), (4200, 2100)])
def test_blocks_find_what_plain_float64_finds(rows: int, count: int) -> None:
    vectors = clustered(rows)
    queries = (
        np.random.default_rng(1).normal(size=(search.BLOCK_QUERIES + 3 if count < 10 else 5, 12)).astype(np.float32)
    )
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found, cosines = search.exact(vectors, queries, count)
    assert found.shape == (len(queries), min(count, rows))
    assert (np.diff(cosines, axis=1) <= 0).all()
    expected = plain(vectors, queries, count)
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    # Neighbours that float32 cannot tell apart may change places.
    true = np.take_along_axis(queries.astype(np.float64) @ unit.T.astype(np.float64), expected, axis=1)
    assert np.abs(cosines - true).max() < 1e-6
    assert (found == expected).mean() > 0.98
    assert all(len(set(line)) == len(line) for line in found.tolist())


def test_of_equal_rows_the_first_come_first() -> None:
    vectors = Vectors([f"w{i}" for i in range(5000)], np.tile(np.float32([[3, 4], [1, 0]]), (2500, 1)))
    found, _ = search.exact(vectors, np.float32([[0.6, 0.8]]), 4)
    assert found.tolist() == [[0, 2, 4, 6]]


@needs_faiss
def test_an_index_is_made_used_and_made_again_for_other_vectors(tmp_path: Path) -> None:
    vectors = clustered(3000)
    made = search.Index(vectors, tmp_path / "v.bin")
    assert made.made
    assert (tmp_path / "v.bin.faiss").exists()
    opened = search.Index(vectors, tmp_path / "v.bin")
    assert not opened.made
    assert 0.5 < opened.recall <= 1
    words = ["w0", "w77", "w2999"]
    right = nearest(vectors, words)
    found = nearest(vectors, words, index=opened)
    shares = [len({w for w, _ in found[word]} & {w for w, _ in right[word]}) / 10 for word in words]
    assert np.mean(shares) > 0.5
    assert all(word not in dict(near) for word, near in found.items())
    assert not {"w1", "w2", "w3"} & {w for w, _ in complete_analogy(vectors, "w1", "w2", "w3", index=opened)}
    others = Vectors(vectors.words, np.ascontiguousarray(vectors.vectors[::-1]))
    assert search.Index(others, tmp_path / "v.bin").made


@needs_faiss
def test_an_index_that_searches_all_lists_recalls_nearly_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCHED", 1)
    assert search.Index(clustered(3000), tmp_path / "v.bin").recall > 0.95  # int8 rows change some


@needs_faiss
def test_the_command_says_what_the_index_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vectors(clustered(3000), tmp_path / "v.bin")
    assert main(["neighbours", str(tmp_path / "v.bin"), "w5", "--index", "--json"]) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["w5"]) == 10
    assert "% of the exact neighbours" in said.err
    assert "made and saved" in said.err
    (tmp_path / "v.bin.faiss").write_bytes(b"no index")
    assert main(["neighbours", str(tmp_path / "v.bin"), "w5", "--index"]) == 2
    assert "no index of faiss; remove it" in capsys.readouterr().err


def test_a_missing_faiss_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("w2vfast.optional.is_installed", lambda package: False)
    with pytest.raises(InputError, match=r"an index needs faiss: pip install 'w2vfast\[faiss\]'"):
        search.Index(clustered(10), tmp_path / "v.bin")
