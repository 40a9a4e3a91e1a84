"""Checks and times the Triton kernels on a GPU, part by part; each row is written the moment it is made.

    python benchmarks/gpu.py --parts parity,ceilings                      1st call, 5 minutes at most
    python benchmarks/gpu.py --parts sweep                                2nd call, 8 minutes
    python benchmarks/gpu.py --parts train --corpus wiki.txt.xz           3rd call, 4 minutes
    python benchmarks/gpu.py --parts quality --corpus wiki.txt.xz         4th call, 8 minutes

These four fit a GPU that is lent for half an hour, ten minutes a command; with less, --seconds shortens each part. They
need Python, numpy, torch and triton, and this checkout: nothing is installed, fetched or built (native parts and gensim
are used where they are). All go to one folder (--out, gpu_results by default):

    rows.jsonl          every row, appended; a case that is there is not run again (--again runs it)
    gpu.md, gpu.png     what the rows say, drawn after each call (the plot where there is matplotlib)
    *.bin               the vectors of `quality`; they are scored at once where gensim's data sets are, else later by
    python benchmarks/gpu.py --parts score                                on a machine that has gensim

    parity      against the float64 reference, in all that is timed: precisions, modes, D, T, static weights, masks; and
                with all programs at once that no addition is lost. A mode that fails is not timed
    ceilings    bytes/s that PyTorch's own kernels gather and add rows with
    sweep       trained tokens/s of made-up tokens over D, T, N, warps, registers, block_d, stages, prefetch, programs
    train       one epoch of a text, D = 128 and 300: where its seconds go
    quality     three seeds of five epochs at D = 100 in both modes

A part runs in a process of its own and keeps to its time: what does not fit is named in a row, what fails is a row with
its error, and the next part begins. Seconds are parted into set-up (tables and tokens to the GPU), compilation and the
device's own, by its events. `--toy` is a dry run of every part without a GPU, in Triton's interpreter on a few tokens:
its figures mean nothing.

One file, though a long one: it is what a borrowed machine gets, and the parts share rows, clocks and the report.
"""

import argparse
import dataclasses
import functools
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import parity

from w2vfast import backends, formats, jobs, plan, tiles, trainer
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus
from w2vfast.errors import InputError
from w2vfast.eval.quality import MEASURES, quality
from w2vfast.kernels import contract, reference
from w2vfast.kernels.contract import Job

PARTS = {"parity": 230.0, "ceilings": 60.0, "sweep": 470.0, "train": 230.0, "quality": 470.0, "score": 300.0}  # seconds
GRACE = 30.0  # seconds that a case may last past its part's end
OF_CORPUS = ("train", "quality")
MODES = ("sg", "cbow")
SEEDS = (1, 2, 3)
FAILED = "failed"  # of a row that says that something is wrong with the kernels


@dataclass(frozen=True)
class Scale:
    """How large everything is: on a GPU, or on a toy in the interpreter."""

    device: str
    sizes: tuple[int, ...]  # D
    tiles: tuple[int, ...]  # T
    parity_tokens: int
    chunks: int  # of the conservation test, a program each
    words: int
    tokens: int
    runs: int
    gathered: int  # rows
    epochs: int
    in_flight: tuple[int, ...]
    changes: int  # of CHANGES, the first ones


FULL = Scale(
    "cuda", (128, 100, 300), (32, 16, 64), 2000, 256, 100_000, 20_000_000, 5, 1 << 21, 5, (2048, 4096, 8192), 99
)
TOY = Scale("interpreter", (8,), (32,), 64, 2, 60, 64, 1, 16, 1, (64,), 2)


@dataclass(frozen=True)
class Settings:
    """What a part runs with."""

    out: Path
    scale: Scale
    corpus: Path | None
    again: bool


Row = dict[str, Any]
Case = tuple[str, Callable[[], Row]]


# ---- rows


