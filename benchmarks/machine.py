"""What processor a row was measured on, by its own numbers; its sgemm peak, and the operations that are useful.

Names tell too little: several generations call themselves "AMD EPYC". Speeds are compared on one processor only.
"""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CPUINFO = Path("/proc/cpuinfo")
SIDE = 768  # of the matrices whose product is timed
# The column of a row, and what /proc/cpuinfo calls it on x86 and on ARM.
COLUMNS = {
    "cpu_vendor": ("vendor_id", "CPU implementer"),
    "cpu_family": ("cpu family", "CPU architecture"),
    "cpu_model": ("model", "CPU part"),
    "cpu_stepping": ("stepping", "CPU revision"),
}
# By vendor and family: models, steppings and the generation. Linux tells AMD's apart by the same ranges.
GENERATIONS: dict[tuple[str, int], list[tuple[range, range, str]]] = {
    ("AuthenticAMD", 25): [
        (range(0x10), range(256), "Zen 3"),
        (range(0x10, 0x20), range(256), "Zen 4"),
        (range(0x20, 0x60), range(256), "Zen 3"),
        (range(0x60, 0xB0), range(256), "Zen 4"),
    ],
    ("AuthenticAMD", 26): [
        (range(0x30), range(256), "Zen 5"),
        (range(0x40, 0x50), range(256), "Zen 5"),
        (range(0x60, 0x80), range(256), "Zen 5"),
    ],
    ("GenuineIntel", 6): [
        (range(85, 86), range(5), "Skylake"),
        (range(85, 86), range(5, 8), "Cascade Lake"),
        (range(85, 86), range(10, 12), "Cooper Lake"),
        (range(106, 107), range(256), "Ice Lake"),
        (range(143, 144), range(256), "Sapphire Rapids"),
        (range(173, 174), range(256), "Granite Rapids"),
        (range(207, 208), range(256), "Emerald Rapids"),
    ],
}


def identity(cpuinfo: Path = CPUINFO) -> dict[str, str]:
    """Return vendor, family, model, stepping and generation as a row's columns; "" for what is not known."""
    fields = _fields(cpuinfo)
    if not fields:
        unknown = dict.fromkeys([*COLUMNS, "cpu_generation"], "")
        return unknown | {"cpu_vendor": platform.processor() or platform.machine()}
    found = {column: next((fields[name] for name in names if name in fields), "") for column, names in COLUMNS.items()}
    return found | {"cpu_generation": generation(*found.values())}


def generation(vendor: str, family: str, model: str, stepping: str) -> str:
    """Return the name of a processor's generation, "" if it is not among GENERATIONS."""
    try:
        numbers = int(family), int(model), int(stepping)
    except ValueError:
        return ""
    known = GENERATIONS.get((vendor, numbers[0]), [])
    return next((name for models, steppings, name in known if numbers[1] in models and numbers[2] in steppings), "")


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Return the processor's name, generation and widest vector instructions, as the system tells."""
    fields = _fields(cpuinfo)
    if not fields:
        return platform.processor() or platform.machine()
    named = identity(cpuinfo)["cpu_generation"]
    parts = [
        fields.get("model name", "?"),
        f"({named})" if named else "",
        next((isa for isa in ("avx512f", "avx2") if isa in fields.get("flags", "").split()), ""),
        f"x {os.cpu_count()}",
    ]
    return " ".join(part for part in parts if part)


def _fields(cpuinfo: Path) -> dict[str, str]:
    """Return what the system says of the first processor, empty where there is no such file."""
    try:
        first = cpuinfo.read_text().split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def sgemm_peak(seconds: float = 1.0) -> float:
    """Return the GFLOP/s of one thread's float32 matrix product: the best within `seconds`, by CPU time.

    It is taken in a process of its own: OpenBLAS picks threads and kernel when it is loaded, and the peak is that of
    the processor's own kernel.
    """
    return _apart(f"time_sgemm({seconds})")


def bfloat16_peak(seconds: float = 1.0) -> float | None:
    """Return the same of PyTorch's product of bfloat16 matrices; None where the processor has none."""
    if "avx512_bf16" not in _fields(CPUINFO).get("flags", "").split():
        return None
    return _apart(f"time_bfloat16({seconds})")


def _apart(call: str) -> float:
    """Return what a function of this module gives in a process of its own, with one thread."""
    unset = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", f"import machine; print(machine.{call})"],
        cwd=Path(__file__).parent,
        env=environment | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def time_sgemm(seconds: float) -> float:
    """Return the best GFLOP/s of a CPU second that this process reaches within `seconds`."""
    return _best(np.ones((SIDE, SIDE), np.float32), seconds)


def time_bfloat16(seconds: float) -> float:
    """Return the same for PyTorch's matrices of bfloat16."""
    import torch

    torch.set_num_threads(1)
    return _best(torch.ones(SIDE, SIDE, dtype=torch.bfloat16), seconds)


def _best(a: Any, seconds: float) -> float:
    best = 0.0
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begin = time.process_time()
        for _ in range(5):
            a @ a
        best = max(best, 5 * 2 * SIDE**3 / (time.process_time() - begin) / 1e9)
    return best


def useful_operations(vector_size: int, pairs: float, shared: float) -> float:
    """Return the operations that a training cannot do without: 6 D a row product, there and back.

    `pairs` are positive pairs (skip-gram) or windows (CBOW), `shared` the products with negatives.
    """
    return 6 * vector_size * (pairs + shared)
