"""How the cost of a token grows with the vocabulary: seconds a trained token at V = 1 k, 10 k, 100 k and 1 M.

    python benchmarks/growth.py                                  every objective of the native and torch backends
    python benchmarks/growth.py --objectives softmax nce --words 1000 10000
    python benchmarks/growth.py --draw                           the picture of the rows that are there

The text is made up: ids by Zipf's law, p ~ 1 / (rank + 2.7), in sentences of 20 tokens, subsampled as usual. Only a
step is timed, in CPU seconds of one thread, warm, on as few tokens as take a second or two; T and N are a large
corpus's at every V. Each point is a process of its own, which is given up after `--limit` seconds (margin's exact
search for hard negatives costs V^2). Rows go to growth.csv beside this file, the picture to growth.png in `docs/`.
"""

import argparse
import csv
import datetime
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import machine
import numpy as np
import parity
import speed

from w2vfast import backends, formats, jobs, plan, tiles
from w2vfast.command import Parser, add_options, config_of, exit_code
from w2vfast.config import Config, ObjectiveName
from w2vfast.corpus import EncodedCorpus, Ledger
from w2vfast.errors import InputError
from w2vfast.kernels.contract import SENTENCE_END, chunk_count
from w2vfast.vocab import Vocab

HERE = Path(__file__).parent
CSV = HERE / "growth.csv"
PLOT = HERE.parent / "docs" / "growth.png"
WORDS = (1_000, 10_000, 100_000, 1_000_000)
TOKENS = 1 << 21  # of the made-up text; a step sees as few as it needs
SENTENCE = 20
LARGE = 20_000_000  # tokens that T and N are chosen for
TIMED = 1.0  # least CPU seconds of what is timed
COUNT = 10**10  # of all words together, in the counts that an objective is made from


