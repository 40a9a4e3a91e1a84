"""Block sizes, warps and stages of the Triton kernels for each GPU architecture, and the constants of a launch.

No GPU chose these: they come from compiling ahead of time and reading registers, shared memory and spills
(tests/test_triton_aot.py holds tests/data/triton_resources.csv true; benchmarks/gpu_model.py counts the instructions).
benchmarks/gpu.py sweeps them on the first GPU it meets.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from w2vfast.kernels.contract import Job

Precision = Literal["tf32", "ieee"]

MIN_BLOCK = 16  # a dot's M, N and K
NOTES = 5  # arrays of chunk_size entries that a program keeps (plan.py)
MAX_CHUNK = 1 << 15  # sentence ordinals and kept counts share 32 bits in one prefix sum
MAX_WINDOW = (1 << 15) - 1  # a radius shares 32 bits with a sentence's ordinal


@dataclass(frozen=True)
class ScoreBlock:
    """Columns of one product of pass 1, and how many such blocks keep their scores in registers while D is walked."""

    columns: int
    most: int


@dataclass(frozen=True)
class Tuning:
    """What is chosen for an architecture."""

    block_d: int  # columns of D a step of pass 1
    update_d: int  # and of pass 2
    held: int  # elements of G that pass 2 keeps while D is walked, at most
    num_warps: int
    num_stages: int
    max_registers: int | None  # a thread; None where the compiler takes no bound
    score_blocks: dict[str, dict[int, tuple[ScoreBlock, ...]]]  # by mode and T, rounded up; what `launch` may take
    short_registers: int | None = None  # a thread, where T is 16 and the columns are at most as many as here
    short_columns: tuple[tuple[str, int], ...] = ()  # by mode
    short_tiles: bool = False  # T = 16 is CBOW's default
    prefetch: bool = True  # of the next tile's rows into level 2, by NVIDIA's instruction
    largest_tile: int | None = None  # T, the longest that compiles, where there is one


# What compiles without a spill on all architectures, at T = 16, 32 (the defaults) and 64 (--preset fast); longer tiles
# take LONG_TILE. A row of warps shares a product's longer side, 16 rows or 8 columns each, and repeats what is left
# over: of [32, 32] two warps of four do what the others do and hold their scores twice, of [32, 64] none. So 64 columns
# take no more registers than 32, and skip-gram's 74 and 106 columns (N = 32, 64) are 3 x 32 and 2 x 64.
SCORE_BLOCKS = {
    "sg": {
        16: (ScoreBlock(32, 6),),
        32: (ScoreBlock(32, 3), ScoreBlock(64, 3)),
        64: (ScoreBlock(32, 3),),
    },
    # Hidden vectors take the registers of a block or more; 3 x 32 at T = 64 spill on 8.6.
    "cbow": {
        16: (ScoreBlock(32, 6),),
        32: (ScoreBlock(32, 2), ScoreBlock(64, 2)),
        64: (ScoreBlock(16, 5),),
    },
}
LONG_TILE = (ScoreBlock(16, 1),)

# An entry holds from its compute capability up to the next one. What the choices trade, as compiled by triton 3.9:
# - 32 columns of D a step in pass 1: one 128-byte line of a row; 64 spill registers on both, 16 halve what a request
#   brings. In pass 2 64: of a product of [32, 32] two warps of four do what the others do, of [32, 64] none.
# - 4 warps and at most 255 registers: two programs a processor. 168 registers would fit three, and spill on both.
# - 1 stage: a second one prefetches through shared memory and takes some 20 registers that are not there.
# - T = 16 fits 128 registers where its columns are few, so four programs a processor hide each other's waits.
_AMPERE = Tuning(
    block_d=32,
    update_d=32,
    held=4096,
    num_warps=4,
    num_stages=1,
    max_registers=255,
    score_blocks=SCORE_BLOCKS,
    short_registers=128,
    short_columns=(("cbow", 32),),
)
# An addition is one instruction of four columns from 9.0 on, and takes four addresses before: twice the columns a step
# spill there, and take more shared memory than 8.6 and 12.0 have for two programs.
_DATA_CENTRE = replace(_AMPERE, short_columns=(("sg", 64), ("cbow", 32)), short_tiles=True)
_HOPPER = replace(_DATA_CENTRE, update_d=64)
# On 8.0 holding G spills 2 instructions, three blocks of skip-gram's columns at T = 64 spill 14, and five of
# CBOW's 8.
_A100_BLOCKS = {
    "sg": SCORE_BLOCKS["sg"] | {64: (ScoreBlock(32, 2),)},
    "cbow": SCORE_BLOCKS["cbow"] | {64: (ScoreBlock(16, 4),)},
}
TUNINGS = {
    80: replace(_DATA_CENTRE, held=0, score_blocks=_A100_BLOCKS),
    86: _AMPERE,
    90: _HOPPER,
    # Products of 64 rows and more take 10.x's tensor memory, which triton 3.4 to 3.9 allot in no function but the
    # kernel itself; the passes are functions of their own.
    100: replace(_HOPPER, largest_tile=32),
    120: _AMPERE,
}
AMD = replace(_AMPERE, max_registers=None, short_registers=None, prefetch=False)


def tuning(capability: int | None) -> Tuning:
    """Return the entry for a compute capability, 80 for 8.0; None stands for AMD's GPUs."""
    return AMD if capability is None else TUNINGS[max(known for known in TUNINGS if known <= capability)]


