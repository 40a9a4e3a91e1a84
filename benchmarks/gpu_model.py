"""Predicts the Triton kernels' speed from what is counted: bytes, reductions, products and machine instructions.

    python benchmarks/gpu_model.py            H100, A100, RTX 4090; D = 128 and 300; both modes
    python benchmarks/gpu_model.py --phases   where a tile's cycles go
    python benchmarks/gpu_model.py --json

Nothing here was measured on a GPU: every figure is a prediction. Instructions are counted in the machine code that the
shipped configuration compiles to, loops weighed by how often they run; cycles.py walks one warp through it. Bytes and
row moves follow from the algorithm (tests/test_triton_parity.py counts them). The ceilings are data sheets'; where no
data sheet says, they are assumptions, named below, which benchmarks/gpu.py measures.
"""

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import cycles
import triton_aot
from cycles import Code, Loop
from triton_aot import Configuration

from w2vfast.kernels.triton.config import resident_programs

IN_FLIGHT = 16384  # tokens, the most that tiles.py asks for
REGISTERS_A_PROCESSOR, THREADS_A_PROCESSOR = 65536, 1536
SCHEDULERS = 4  # of a processor, an instruction a cycle each


@dataclass(frozen=True)
class Gpu:
    """Ceilings of a GPU. L2 and latencies are assumptions of the right size, the rest is from data sheets."""

    name: str
    arch: str
    memory: float  # bytes/s
    level2: float  # bytes/s, reads
    processors: int
    shared: int  # bytes of a processor
    clock: float  # Hz
    tf32: float  # dense multiply-adds/s, without sparsity
    memory_latency: float  # cycles, under load
    level2_latency: float  # cycles


GPUS = (
    Gpu("H100 SXM", "90", 3.35e12, 5.5e12, 132, 228 << 10, 1.70e9, 247e12, 750, 280),
    Gpu("A100 SXM", "80", 2.04e12, 4.0e12, 108, 164 << 10, 1.41e9, 78e12, 600, 250),
    Gpu("RTX 4090", "89", 1.01e12, 4.0e12, 128, 100 << 10, 2.50e9, 41e12, 900, 300),
)
# Assumptions: what a kernel of gathers and reductions reaches of a ceiling.
MEMORY_SHARE = 0.80
MATRIX_SHARE = 0.30  # mma.sync with operands through shared memory, no wgmma
REDUCTION_SHARE = 0.40  # of L2's read bandwidth


@dataclass(frozen=True)
class Prediction:
    """Predicted trained tokens/s of one configuration, and what each ceiling alone would allow."""

    gpu: str
    mode: str
    vector_size: int
    tile: int
    shared_words: int
    programs: int
    row_moves: float
    bytes_a_token: float
    instructions_a_token: float  # of a warp
    multiply_adds_a_token: float
    cycles_a_tile: float  # of one warp alone
    contended_cycles: float  # where those that share its scheduler issue too
    floor: float  # tokens/s at full memory bandwidth, every distinct row moved once each way
    memory: float
    level2: float
    reductions: float
    matrix: float
    issue: float
    latency: float
    predicted: float
    share_of_floor: float
    bound: str


def columns_of(constants: dict[str, int | bool | str]) -> int:
    """Return the columns that a tile's scores have, with what pads them."""
    return int(constants["GROUPS"]) * int(constants["PER_GROUP"]) * int(constants["BLOCK_S"])


def contains(names: list[str], loop: Loop, pattern: str) -> bool:
    """Return whether a loop has an operation that matches."""
    return any(re.match(pattern, name) for name in names[loop.first : loop.last + 1])