def rows_of(out: Path) -> list[Row]:
    """Return the rows of a folder; a line that a kill cut off is left out."""
    path, rows = out / "rows.jsonl", []
    if not path.exists():
        return []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def append(out: Path, row: Row) -> None:
    """Append a row, on the disk before this returns."""
    with (out / "rows.jsonl").open("a+b") as file:
        if file.tell() and not _ends_a_line(file):
            file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def done_already(rows: list[Row], part: str) -> set[str]:
    """Return the cases of a part that have a row."""
    return {row["case"] for row in rows if row["part"] == part and "case" in row}


# ---- clocks


def device_seconds(work: Callable[[], object], device: str) -> float:
    """Return the seconds from the device's beginning of some work to its end."""
    if device == "interpreter":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def wall_seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work returns, and the seconds that it took by the clock."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


# ---- parity


def parity_cases(scale: Scale) -> Iterator[Case]:
    """Yield the checks, those of what is shipped first."""
    shipped = [(mode, D, T) for T in scale.tiles for D in scale.sizes for mode in MODES]
    first = scale.sizes[0]
    for mode, D, T in shipped[: 2 * len(scale.sizes)]:
        yield _parity(scale, "tf32", mode, D, T, static=True)
    for mode in MODES:
        for T in scale.tiles:
            yield f"conserved {mode} D={first} T={T}", functools.partial(conserved, mode, T, first, scale)
    for mode, D, T in shipped[2 * len(scale.sizes) :]:
        yield _parity(scale, "tf32", mode, D, T, static=True)
    for mode in MODES:
        for D in scale.sizes:
            yield _parity(scale, "ieee", mode, D, scale.tiles[0], static=True)
        yield _parity(scale, "tf32", mode, first, scale.tiles[0], static=False, target_mask=mode == "sg")
        yield _parity(scale, "ieee", mode, first, scale.tiles[0], static=False, target_mask=mode == "sg")
        for objective in backends.objectives("triton"):
            if objective != "negative-sampling":
                yield _parity(scale, "tf32", mode, first, scale.tiles[0], static=True, objective=objective)


def _parity(scale: Scale, precision: str, mode: str, D: int, T: int, **options: Any) -> Case:
    def check() -> Row:
        error = parity.largest_error(
            "triton", scale.device, mode, D, scale.parity_tokens, precision=precision, tile=T, **options
        )
        most = parity.LARGEST_ERROR[precision]
        return {"error_of_largest_step": error, "at_most": most, FAILED: not error <= most}

    more = " ".join(f"{name}={value}" for name, value in options.items())
    return f"{precision} {mode} D={D} T={T} {more}", check


def conserved(mode: str, tile: int, size: int, scale: Scale) -> Row:
    """Check that all programs at once lose no addition; the row has how far a table is off, in smallest additions.

    One table is 2^-20 throughout and the other zero, the learning rate is 2^-30, K / N a power of two: scores are so
    small that every sigmoid is 1/2, so every addition to the zero table is a whole multiple of the smallest, and their
    sum the same in any order. The constant table's own steps vanish in rounding. Nothing is capped.
    """
    from w2vfast.kernels.triton import step as triton_step

    value, rate, negative, shared = 2.0**-20, 2.0**-30, 8, 32
    job, visit = parity.make_case(
        words=min(scale.words, 2000),
        length=scale.chunks * 64,
        chunk_size=64,
        sample=0.0,
        mode=mode,
        negative=negative,
        target_mask=False,
        tile=tile,
        tokens_in_flight=scale.chunks * tile,
        cap=1e9,
        alpha=rate,
        min_alpha=rate,
        shared_words=shared,
    )
    # A window's mean is its words' sum divided by their number, which is 2^-20 again.
    smallest = value * rate / 2 * negative / shared
    off, programs = 0.0, 0
    for constant in (0, 1):
        tables = [np.full((job.vocabulary, size), value if side == constant else 0.0, np.float32) for side in (0, 1)]
        exact = [table.astype(np.float64) for table in tables]
        reference.train(job, *exact, visit)
        step = triton_step.create_step(job, *tables, device=scale.device)
        step.train(visit)
        step.tables()
        programs = step.programs
        zero = 1 - constant
        if np.abs(exact[zero]).max() < smallest:
            raise RuntimeError("the reference adds nothing")
        off = max(off, float(np.abs(tables[zero] - exact[zero]).max()) / smallest)
    return {"off": off, "at_most": 0.5, "programs": programs, FAILED: not off < 0.5}


