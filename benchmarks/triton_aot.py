"""Compiles the kernels ahead of time, for GPUs that are not there, and reads the machine code.

    python benchmarks/triton_aot.py                 a CSV row for every shipped configuration and architecture
    python benchmarks/triton_aot.py --one sg,negative-sampling,90,128,32,32,5,tf32
    python benchmarks/triton_aot.py --swept         every configuration that benchmarks/gpu.py times, for 9.0

Needs a process in which triton was imported without TRITON_INTERPRET. tests/test_triton_aot.py compares the rows with
the committed ones; benchmarks/gpu_model.py counts the instructions of a tile.
"""

import argparse
import concurrent.futures
import csv
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import parity

from w2vfast import tiles
from w2vfast.kernels.contract import CHUNK_TOKENS, Job
from w2vfast.kernels.triton.config import Launch, Precision, launch, tuning

POINTERS = {
    **dict.fromkeys(("w_in_ptr", "w_out_ptr", "in_weight_ptr", "out_weight_ptr", "objective_ptr"), "*fp32"),
    **dict.fromkeys(("weights_ptr", "scales_ptr", "scores_ptr"), "*fp32"),
    **dict.fromkeys(("tokens_ptr", "keep_threshold_ptr", "noise_prob_ptr", "noise_alias_ptr"), "*i32"),
    **dict.fromkeys(("next_ptr", "notes_ptr", "ids_ptr"), "*i32"),
    **dict.fromkeys(("order_ptr", "slots_ptr", "done_ptr", "counts_ptr"), "*i64"),
    **dict.fromkeys(("rates_ptr", "loss_ptr"), "*fp64"),
}
SCALARS = {"seed": "i64", "n_tokens": "i64", "cap": "fp32"}  # the rest are i32


class Configuration(NamedTuple):
    """What a kernel is compiled for; `arch` is a compute capability (90 for 9.0) or an AMD architecture."""

    mode: str
    objective: str
    arch: str
    vector_size: int
    tile: int
    shared_negatives: int
    window: int
    precision: Precision


NVIDIA = ("80", "86", "89", "90")
MODES = ("sg", "cbow")
# (T, N, W) that tiles.py chooses: by default, below a million tokens, from window 8 on, and for --preset fast.
DEFAULT = {"sg": (32, 32, 5), "cbow": (32, 16, 5)}
SHORT = DEFAULT | {"cbow": (16, 16, 5)}  # where config.py says short_tiles
SMALL = {"sg": (32, 64, 5), "cbow": (32, 64, 5)}
WIDE = {"sg": (16, 64, 10), "cbow": (32, 64, 10)}
FAST = {"sg": (64, 16, 5), "cbow": (64, 8, 5)}


def default(arch: str) -> dict[str, tuple[int, int, int]]:
    """Return what tiles.py chooses by default on an architecture, by mode."""
    return SHORT if arch.isdigit() and tuning(int(arch)).short_tiles else DEFAULT


