"""Time the native kernels alone, against the machine's sgemm peak and the operations a tile cannot do without.

    python benchmarks/native_kernel.py                                  Zipf-like ids, both modes, D = 100
    python benchmarks/native_kernel.py --ids ids.npy --vector-size 300 --mode sg --csv native_kernel.csv
    python benchmarks/native_kernel.py --builds avx2,avx512 --workers 1,2

Builds and numbers of workers take turns, --repeat times. A row each: medians of ids read per CPU second and by the
clock, and useful GFLOP/s, which is 6 D (pairs + sum of N) over the CPU time, as a share of the sgemm peak of one
thread, measured just before. Beside several workers stands what as many one-worker jobs with tables of their own
reach at once, "apart": they share no row, so it is the most that the machine allows just then.
"""

import argparse
import dataclasses
import datetime
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import machine
import parity
from speed import append

from w2vfast import plan
from w2vfast.kernels import contract
from w2vfast.kernels.contract import Job, StepResult, Visit
from w2vfast.kernels.native import step as native_step


def zipf_stream(words: int, tokens: int) -> np.ndarray:
    """Return ids with the frequencies of text, in sentences of about 25 tokens."""
    rng = np.random.default_rng(1)
    share = 1 / (np.arange(words) + 2.7)
    ids = np.searchsorted(np.cumsum(share) / share.sum(), rng.random(tokens)).clip(max=words - 1).astype(np.int32)
    ids[rng.random(tokens) < 0.04] |= contract.SENTENCE_END
    return ids


def make_job(ids: np.ndarray, args: argparse.Namespace, mode: str, T: int, workers: int) -> Job:
    """Return the job that a run on these ids would have."""
    return parity.make_job(
        words=int((ids & contract.ID_MASK).max()) + 1,
        tokens=ids,
        sample=1e-3,
        static=workers > 1,
        mode=mode,
        objective=args.objective,
        window=args.window,
        tile=T,
        tokens_in_flight=T * workers,
        chunk_size=contract.CHUNK_TOKENS,
        seed=1,
    )


class Apart:
    """As many one-worker jobs as `workers`, each with tables of its own and its share of the chunks, at once."""

    def __init__(self, job: Job, vector_size: int, workers: int, build: str) -> None:
        self._steps = [native_step.create_step(job, *tables(job, vector_size), build=build) for _ in range(workers)]

    def train(self, visit: Visit) -> StepResult:
        """Train on a visit's chunks; see contract.Step."""
        places = np.array_split(np.arange(len(visit.chunks)), len(self._steps))
        parts = [dataclasses.replace(visit, chunks=visit.chunks[p], done=visit.done[p]) for p in places]
        with ThreadPoolExecutor(len(parts)) as pool:
            done = pool.map(lambda step, part: step.train(part), self._steps, parts)
            return sum(done, StepResult(0.0, 0, 0))


def tables(job: Job, vector_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return W_in and W_out as a run begins with them."""
    w_in = plan.initial_vectors(job.vocabulary, vector_size, 1)
    return w_in, np.zeros_like(w_in)


def runners(ids: np.ndarray, args: argparse.Namespace, mode: str, T: int) -> dict[tuple[str, str], Any]:
    """Return what takes turns: (build, workers) and a step."""
    alone = make_job(ids, args, mode, T, 1)
    found: dict[tuple[str, str], Any] = {}
    for build in args.builds.split(",") if args.builds else native_step.runnable_builds()[-1:]:
        for workers in map(int, args.workers.split(",")):
            job = make_job(ids, args, mode, T, workers)
            step = native_step.create_step(job, *tables(job, args.vector_size), workers=workers, build=build)
            found[build, str(workers)] = step
            if workers > 1:
                found[build, f"{workers} apart"] = Apart(alone, args.vector_size, workers, build)
    return found


def measure(ids: np.ndarray, args: argparse.Namespace, mode: str, T: int, N: int, peak: float) -> list[dict[str, Any]]:
    """Return a row for each build and number of workers."""
    found = runners(ids, args, mode, T)
    visit = parity.visit_of(make_job(ids, args, mode, T, 1), shared_words=N, epochs=5, alpha=0.025)
    times: dict[tuple[str, str], list[tuple[float, float]]] = {case: [] for case in found}
    results = {}
    for _ in range(args.repeat):
        for case, step in found.items():
            start = time.perf_counter(), time.process_time()
            results[case] = step.train(visit)
            times[case].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    rows = []
    for (build, workers), spent in times.items():
        result = results[build, workers]
        wall, cpu = (sorted(column) for column in zip(*spent, strict=True))
        useful = machine.useful_operations(args.vector_size, result.pairs, result.trained * N) / 1e9
        first = next(iter(times.values()))
        rows.append(
            {
                "date": datetime.date.today().isoformat(),
                "ids": len(ids),
                "mode": mode,
                "objective": args.objective,
                "vector_size": args.vector_size,
                "window": args.window,
                "tile": T,
                "shared_negatives": N,
                "build": build,
                "workers": workers,
                "runs": args.repeat,
                "ids_per_cpu_second": round(len(ids) / statistics.median(cpu)),
                "ids_per_second": round(len(ids) / statistics.median(wall)),
                "ids_per_second_min": round(len(ids) / wall[-1]),
                "ids_per_second_max": round(len(ids) / wall[0]),
                "ids_per_second_against_first": round(
                    statistics.median(one[0] / other[0] for one, other in zip(first, spent, strict=True)), 3
                ),
                "gflops_per_cpu_second": round(useful / statistics.median(cpu), 1),
                "sgemm_gflops": round(peak, 1),
                "share_of_sgemm": round(useful / statistics.median(cpu) / peak, 3),
                "machine": machine.processor(),
            }
        )
    return rows


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", help="a .npy of int32 ids, sign bit on a sentence's last")
    parser.add_argument("--tokens", type=int, default=3_000_000)
    parser.add_argument("--objective", default="negative-sampling")
    parser.add_argument("--mode", default="sg,cbow")
    parser.add_argument("--vector-size", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--shapes", default="32x32", help="TxN, comma separated")
    parser.add_argument("--builds", default="", help="comma separated; default the widest that runs here")
    parser.add_argument("--workers", default="1", help="comma separated")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="append the rows here")
    args = parser.parse_args()

    if args.ids:
        ids = np.load(args.ids, mmap_mode="r")[: args.tokens].copy()
    else:
        ids = zipf_stream(85_000, args.tokens)
    peak = machine.sgemm_peak()
    print(f"sgemm peak {peak:.0f} GFLOP/s a thread; {len(ids)} ids, D={args.vector_size}, W={args.window}")
    for mode in args.mode.split(","):
        for shape in args.shapes.split(","):
            T, N = (int(x) for x in shape.split("x"))
            for row in measure(ids, args, mode, T, N, peak):
                print(
                    f"{mode:5s} T={T} N={N} {row['build']:7s} workers {row['workers']:7s} "
                    f"{row['ids_per_cpu_second'] / 1e6:6.2f} M ids/CPU s, by the clock "
                    f"{row['ids_per_second'] / 1e6:6.2f} ({row['ids_per_second_min'] / 1e6:.2f} to "
                    f"{row['ids_per_second_max'] / 1e6:.2f}), "
                    f"{row['ids_per_second_against_first']:.2f}x the first row; "
                    f"{row['gflops_per_cpu_second']:4.0f} GFLOP/s = {100 * row['share_of_sgemm']:3.0f} %",
                    flush=True,
                )
                if args.csv:
                    append(args.csv, row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
