"""The Triton backend's Step: a job's data on a GPU, and the launches of the kernel of kernel.py.

One call of `train` is one launch over all the visit's chunks, or one per group of chunks where the corpus is streamed.
Nothing comes back but the sums of loss and counts. Importing this module does not import triton: `create_step` does.

A compiled kernel's registers and shared memory say how many programs the GPU runs at once. The grid has no more, and
the static weights, which are those of `job.tokens_in_flight`, are scaled to what is in flight.

Device "interpreter" is for tests: the same kernels on the CPU, in a process where triton was imported with
TRITON_INTERPRET=1. Programs then run one after another, so the first one takes every chunk.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2vfast.kernels import contract
from w2vfast.kernels.contract import MAX_SHARED_WORDS, ChunkPlan, Job, StepResult, Unsupported, Visit, chunk_count
from w2vfast.kernels.triton import objectives as objective_files
from w2vfast.kernels.triton.config import (
    MAX_CHUNK,
    MAX_WINDOW,
    Launch,
    Precision,
    Tuning,
    launch,
    resident_programs,
    tuning,
)
from w2vfast.kernels.triton.tokens import STREAM_TOKENS, Group, ResidentTokens, StreamedTokens, stream_bytes

LEAST_TRITON = (3, 4)
LEAST_CAPABILITY = (8, 0)
INTERPRETER = "interpreter"
# Memory left to the CUDA context, the compiled kernels and PyTorch's allocator.
RESERVED_BYTES = 512 << 20


def unavailable_reason() -> str | None:
    """Return why the kernels cannot run on this machine's first GPU, or None where they can."""
    return _unavailable_on("cuda")


def objectives() -> tuple[str, ...]:
    """Return the names of the objectives that this backend has: those of its files."""
    return tuple(module.name.replace("_", "-") for module in pkgutil.iter_modules(objective_files.__path__))


def precisions(objective: str) -> tuple[str, ...]:
    """Return what products can be computed in, the fastest first."""
    return ("tf32", "float32")


def objective_file(name: str) -> Any:
    """Return the module of an objective; it imports triton."""
    return importlib.import_module(f"w2vfast.kernels.triton.objectives.{name.replace('-', '_')}")


def _unavailable_on(device: str) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed: pip install 'triton>=3.4' (Linux only)"
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None or torch.version.hip is not None
        return "no GPU: PyTorch finds no CUDA device" if built else "no GPU: this PyTorch is built without CUDA"
    index = torch.device(device).index or 0
    if index >= torch.cuda.device_count():
        return f"there is no GPU number {index}: PyTorch finds {torch.cuda.device_count()}"
    capability = torch.cuda.get_device_capability(index)
    if torch.version.hip is None and capability < LEAST_CAPABILITY:
        name, have = torch.cuda.get_device_name(index), ".".join(map(str, capability))
        return f"{name} has compute capability {have}: 8.0 (Ampere) or later is needed"
    # Imported last: it takes a second, and a machine without a GPU never needs it.
    import triton

    if _triton_version() < LEAST_TRITON:
        return f"triton {triton.__version__} is too old: pip install 'triton>=3.4'"
    return None