# Tests compile them all. D changes strides and masks, hardly the registers; 8.6 and 8.9 are twins.
NS, NCE, SAMPLED = "negative-sampling", "nce", "sampled-softmax"
SHIPPED = [
    *(
        Configuration(mode, NS, arch, D, *default(arch)[mode], "tf32")
        for arch in NVIDIA
        for D in (100, 300)
        for mode in MODES
    ),
    *(Configuration(mode, NS, arch, 128, *default(arch)[mode], "tf32") for arch in ("80", "90") for mode in MODES),
    *(Configuration(mode, NS, arch, 100, *SMALL[mode], "tf32") for arch in NVIDIA for mode in MODES),
    *(Configuration(mode, NS, arch, 100, *WIDE[mode], "tf32") for arch in ("80", "90") for mode in MODES),
    *(Configuration(mode, NS, arch, 100, *FAST[mode], "tf32") for arch in ("80", "90") for mode in MODES),
    *(Configuration(mode, NCE, arch, 100, *default(arch)[mode], "tf32") for arch in ("80", "90") for mode in MODES),
    *(Configuration(mode, SAMPLED, arch, 100, *SMALL[mode], "tf32") for arch in ("80", "90") for mode in MODES),
    *(Configuration(mode, SAMPLED, "90", 100, *FAST[mode], "tf32") for mode in MODES),
    # Blackwell: data centres' and consumers'.
    *(Configuration(mode, NS, arch, 128, *default(arch)[mode], "tf32") for arch in ("100", "120") for mode in MODES),
    *(Configuration(mode, NS, "120", 100, *FAST[mode], "tf32") for mode in MODES),
    # Parity is checked in ieee; AMD is compiled, and run by nobody yet.
    *(Configuration(mode, NS, "90", 100, *SHORT[mode], "ieee") for mode in MODES),
    *(Configuration(mode, NS, "gfx942", 100, *DEFAULT[mode], "tf32") for mode in MODES),
]


@dataclass(frozen=True)
class Resources:
    """What the machine code of a configuration uses and contains; counts of instructions are static."""

    triton: str  # version that compiled it
    mode: str
    objective: str
    arch: str
    vector_size: int
    tile: int
    shared_negatives: int
    window: int
    precision: str
    registers: int
    shared_bytes: int
    spills: int  # local loads and stores
    matrix: int  # tensor core instructions
    reductions: int  # fire-and-forget atomic additions of float32
    vector_reductions: int  # of these, four at a time
    compare_and_swap: int
    instructions: int
    tuned: str = ""  # what differs from the architecture's tuning


Tuned = tuple[tuple[str, int], ...]  # fields of config.Tuning in place of the architecture's


def job_of(configuration: Configuration) -> Job:
    """Return a job with a configuration's constants, static weights and the largest chunks, and hardly any data."""
    c = configuration
    return parity.make_job(
        words=2,
        length=2,
        mode=c.mode,
        objective=c.objective,
        target_mask=c.mode == "cbow",
        static=True,
        window=c.window,
        tile=c.tile,
        chunk_size=CHUNK_TOKENS,
    )


def launch_of(configuration: Configuration, tuned: Tuned = ()) -> Launch:
    """Return the constants that a configuration is launched with."""
    from w2vfast.kernels.triton import step

    c, job = configuration, job_of(configuration)
    chosen = replace(tuning(int(c.arch) if c.arch.isdigit() else None), **dict(tuned))
    config = launch(job, c.shared_negatives, c.vector_size, chosen, c.precision)
    config.constants.update(step.objective_file(c.objective).constants(job.objective))
    return config


def compile_kernel(configuration: Configuration, tuned: Tuned = ()) -> Any:
    """Return triton's compiled kernel, as the launcher would have it compiled."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from w2vfast.kernels.triton.kernel import train_kernel as kernel

    config = launch_of(configuration, tuned)
    signature: dict[str, str] = {}
    aligned: dict[tuple[int, ...], list[list[object]]] = {}
    for position, name in enumerate(kernel.arg_names):
        if name in config.constants:
            signature[name] = "constexpr"
        elif name in POINTERS:
            signature[name] = POINTERS[name]
            aligned[(position,)] = [["tt.divisibility", 16]]  # as PyTorch's allocator aligns them
        else:
            signature[name] = SCALARS.get(name, "i32")
    if configuration.arch.isdigit():
        target = GPUTarget("cuda", int(configuration.arch), 32)
    else:
        target = GPUTarget("hip", configuration.arch, 64)
    source = ASTSource(kernel, signature, config.constants, aligned)
    return triton.compile(source, target=target, options=dict(config.options))


def tools() -> Path:
    """Return the folder of NVIDIA's binary utilities inside triton."""
    import triton

    return Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def disassemble(compiled: Any) -> tuple[str, str]:
    """Return (resource usage, machine code) of a kernel compiled for NVIDIA."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = {"cuobjdump": "-res-usage", "nvdisasm": "-c"}
        usage, code = (
            subprocess.run([str(tools() / tool), flag, file.name], capture_output=True, text=True, check=True).stdout
            for tool, flag in command.items()
        )
    return usage, code


def instructions(code: str) -> list[str]:
    """Return the operations, with their modifiers, of nvdisasm's text."""
    pattern = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Za-z0-9_.]*)", re.MULTILINE)
    return pattern.findall(code)


