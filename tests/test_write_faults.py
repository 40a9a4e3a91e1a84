"""Failing disks: whatever call fails, what was written before is there after; and a disk that is really full."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import write_faults
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.files import replace_together
from w2vfast.train import main

SOURCE = Path(__file__).parent / "native" / "failing_writes.c"
SLOW = ("large-kv",)  # 44 MB for each of its calls
# The least calls of a kind that a clean run has: an open, a write, a sync, a rename, and the sync of the folder.
LEAST = 5


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that fails calls, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def fail_all(shim, folder, kinds):
    """Return how many calls each kind has, of which each was failed once."""
    command = [sys.executable, "-m", "tests.write_faults", folder, *kinds]
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {kind: int(calls) for kind, calls, _ in lines}


def folder_in_memory(tmp_path):
    """Return where syncs cost nothing, if there is such a place."""
    return Path("/dev/shm") / f"w2vfast-{os.getpid()}" if Path("/dev/shm").is_dir() else tmp_path / "files"


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "slow"])
def test_whatever_call_fails_everything_earlier_is_intact(slow, shim, tmp_path):
    pytest.importorskip("gensim")
    kinds = [kind for kind in write_faults.KINDS if (kind in SLOW) == slow]
    folder = folder_in_memory(tmp_path)
    folder.mkdir()
    try:
        calls = fail_all(shim, folder, kinds)
    finally:
        shutil.rmtree(folder)
    assert list(calls) == kinds
    assert min(calls.values()) >= LEAST


def test_files_take_their_places_together_or_not_at_all(tmp_path, monkeypatch):
    new, places = [tmp_path / f"new{i}" for i in range(3)], [tmp_path / f"place{i}" for i in range(3)]
    places[0].write_text("old 0")
    places[2].write_text("old 2")
    real, calls = os.replace, []

    def fail_third(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(source, target)

    for turn in (fail_third, real):
        monkeypatch.setattr(os, "replace", turn)
        for i, file in enumerate(new):
            file.write_text(f"new {i}")
        if turn is real:
            replace_together(dict(zip(new, places, strict=True)))
        else:
            with pytest.raises(OSError, match="No space"):
                replace_together(dict(zip(new, places, strict=True)))
            for file in new:
                file.unlink(missing_ok=True)
        expected = (
            {"place0": "old 0", "place2": "old 2"} if turn is not real else {f"place{i}": f"new {i}" for i in range(3)}
        )
        hidden = {path.name: path.read_text() for path in tmp_path.iterdir() if not path.name.startswith(".")}
        assert hidden == expected


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk, leave):
    """Fill a disk but for so many bytes."""
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(max(0, free - leave)))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.kv", "v.safetensors"])
@pytest.mark.parametrize("checked", [True, False], ids=["told-before", "found-out"])
def test_an_output_on_a_full_disk(name, checked, small_disk, themed_file, tmp_path, monkeypatch, capsys):
    """What is there stays; where the lack is found out only when writing, the vectors are saved elsewhere."""
    if name == "v.kv":
        pytest.importorskip("gensim")
    words = [
        str(themed_file),
        "-o",
        str(small_disk / name),
        "--min-count",
        "1",
        "--vector-size",
        "300",
        "--workers",
        "1",
    ]
    assert main(words) == 0
    before = (small_disk / name).read_bytes()
    fill(small_disk, 10_000)
    if not checked:
        monkeypatch.setattr("w2vfast.room.refuse_lack_of_space", lambda *_: None)
    capsys.readouterr()
    assert main([*words, "--seed", "2"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert ("the output needs" in told) == checked
    assert ("the vectors are in" in told) != checked
    assert (small_disk / name).read_bytes() == before
    assert {path.name for path in small_disk.iterdir()} == {name, "filler"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_checkpoints_and_scans_on_a_full_disk(small_disk, themed_file, tmp_path, monkeypatch):
    from w2vfast import trainer

    options = {"min_count": 1, "workers": 1, "vector_size": 1000, "epochs": 3}
    whole = trainer.train_files([themed_file], Config(**options))
    options |= {"checkpoint": str(small_disk / "state"), "cache_dir": str(small_disk)}
    fill(small_disk, 250_000)  # one checkpoint, of two tables of 96 kB, and a scan
    with pytest.warns(UserWarning, match="cannot write a checkpoint in .*No space left on device"):
        result = trainer.train_files([themed_file], Config(**options, checkpoint_every=1e-6))
    np.testing.assert_array_equal(result.w_in, whole.w_in)
    with pytest.raises(InputError, match=r"a checkpoint needs|cannot write a checkpoint"):
        trainer.train_files([themed_file], Config(**options | {"checkpoint": str(small_disk / "other")}))
    (small_disk / "filler").unlink()
    resumed = trainer.train_files([themed_file], Config(**options, resume=True))
    np.testing.assert_array_equal(resumed.w_in, whole.w_in)
