"""One warp's way through a tile's machine code, in order: how many cycles it takes where nothing else runs.

A model, cruder than a simulator: an instruction issues when its registers and predicates are ready, one a cycle; what
it writes is ready after a latency of its kind; a barrier waits `BARRIER` cycles, for the other warps are as far; the
load-store unit takes a 128-bit access of a warp in four cycles, the tensor cores a product in eight. Loads are told
apart by the function that they are in: pass 1 reads rows first, pass 2 reads them again from the caches.

benchmarks/gpu_model.py says how often loops run, and puts the cycles beside the other ceilings.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

ALU, CONVERSION, SHARED, SHUFFLE, SPECIAL, PRODUCT, CONSTANT = 5, 16, 31, 24, 22, 24, 25
BRANCH, BARRIER, ATOMIC, L1 = 8, 30, 600, 38
OF_FUNCTION = ("plan_chunk", "note_entries", "score", "weigh", "note_scales", "update")  # as kernels/triton names them
LINE = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?(U?P\w+)\s+)?([A-Z][A-Z0-9_.a-z]*)\s*(.*?);")


@dataclass
class Loop:
    """A backward branch: the instructions from its target to itself."""

    first: int
    last: int
    inner: "list[Loop]"


@dataclass(frozen=True)
class Instruction:
    """An operation with its modifiers, and the registers and predicates that it reads and writes."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """A kernel's machine code: instructions, outermost loops, and where each function begins."""

    instructions: list[Instruction]
    loops: list[Loop]
    functions: list[tuple[int, str]]

    @property
    def names(self) -> list[str]:
        """The operations."""
        return [instruction.name for instruction in self.instructions]


@dataclass
class Phase:
    """What a function takes of a tile."""

    cycles: float = 0.0
    instructions: float = 0.0
    barriers: float = 0.0


@dataclass(frozen=True)
class Latencies:
    """Cycles of a load of pass 1's rows (memory's, or level 2's where they are prefetched), and of one from level 2."""

    memory: float
    level2: float


def read(text: str) -> Code:
    """Return nvdisasm's text as code."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    functions = [(0, "kernel")]
    for line in text.splitlines():
        label = re.match(r"^(\.L_x_\d+):", line)
        if label:
            labels[label[1]] = len(instructions)
        if line.startswith("$"):
            known = [name for name in OF_FUNCTION if name in line.rsplit("_$_", 1)[-1] or f"_{name}_" in line]
            functions.append((len(instructions), known[0] if known else line))
        found = LINE.match(line)
        if found:
            target = re.search(r"`\((\.L_x_\d+)\)", found[3])
            if found[2].startswith("BRA") and target:
                branches.append((len(instructions), target[1]))
            reads, writes = _operands(found[2], found[3])
            instructions.append(Instruction(found[2], (*reads, *filter(None, [found[1]])), writes))
    last_of: dict[int, int] = {}
    for at, target_label in branches:
        first = labels.get(target_label, at + 1)
        if first < at:
            last_of[first] = max(at, last_of.get(first, 0))
    outermost: list[Loop] = []
    for first, last in sorted(last_of.items(), key=lambda span: (span[0], -span[1])):
        level = outermost
        while level and level[-1].first <= first and last <= level[-1].last:
            level = level[-1].inner
        level.append(Loop(first, last, []))
    return Code(instructions, outermost, functions)


def _operands(name: str, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (reads, writes): registers are counted by the width that the operation's name tells."""
    operands = [operand.strip() for operand in re.split(r",(?![^\[]*\])", text)] if text else []
    width = (
        4 if re.search(r"\.128|x4|\.M88\.4", name) else 2 if re.search(r"\.64|WIDE|CS2R|DADD|DMUL|DFMA", name) else 1
    )

    def registers(operand: str, count: int) -> list[str]:
        found = []
        for kind, number, wide in re.findall(r"\b(U?R)(\d+)(\.64)?", operand):
            found += [f"{kind}{int(number) + i}" for i in range(max(count, 2 if wide else 1))]
        return found + re.findall(r"\bU?P\d\b", operand)

    if name.startswith(("ST", "RED", "BAR", "BRA", "RET", "EXIT", "BSSY", "BSYNC", "CALL", "MEMBAR")):
        return tuple(r for o in operands for r in registers(o, 1 if "[" in o else width)), ()
    if name.startswith("HMMA"):
        sizes = (4, 4, 2, 4)
        parts = [registers(operand, size) for operand, size in zip(operands, sizes, strict=False)]
        return tuple(r for part in parts[1:] for r in part), tuple(parts[0])
    written = 2 if re.match(r"U?(ISETP|FSETP|PLOP3)", name) else 1
    writes = [r for operand in operands[:written] for r in registers(operand, width)]
    narrow = 1 if name.startswith("LD") else width if name.startswith(("D", "HGMMA")) else 1
    return tuple(r for o in operands[written:] for r in registers(o, narrow)), tuple(writes)