def create_step(
    job: Job,
    w_in: NDArray[np.float32],
    w_out: NDArray[np.float32],
    *,
    device: str | None = None,
    workers: int = 1,
    precision: Precision | Literal["float32"] = "tf32",
    token_memory: int | None = None,
    stream_tokens: int = STREAM_TOKENS,
    tuned: Tuning | None = None,
) -> "TritonStep":
    """Copy a job and its tables to a GPU and return the Step that trains them there.

    `w_in` and `w_out` are float32 [V, D]; `tables()` copies the trained ones back into them. `device` is "cuda",
    "cuda:1", ... or "interpreter"; None is "cuda", the current GPU. `workers` is not used: the grid is
    `job.tiles_in_flight`, or what the GPU runs at once if that is less.
    `precision` is that of the products: tf32 (tensor cores) or float32, which Triton calls ieee. `token_memory` is how
    many bytes the corpus may take on the GPU, all that is free by default; a longer one is streamed, `stream_tokens` at
    a time.
    `tuned` stands in for what config.py chooses for the GPU.
    Raises Unsupported (a ValueError) for what the kernels cannot honour or a GPU that cannot run them, MemoryError,
    before any allocation, where the GPU is too small.
    """
    contract.check(job, w_in, w_out)
    _check_tables(w_in, w_out)
    device = device or "cuda"
    where, chosen = torch.device("cpu"), tuning(90)
    if device != INTERPRETER:
        reason = _unavailable_on(device)
        if reason is not None:
            raise Unsupported(f"the triton backend cannot run here: {reason}")
        index = torch.device(device).index
        where = torch.device("cuda", torch.cuda.current_device() if index is None else index)
        chosen = _tuning_of(where)
    chosen = tuned or chosen
    if device == INTERPRETER:
        chosen = replace(chosen, prefetch=False)  # it has no machine's instructions
    _check_supported(job, chosen)
    products: Precision = "ieee" if precision == "float32" else precision
    return TritonStep(job, w_in, w_out, where, chosen, products, token_memory, stream_tokens)


def short_tiles(device: str) -> bool:
    """Return whether CBOW is faster in tiles of 16 tokens on a device, by the model of benchmarks/gpu_model.py."""
    return device != INTERPRETER and _tuning_of(torch.device(device)).short_tiles


def _tuning_of(device: torch.device) -> Tuning:
    major, minor = torch.cuda.get_device_capability(device)
    found = tuning(10 * major + minor if torch.version.hip is None else None)
    # What fits 128 registers under 3.6 and later spills 70 instructions under 3.4.
    return found if _triton_version() >= (3, 6) else replace(found, short_registers=None, short_tiles=False)


def _triton_version() -> tuple[int, ...]:
    import triton

    return tuple(int(part) for part in triton.__version__.split(".")[:2])


def _check_tables(w_in: NDArray[np.floating], w_out: NDArray[np.floating]) -> None:
    if w_in.dtype != np.float32 or w_out.dtype != np.float32:
        raise ValueError("the triton backend needs float32 tables")
    if not (w_in.flags.c_contiguous and w_out.flags.c_contiguous):
        raise ValueError("the triton backend needs C-contiguous tables")


def _check_supported(job: Job, chosen: Tuning) -> None:
    if job.in_scale is not None:
        raise Unsupported("the triton backend scales no rows (vectors_lockf): take the native or torch backend")
    if job.in_row is not None:
        raise Unsupported("the triton backend has no buckets: take the native or torch backend")
    if job.bits is not None:
        raise Unsupported("the triton backend has no bits: take the native or torch backend")
    if job.teacher is not None:
        raise Unsupported("the triton backend has no teacher: take the native or torch backend")
    if job.row_cap != "tile":
        raise Unsupported(f"the triton backend caps rows by tile: row_cap must be 'tile', not {job.row_cap!r}")
    if job.chunk_size > MAX_CHUNK:
        raise Unsupported(f"the triton backend takes chunks of up to {MAX_CHUNK} positions, not {job.chunk_size}")
    if job.window > MAX_WINDOW:
        raise Unsupported(f"the triton backend takes windows of up to {MAX_WINDOW}, not {job.window}")
    if chosen.largest_tile is not None and job.tile > chosen.largest_tile:
        raise Unsupported(
            f"tiles of {job.tile} tokens do not compile for this GPU (triton's products of 64 rows need tensor memory, "
            f"which only a kernel itself can have, not its functions): give --tile {chosen.largest_tile}"
        )