# ---- ceilings


def ceiling_cases(scale: Scale) -> Iterator[Case]:
    """Yield the measurements of PyTorch's own gathers and additions."""
    for size in scale.sizes:
        yield f"D={size}", functools.partial(ceilings, size, scale)


def ceilings(size: int, scale: Scale) -> Row:
    """Return bytes/s of gathering random rows of a table, and of adding to them."""
    import torch

    device = "cpu" if scale.device == "interpreter" else scale.device
    table = torch.zeros((scale.words, size), device=device)
    rows = torch.randint(scale.words, (scale.gathered,), device=device)
    values = torch.ones((scale.gathered, size), device=device)
    works = {"gather": lambda: table.index_select(0, rows), "scatter_add": lambda: table.index_add_(0, rows, values)}
    moved, row = 4 * size * scale.gathered, {}
    for name, work in works.items():
        taken = [device_seconds(work, scale.device) for _ in range(scale.runs + 1)][1:]
        row[f"{name}_bytes_per_second"] = moved / statistics.median(taken)
    return row


# ---- sweep


@functools.cache
def zipf_ids(words: int, tokens: int) -> Any:
    """Return Zipf-like ids in sentences of about 20, int32 [tokens]."""
    rng = np.random.default_rng(1)
    share = 1.0 / np.arange(1, words + 1)
    share /= share.sum()
    ids = np.searchsorted(np.cumsum(share), rng.random(tokens)).clip(0, words - 1).astype(np.int32)
    ids[rng.random(tokens) < 0.05] |= contract.SENTENCE_END
    return ids


def zipf_job(mode: str, tile: int, in_flight: int, scale: Scale) -> Job:
    """Return a job on Zipf-like tokens, as long runs have it."""
    return parity.make_job(
        words=scale.words,
        tokens=zipf_ids(scale.words, scale.tokens),
        sample=1e-3,
        static=True,
        target_mask=mode == "cbow",
        mode=mode,
        tile=tile,
        tokens_in_flight=in_flight,
        chunk_size=contract.CHUNK_TOKENS,
    )


# Changes of the default, those first that say most; `tile`, `negatives`, `in_flight`, `D` and fields of Tuning.
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"tile": 16},
    {"tile": 32},
    {"tile": 64},
    {"prefetch": False},
    {"tile": 16, "short_registers": 255},
    {"max_registers": 168},
    {"num_warps": 8, "max_registers": 128},
    {"num_warps": 8},
    {"block_d": 64},
    {"block_d": 16},
    {"num_stages": 2},
    {"num_stages": 3},
    {"negatives": 16},
    {"negatives": 64},
    {"tile": 16, "D": 300},
    {"prefetch": False, "D": 300},
    {"num_warps": 8, "block_d": 64, "D": 300},
)


def sweep_changes(scale: Scale) -> list[dict[str, Any]]:
    """Return all changes of the defaults that are timed."""
    sizes = [{"D": size} for size in scale.sizes[1:]]
    programs = [{"in_flight": tokens} for tokens in scale.in_flight]
    return [CHANGES[0], *sizes, *CHANGES[1 : scale.changes], *programs]


def sweep_cases(scale: Scale, failed: set[str]) -> Iterator[Case]:
    """Yield the timings."""
    for change in sweep_changes(scale):
        for mode in MODES:
            if mode in failed or change == {"tile": default_tile(mode, scale)}:
                continue
            name = " ".join([mode, *(f"{key}={value}" for key, value in change.items())])
            yield name, functools.partial(time_kernel, mode, change, scale)


