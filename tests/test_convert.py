"""Conversion between every pair of formats, with --top, in bounded memory, and the projector's files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from w2vfast.convert import convert, main
from w2vfast.formats import Vectors, load_vectors, save_vectors

SUFFIXES = ["bin", "txt", "vec", "kv", "safetensors"]


def example(rows: int = 5000) -> Vectors:
    values = np.random.default_rng(0).normal(size=(rows, 9)).astype(np.float32)
    return Vectors([f"wört{i}" for i in range(rows)], values, np.arange(rows, 0, -1, dtype=np.int64))


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_every_pair_of_formats(tmp_path: Path, source: str, target: str) -> None:
    vectors = example()
    save_vectors(vectors, tmp_path / f"a.{source}")
    assert convert(tmp_path / f"a.{source}", tmp_path / f"b.{target}", top=4500) == 4500
    loaded = load_vectors(tmp_path / f"b.{target}")
    assert loaded.words == vectors.words[:4500]
    assert np.array_equal(loaded.vectors, vectors.vectors[:4500])
    if {source, target} <= {"kv", "safetensors"}:
        assert loaded.counts is not None
        assert vectors.counts is not None
        assert np.array_equal(loaded.counts, vectors.counts[:4500])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vectors(example(10), tmp_path / "a.bin")
    assert main([str(tmp_path / "a.bin"), str(tmp_path / "b.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vectors"] == 10
    assert len(KeyedVectors.load_word2vec_format(str(tmp_path / "b.txt"))) == 10


@pytest.mark.parametrize("counts", [True, False])
def test_projector_files(tmp_path: Path, counts: bool) -> None:
    vectors = example(10)
    name = "a.safetensors" if counts else "a.bin"
    save_vectors(vectors, tmp_path / name)
    assert main([str(tmp_path / name), str(tmp_path / "new" / "p"), "--projector"]) == 0
    folder = tmp_path / "new" / "p"
    assert np.array_equal(np.loadtxt(folder / "tensor.tsv", dtype=np.float32, delimiter="\t"), vectors.vectors)
    lines = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert lines == (
        ["word\tcount"] + [f"wört{i}\t{10 - i}" for i in range(10)] if counts else [f"wört{i}" for i in range(10)]
    )
    assert 'tensor_path: "tensor.tsv"' in (folder / "projector_config.pbtxt").read_text()
    assert sorted(os.listdir(folder)) == ["metadata.tsv", "projector_config.pbtxt", "tensor.tsv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.bin", "b.txt"], "cannot read missing.bin: No such file"),
        (["a.bin", "b.csv"], "b.csv: suffix '.csv' says no known format"),
        (["a.bin", "a.bin"], "a.bin is the file to be read"),
        (["a.bin", "b.txt", "--top", "0"], "must be at least 1, not 0"),
        (["a.bin"], "the following arguments are required: output"),
        (["a.bin", "a.bin", "--projector"], "cannot make the folder a.bin"),
        (["broken.bin", "b.txt"], "truncated"),
        (["tab.safetensors", "p", "--projector"], "cannot hold the word 'a\\tb'"),
        (["tab.safetensors", "b.bin"], "the word 'a\\tb' holds white space"),
    ],
)
def test_faults_are_one_line_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_vectors(example(10), "a.bin")
    Path("broken.bin").write_bytes(Path("a.bin").read_bytes()[:-5])
    save_vectors(Vectors(["a\tb"], np.ones((1, 2), np.float32)), "tab.safetensors")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    written = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(written) == ["a.bin", "broken.bin", "tab.safetensors"]


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kibibytes on Linux only")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    rows, size = 30_000, 1000
    block = np.ones((rows, size), np.float32)
    save_vectors(Vectors([f"w{i}" for i in range(rows)], block), tmp_path / "a.bin")
    code = (
        "import resource, sys; from w2vfast.convert import convert\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "convert(*sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.bin", tmp_path / "b.safetensors"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert int(run.stdout) * 1024 < block.nbytes / 2