def _bits(array: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return uint32 as int32 of the same bits: the kernels turn them back."""
    return array.view(np.int32)


def bytes_needed(job: Job, vector_size: int, token_memory: int) -> int:
    """Return the device memory a job takes: two tables, seven per-word arrays, every program's notes, and tokens."""
    V, rows = job.vocabulary, job.objective.out_rows(job.vocabulary)
    most = launch(job, MAX_SHARED_WORDS, vector_size, tuning(90), "tf32")
    tables = 4 * (V + rows) * vector_size
    return tables + 20 * V + 8 * rows + job.tiles_in_flight * most.bytes_a_program + token_memory


class TritonStep:
    """A job at work on a GPU; see contract.Step."""

    def __init__(
        self,
        job: Job,
        w_in: NDArray[np.float32],
        w_out: NDArray[np.float32],
        device: torch.device,
        chosen: Tuning,
        precision: Precision,
        token_memory: int | None,
        stream_tokens: int,
    ) -> None:
        from triton.runtime.jit import JITFunction

        from w2vfast.kernels.triton import kernel, plan

        self.job, self.device = job, device
        self._host_tables = (w_in, w_out)
        self._tuning, self._precision = chosen, precision
        self._kernel, self._plan_kernel = kernel.train_kernel, plan.plan_kernel
        self._objective = objective_file(job.objective.name)
        if device.type == "cpu" and isinstance(self._kernel, JITFunction):
            raise ValueError("device 'interpreter' needs TRITON_INTERPRET=1 set before triton is imported")
        self._stream_tokens, self._token_memory = stream_tokens, token_memory
        self._room = self._reserve(w_in.shape[1])

        self._programs = 0
        self.compiled: Any = None  # triton's kernel, once prepared on a GPU
        self._tables = [self._to_device(w_in), self._to_device(w_out)]
        self._keep_threshold = self._to_device(_bits(job.keep_threshold))
        none = torch.zeros(1, dtype=torch.float32, device=device)
        arrays = (job.in_weight, job.out_weight, self._objective.table(job.objective))
        self._static_in, self._static_out, self._columns = (
            none if array is None else self._to_device(array) for array in arrays
        )
        noise = job.objective.noise
        assert noise is not None, "every objective of this backend draws words"
        self._noise = (self._to_device(_bits(noise.prob)), self._to_device(noise.alias))
        self._next = torch.zeros(1, dtype=torch.int32, device=device)
        self._config: Launch | None = None
        self._set_tokens(job.tokens)

    def _reserve(self, vector_size: int) -> int | None:
        """Return the bytes that tokens may take on the GPU, None where there is no bound.

        Raises MemoryError where even streaming them needs more than there is.
        """
        job = self.job
        if self.device.type == "cpu":
            return self._token_memory
        streamed = stream_bytes(len(job.tokens), job.chunk_size, self._stream_tokens)
        free = torch.cuda.mem_get_info(self.device)[0] - RESERVED_BYTES
        needed = bytes_needed(job, vector_size, streamed)
        if needed > free:
            gib = 1 << 30
            raise MemoryError(
                f"the GPU has {max(free, 0) / gib:.1f} GiB free and {needed / gib:.1f} GiB are needed, most of it for "
                f"two tables of {job.vocabulary:,} x {vector_size} float32: raise min_count, set "
                f"max_final_vocab, or lower vector_size or tokens_in_flight"
            )
        room = free - (needed - streamed)
        return room if self._token_memory is None else min(room, self._token_memory)

    def _set_tokens(self, tokens: NDArray[np.int32]) -> None:
        self._host_tokens = tokens
        self._tokens: ResidentTokens | StreamedTokens
        if self._room is None or 4 * len(tokens) <= self._room:
            self._tokens = ResidentTokens(tokens, self.device)
        else:
            self._tokens = StreamedTokens(tokens, self.job.chunk_size, self.device, self._stream_tokens)
        self._config = None

    @property
    def programs(self) -> int:
        """Programs of a launch, each with one tile in flight; known once prepared."""
        return self._programs

    def prepare(self, shared_words: int) -> None:
        """Compile the kernel for so many shared words and take its memory, as `train` does where it was not done."""
        with self._current_device():
            self._prepare(shared_words)

    def _current_device(self) -> AbstractContextManager[None]:
        """Return what makes this step's GPU the current one: kernels are launched there, whatever their arguments."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    def _prepare(self, shared_words: int) -> Launch:
        """Return what launches with so many shared words take, with memory for every program."""
        if self._config is not None and self._config.constants["N"] == shared_words:
            return self._config
        job = self.job
        config = launch(job, shared_words, self._tables[0].shape[1], self._tuning, self._precision)
        config.constants.update(self._objective.constants(job.objective))
        self._allocate(config, 1)
        resident = self._resident(config)
        programs = min(job.tiles_in_flight, chunk_count(job, self._host_tokens))
        self._programs = programs if resident is None else min(programs, resident)
        self._allocate(config, self._programs)
        for table, weight in ((self._static_in, job.in_weight), (self._static_out, job.out_weight)):
            if weight is not None:
                table.copy_(torch.from_numpy(weight)).mul_(self._programs / job.tiles_in_flight)
        self._config = config
        return config

    def _resident(self, config: Launch) -> int | None:
        """Compile the kernel; returns how many programs of it the GPU runs at once, None where nothing tells."""
        if self.device.type == "cpu":
            return None
        nothing = self._to_device(np.zeros(1, np.int64))
        no_tokens, no_rates = nothing.to(torch.int32), nothing.to(torch.float64)
        arguments = self._arguments(config, Group(no_tokens, nothing, nothing), nothing, no_rates, 0)
        compiled = self.compiled = self._kernel.warmup(grid=(1,), **arguments)
        if torch.version.hip is not None:
            return None
        from triton.runtime import driver

        compiled._init_handles()  # loads it: only then are its registers known
        found = driver.active.utils.get_device_properties(self.device.index)
        return resident_programs(
            found["multiprocessor_count"],
            found["max_num_regs"],
            found["max_shared_mem"],
            torch.cuda.get_device_properties(self.device).max_threads_per_multi_processor,
            of_thread=compiled.n_regs,
            of_program=compiled.metadata.shared,
            warps=config.options["num_warps"],
        )

    def _allocate(self, config: Launch, programs: int) -> None:
        device = self.device
        self._notes = torch.zeros(programs * config.notes, dtype=torch.int32, device=device)
        self._ids = torch.zeros(programs * 2 * config.entries, dtype=torch.int32, device=device)
        self._weights = torch.zeros(programs * config.entries, dtype=torch.float32, device=device)
        self._scales = torch.zeros(programs * config.entries, dtype=torch.float32, device=device)
        self._scores = torch.zeros(programs * config.scores, dtype=torch.float32, device=device)
        self._loss = torch.zeros(programs, dtype=torch.float64, device=device)
        self._counts = torch.zeros((programs, 2), dtype=torch.int64, device=device)

    def replace_tokens(self, tokens: NDArray[np.int32]) -> None:
        """Train on other tokens from now on."""
        contract.check_tokens(self.job, tokens)
        del self._tokens  # the room is for one corpus: the old one goes before the new one comes
        self._set_tokens(tokens)

    def _to_device(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.empty(array.shape, dtype=torch.from_numpy(array[:0]).dtype, device=self.device)
        return tensor.copy_(torch.from_numpy(array))

    def train(self, visit: Visit) -> StepResult:
        """Train on a visit's chunks; see contract.Step."""
        contract.check_visit(self.job, self._host_tokens, visit)
        with self._current_device():
            config = self._prepare(visit.shared_words)
            self._loss.zero_()
            self._counts.zero_()
            rates = self._to_device(np.array([visit.start_rate, visit.start_rate - visit.end_rate, 1.0 / visit.total]))
            for group, done in self._groups(visit):
                self._next.zero_()
                grid = (min(self._programs, len(group.order)),)
                self._kernel[grid](**self._arguments(config, group, done, rates, visit.draw_epoch))
            # The only things to come back; copying them waits for the launches.
            loss = float(self._loss.sum().cpu())
            pairs, trained = self._counts.sum(0).cpu().tolist()
        return StepResult(loss, pairs, trained)

    def _groups(self, visit: Visit) -> Iterator[tuple[Group, Tensor]]:
        """Yield what each launch trains on, with the tokens visited before each of its chunks."""
        done = self._to_device(visit.done)
        for start, group in self._tokens.groups(visit.chunks):
            yield group, done[start : start + len(group.order)].clone()

    def _arguments(self, config: Launch, group: Group, done: Tensor, rates: Tensor, draw_epoch: int) -> dict[str, Any]:
        """Return the kernel's arguments for a group of chunks."""
        return {
            "w_in_ptr": self._tables[0],
            "w_out_ptr": self._tables[1],
            "tokens_ptr": group.tokens,
            "order_ptr": group.order,
            "slots_ptr": group.slots,
            "done_ptr": done,
            "keep_threshold_ptr": self._keep_threshold,
            "noise_prob_ptr": self._noise[0],
            "noise_alias_ptr": self._noise[1],
            "in_weight_ptr": self._static_in,
            "out_weight_ptr": self._static_out,
            "objective_ptr": self._columns,
            "rates_ptr": rates,
            "next_ptr": self._next,
            "loss_ptr": self._loss,
            "counts_ptr": self._counts,
            "notes_ptr": self._notes,
            "ids_ptr": self._ids,
            "weights_ptr": self._weights,
            "scales_ptr": self._scales,
            "scores_ptr": self._scores,
            "chunks": len(group.order),
            "draw_epoch": _signed(draw_epoch, 32),
            "seed": _signed(self.job.seed, 64),
            "n_tokens": len(self._host_tokens),
            "V": self.job.vocabulary,
            **config.runtime,
            "cap": self.job.cap,
            **config.constants,
            **config.options,
        }

    def plan(self, chunk: int, draw_epoch: int, shared_words: int) -> ChunkPlan:
        """Return the plan of a chunk as the device computes it."""
        contract.check_chunk(self.job, self._host_tokens, chunk, draw_epoch, shared_words)
        with self._current_device():
            return self._plan(chunk, draw_epoch, shared_words)

    def _plan(self, chunk: int, draw_epoch: int, shared_words: int) -> ChunkPlan:
        job = self.job
        start = chunk * job.chunk_size
        tokens = self._to_device(np.ascontiguousarray(self._host_tokens[start : start + job.chunk_size]))
        config = launch(job, shared_words, self._tables[0].shape[1], self._tuning, self._precision)
        notes = torch.zeros((config.notes,), dtype=torch.int32, device=self.device)
        most_tiles = -(-job.chunk_size // job.tile)
        drawn = torch.zeros((most_tiles, shared_words), dtype=torch.int32, device=self.device)
        kept = torch.zeros(1, dtype=torch.int32, device=self.device)
        self._plan_kernel[(1,)](
            notes_ptr=notes,
            shared_ptr=drawn,
            kept_ptr=kept,
            tokens_ptr=tokens,
            keep_threshold_ptr=self._keep_threshold,
            noise_prob_ptr=self._noise[0],
            noise_alias_ptr=self._noise[1],
            chunk=chunk,
            length=len(tokens),
            draw_epoch=_signed(draw_epoch, 32),
            seed=_signed(job.seed, 64),
            V=job.vocabulary,
            **{name: config.constants[name] for name in ("T", "N", "W", "SHRINK", "CHUNK", "BLOCK_P")},
            BLOCK_N=1 << (shared_words - 1).bit_length(),
            enable_fp_fusion=True,
        )
        count = int(kept)
        _, places, offsets = notes.view(-1, job.chunk_size)[:3, :count].cpu().numpy()
        shared = drawn[: -(-count // job.tile)].cpu().numpy()
        return ChunkPlan(start + offsets.astype(np.int64), (places >> 16).astype(np.int32), shared)

    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Copy the trained tables into the host's and return those."""
        for host, table in zip(self._host_tables, self._tables, strict=True):
            torch.from_numpy(host).copy_(table)
        return self._host_tables

    def live(self) -> tuple[Tensor, Tensor]:
        """Return the tensors that are trained."""
        return self._tables[0], self._tables[1]


def _signed(value: int, bits: int) -> int:
    """Return the signed integer with the bits of an unsigned one."""
    return value - (1 << bits) if value >> (bits - 1) else value