def text(V: int) -> EncodedCorpus:
    """Return a made-up corpus of V words; its counts are what Zipf's law expects, not what these tokens hold."""
    weight = 1 / (np.arange(V) + 2.7)
    share = weight / weight.sum()
    draws = np.random.default_rng(1).random(TOKENS)
    ids = np.minimum(np.searchsorted(np.cumsum(share), draws), V - 1).astype(np.int32)
    ids[SENTENCE - 1 :: SENTENCE] |= SENTENCE_END
    counts = np.maximum(1, share * COUNT).astype(np.int64)
    vocab = Vocab([f"w{i}" for i in range(V)], counts)
    return EncodedCorpus(ids, vocab, Ledger(TOKENS, TOKENS, 0, 0), TOKENS // SENTENCE)


def backend_of(objective: str) -> str:
    """Return the fastest backend on a CPU that has an objective."""
    for name in ("native", "torch"):
        if backends.unavailable_reason(name) is None and objective in backends.objectives(name):
            return name
    raise InputError(f"no backend that can run on a CPU here has the objective {objective}: leave it out")


def measure(objective: str, mode: str, V: int, vector_size: int) -> dict[str, Any]:
    """Return the seconds a trained token of one objective at V words, and what they were taken on."""
    backend = backend_of(objective)
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {}
        if objective == "von-mises-fisher":
            options["targets"] = str(random_targets(Path(folder) / "targets.bin", V, vector_size))
        config = Config(objective=objective, mode=mode, vector_size=vector_size, backend=backend, workers=1, **options)  # type: ignore[arg-type]
        choice = backends.choose(config)
        settings = tiles.choose(config, choice.name, choice.device, LARGE, LARGE, max(WORDS))
        work = jobs.prepare(text(V), config, choice, settings)
    job = work.job
    w_in = plan.initial_vectors(V, vector_size, 1)
    w_out = getattr(job.objective, "fixed_out", None)
    if w_out is None:
        w_out = np.full((job.objective.out_rows(V), vector_size), 1e-3, np.float32)  # its memory is touched
    step = backends.create_step(choice, job, w_in, w_out, 1)
    order, first, count = plan.chunk_order(chunk_count(job, job.tokens), 1, 0), 0, 1
    step.train(parity.visit_of(job, order[:1], shared_words=work.shared_words))  # compiles, touches, mines
    while True:
        chunks = order[(first + np.arange(count)) % len(order)]
        visit = parity.visit_of(job, chunks, first_rank=first, shared_words=work.shared_words)
        began = time.process_time()
        result = step.train(visit)
        took = time.process_time() - began
        if took >= TIMED or count == len(order):
            break
        first, count = first + count, min(len(order), count * max(2, min(16, math.ceil(1.2 * TIMED / max(took, 1e-3)))))
    return {
        "objective": objective,
        "mode": mode,
        "backend": backend,
        "words": V,
        "vector_size": vector_size,
        "tile": job.tile,
        "shared_words": work.shared_words,
        "out_rows": len(w_out),
        "tokens": result.trained,
        "cpu_seconds_per_token": took / result.trained,
    }


def random_targets(path: Path, V: int, size: int) -> Path:
    """Write random vectors for the words of `text`."""
    vectors = np.random.default_rng(1).normal(size=(V, size)).astype(np.float32)
    formats.save_vectors(formats.Vectors([f"w{i}" for i in range(V)], vectors), path)
    return path


def in_process(objective: str, mode: str, V: int, vector_size: int, limit: float) -> dict[str, Any] | None:
    """Return what `measure` returns in a process of its own, None where that takes longer than `limit` seconds."""
    one = ["--one", objective, "--modes", mode, "--words", str(V), "--vector-size", str(vector_size)]
    try:
        done = subprocess.run(
            [sys.executable, __file__, *one], capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise InputError(f"{objective} at {V:,} words failed: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Draw seconds a token against V on logarithmic axes, a curve an objective, with its slope beside its name."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        name = row["objective"] + ("" if row["mode"] == "sg" else f" ({row['mode']})")
        name += "" if row["backend"] == "native" else f" [{row['backend']}]"
        curves.setdefault(name, []).append((int(row["words"]), float(row["cpu_seconds_per_token"])))
    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    colours = plt.get_cmap("tab10")
    ends = []
    for i, (name, points) in enumerate(curves.items()):
        x, y = np.array(sorted(points)).T
        (line,) = axes.loglog(x, 1e6 * y, "-", color=colours(i % 10), ms=5, marker="os^vD"[i // 10 % 5])
        slope = f", V^{np.polyfit(np.log(x), np.log(y), 1)[0]:.2f}" if len(x) > 1 else ""
        ends.append((float(np.log(1e6 * y[-1])), x[-1], 1e6 * y[-1], name + slope, line.get_color()))
    # Names stand right of the curves' ends, moved apart where they would lie on each other.
    low, high = np.log(axes.get_ylim())
    place = -np.inf
    for end, x_end, y_end, name, colour in sorted(ends):
        place = max(end, place + (high - low) / 26)
        axes.annotate(
            name,
            (x_end, y_end),
            xytext=(1.6 * max(WORDS), math.exp(place)),
            color=colour,
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "relpos": (0, 0.5)},
            annotation_clip=False,
        )
    axes.set_xlim(right=1.3 * max(WORDS))
    axes.set_xlabel("words in the vocabulary, V")
    axes.set_ylabel("CPU microseconds a trained token")
    axes.set_title(f"{rows[0]['machine']}, one thread, D = {rows[0]['vector_size']}", loc="left", fontsize=10)
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the CSV's rows, the last of each objective, mode and V."""
    if not path.exists():
        raise InputError(f"{path} is missing: measure first, without --draw")
    with path.open(newline="") as file:
        latest = {(row["objective"], row["mode"], int(row["words"])): row for row in csv.DictReader(file)}
    return list(latest.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("benchmarks/growth.py", partial(_main, sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", nargs="+", choices=get_args(ObjectiveName), default=get_args(ObjectiveName))
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg"])
    parser.add_argument("--words", type=int, nargs="+", default=WORDS, metavar="V")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="of one point (default: 300)")
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--draw", action="store_true", help="draw only")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    add_options(parser, ("vector_size",))
    arguments = parser.parse_args(argv)
    size = config_of(arguments).vector_size
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.modes[0], arguments.words[0], size)))
        return
    if not arguments.draw:
        where = {"machine": machine.processor(), **machine.identity()}
        where["sgemm_gflops"] = f"{machine.sgemm_peak():.1f}"
        for objective in arguments.objectives:
            for mode in arguments.modes:
                for V in arguments.words:
                    if objective == "margin" and mode == "cbow":
                        continue
                    row = in_process(objective, mode, V, size, arguments.limit)
                    if row is None:
                        print(f"{objective} {mode} V={V:,}: more than {arguments.limit:g} s, given up", flush=True)
                        break
                    speed.append(arguments.csv, {"date": datetime.date.today().isoformat(), **row, **where})
                    print(
                        f"{objective} {mode} V={V:,}: {1e6 * row['cpu_seconds_per_token']:.3f} microseconds a token "
                        f"({row['tokens']:,} tokens, {row['backend']})",
                        flush=True,
                    )
    draw(read_rows(arguments.csv), arguments.plot)


if __name__ == "__main__":
    sys.exit(main())
