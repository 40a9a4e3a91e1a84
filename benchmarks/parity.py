"""Holds a backend against the float64 reference: made-up jobs and visits, one run of each, the largest error.

    python benchmarks/parity.py native torch

Tests build their jobs here, and benchmarks check here before a speed is worth anything.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from w2vfast import backends, jobs, plan
from w2vfast.config import NEGATIVES, Config
from w2vfast.kernels import contract, reference
from w2vfast.kernels.contract import Job, Objective, Step, StepResult, Visit, chunk_count
from w2vfast.kernels.noise import NoiseTable
from w2vfast.kernels.objectives.negative_sampling import NegativeSampling
from w2vfast.kernels.objectives.von_mises_fisher import VonMisesFisher
from w2vfast.tiles import TileSettings

# Of the largest step. float32 keeps about 1e-6 here, a wrong weight or a lost row shows at 1e-2. tf32 keeps ten bits of
# a product's operands: truncated so, the interpreter is off by 1.3e-3 at most (CBOW; benchmarks/tf32.py). There is a
# factor of four for what a GPU rounds otherwise.
LARGEST_ERROR = {"ieee": 1e-4, "tf32": 4 * 1.3e-3}
OF_CONFIG = ("mode", "objective", "negative", "log_z", "window", "shrink_windows", "cbow_mean", "cap", "seed")
OF_CONFIG += ("code", "code_words", "mined", "mine_every", "mined_share")
OF_TILES = ("tile", "tokens_in_flight", "row_cap")
OF_VISIT = ("first_rank", "draw_epoch", "shared_words", "epochs", "alpha", "min_alpha")

Tables = tuple[NDArray[Any], NDArray[Any]]


def zipf_ids(words: int, tokens: int) -> NDArray[np.int32]:
    """Return Zipf-like ids in sentences of about 14 tokens, int32 [tokens]."""
    rng = np.random.default_rng(7)
    ids = (rng.zipf(1.5, tokens) % words).astype(np.int32)
    ends = rng.random(tokens) < 0.07
    ends[-1] = True
    ids[ends] |= contract.SENTENCE_END
    return ids


def make_job(
    words: int = 50,
    length: int = 3000,
    *,
    tokens: NDArray[np.int32] | None = None,
    sample: float = 0.1,
    static: bool = False,
    falling_weights: float | None = None,
    target_mask: bool | None = None,
    noise: NoiseTable | None = None,
    objective_value: Objective | None = None,
    **changes: Any,
) -> Job:
    """Return a job as jobs.py makes it, small by default, on `length` Zipf-like tokens or those given.

    `changes` are options of Config, tile settings, or fields of Job; `target_mask` and `noise` change the objective,
    `objective_value` stands in for it. `falling_weights` are static weights that fall from that to 0 in both tables.
    """
    ids = zipf_ids(words, length) if tokens is None else tokens
    counts = np.bincount(ids & contract.ID_MASK, minlength=words) + 1
    options = {"cap": 2.0, "seed": 2**40 + 3} | {name: changes.pop(name) for name in OF_CONFIG if name in changes}
    if options.get("objective", NEGATIVES[0]) not in NEGATIVES:
        options.pop("negative", None)  # cases are every objective's
    sizes = {"tile": 32, "row_cap": "tile"} | {name: changes.pop(name) for name in OF_TILES if name in changes}
    sizes = {"tokens_in_flight": sizes["tile"]} | sizes
    settings = TileSettings(shared_negatives=0, early_negatives=0, static_cap=static, **sizes)
    job = jobs.make(ids, counts, plan.keep_probability(counts, sample), Config(**options), settings).job
    objective: Any = objective_value or job.objective
    if target_mask is not None and isinstance(objective, NegativeSampling):
        objective = dataclasses.replace(objective, mask=target_mask)
    if noise is not None:
        objective = dataclasses.replace(objective, noise=noise)
    if falling_weights is not None:
        for name, rows in (("in_weight", words), ("out_weight", objective.out_rows(words))):
            changes[name] = np.linspace(falling_weights, 0, rows, dtype=np.float32)
    return dataclasses.replace(job, objective=objective, **({"chunk_size": 256} | changes))


def visit_of(
    job: Job,
    chunks: NDArray[np.int64] | None = None,
    *,
    first_rank: int = 0,
    draw_epoch: int = 0,
    shared_words: int = 16,
    epochs: int = 3,
    alpha: float = 0.05,
    min_alpha: float = 1e-4,
) -> Visit:
    """Return a visit of these chunks (by default all, in the plan's order) as the first_rank-th on of an epoch."""
    n = len(job.tokens)
    if chunks is None:
        chunks = plan.chunk_order(chunk_count(job, job.tokens), 1, draw_epoch)
    rank = first_rank + np.arange(len(chunks), dtype=np.int64)
    return Visit(
        chunks=np.ascontiguousarray(chunks, np.int64),
        done=draw_epoch * n + rank * job.chunk_size,
        total=epochs * n,
        start_rate=alpha,
        end_rate=min_alpha,
        draw_epoch=draw_epoch,
        shared_words=shared_words if job.objective.noise is not None else 0,
    )


def make_case(**options: Any) -> tuple[Job, Visit]:
    """Return a job and the visit of its first epoch; `options` are those of `make_job` and of `visit_of`."""
    of_visit = {name: options.pop(name) for name in OF_VISIT if name in options}
    job = make_job(**options)
    return job, visit_of(job, **of_visit)


def random_tables(job: Job, vector_size: int, dtype: Any = np.float64) -> Tables:
    """Return W_in and W_out far enough from zero that every term of a step shows."""
    rng = np.random.default_rng(1)
    scale = 0.5 / np.sqrt(vector_size) + 0.2 / vector_size
    rows = (job.vocabulary, job.objective.out_rows(job.vocabulary))
    w_in, w_out = ((rng.normal(size=(count, vector_size)) * scale).astype(dtype) for count in rows)
    return w_in, w_out


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a backend made of a visit, and what is right."""

    tables: Tables
    exact: Tables
    before: Tables
    result: StepResult
    expected: StepResult

    @property
    def error(self) -> float:
        """The largest difference from the reference, as a share of the table's largest step or of the loss.

        Measured against the largest step, a missing update cannot hide; a table is rounded a few times besides, which
        does not count. Infinite where counts differ or a number is not finite.
        """
        counts = [(result.pairs, result.trained) for result in (self.result, self.expected)]
        if counts[0] != counts[1] or not all(np.isfinite(table).all() for table in self.tables):
            return float("inf")
        errors = [abs(self.result.loss - self.expected.loss) / max(abs(self.expected.loss), 1e-300)]
        for table, right, old in zip(self.tables, self.exact, self.before, strict=True):
            rounding = 16 * float(np.finfo(table.dtype).eps) * float(np.abs(right).max())
            excess = max(0.0, float(np.abs(table - right).max()) - rounding)
            step = float(np.abs(right - old).max())
            errors.append(excess / step if step else float("inf") if excess else 0.0)
        return max(errors)


def reference_run(job: Job, visit: Visit, vector_size: int, precision: str = "float32") -> tuple[Tables, StepResult]:
    """Return the exact tables after a visit, and what the reference reports."""
    exact = random_tables(job, vector_size)
    return exact, reference.train(job, *exact, visit, precision=precision)


def hold(
    create: Callable[..., Step],
    job: Job,
    visit: Visit,
    vector_size: int,
    *,
    dtype: Any = np.float32,
    right: tuple[Tables, StepResult] | None = None,
) -> Outcome:
    """Return what `create(job, w_in, w_out)` makes of a visit beside the reference, or beside `right`, what it gave."""
    exact, expected = right or reference_run(job, visit, vector_size)
    step = create(job, *random_tables(job, vector_size, dtype))
    result = step.train(visit)
    return Outcome(step.tables(), exact, random_tables(job, vector_size), result, expected)


def largest_error(
    backend: str, device: str, mode: str, vector_size: int = 100, length: int = 2000, **options: Any
) -> float:
    """Return a backend's largest error in an epoch of `length` Zipf-like tokens, one tile in flight.

    `options` are those of `make_job`, and triton's `precision`.
    """
    own = {"precision": options.pop("precision")} if "precision" in options else {}
    if options.get("objective") == "von-mises-fisher":
        del options["objective"]
        targets = np.random.default_rng(2).normal(size=(300, vector_size))
        targets /= np.linalg.norm(targets, axis=1, keepdims=True)
        options["objective_value"] = VonMisesFisher(targets.astype(np.float32), norm_penalty=0.02, dot_weight=0.1)
    job = make_job(words=300, length=length, mode=mode, chunk_size=512, **options)
    shared_words = 32 if job.objective.noise is not None else 0
    create: Any = partial(backends.module_of(backend).create_step, device=device, workers=1, **own)
    return hold(create, job, visit_of(job, epochs=1, shared_words=shared_words), vector_size).error


def largest_allowed(backend: str) -> float:
    """Return the error that a backend may have as it is shipped."""
    return LARGEST_ERROR["tf32" if backend == "triton" else "ieee"]


def main(argv: list[str] | None = None) -> int:
    """Print each backend's error for its objectives in both modes; exit code 1 if one is too large."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("backends", nargs="*", default=["torch"])
    parser.add_argument("--length", type=int, default=2000, metavar="TOKENS")
    arguments = parser.parse_args(argv)
    failed = False
    for backend in arguments.backends:
        for objective in backends.objectives(backend):
            for mode in ("sg",) if objective == "margin" else ("sg", "cbow"):
                device = "cuda" if backend == "triton" else "cpu"
                error = largest_error(backend, device, mode, length=arguments.length, objective=objective)
                failed |= not error <= largest_allowed(backend)
                print(f"{backend} {objective} {mode}: largest error {error:.1e} of the largest step")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
