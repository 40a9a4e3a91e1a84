"""The native CPU backend's Step: picks the widest build that this processor runs, and checks its input.

The builds differ in speed and in the last bits of a float, not in what they compute; one more rounds what it multiplies
to bfloat16. Threads share the tables in place and each takes the next chunk (kernels/native/table.hpp has the argument
why that is safe); one worker is reproducible bit for bit. With `row_cap` "batch" any number of workers is: they compute
batches from one snapshot (batch.hpp).
"""

import importlib
from dataclasses import astuple, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels import contract
from w2vfast.kernels.contract import ChunkPlan, Job, Objective, StepResult, Visit
from w2vfast.kernels.levels import levels_of
from w2vfast.kernels.mapped import is_mapped

BUILDS = ("base", "avx2", "avx512")  # in float32; each runs where the next one does
BFLOAT16_BUILD = "avx512bf16"
MAX_VECTOR_SIZE = 65_536
MAX_TILE = 4096
MAX_WINDOW = 4096


def _module(build: str) -> Any:
    return importlib.import_module(f"w2vfast.kernels.native._{build}")


def unavailable_reason() -> str | None:
    """Return why the native backend cannot run here, None where it can."""
    try:
        _module("base")
    except ImportError as error:
        return f"not built ({error}): install a C++17 compiler and install w2vfast again"
    return None


def runnable_builds() -> list[str]:
    """Return the builds that are present and that this processor runs, the widest last."""
    supported = BUILDS[: BUILDS.index(_module("base").best_build()) + 1]
    present = []
    for build in supported:
        try:
            _module(build)
        except ImportError:
            continue
        present.append(build)
    return present


def precisions(objective: str) -> tuple[str, ...]:
    """Return what this processor's builds can multiply in, the fastest first."""
    try:
        able = _module("base").has_bfloat16() and objective in _module(BFLOAT16_BUILD).objectives
    except ImportError:
        able = False
    return ("bfloat16", "float32") if able else ("float32",)


def compiler() -> str:
    """Return the version of the compiler that made the builds, as it names itself."""
    return str(_module("base").compiler)


def objectives() -> tuple[str, ...]:
    """Return the names of the objectives that the builds have."""
    return tuple(_module("base").objectives)


def create_step(
    job: Job,
    w_in: NDArray[np.float32],
    w_out: NDArray[np.float32],
    *,
    device: str = "cpu",
    workers: int = 1,
    precision: str = "float32",
    build: str | None = None,
    poison: bool = False,
) -> "NativeStep":
    """Return a step that updates the given tables in place with `workers` threads.

    The tables are float32 [V, D], C-contiguous and writable. `precision` is one of `precisions(objective)`. `build`
    forces one of `runnable_builds()` and `poison` fills the tiles' buffers with NaN before each tile; both are for
    tests. Raises ValueError for what it cannot honour.
    """
    contract.check(job, w_in, w_out)
    if device != "cpu":
        raise ValueError(f"the native backend runs on the CPU, not on {device!r}")
    if workers < 1:
        raise ValueError("workers must be at least 1")
    for name, table in (("w_in", w_in), ("w_out", w_out)):
        if table.dtype != np.float32 or not table.flags.c_contiguous or not table.flags.writeable:
            raise ValueError(f"{name} must be float32, C-contiguous and writable")
    if np.shares_memory(w_in, w_out):
        raise ValueError("w_in and w_out must not overlap")
    for name, value, most in (
        ("vector_size", w_in.shape[1], MAX_VECTOR_SIZE),
        ("tile", job.tile, MAX_TILE),
        ("window", job.window, MAX_WINDOW),
        ("chunk_size", job.chunk_size, 1 << 30),
    ):
        if value > most:
            raise ValueError(f"{name} must be at most {most} on the native backend, not {value}")
    builds = runnable_builds()
    if build is not None and build not in builds:
        raise ValueError(f"build {build!r} cannot run here; {', '.join(builds)} can")
    if precision not in precisions(job.objective.name):
        raise ValueError(f"{job.objective.name} has no products in {precision} here")
    if precision == "bfloat16":
        build = BFLOAT16_BUILD
    return NativeStep(job, w_in, w_out, workers, build or builds[-1], poison)


class NativeStep:
    """One job on the CPU; see contract.Step."""

    def __init__(
        self, job: Job, w_in: NDArray[np.float32], w_out: NDArray[np.float32], workers: int, build: str, poison: bool
    ) -> None:
        self.build = build
        self._job, self._tokens, self._w_in, self._w_out = job, job.tokens, w_in, w_out
        batched = job.row_cap == "batch"
        values = {field.name: getattr(job, field.name) for field in fields(job)}
        levels = levels_of(job.bits, w_in.shape[1]) if job.bits is not None else None
        values["levels"] = astuple(levels) if levels is not None else None
        values["teacher"] = vars(job.teacher) if job.teacher is not None else None
        values["batch_tiles"] = job.tiles_in_flight if batched else 0
        values["group_chunks"] = job.chunks_in_group if batched else 0
        objective = {"name": job.objective.name} | _flat(job.objective)
        self._step = _module(build).Step(values, objective, w_in, w_out, is_mapped(job.tokens), workers, poison)

    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the tables, the arrays that were given."""
        return self._w_in, self._w_out

    def live(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the same."""
        return self._w_in, self._w_out

    def plan(self, chunk: int, draw_epoch: int, shared_words: int) -> ChunkPlan:
        """Return the plan of one chunk."""
        contract.check_chunk(self._job, self._tokens, chunk, draw_epoch, shared_words)
        return ChunkPlan(*self._step.plan(chunk, draw_epoch, shared_words))

    def replace_tokens(self, tokens: NDArray[np.int32]) -> None:
        """Train on other tokens from now on."""
        contract.check_tokens(self._job, tokens)
        self._step.replace_tokens(tokens, is_mapped(tokens))
        self._tokens = tokens

    def train(self, visit: Visit) -> StepResult:
        """Train on a visit's chunks; other Python threads run meanwhile."""
        contract.check_visit(self._job, self._tokens, visit)
        return StepResult(*self._step.train(**vars(visit)))


def _flat(objective: Objective) -> dict[str, Any]:
    """Return an objective's fields, those of a value within it as `name_field`."""
    found: dict[str, Any] = {}
    for field in fields(objective):  # type: ignore[arg-type]
        value = getattr(objective, field.name)
        if is_dataclass(value):
            found |= {f"{field.name}_{name}": inner for name, inner in _flat(value).items()}  # type: ignore[arg-type]
        else:
            found[field.name] = value
    return found
