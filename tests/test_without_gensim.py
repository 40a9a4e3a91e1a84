"""Without gensim, as on a Python it has no wheel for: what can go on does, and what cannot says so before any work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2vfast.formats import Vectors, load_vectors, save_vectors

# smart_open comes with gensim and would be missing too.
PROGRAM = (
    "import runpy, sys; sys.modules['gensim'] = sys.modules['smart_open'] = None\n"
    "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
OPTIONS = ["--epochs", "1", "--vector-size", "8", "--min-count", "1"]
REMEDY = "needs gensim: pip install gensim (no wheel exists for Python 3.14 yet: use Python 3.13"
NO_DATA = f"nothing can be measured: a built-in data set {REMEDY}, or files of your own)"


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, f"w2vfast.{module}", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(themed_file: Path) -> Path:
    """A folder with themed.txt and some vectors of its words; in .kv they are there, though they cannot be read."""
    words = sorted(set(themed_file.read_text().split()))
    vectors = Vectors(words, np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32))
    for name in ("given.bin", "given.kv"):
        save_vectors(vectors, themed_file.parent / name)
    return themed_file.parent


@pytest.mark.parametrize("suffix", ["bin", "txt", "safetensors"])
def test_training(folder: Path, suffix: str) -> None:
    done = run(folder, "train", "themed.txt", "-o", f"v.{suffix}", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert load_vectors(folder / f"v.{suffix}").vectors.shape == (24, 8)


def test_conversion_and_evaluation(folder: Path) -> None:
    (folder / "pairs.tsv").write_text("ship sailor 9\nship oven 1\nbread oven 8\nbread comet 2\n")
    for arguments, said in (
        (["convert", "given.bin", "v.safetensors"], "24 vectors: v.safetensors"),
        (["convert", "v.safetensors", "projector", "--projector"], "24 vectors: projector"),
        (["eval", "neighbours", "v.safetensors", "ship"], "cosine"),
        (["eval", "analogy", "v.safetensors", "ship", "sailor", "oven"], "cosine"),
        (["eval", "given.bin", "--similarity", "pairs.tsv"], "pairs.tsv"),
    ):
        done = run(folder, *arguments)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "themed.txt", "-o", "v.kv", *OPTIONS], f"writing v.kv {REMEDY}, or .bin)"),
        (["train", "--demo", "-o", "v.bin"], f"--demo {REMEDY}, or a text of your own)"),
        (
            ["train", "themed.txt", "-o", "v.bin", *OPTIONS, "--eval-every", "1"],
            f"a built-in data set {REMEDY}, or files of your own)",
        ),
        (["convert", "given.bin", "v.kv"], f"writing v.kv {REMEDY}, or .bin)"),
        (["convert", "given.kv", "v.bin"], f"reading given.kv {REMEDY}, or a .bin of it)"),
        (["eval", "neighbours", "given.kv", "ship"], f"reading given.kv {REMEDY}, or a .bin of it)"),
        (["eval", "given.bin"], f"{NO_DATA}; give files in the vectors' language"),
        (["eval", "compare", "themed.txt", "--csv", "v.csv"], f"compare {REMEDY}, or --objectives)"),
        (["eval.gensim_runner", "themed.txt", "-o", "v.bin"], f"this command {REMEDY})"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_what_needs_gensim_says_so_in_one_line(folder: Path, arguments: list[str], message: str) -> None:
    """One line on stderr also means that nothing was scanned or trained before."""
    before = sorted(folder.iterdir())
    done = run(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"w2vfast.{arguments[0]}: error: {message}\n"
    assert sorted(folder.iterdir()) == before