def _latency(name: str, function: str, latencies: Latencies) -> float:
    if name.startswith("LDG"):
        rows = "128" in name or (".64" in name and function in ("score", "update"))
        if function == "score":
            return latencies.memory if rows else L1
        if function == "update":
            return 0.25 * latencies.level2 + 0.75 * L1 if rows else L1
        if function == "note_scales":
            return L1
        return latencies.level2
    for names, cycles in (
        (("LDS",), SHARED),
        (("SHFL", "VOTE", "REDUX"), SHUFFLE),
        (("MUFU",), SPECIAL),
        (("HMMA", "HGMMA"), PRODUCT),
        (("ATOM",), ATOMIC),
        (("S2", "LDC", "ULDC"), CONSTANT),
        (("I2F", "F2I", "F2F", "DADD", "DMUL", "DFMA"), CONVERSION),
    ):
        if name.startswith(names):
            return cycles
    return ALU + (name.startswith("IMAD.WIDE"))


@dataclass
class _Warp:
    now: float = 0.0
    ready: dict[str, float] = field(default_factory=dict)
    memory_free: float = 0.0
    products_free: float = 0.0


def tile(code: Code, trips: Callable[[Loop], tuple[int, ...]], latencies: Latencies) -> dict[str, Phase]:
    """Return what each function of a tile takes, one warp alone; `trips` says how often a loop and those in it run."""
    warp, phases = _Warp(), {}
    ends = [first for first, _ in code.functions[1:]] + [len(code.instructions)]
    for (first, function), end in zip(code.functions, ends, strict=True):
        if function not in OF_FUNCTION[1:]:  # planning is a chunk's, not a tile's
            continue
        phase = phases.setdefault(function, Phase())
        began = warp.now
        loops = [loop for loop in code.loops if first <= loop.first < end]
        _walk(code, first, end, loops, None, trips, function, latencies, warp, phase)
        phase.cycles += warp.now - began
    return phases


def _walk(
    code: Code,
    first: int,
    end: int,
    loops: list[Loop],
    times: tuple[int, ...] | None,
    trips: Callable[[Loop], tuple[int, ...]],
    function: str,
    latencies: Latencies,
    warp: _Warp,
    phase: Phase,
) -> None:
    """Run instructions first .. end - 1; `times` are the trips of the loops among them, by depth."""
    at = first
    starts = {loop.first: loop for loop in loops}
    while at < end:
        loop = starts.get(at)
        if loop is not None:
            of_loop = trips(loop) if times is None else times
            for _ in range(of_loop[0] if of_loop else 1):
                rest = of_loop[1:]
                _walk(code, at, loop.last + 1, loop.inner, rest, trips, function, latencies, warp, phase)
            at = loop.last + 1
            continue
        _issue(code.instructions[at], function, latencies, warp, phase)
        at += 1


def _issue(instruction: Instruction, function: str, latencies: Latencies, warp: _Warp, phase: Phase) -> None:
    name = instruction.name
    if name == "NOP":
        return
    now = max([warp.now, *(warp.ready.get(register, 0.0) for register in instruction.reads)])
    if name.startswith("BAR"):
        now += BARRIER
        phase.barriers += 1
    elif name.startswith(("HMMA", "HGMMA")):
        now = max(now, warp.products_free)
        warp.products_free = now + 8
    elif name.startswith(("LD", "ST", "RED", "ATOM")):
        now = max(now, warp.memory_free)
        warp.memory_free = now + (4 if re.search(r"128|x4|\.M88\.4", name) else 2 if ".64" in name else 1)
    elif name.startswith(("BRA", "CALL", "RET")):
        now += BRANCH
    cycles = _latency(name, function, latencies)
    for register in instruction.writes:
        warp.ready[register] = now + cycles
    warp.now = now + 1
    phase.instructions += 1
