"""Checks and times the Triton kernels on a GPU; says so and stops where there is none.

    python benchmarks/gpu.py                         parity, ceilings, kernels, sweeps, on made-up tokens
    python benchmarks/gpu.py --corpus wiki.txt       and training to quality, with gensim on the host's cores
    python benchmarks/gpu.py --out results/          where gpu.json, gpu.md and gpu.png go (default: gpu_results)

Parity with the float64 reference comes first: a kernel that fails it is not timed. Times are medians of several runs
after one that compiles; tokens/s are trained tokens. Every row names the GPU, driver and versions.
"""

import argparse
import csv
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import parity

from w2vfast import backends, plan, tiles
from w2vfast.kernels import contract
from w2vfast.kernels.contract import Job

WORDS, TOKENS = 100_000, 20_000_000
SIZES = (100, 128, 300)
MODES = ("sg", "cbow")
DEFAULT = {mode: (tiles.TILE["triton"], tiles.LEAST_NEGATIVES[mode]) for mode in MODES}  # T, N
RUNS = 5
DEVICE = "cuda"
# Of the largest step, after an epoch of 2,000 tokens: ieee keeps float32, tf32 ten bits of each factor.
LARGEST_ERROR = {"ieee": 1e-4, "tf32": 2e-2}


def seconds_of(work: Any) -> list[float]:
    """Return the wall seconds of RUNS runs, after one that is not counted."""
    import torch

    taken = []
    for run in range(RUNS + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if run:
            taken.append(time.perf_counter() - began)
    return taken


def ceilings(size: int) -> dict[str, float]:
    """Return bytes/s of gathering random rows of a table, and of adding to them, by PyTorch's own kernels."""
    import torch

    table = torch.zeros((WORDS, size), device="cuda")
    rows = torch.randint(WORDS, (1 << 21,), device="cuda")
    values = torch.ones((len(rows), size), device="cuda")
    moved = 4 * size * len(rows)
    return {
        "gather": moved / statistics.median(seconds_of(lambda: table.index_select(0, rows))),
        "scatter_add": moved / statistics.median(seconds_of(lambda: table.index_add_(0, rows, values))),
    }


def zipf_job(mode: str, tile: int, in_flight: int) -> Job:
    """Return a job on TOKENS Zipf-like tokens of WORDS words in sentences of about 20."""
    rng = np.random.default_rng(1)
    share = 1.0 / np.arange(1, WORDS + 1)
    share /= share.sum()
    ids = np.searchsorted(np.cumsum(share), rng.random(TOKENS)).clip(0, WORDS - 1).astype(np.int32)
    ids[rng.random(TOKENS) < 0.05] |= contract.SENTENCE_END
    return parity.make_job(
        words=WORDS,
        tokens=ids,
        sample=1e-3,
        static=True,
        target_mask=mode == "cbow",
        mode=mode,
        tile=tile,
        tokens_in_flight=in_flight,
        chunk_size=contract.CHUNK_TOKENS,
    )


def time_kernel(job: Job, negatives: int, size: int) -> dict[str, Any]:
    """Return trained tokens/s of whole epochs of a job: median, least, most."""
    from w2vfast.kernels.triton import step as triton_step

    w_in = plan.initial_vectors(WORDS, size, 1)
    step = triton_step.create_step(job, w_in, np.zeros_like(w_in), device=DEVICE)
    visit = parity.visit_of(job, shared_words=negatives, epochs=1, alpha=0.025)
    trained = step.train(visit).trained
    rates = [trained / taken for taken in seconds_of(lambda: step.train(visit))]
    return {
        "mode": job.mode,
        "vector_size": size,
        "tile": job.tile,
        "shared_negatives": negatives,
        "tokens_in_flight": job.tokens_in_flight,
        "runs": RUNS,
        "tokens_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
    }


def kernels() -> list[dict[str, Any]]:
    """Time the defaults over D and modes, then sweep T, N and the tokens in flight one at a time."""
    rows = []
    for mode in MODES:
        tile, negatives = DEFAULT[mode]
        defaults = {"tile": tile, "negatives": negatives, "in_flight": 16384}
        changes: list[dict[str, int]] = [{}]
        changes += [{"tile": tile} for tile in (16, 64)] + [{"negatives": n} for n in (16, 32, 64) if n != negatives]
        changes += [{"in_flight": in_flight} for in_flight in (2048, 4096, 8192, 32768)]
        for change in changes:
            chosen = defaults | change
            job = zipf_job(mode, chosen["tile"], chosen["in_flight"])
            for size in (128,) if change else SIZES:
                rows.append(time_kernel(job, chosen["negatives"], size))
                print(describe(rows[-1]), flush=True)
    return rows


def describe(row: dict[str, Any]) -> str:
    """Return one line on a timed kernel."""
    return (
        f"{row['mode']:4} D={row['vector_size']:3} T={row['tile']} N={row['shared_negatives']} "
        f"in flight {row['tokens_in_flight']:6}: {row['tokens_per_second'] / 1e6:7.1f} M trained tokens/s "
        f"({row['slowest'] / 1e6:.1f} to {row['fastest'] / 1e6:.1f})"
    )


def train_to_quality(corpus: Path) -> list[dict[str, str]]:
    """Return benchmarks/speed.py's rows of gensim and triton on a corpus: speed by the clock, and quality."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.csv"
        script = Path(__file__).with_name("speed.py")
        workers = str(len(os.sched_getaffinity(0)))
        command = [sys.executable, str(script), str(corpus), "--trainers", "gensim", "triton"]
        subprocess.run([*command, "--workers", workers, "--csv", str(table)], check=True)
        with table.open(newline="") as file:
            return list(csv.DictReader(file))


def machine() -> dict[str, str]:
    """Return what a row must name: GPU, versions."""
    import torch

    versions = {name: importlib.metadata.version(name) for name in ("torch", "triton", "numpy")}
    return {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda), **versions}


def plot(rows: list[dict[str, Any]], name: str, path: Path) -> None:
    """Draw the tokens/s of the defaults over D, and over the tokens in flight."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for mode in MODES:
        defaults = [r for r in rows if r["mode"] == mode and (r["tile"], r["shared_negatives"]) == DEFAULT[mode]]
        for axes, key, fixed in (
            (left, "vector_size", ("tokens_in_flight", 16384)),
            (right, "tokens_in_flight", ("vector_size", 128)),
        ):
            points = sorted((r[key], r["tokens_per_second"] / 1e6) for r in defaults if r[fixed[0]] == fixed[1])
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=mode)
            axes.set(xlabel=key.replace("_", " "), ylabel="million trained tokens/s", ylim=(0, None))
            axes.legend()
    figure.suptitle(name)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 2 where there is no GPU, 1 where parity fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="text to train on, with gensim beside")
    parser.add_argument("--out", type=Path, default=Path("gpu_results"))
    arguments = parser.parse_args(argv)
    reason = backends.unavailable_reason("triton")
    if reason is not None:
        print(f"nothing was measured: the triton backend cannot run here: {reason}", file=sys.stderr)
        return 2
    errors = {}
    for precision, most in LARGEST_ERROR.items():
        for mode in MODES:
            for size in SIZES:
                error = parity.largest_error("triton", DEVICE, mode, size, precision=precision)
                errors[f"{precision} {mode} {size}"] = error
                print(f"parity {precision} {mode} D={size}: largest error {error:.1e} of the largest step", flush=True)
                if not error <= most:
                    print(f"parity fails (more than {most}): nothing was timed", file=sys.stderr)
                    return 1
    result: dict[str, Any] = {"machine": machine(), "parity": errors}
    result["ceilings"] = {str(size): ceilings(size) for size in SIZES}
    result["kernels"] = kernels()
    if arguments.corpus is not None:
        result["training"] = train_to_quality(arguments.corpus)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
    title = " ".join(f"{name} {value}" for name, value in result["machine"].items())
    lines = [f"# {title}", "", *(f"    {describe(row)}" for row in result["kernels"]), ""]
    lines += [
        f"    D={size}: gather {c['gather'] / 1e9:.0f} GB/s, scatter-add {c['scatter_add'] / 1e9:.0f} GB/s"
        for size, c in result["ceilings"].items()
    ]
    (arguments.out / "gpu.md").write_text("\n".join(lines) + "\n")
    plot(result["kernels"], title, arguments.out / "gpu.png")
    print(f"written to {arguments.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
