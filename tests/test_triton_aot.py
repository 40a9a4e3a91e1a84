"""The Triton kernels compiled for GPUs that are not here: registers, spills and instructions of every configuration.

The compiler and the interpreter cannot share a process: one subprocess compiles all.
"""

import csv
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from w2vfast import tiles
from w2vfast.config import Config

TABLE = Path(__file__).parent / "data" / "triton_resources.csv"
NVIDIA = ("80", "86", "89", "90")
pytestmark = pytest.mark.slow  # some 45 compilations

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton has no wheel for this platform", allow_module_level=True)


@pytest.fixture(scope="module")
def compiled():
    """Rows of what the compiler makes of every shipped configuration, as benchmarks/triton_aot.py prints them."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, Path(__file__).parent.parent / "benchmarks" / "triton_aot.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


CORPORA = {"large": 18_000_000, "small": 900_000}
# What users may ask for that changes T or N, and the architectures that it is compiled for here: 44 compiles at most.
OPTIONS = {
    "default": ({}, NVIDIA),
    "window-10": ({"window": 10}, ("80", "90")),
    "fast": ({"preset": "fast"}, ("80", "90")),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_what_the_schedule_chooses_is_compiled(compiled, mode, corpus, option):
    options, architectures = OPTIONS[option]
    config = Config(mode=mode, **options)
    chosen = tiles.choose(config, "triton", "cuda", 3 * CORPORA[corpus], CORPORA[corpus], 85_000)
    # Fewer negatives take fewer columns, hence nothing that more of them do not take.
    for arch in architectures:
        assert any(
            (row["mode"], row["objective"], row["arch"]) == (mode, "negative-sampling", arch)
            and (int(row["tile"]), row["precision"]) == (chosen.tile, "tf32")
            and int(row["window"]) >= config.window
            and int(row["shared_negatives"]) >= chosen.shared_negatives
            for row in compiled
        )


def test_every_vector_size_compiles_for_every_architecture(compiled):
    assert {row["arch"] for row in compiled} == {*NVIDIA, "gfx942"}
    for arch in NVIDIA:
        sizes = {(row["mode"], row["vector_size"]) for row in compiled if row["arch"] == arch}
        assert sizes >= {(mode, size) for mode in ("sg", "cbow") for size in ("100", "300")}
    assert len(compiled) <= 50


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_every_objective_is_compiled(compiled, mode):
    from w2vfast.kernels.triton import step

    assert {row["objective"] for row in compiled if row["mode"] == mode} == set(step.objectives())


def test_nothing_spills_and_nothing_compares_and_swaps(compiled):
    for row in compiled:
        assert row["compare_and_swap"] == "0", row
        assert int(row["reductions"]) > 0, row
        if row["arch"] in NVIDIA:
            assert row["spills"] == "0", row


def test_tensor_cores_are_used_in_the_tf32_build_alone(compiled):
    for row in compiled:
        assert (int(row["matrix"]) > 0) == (row["precision"] == "tf32"), row


def test_additions_are_vectors_on_hopper(compiled):
    for row in compiled:
        vectors = int(row["reductions"]) if row["arch"] == "90" and int(row["vector_size"]) % 4 == 0 else 0
        assert int(row["vector_reductions"]) == vectors, row


def test_registers_and_shared_memory_are_as_committed(compiled):
    with TABLE.open(newline="") as file:
        committed = list(csv.DictReader(file))
    ours, theirs = compiled[0]["triton"], committed[0]["triton"]
    if ours != theirs:
        pytest.skip(f"the table is of triton {theirs}, this is {ours}: its compiler allots registers otherwise")
    columns = ("mode", "objective", "arch", "vector_size", "tile", "shared_negatives", "window", "precision")
    columns += ("registers", "shared_bytes")
    assert [[row[name] for name in columns] for row in compiled] == [
        [row[name] for name in columns] for row in committed
    ]


def test_amd_is_reported(compiled):
    """Nobody has run it there: what would spill is said, not forbidden."""
    for row in compiled:
        if row["arch"] == "gfx942":
            print(f"gfx942 {row['mode']}: {row['registers']} registers, {row['spills']} spilled")
            assert int(row["instructions"]) > 0
