"""The Triton kernels compiled for GPUs that are not here: registers, spills and instructions of every configuration.

The compiler and the interpreter cannot share a process: one subprocess compiles all.
"""

import csv
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from w2vfast import tiles
from w2vfast.config import Config
from w2vfast.kernels.triton.config import tuning

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tests" / "data" / "triton_resources.csv"
NVIDIA = ("80", "86", "89", "90")
BLACKWELL = ("100", "120")
# Those that a machine may have beside the one that is installed here; one of them may be that.
VERSIONS = ("3.4.0", "3.6.0", "3.9.0")
# Local loads and stores of a kernel, at most, under versions whose compiler allots registers less well.
SPILLS_OF_OLD = {"3.4.0": 11}
pytestmark = pytest.mark.slow  # some 100 compilations

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton has no wheel for this platform", allow_module_level=True)


def output_of(script, *arguments, version=None):
    """Return what a script prints in a process without the interpreter, under a version of triton."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    paths = [str(version or ""), str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    command = [sys.executable, ROOT / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def compiled():
    """Rows of what the compiler makes of every shipped configuration, as benchmarks/triton_aot.py prints them."""
    return rows_of(output_of("benchmarks/triton_aot.py"))


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    """The folder of a version of triton, and the version; installed there by pip once a machine."""
    folder = Path(tempfile.gettempdir()) / "w2vfast-triton" / request.param
    if not (folder / "triton").exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder]
        done = subprocess.run([*command, f"triton=={request.param}"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"triton {request.param} cannot be installed here: {done.stderr.strip()[-200:]}")
    return folder, request.param


def test_every_version_dispatches_and_adds_by_vectors(version):
    """Triton 3.4 and 3.6 write `atom` where 3.9 writes `red`: the machine code is the same, and is what is counted."""
    folder, name = version
    found = json.loads(output_of("tests/triton_jit.py", version=folder))
    assert found["triton"] == name
    for mode in ("sg", "cbow"):
        ours = found[mode]
        # Two programs a multiprocessor of the 132, and one compiled kernel for all epochs, places and groups.
        assert (ours["programs"], ours["variants"], ours["spilled_bytes"]) == (264, 1, 0), ours
        assert ours["vector_additions"] == ours["additions"] > 0
        assert ours["prefetches"] > 0
        # G takes the place of S: each thread writes what it has read, and no other thread's, by one layout for both.
        kinds, layouts = zip(*ours["accesses_of_scores"], strict=True)
        assert set(kinds) == {"load", "store"}
        assert len(set(layouts)) == 1, layouts


def test_every_version_compiles_what_is_shipped(version):
    """D = 128 and 300 for 9.0, tiles of 32 and 64, 10.0 and 12.0: additions and products as in the installed one."""
    folder, name = version
    T = 32 if name == "3.4.0" else 16  # of CBOW: kernels/triton/step.py has no short tiles there
    chosen = ["sg,negative-sampling,90,128,32,32,5,tf32", f"cbow,negative-sampling,90,128,{T},16,5,tf32"]
    chosen += ["sg,negative-sampling,90,300,32,32,5,tf32", "sg,negative-sampling,90,100,64,16,5,tf32"]
    chosen += ["sg,negative-sampling,80,100,32,32,5,tf32", "sg,negative-sampling,100,128,32,32,5,tf32"]
    chosen += ["cbow,negative-sampling,120,128,32,16,5,tf32"]
    arguments = [word for one in chosen for word in ("--one", one)]
    for row in rows_of(output_of("benchmarks/triton_aot.py", *arguments, version=folder)):
        assert int(row["spills"]) <= SPILLS_OF_OLD.get(row["triton"], 0), row
        assert row["compare_and_swap"] == "0"
        assert int(row["matrix"]) > 0
        vectors = int(row["reductions"]) if row["arch"] != "80" else 0
        assert int(row["vector_reductions"]) == vectors > -1


def test_every_configuration_that_is_timed_compiles():
    """benchmarks/gpu.py sweeps them on a GPU: what spills there is told, what does not compile would waste the loan."""
    rows = rows_of(output_of("benchmarks/triton_aot.py", "--swept"))
    assert len(rows) >= 30
    for row in rows:
        assert int(row["matrix"]) > 0
        print(f"{row['mode']} T={row['tile']} D={row['vector_size']} {row['tuned']}: {row['spills']} spills")


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
    # Fewer negatives take fewer columns, hence nothing that more of them do not take.
    for arch in architectures:
        chosen = tiles.choose(
            config, "triton", "cuda", 3 * CORPORA[corpus], CORPORA[corpus], 85_000, tuning(int(arch)).short_tiles
        )
        assert any(
            (row["mode"], row["objective"], row["arch"]) == (mode, "negative-sampling", arch)
            and (int(row["tile"]), row["precision"]) == (chosen.tile, "tf32")
            and int(row["window"]) >= config.window
            and int(row["shared_negatives"]) >= chosen.shared_negatives
            for row in compiled
        )


def test_every_vector_size_compiles_for_every_architecture(compiled):
    assert {row["arch"] for row in compiled} == {*NVIDIA, *BLACKWELL, "gfx942"}
    for arch in NVIDIA:
        sizes = {(row["mode"], row["vector_size"]) for row in compiled if row["arch"] == arch}
        assert sizes >= {(mode, size) for mode in ("sg", "cbow") for size in ("100", "300")}
    assert len(compiled) <= 56


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_every_objective_is_compiled(compiled, mode):
    from w2vfast.kernels.triton import step

    assert {row["objective"] for row in compiled if row["mode"] == mode} == set(step.objectives())


def test_nothing_spills_and_nothing_compares_and_swaps(compiled):
    for row in compiled:
        assert row["compare_and_swap"] == "0", row
        assert int(row["reductions"]) > 0, row
        if row["arch"] != "gfx942":
            assert row["spills"] == "0", row


def test_tensor_cores_are_used_in_the_tf32_build_alone(compiled):
    for row in compiled:
        assert (int(row["matrix"]) > 0) == (row["precision"] == "tf32"), row


def test_additions_are_vectors_on_hopper(compiled):
    for row in compiled:
        hopper_on = row["arch"] in ("90", *BLACKWELL) and int(row["vector_size"]) % 4 == 0
        vectors = int(row["reductions"]) if hopper_on else 0
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


def test_the_design_for_hopper_compiles_without_spills(tmp_path):
    """docs/hopper_tile.cu, which nothing else builds: the registers that docs/gpu-kernels.md says."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("there is no nvcc here")
    command = [nvcc, "-arch=sm_90a", "-O3", "-std=c++17", "-Xptxas", "-v", "-cubin"]
    command += ["-o", tmp_path / "hopper_tile.cubin", ROOT / "docs" / "hopper_tile.cu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    registers = re.findall(r"Used (\d+) registers", done.stderr)
    assert len(registers) == done.stderr.count("0 bytes spill stores, 0 bytes spill loads") == 3
    page = (ROOT / "docs" / "gpu-kernels.md").read_text()
    if "release 13.0" in subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout:
        assert {f"| {number} | 0 |" in page for number in registers} == {True}


def test_amd_is_reported(compiled):
    """Nobody has run it there: what would spill is said, not forbidden."""
    for row in compiled:
        if row["arch"] == "gfx942":
            print(f"gfx942 {row['mode']}: {row['registers']} registers, {row['spills']} spilled")
            assert int(row["instructions"]) > 0