def resident_programs(
    processors: int, registers: int, shared_bytes: int, threads: int, *, of_thread: int, of_program: int, warps: int
) -> int:
    """Return how many programs a GPU runs at once; those of a larger grid wait, and find no chunk left.

    A processor (there are `processors`) has so many registers, bytes of shared memory and threads, of which a compiled
    kernel takes `of_thread` registers a thread and `of_program` bytes a program of `warps` warps. At least one a
    processor: what is compiled can be launched.
    """
    a_warp = -(-of_thread * 32 // 256) * 256  # registers are given to warps by 256
    bounds = (registers // (a_warp * warps), shared_bytes // (of_program + 1024), threads // (32 * warps))
    return processors * max(1, min(bounds))  # 1 KiB of a program's shared memory is the system's


def _block(size: int) -> int:
    """Return the power of two that holds `size`, at least MIN_BLOCK."""
    return max(MIN_BLOCK, 1 << (size - 1).bit_length())


def _grouped(columns: int, block: ScoreBlock) -> tuple[int, int, int]:
    """Return (groups, columns with what pads them, columns of a block) where `columns` are scored in such blocks."""
    blocks = -(-columns // block.columns)
    groups = -(-blocks // block.most)
    return groups, groups * -(-blocks // groups) * block.columns, block.columns


@dataclass(frozen=True)
class Launch:
    """The constants of a job's kernel, and the sizes in entries of what each program owns."""

    constants: dict[str, Any]
    runtime: dict[str, int]  # bounds of loops, kept from the compiler so that it does not unroll them
    options: dict[str, int | bool]  # of the compiler
    notes: int
    entries: int
    scores: int

    @property
    def bytes_a_program(self) -> int:
        """Device memory that each program owns."""
        return 4 * (self.notes + 4 * self.entries + self.scores)


def launch(job: Job, shared_words: int, vector_size: int, chosen: Tuning, precision: Precision) -> Launch:
    """Return the constants that train a job with an architecture's tuning, but for the objective's functions."""
    T, N, W, cbow = job.tile, shared_words, job.window, job.mode == "cbow"
    block_t = _block(T)
    targets = T if cbow else T + 2 * W
    groups, columns, block_s = min(
        _grouped(targets + N, block) for block in chosen.score_blocks[job.mode].get(block_t, LONG_TILE)
    )
    block_c = min(32, block_s)  # in what is not pass 1 wider blocks gain nothing and take more registers
    # Blocks of targets alone and of drawn words alone take fewer instructions, where they are no more than mixed ones.
    apart = -(-targets // block_c) * block_c
    shared_at = apart if apart + N <= columns else targets
    # Long tiles make their rows' buffers long: narrower steps keep them within shared memory.
    # Without tensor cores products take more registers.
    widest, update_d = (chosen.block_d, chosen.update_d) if precision == "tf32" else (MIN_BLOCK, MIN_BLOCK)
    block_d = max(MIN_BLOCK, min(widest, _block(vector_size), 4096 // block_t))
    # Skip-gram's inputs are its rows, CBOW's the halo in blocks.
    block_h = min(_block(T + 2 * W), 32) if cbow else block_t
    halo_blocks = -(-(T + 2 * W) // block_h) if cbow else 1
    constants: dict[str, Any] = {
        "WEIGHT_PER_PAIR": job.objective.weight_per_pair,
        "D": vector_size,
        "T": T,
        "N": N,
        "W": W,
        "SHRINK": job.shrink_windows,
        "CBOW": cbow,
        "CBOW_MEAN": job.cbow_mean,
        "HAS_STATIC": job.in_weight is not None,
        "CHUNK": job.chunk_size,
        "NOTES": NOTES,
        "GROUPS": groups,
        "PER_GROUP": columns // (groups * block_s),
        "HALO_BLOCKS": halo_blocks,
        "BLOCK_T": block_t,
        "BLOCK_S": block_s,
        "SHARED_AT": shared_at,
        "BLOCK_C": block_c,
        "BLOCK_H": block_h,
        "BLOCK_D": block_d,
        "BLOCK_U": max(block_d, min(update_d, _block(vector_size), 2048 // block_t)),
        "HELD": chosen.held if precision == "tf32" else 0,
        "BLOCK_E": min(128, _block(columns + halo_blocks * block_h)),
        "BLOCK_P": min(512, _block(job.chunk_size)),
        "PREFETCH": chosen.prefetch and block_t <= 32,  # longer tiles have no registers left: 14 spills on 8.0
        "PRECISION": precision,
    }
    registers = chosen.max_registers
    few = precision == "tf32" and block_t == MIN_BLOCK and columns <= dict(chosen.short_columns).get(job.mode, 0)
    if few and registers is not None and chosen.short_registers is not None:
        registers = min(registers, chosen.short_registers)
    return Launch(
        constants=constants,
        runtime={"vector_size": vector_size, "groups": groups, "halo_blocks": halo_blocks},
        options={
            "num_warps": chosen.num_warps,
            "num_stages": chosen.num_stages,
            **({} if registers is None else {"maxnreg": registers}),
            "enable_fp_fusion": True,  # triton 3.10 turns its default around
        },
        notes=NOTES * job.chunk_size,
        entries=columns + halo_blocks * block_h,
        scores=columns * block_t,
    )