def time_kernel(mode: str, change: dict[str, Any], scale: Scale) -> Row:
    """Return trained tokens/s of whole epochs: set-up, compilation and the device's seconds apart."""
    from w2vfast.kernels.triton import config as triton_config
    from w2vfast.kernels.triton import step as triton_step

    tuned = {key: value for key, value in change.items() if key not in ("tile", "negatives", "in_flight", "D")}
    tile, size = change.get("tile", default_tile(mode, scale)), change.get("D", scale.sizes[0])
    negatives = change.get("negatives", tiles.LEAST_NEGATIVES[mode])
    job = zipf_job(mode, tile, change.get("in_flight", tiles.MOST_IN_FLIGHT_GPU), scale)
    w_in = plan.initial_vectors(scale.words, size, 1)
    chosen = dataclasses.replace(triton_config.tuning(capability(scale)), **tuned)
    step, setup = wall_seconds(
        lambda: triton_step.create_step(job, w_in, np.zeros_like(w_in), device=scale.device, tuned=chosen)
    )
    _, compiling = wall_seconds(lambda: step.prepare(negatives))
    visit = parity.visit_of(job, shared_words=negatives, epochs=1, alpha=0.025)
    trained = step.train(visit).trained
    taken = [device_seconds(lambda: step.train(visit), scale.device) for _ in range(scale.runs)]
    return {
        "mode": mode,
        "vector_size": size,
        "tile": tile,
        "shared_negatives": negatives,
        "tokens_in_flight": step.programs * tile,
        "programs": step.programs,
        **{name: getattr(chosen, name) for name in ("num_warps", "max_registers", "block_d", "num_stages", "prefetch")},
        "registers": getattr(step.compiled, "n_regs", None),
        "spilled_bytes": getattr(step.compiled, "n_spills", None),
        "setup_seconds": setup,
        "compile_seconds": compiling,
        "device_seconds": statistics.median(taken),
        "runs": scale.runs,
        "trained": trained,
        "tokens_per_second": trained / statistics.median(taken),
        "slowest": trained / max(taken),
        "fastest": trained / min(taken),
    }


def default_tile(mode: str, scale: Scale) -> int:
    """Return T as training has it by default on this GPU."""
    from w2vfast.kernels.triton import config as triton_config

    short = mode == "cbow" and triton_config.tuning(capability(scale)).short_tiles
    return tiles.SHORT_TILE if short else tiles.TILE["triton"]


def capability(scale: Scale) -> int | None:
    """Return the compute capability that kernels are tuned for, 90 for 9.0; None for AMD's."""
    import torch

    if scale.device == "interpreter":
        return 90
    major, minor = torch.cuda.get_device_capability()
    return 10 * major + minor if torch.version.hip is None else None


# ---- training


def train_cases(settings: Settings, failed: set[str]) -> Iterator[Case]:
    """Yield an epoch of the text in each mode at D = 128 and 300."""
    sizes = (128, 300) if settings.scale is FULL else settings.scale.sizes
    for size in sizes:
        for mode in MODES:
            if mode not in failed:
                config = Config(mode=mode, vector_size=size, epochs=1)
                yield f"{mode} D={size}", functools.partial(train, config, settings, None)


def quality_cases(settings: Settings, failed: set[str]) -> Iterator[Case]:
    """Yield whole runs at gensim's defaults."""
    for seed in SEEDS:
        for mode in MODES:
            if mode not in failed:
                config = Config(mode=mode, vector_size=100, epochs=settings.scale.epochs, seed=seed)
                name = f"{mode} seed={seed}"
                yield name, functools.partial(train, config, settings, f"{mode}-{seed}.bin")


