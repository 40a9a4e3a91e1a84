"""Time the native kernels alone, against the machine's sgemm peak and the operations a tile cannot do without.

    python benchmarks/native_kernel.py                                  Zipf-like ids, both modes, D = 100
    python benchmarks/native_kernel.py --ids ids.npy --vector-size 300 --mode sg
    python benchmarks/native_kernel.py --builds avx2,avx512 --workers 2

Prints a row a run: ids read and ids trained on per CPU second (best of --repeat), and useful GFLOP/s, which is
6 D (pairs + sum of N) over the CPU time, as a share of the sgemm peak measured in the same process on one thread.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from w2vfast import plan
from w2vfast.kernels import contract, native_step
from w2vfast.kernels.contract import Job


def zipf_stream(words: int, tokens: int) -> np.ndarray:
    """Return ids with the frequencies of text, in sentences of about 25 tokens."""
    rng = np.random.default_rng(1)
    share = 1 / (np.arange(words) + 2.7)
    ids = np.searchsorted(np.cumsum(share) / share.sum(), rng.random(tokens)).clip(max=words - 1).astype(np.int32)
    ids[rng.random(tokens) < 0.04] |= contract.SENTENCE_END
    return ids


def sgemm_peak(seconds: float = 1.0) -> float:
    """Return the GFLOP/s of one thread's float32 matrix product."""
    a = np.ones((768, 768), np.float32)
    best = 0.0
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begin = time.process_time()
        for _ in range(5):
            a @ a
        best = max(best, 5 * 2 * 768**3 / (time.process_time() - begin) / 1e9)
    return best


def make_job(ids: np.ndarray, args: argparse.Namespace, mode: str, N: int, T: int) -> Job:
    """Return the job that a run on these ids would have."""
    counts = np.bincount(ids & contract.ID_MASK)
    prob, alias = plan.alias_table(plan.noise_distribution(counts, 0.75))
    return Job(
        tokens=ids,
        keep_threshold=plan.keep_thresholds(counts, 1e-3),
        noise_prob=prob,
        noise_alias=alias,
        in_weight=None,
        out_weight=None,
        mode=mode,
        cbow_mean=True,
        window=args.window,
        shrink_windows=True,
        negative=5,
        tile=T,
        shared_negatives=N,
        tokens_in_flight=T,
        target_mask=False,
        cap=2.0,
        row_cap="tile",
        chunk_size=contract.CHUNK_TOKENS,
        seed=1,
        epochs=5,
        alpha=0.025,
        min_alpha=1e-4,
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", help="a .npy of int32 ids, sign bit on a sentence's last")
    parser.add_argument("--tokens", type=int, default=3_000_000)
    parser.add_argument("--mode", default="sg,cbow")
    parser.add_argument("--vector-size", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--shapes", default="32x32", help="TxN, comma separated")
    parser.add_argument("--builds", default="")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()

    if args.ids:
        ids = np.load(args.ids, mmap_mode="r")[: args.tokens].copy()
    else:
        ids = zipf_stream(85_000, args.tokens)
    peak = sgemm_peak()
    print(f"sgemm peak {peak:.0f} GFLOP/s a thread; {len(ids)} ids, D={args.vector_size}, W={args.window}")
    for mode in args.mode.split(","):
        for shape in args.shapes.split(","):
            T, N = (int(x) for x in shape.split("x"))
            job = make_job(ids, args, mode, N, T)
            V = len(job.keep_threshold)
            w_in = plan.initial_vectors(V, args.vector_size, 1)
            w_out = np.zeros_like(w_in)
            for build in args.builds.split(",") if args.builds else native_step.runnable_builds()[-1:]:
                step = native_step.create_step(job, w_in, w_out, workers=args.workers, build=build)
                order = plan.chunk_order(job.chunks, 1, 0)
                cpu, wall = [], []
                for _ in range(args.repeat):
                    start = time.perf_counter(), time.process_time()
                    result = step.train(order, 0, 0)
                    wall.append(time.perf_counter() - start[0])
                    cpu.append(time.process_time() - start[1])
                useful = 6 * args.vector_size * (result.pairs + result.trained * N) / 1e9
                print(
                    f"{mode:5s} T={T} N={N} {build:7s} best {len(ids) / min(cpu) / 1e6:6.2f} M ids/CPU s (median"
                    f" {len(ids) / np.median(cpu) / 1e6:5.2f}), wall {len(ids) / min(wall) / 1e6:6.2f};"
                    f" {result.trained / min(cpu) / 1e6:5.2f} M trained; {useful / min(cpu):4.0f} GFLOP/s ="
                    f" {100 * useful / min(cpu) / peak:3.0f} %; loss {result.loss / result.pairs:.4f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
