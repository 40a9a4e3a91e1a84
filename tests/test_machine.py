"""What a processor is called, whatever name it gives itself, and its sgemm peak by a process of its own."""

import subprocess
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import machine

    return machine


def cpuinfo(folder, **fields):
    lines = {"vendor_id": "AuthenticAMD", "cpu family": 25, "model": 17, "model name": "AMD EPYC", "stepping": 1}
    lines |= {"flags": "sse2 avx2 avx512f"} | {name.replace("_", " "): value for name, value in fields.items()}
    text = "".join(f"{name}\t: {value}\n" for name, value in lines.items())
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\n{text}\nprocessor\t: 1\nmodel\t\t: 99\n")
    return path


def test_processors_of_one_name_are_told_apart(machine, tmp_path):
    zen4 = cpuinfo(tmp_path)
    assert machine.identity(zen4) == {
        "cpu_vendor": "AuthenticAMD",
        "cpu_family": "25",
        "cpu_model": "17",
        "cpu_stepping": "1",
        "cpu_generation": "Zen 4",
    }
    assert machine.processor(zen4).startswith("AMD EPYC (Zen 4) avx512f x ")
    zen5 = cpuinfo(tmp_path, cpu_family=26, model=2, flags="avx2")
    assert machine.processor(zen5).startswith("AMD EPYC (Zen 5) avx2 x ")


@pytest.mark.parametrize(
    ("vendor", "family", "model", "stepping", "name"),
    [
        ("AuthenticAMD", 25, 1, 1, "Zen 3"),
        ("AuthenticAMD", 25, 15, 0, "Zen 3"),
        ("AuthenticAMD", 25, 16, 0, "Zen 4"),
        ("AuthenticAMD", 25, 31, 0, "Zen 4"),
        ("AuthenticAMD", 25, 33, 0, "Zen 3"),
        ("AuthenticAMD", 25, 160, 2, "Zen 4"),
        ("AuthenticAMD", 25, 175, 2, "Zen 4"),
        ("AuthenticAMD", 25, 176, 2, ""),
        ("AuthenticAMD", 26, 2, 1, "Zen 5"),
        ("AuthenticAMD", 23, 49, 0, ""),
        ("GenuineIntel", 6, 85, 4, "Skylake"),
        ("GenuineIntel", 6, 85, 7, "Cascade Lake"),
        ("GenuineIntel", 6, 85, 11, "Cooper Lake"),
        ("GenuineIntel", 6, 106, 6, "Ice Lake"),
        ("GenuineIntel", 6, 143, 8, "Sapphire Rapids"),
        ("GenuineIntel", 6, 207, 2, "Emerald Rapids"),
        ("GenuineIntel", 25, 17, 1, ""),
        ("0x41", "8", "0xd0c", "1", ""),
    ],
)
def test_generations(machine, vendor, family, model, stepping, name):
    assert machine.generation(vendor, str(family), str(model), str(stepping)) == name


def test_arm_and_systems_that_tell_nothing(machine, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"
    )
    assert list(machine.identity(path).values()) == ["0x41", "8", "0xd0c", "1", ""]
    unknown = machine.identity(tmp_path / "missing")
    assert unknown["cpu_vendor"]
    assert list(unknown) == list(machine.identity(path))
    assert set(unknown.values()) == {unknown["cpu_vendor"], ""}
    assert machine.processor(tmp_path / "missing") == unknown["cpu_vendor"]


def test_the_peak_is_taken_with_one_thread_and_the_processors_own_kernel(machine, monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "Nehalem")
    started = []
    run = subprocess.run

    def watched(command, **how):
        started.append(how["env"])
        return run(command, **how)

    monkeypatch.setattr(subprocess, "run", watched)
    assert 0.1 < machine.sgemm_peak(0.1) < 10_000
    (environment,) = started
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"


def test_useful_operations_are_native_kernels_formula(machine):
    assert machine.useful_operations(100, 7, 32 * 3) == 6 * 100 * (7 + 96)


def test_bfloat16_has_a_peak_where_the_processor_multiplies_it(machine, monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPUINFO", cpuinfo)
    cpuinfo.write_text("flags : avx512f\n")
    assert machine.bfloat16_peak(0.1) is None
    cpuinfo.write_text("flags : avx512f avx512_bf16\n")
    assert 0.1 < machine.bfloat16_peak(0.1) < 100_000