def inspect(configuration: Configuration, tuned: Tuned = ()) -> Resources:
    """Compile a configuration and count what its machine code uses."""
    import triton

    compiled = compile_kernel(configuration, tuned)
    if not configuration.arch.isdigit():
        code = compiled.asm["amdgcn"]

        def count(pattern: str) -> int:
            return len(re.findall(pattern, code, re.MULTILINE))

        registers = int(re.findall(r"\.vgpr_count:\s+(\d+)", code)[0])
        spills = int(re.findall(r"\.vgpr_spill_count:\s+(\d+)", code)[0])
        counts = (
            count(r"v_mfma"),
            count(r"global_atomic_\w*add_f32"),
            0,
            count(r"cmpswap"),
            count(r"^\t[sv]_|^\tglobal_"),
        )
        return Resources(triton.__version__, *configuration, registers, compiled.metadata.shared, spills, *counts)
    usage, code = disassemble(compiled)
    found = re.search(r"REG:(\d+)", usage)
    assert found is not None
    names = instructions(code)

    def total(pattern: str) -> int:
        return sum(re.match(pattern, name) is not None for name in names)

    return Resources(
        triton.__version__,
        *configuration,
        registers=int(found[1]),
        shared_bytes=compiled.metadata.shared,
        spills=total(r"(LDL|STL)\b"),
        matrix=total(r"(HMMA|HGMMA|QGMMA)\b"),
        reductions=total(r"REDG?\b.*F32"),
        vector_reductions=total(r"REDG?\b.*F32x4"),
        compare_and_swap=total(r"ATOM\w*\b.*CAS"),
        instructions=len(names),
        tuned=" ".join(f"{name}={value}" for name, value in tuned),
    )


def swept() -> list[tuple[Configuration, Tuned]]:
    """Return what benchmarks/gpu.py times on a GPU of capability 9.0, but for what changes no constant."""
    import gpu

    found: dict[tuple[Configuration, Tuned], None] = {}
    for change in gpu.sweep_changes(gpu.FULL):
        tuned = tuple((k, v) for k, v in change.items() if k not in ("tile", "negatives", "in_flight", "D"))
        for mode in MODES:
            size, tile = change.get("D", gpu.FULL.sizes[0]), change.get("tile", default("90")[mode][0])
            negatives = change.get("negatives", tiles.LEAST_NEGATIVES[mode])
            found[Configuration(mode, NS, "90", size, tile, negatives, 5, "tf32"), tuned] = None
    return list(found)


def parse(text: str) -> Configuration:
    """Return the configuration that a comma-separated text names."""
    mode, objective, arch, D, T, N, W, precision = text.split(",")
    return Configuration(
        mode, objective, arch, int(D), int(T), int(N), int(W), "ieee" if precision == "ieee" else "tf32"
    )


def main(argv: list[str] | None = None) -> int:
    """Write a CSV of the resources of all shipped configurations, or of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=parse, action="append", help="mode,objective,arch,D,T,N,W,precision")
    parser.add_argument("--swept", action="store_true", help="what benchmarks/gpu.py times")
    arguments = parser.parse_args(argv)
    chosen = swept() if arguments.swept else [(configuration, ()) for configuration in arguments.one or SHIPPED]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(len(os.sched_getaffinity(0)), context) as pool:
        rows = [asdict(row) for row in pool.map(inspect, *zip(*chosen, strict=True))]
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(Resources)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