def train(config: Config, settings: Settings, keep: str | None) -> Row:
    """Train on the text; the row has where the seconds went, and the scores of the vectors where they can be taken."""
    assert settings.corpus is not None
    device = settings.scale.device
    config = dataclasses.replace(config, min_count=5 if device == "cuda" else 1, backend="triton")
    choice = backends.Choice("triton", device, "benchmarks/gpu.py", "tf32")
    corpus, scan = scanned(settings.corpus, config.min_count)
    work = jobs.prepare(corpus, config, choice)
    programs, setup, compiling = prepared(work, config.vector_size, device)
    results: list[trainer.TrainResult] = []
    # Compiled by now: what is left of the device's seconds is the training.
    on_device = device_seconds(lambda: results.append(trainer.train_corpus(corpus, config, choice, work=work)), device)
    (result,) = results
    row: Row = {
        "mode": config.mode,
        "vector_size": config.vector_size,
        "seed": config.seed,
        "epochs": config.epochs,
        "tile": work.job.tile,
        "shared_negatives": work.shared_words,
        "tokens_in_flight": programs * work.job.tile,
        "words": result.tokens["read"],
        "trained": result.tokens["trained"],
        "scan_seconds": scan,
        "setup_seconds": setup,
        "compile_seconds": compiling,
        "train_seconds": result.seconds["train"],
        "whole_on_device_seconds": on_device,  # tables made and copied too
        "tokens_per_second": result.tokens["trained"] / result.seconds["train"],
        "loss": result.loss_per_epoch[-1],
    }
    if keep is not None:
        formats.save_vectors(result.vectors, settings.out / keep)
        row |= {"vectors": keep, **scores_of(settings.out / keep)}
    return row


@functools.cache
def scanned(path: Path, min_count: int) -> tuple[EncodedCorpus, float]:
    """Return an encoded text and the seconds that it took; once a process, in memory."""
    config = Config(min_count=min_count, cache_above=1 << 40)
    return wall_seconds(lambda: trainer.scan_files([path], config))


def prepared(work: jobs.Work, size: int, device: str) -> tuple[int, float, float]:
    """Return a job's programs, and the seconds of set-up and compilation, which this process then need not repeat."""
    from w2vfast.kernels.triton import step as triton_step

    w_in, w_out = (np.zeros((work.job.vocabulary, size), np.float32) for _ in range(2))
    step, setup = wall_seconds(lambda: triton_step.create_step(work.job, w_in, w_out, device=device))
    _, compiling = wall_seconds(lambda: step.prepare(work.shared_words))
    return step.programs, setup, compiling


def scores_of(path: Path) -> Row:
    """Return the scores of vectors; none where there are no data sets, or none of their words."""
    try:
        return dict(quality(formats.load_vectors(path)))
    except (InputError, ModuleNotFoundError) as error:
        return {"not_scored": str(error)}


def score_cases(settings: Settings) -> Iterator[Case]:
    """Yield the vectors that `quality` left."""
    for row in rows_of(settings.out):
        if "not_scored" in row and "vectors" in row and (settings.out / row["vectors"]).exists():
            name = row["vectors"]

            def score(row: Row = row) -> Row:
                found = scores_of(settings.out / row["vectors"])
                if "not_scored" in found:
                    raise InputError(found["not_scored"])
                return {"mode": row["mode"], "seed": row["seed"], **found}

            yield name, score


# ---- parts


def cases_of(part: str, settings: Settings) -> Iterator[Case]:
    """Yield a part's cases."""
    failed = {
        mode
        for row in rows_of(settings.out)
        for mode in MODES
        if row["part"] == "parity" and row.get(FAILED) and f" {mode} " in row["case"]
    }
    if failed:
        print(f"not timed, since parity fails: {', '.join(sorted(failed))}", flush=True)
    match part:
        case "parity":
            return parity_cases(settings.scale)
        case "ceilings":
            return ceiling_cases(settings.scale)
        case "sweep":
            return sweep_cases(settings.scale, failed)
        case "train":
            return train_cases(settings, failed)
        case "quality":
            return quality_cases(settings, failed)
        case _:
            return score_cases(settings)