def trips_of(configuration: Configuration, code: Code) -> Callable[[Loop], tuple[int, ...]]:
    """Return the function that says how often a loop of a tile runs, and the loops within it, outermost first."""
    c = triton_aot.launch_of(configuration).constants
    blocks = columns_of(c) // int(c["BLOCK_C"])
    steps = -(-configuration.vector_size // int(c["BLOCK_D"]))
    updates = -(-configuration.vector_size // int(c["BLOCK_U"]))
    halo_blocks = int(c.get("HALO_BLOCKS", 1))
    entries = columns_of(c) + halo_blocks * int(c["BLOCK_H"])
    targets = int(c["SHARED_AT"]) // int(c["BLOCK_C"])
    has = partial(contains, code.names)

    def trips(loop: Loop) -> tuple[int, ...]:
        if has(loop, "HMMA"):
            return (updates, max(blocks, halo_blocks)) if has(loop, "RED") else (int(c["GROUPS"]), steps, halo_blocks)
        if has(loop, "CCTL"):  # prefetches of entries
            return (-(-entries // int(c["BLOCK_E"])),)
        if loop.inner:  # entries, each block of them against all
            return (-(-entries // int(c["BLOCK_E"])), -(-entries // int(c["BLOCK_C"])))
        if has(loop, r"MUFU\.EX2"):  # over the targets' columns, then over those drawn
            return (targets if loop is next(of for of in code.loops if has(of, r"MUFU\.EX2")) else blocks - targets,)
        return (halo_blocks if has(loop, "SHFL") else 1,)

    return trips


def instructions_a_tile(configuration: Configuration, code: str) -> float:
    """Return the instructions that a warp runs for one full tile, the plan's share included.

    The kernel's own code is one loop over chunks, which takes them by an atomic; a tile's phases are functions behind
    it. Their loops are told apart by what they contain: pass 1 multiplies and adds nothing to the tables, pass 2 does
    both, the gradient takes exponentials, the cap compares entries with entries.
    """
    read = cycles.read(code)
    names, outermost = read.names, read.loops
    c = triton_aot.launch_of(configuration).constants
    tiles = int(c["CHUNK"]) / configuration.tile
    has, trips = partial(contains, names), trips_of(configuration, read)

    def own(loop: Loop) -> int:
        return loop.last - loop.first + 1 - sum(inner.last - inner.first + 1 for inner in loop.inner)

    def run(loop: Loop, times: tuple[int, ...]) -> float:
        return times[0] * (own(loop) + sum(run(inner, times[1:]) for inner in loop.inner))

    (chunks,) = [loop for loop in outermost if has(loop, "ATOMG")]
    (tile,) = chunks.inner
    phases = [loop for loop in outermost if loop.first > chunks.last]
    ends = [first for first, _ in read.functions[1:]] + [len(names)]
    ((first, end),) = [(f, end) for (f, name), end in zip(read.functions, ends, strict=True) if name == "plan_chunk"]
    (plan,) = [loop for loop in phases if first <= loop.first < end]
    phases.remove(plan)
    of_chunk = run(plan, (int(c["CHUNK"]) // int(c["BLOCK_P"]),)) + end - first - (plan.last - plan.first + 1)
    tail = [*names[chunks.last : first], *names[end:]]
    straight = sum(name != "NOP" for name in tail) - sum(loop.last - loop.first + 1 for loop in phases)
    return of_chunk / tiles + own(tile) + straight + sum(run(loop, trips(loop)) for loop in phases)


def latencies_of(gpu: Gpu, constants: dict[str, Any]) -> cycles.Latencies:
    """Return what pass 1 waits for rows: level 2 where they were asked for in the tile before."""
    first = gpu.level2_latency if constants["PREFETCH"] else gpu.memory_latency
    return cycles.Latencies(first, gpu.level2_latency)


def predict(gpu: Gpu, mode: str, vector_size: int) -> Prediction:
    """Return the prediction of a mode's default configuration on a GPU."""
    tile, negatives, window = triton_aot.default(gpu.arch)[mode]
    configuration = Configuration(mode, triton_aot.NS, gpu.arch, vector_size, tile, negatives, window, "tf32")
    config, c = triton_aot.launch_of(configuration), triton_aot.launch_of(configuration).constants
    compiled = triton_aot.compile_kernel(configuration)
    usage, code = triton_aot.disassemble(compiled)
    registers = re.search(r"REG:(\d+)", usage)
    assert registers is not None
    threads = 32 * int(config.options["num_warps"])
    resident = resident_programs(
        gpu.processors, REGISTERS_A_PROCESSOR, gpu.shared, THREADS_A_PROCESSOR,
        of_thread=int(registers[1]), of_program=compiled.metadata.shared, warps=threads // 32,
    )  # fmt: skip
    programs = min(resident, IN_FLIGHT // tile)

    rows = 2 * tile + 2 * window + negatives
    row_moves = 2 * rows / tile
    row = 4 * vector_size
    columns = columns_of(c)
    steps = -(-vector_size // int(c["BLOCK_D"]))
    halo_blocks = int(c.get("HALO_BLOCKS", 0))
    scores = 4 * columns * int(c["BLOCK_T"])
    # Level 2 sees both reads of a row, S once each way, and of the two readings of G a step what L1 misses: a half.
    level2_bytes = (2 * rows * row + scores * (3 + steps)) / tile
    added_bytes = rows * row / tile
    padded = steps * int(c["BLOCK_D"])
    halo = halo_blocks * int(c.get("BLOCK_H", 0))
    warps = threads // 32
    # Pass 1's warps lie along a product's longer side, 16 rows or 8 columns each; the ones left over repeat.
    block_t, block_s = int(c["BLOCK_T"]), int(c["BLOCK_S"])
    repeats = max(1, warps // (block_t // 16 if block_t >= block_s else block_s // 8))
    multiply_adds = block_t * padded * ((repeats + 2) * columns + 3 * halo) / tile
    issued = instructions_a_tile(configuration, code) * warps / tile
    read = cycles.read(code)
    phases = cycles.tile(read, trips_of(configuration, read), latencies_of(gpu, c)).values()
    alone = sum(phase.cycles for phase in phases)
    # Of the warps of a scheduler one issues at a time: where all are as far, a warp waits for the others' instructions.
    beside = programs / gpu.processors * warps / SCHEDULERS - 1
    contended = alone + max(0.0, beside) * sum(phase.instructions for phase in phases)
    bounds = {
        "memory": MEMORY_SHARE * gpu.memory / (row_moves * row),
        "level2": gpu.level2 / level2_bytes,
        "reductions": REDUCTION_SHARE * gpu.level2 / added_bytes,
        "matrix": MATRIX_SHARE * gpu.tf32 / multiply_adds,
        "issue": gpu.processors * SCHEDULERS * gpu.clock / issued,
        "latency": programs * tile * gpu.clock / contended,
    }
    bound = min(bounds, key=lambda name: bounds[name])
    floor = gpu.memory / (row_moves * row)
    return Prediction(
        gpu.name, mode, vector_size, tile, negatives, programs, row_moves, row_moves * row, issued, multiply_adds,
        alone, contended, floor, **bounds, predicted=bounds[bound], share_of_floor=bounds[bound] / floor, bound=bound,
    )  # fmt: skip


def print_phases() -> None:
    """Print cycles, instructions and barriers of each phase of the defaults' tiles on the first GPU."""
    gpu = GPUS[0]
    for mode in ("sg", "cbow"):
        for size in (128, 300):
            tile, negatives, window = triton_aot.default(gpu.arch)[mode]
            configuration = Configuration(mode, triton_aot.NS, gpu.arch, size, tile, negatives, window, "tf32")
            _, text = triton_aot.disassemble(triton_aot.compile_kernel(configuration))
            code = cycles.read(text)
            latencies = latencies_of(gpu, triton_aot.launch_of(configuration).constants)
            phases = cycles.tile(code, trips_of(configuration, code), latencies)
            total = sum(phase.cycles for phase in phases.values())
            print(
                f"{mode} T={tile} D={size}: {total:.0f} cycles a tile, {instructions_a_tile(configuration, text):.0f} "
                "instructions a warp, the plan's share included"
            )
            for name, phase in phases.items():
                print(
                    f"    {name:12} {phase.cycles:6.0f} cycles ({phase.cycles / total:4.0%}) "
                    f"{phase.instructions:5.0f} instructions {phase.barriers:4.0f} barriers"
                )


def main(argv: list[str] | None = None) -> int:
    """Print the predictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--phases", action="store_true", help="a tile on 9.0 by its phases, one warp alone")
    arguments = parser.parse_args(argv)
    if arguments.phases:
        print_phases()
        return 0
    rows = [predict(gpu, mode, size) for gpu in GPUS for size in (128, 300) for mode in ("sg", "cbow")]
    if arguments.json:
        print(json.dumps({"prediction": [asdict(row) for row in rows]}, indent=1))
        return 0
    print("PREDICTION, not a measurement: million trained tokens/s, the default T and N, W = 5, tf32")
    print(
        f"{'GPU':9} {'mode':4} {'D':>3} {'T':>2} {'N':>2} {'predicted':>9} {'of floor':>8} {'bound by':>10} "
        f"| each ceiling alone: {'memory':>7} {'level2':>7} {'reduc.':>7} {'matrix':>7} {'issue':>7} {'latency':>7} "
        "| cycles a tile, contended; warp instr./token"
    )
    for row in rows:
        ceilings = (row.memory, row.level2, row.reductions, row.matrix, row.issue, row.latency)
        print(
            f"{row.gpu:9} {row.mode:4} {row.vector_size:3} {row.tile:2} {row.shared_words:2} "
            f"{row.predicted / 1e6:9.0f} {row.share_of_floor:8.0%} {row.bound:>10} | {'':19} "
            + " ".join(f"{value / 1e6:7.0f}" for value in ceilings)
            + f" | {row.cycles_a_tile:7.0f} {row.contended_cycles:7.0f} {row.instructions_a_token:6.0f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
