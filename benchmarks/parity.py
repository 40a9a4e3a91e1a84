"""Checks a backend against the float64 reference before its speed is worth anything.

python benchmarks/parity.py native torch
"""

import sys

import numpy as np

from w2vfast import backends, plan
from w2vfast.backends import Choice
from w2vfast.kernels import contract, reference
from w2vfast.kernels.contract import Job

# Of the largest step: float32 keeps about 1e-6 here, a wrong weight or a lost row shows at 1e-2.
LARGEST_ERROR = 1e-4


def small_job(mode: str, tile: int = 32, shared_negatives: int = 32) -> Job:
    """Return a job of 2,000 Zipf-like tokens in sentences, one tile in flight."""
    rng = np.random.default_rng(11)
    words = 300
    ids = (rng.zipf(1.4, 2000) % words).astype(np.int32)
    ids[rng.random(2000) < 0.05] |= contract.SENTENCE_END
    counts = np.bincount(ids & contract.ID_MASK, minlength=words) + 1
    noise_prob, noise_alias = plan.alias_table(plan.noise_distribution(counts, 0.75))
    return Job(
        tokens=ids,
        keep_threshold=plan.keep_thresholds(counts, 0.1),
        noise_prob=noise_prob,
        noise_alias=noise_alias,
        in_weight=None,
        out_weight=None,
        mode=mode,
        cbow_mean=True,
        window=5,
        shrink_windows=True,
        negative=5,
        tile=tile,
        shared_negatives=shared_negatives,
        tokens_in_flight=tile,
        target_mask=True,
        cap=2.0,
        row_cap="tile",
        chunk_size=512,
        seed=3,
        epochs=1,
        alpha=0.05,
        min_alpha=1e-4,
    )


def largest_error(backend: str, device: str, mode: str, vector_size: int = 100) -> float:
    """Return the largest difference from the reference after an epoch, as a share of the largest step."""
    job = small_job(mode)
    rng = np.random.default_rng(5)
    start = [rng.normal(size=(len(job.keep_threshold), vector_size)) * 0.05 for _ in range(2)]
    exact = [table.copy() for table in start]
    order = plan.chunk_order(job.chunks, job.seed, 0)
    expected = reference.train(job, *exact, order, 0, 0)
    tables = [table.astype(np.float32) for table in start]
    step = backends.create_step(Choice(backend, device, ""), job, *tables, 1)
    result = step.train(order, 0, 0)
    if (result.pairs, result.trained) != (expected.pairs, expected.trained):
        return float("inf")
    steps = max(np.abs(right - old).max() for right, old in zip(exact, start, strict=True))
    errors = [np.abs(got - right).max() / steps for got, right in zip(step.tables(), exact, strict=True)]
    return float(max(*errors, abs(result.loss / expected.loss - 1)))


def main(argv: list[str] | None = None) -> int:
    """Print each backend's error in both modes; exit code 1 if one is too large."""
    failed = False
    for backend in argv if argv is not None else sys.argv[1:] or ["torch"]:
        for mode in ("sg", "cbow"):
            error = largest_error(backend, "cuda" if backend == "triton" else "cpu", mode)
            failed |= not error <= LARGEST_ERROR
            print(f"{backend} {mode}: largest error {error:.1e} of the largest step")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