def run_part(part: str, seconds: float, settings: Settings) -> int:
    """Run a part's cases until its time is up; returns 1 if one of them failed."""
    done = set() if settings.again else done_already(rows_of(settings.out), part)
    cases = [case for case in cases_of(part, settings) if case[0] not in done]
    named = machine(settings.scale) if part != "score" else {}
    end = time.monotonic() + seconds
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds + GRACE))  # a kernel that hangs answers to nothing less
    longest, code = 0.0, 0
    for number, (name, work) in enumerate(cases):
        if time.monotonic() + longest > end:
            left = [other for other, _ in cases[number:]]
            append(settings.out, {"part": part, "left_out": left, "seconds": seconds})
            print(f"{part}: no time is left for {len(left)} cases", flush=True)
            break
        began = time.monotonic()
        try:
            row = work()
        except Exception as error:  # whatever it is: the other cases are still to be measured
            row = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        longest = max(longest, time.monotonic() - began)
        row = {"part": part, "case": name, **row, "case_seconds": time.monotonic() - began, **named}
        append(settings.out, row)
        print(f"{part}: {describe(row)}", flush=True)
        code |= bool(row.get(FAILED) or "error" in row)
        if "error" in row and settings.scale is FULL and part != "score":
            import torch

            torch.cuda.synchronize()  # raises where the error has taken the GPU from this process
    return code


def machine(scale: Scale) -> Row:
    """Return what a row must name: GPU, driver, versions."""
    import torch

    row: Row = {name: importlib.metadata.version(name) for name in ("torch", "triton", "numpy")}
    row |= {"python": platform.python_version(), "toy": scale is TOY}
    if scale is FULL:
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"]
        try:
            said = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            said = ""
        row |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda), "driver": said}
    return row


def describe(row: Row) -> str:
    """Return one line on a row."""
    said = row.get("case", "")
    if "error" in row:
        return f"{said}: {row['error']}"
    if "error_of_largest_step" in row:
        verdict = "FAILS, at most" if row[FAILED] else "of the largest step, at most"
        return f"{said}: error {row['error_of_largest_step']:.1e} {verdict} {row['at_most']:.0e}"
    if "off" in row:
        return f"{said}: {'FAILS' if row[FAILED] else 'nothing is lost'}, off by {row['off']:.2g} smallest additions"
    if "gather_bytes_per_second" in row:
        values = (f"{name} {row[f'{name}_bytes_per_second'] / 1e9:,.0f} GB/s" for name in ("gather", "scatter_add"))
        return f"{said}: {', '.join(values)}"
    if "device_seconds" in row:
        return (
            f"{said}: {row['tokens_per_second'] / 1e6:.1f} M trained tokens/s ({row['slowest'] / 1e6:.1f} to "
            f"{row['fastest'] / 1e6:.1f}); {row['programs']} programs, {row['registers']} registers; set-up "
            f"{row['setup_seconds']:.2f} s, compilation {row['compile_seconds']:.1f} s, device "
            f"{row['device_seconds']:.3f} s"
        )
    text = ""
    if "train_seconds" in row:
        text = (
            f": {row['tokens_per_second'] / 1e6:.1f} M trained tokens/s; scan {row['scan_seconds']:.1f} s, set-up "
            f"{row['setup_seconds']:.2f} s, compilation {row['compile_seconds']:.1f} s, training "
            f"{row['train_seconds']:.2f} s; loss {row['loss']:.4f}"
        )
    scores = ", ".join(f"{label} {row[name]:.1f}" for name, label in MEASURES.items() if row.get(name) is not None)
    return f"{said}{text}{'; ' if scores else ''}{scores}"


# ---- report


def report(out: Path) -> None:
    """Write gpu.md, and gpu.png where there is matplotlib, from the rows."""
    rows = rows_of(out)
    named = next((row for row in rows if "torch" in row), {})
    title = " ".join(str(named[key]) for key in ("gpu", "driver", "torch", "triton") if named.get(key))
    lines = [f"# {'A dry run on a toy: no figure here means anything' if named.get('toy') else title}"]
    for part in PARTS:
        of_part = [row for row in rows if row["part"] == part]
        if of_part:
            lines += ["", f"## {part}", ""]
        for row in of_part:
            if "left_out" in row:
                lines.append(f"    no time for: {', '.join(row['left_out'])}")
            elif "stopped" in row:
                lines.append(f"    {row['stopped']}")
            else:
                lines.append(f"    {describe(row)}")
    (out / "gpu.md").write_text("\n".join(lines) + "\n")
    timed = [row for row in rows if row["part"] == "sweep" and "tokens_per_second" in row]
    if timed:
        try:
            plot(timed, title, out / "gpu.png")
        except ModuleNotFoundError as error:
            print(f"no plot: {error}", flush=True)


def plot(rows: list[Row], title: str, path: Path) -> None:
    """Draw the speed of every case of the sweep."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.22 * len(rows)))
    rows = rows[::-1]
    speeds = [row["tokens_per_second"] / 1e6 for row in rows]
    spread = [[(row["tokens_per_second"] - row["slowest"]) / 1e6 for row in rows]]
    spread.append([(row["fastest"] - row["tokens_per_second"]) / 1e6 for row in rows])
    axes.barh(range(len(rows)), speeds, xerr=spread)
    axes.set_yticks(range(len(rows)), [row["case"] for row in rows], fontsize=7)
    axes.set(xlabel="million trained tokens/s", title=title)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def parts_of(text: str) -> list[str]:
    """Return the parts that a comma-separated text names."""
    parts = text.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    return parts


def main(argv: list[str] | None = None) -> int:
    """Run the parts; returns 2 where there is no GPU or an option makes no sense, 1 if a check or a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = "all that there is a corpus for"
    parser.add_argument("--parts", type=parts_of, metavar="PART,...", help=f"{', '.join(PARTS)} (default: {default})")
    parser.add_argument("--corpus", type=Path, help="text to train on")
    parser.add_argument("--out", type=Path, default=Path("gpu_results"))
    parser.add_argument("--seconds", type=float, help="time of each part (default: as above)")
    parser.add_argument("--again", action="store_true", help="run the cases that have a row, too")
    parser.add_argument("--toy", action="store_true", help="a dry run in the interpreter")
    parser.add_argument("--inside", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.toy:
        os.environ["TRITON_INTERPRET"] = "1"
    settings = Settings(arguments.out, TOY if arguments.toy else FULL, arguments.corpus, arguments.again)
    if arguments.inside is not None:
        return run_part(arguments.inside, arguments.seconds, settings)
    corpus = arguments.corpus
    wanted = arguments.parts or [part for part in PARTS if part != "score" and (corpus or part not in OF_CORPUS)]
    if corpus is None and set(wanted) & set(OF_CORPUS):
        parser.error(f"{' and '.join(OF_CORPUS)} train on a text: name it with --corpus")
    if corpus is not None and not corpus.is_file():
        parser.error(f"there is no file {corpus}")
    reason = None if arguments.toy or wanted == ["score"] else backends.unavailable_reason("triton")
    if reason is not None:
        print(f"nothing was measured: the triton backend cannot run here: {reason} (--toy: a dry run)", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    code = 0
    for part in wanted:
        seconds = arguments.seconds or PARTS[part]
        command = [sys.executable, __file__, "--inside", part, "--out", arguments.out, "--seconds", str(seconds)]
        command += ["--corpus", corpus] if corpus is not None else []
        command += ["--again"] * arguments.again + ["--toy"] * arguments.toy
        ended = subprocess.run(command, check=False).returncode
        if ended not in (0, 1):
            how = f"signal {signal.Signals(-ended).name}" if ended < 0 else f"exit code {ended}"
            append(arguments.out, {"part": part, "stopped": f"the part ended with {how}"})
            print(f"{part}: ended with {how}", flush=True)
        code |= ended != 0
        report(arguments.out)
    print(f"written to {arguments.out}")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
