"""Times w2vfast's Word2Vec against gensim's, whole: vocabulary and training, each run in a process of its own.

    python benchmarks/drop_in.py corpus.txt                       corpus_file, and lists of 5 and 20 words; both modes
    python benchmarks/drop_in.py corpus.txt --modes sg --sentence-words --runs 5           corpus_file alone
    python benchmarks/drop_in.py corpus.txt --gensim-lists        gensim on the lists too (slow)
    python benchmarks/drop_in.py corpus.txt --no-gensim           lists against files, and memory, in a few minutes

The same text goes in as `corpus_file`, and, cut into sentences of 5 and 20 words, as lists in memory; these are held
against a corpus_file of the same cut sentences, since short sentences have fewer pairs to train. The clocks run around
the constructor: imports come before, and the lists are there. Peak memory is the process's, the lists in it. The two
take turns, parity with the reference is checked first, and the vectors' quality stands beside the seconds. One row a
class, mode and source goes to the CSV.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import machine
import parity
import speed

from w2vfast import backends
from w2vfast.command import Parser, exit_code
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.eval.quality import MEASURES
from w2vfast.memory import peak_rss_bytes

DEFAULT_CSV = Path(__file__).with_name("drop_in.csv")
GENSIM, OURS = "gensim", "w2vfast"
CORPUS_FILE, LISTS = "corpus_file", "lists"
# Arguments of the constructor; those that are not here are the classes' own defaults, which are the same.
SETTINGS = {"vector_size": 100, "min_count": 5, "epochs": 5, "workers": 2}
TIMES = ("wall_seconds", "cpu_seconds")
SPEEDUP = {"wall_seconds": "wall_speedup_over_gensim", "cpu_seconds": "cpu_speedup_over_gensim"}


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed: a class, a mode, and how the text goes in; `sentence_words` 0 leaves its lines as they are."""

    whose: str
    mode: str
    source: str
    sentence_words: int


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return what is timed, in the order of the turns."""
    found = []
    for mode in arguments.modes:
        if arguments.gensim:
            found.append(Case(GENSIM, mode, CORPUS_FILE, 0))
        found.append(Case(OURS, mode, CORPUS_FILE, 0))
        for words in arguments.sentence_words:
            for whose in [GENSIM, OURS] if arguments.gensim_lists else [OURS]:
                found += [Case(whose, mode, CORPUS_FILE, words), Case(whose, mode, LISTS, words)]
    return found


def cut(corpus: Path, words: int, out: Path) -> None:
    """Write the words of a corpus as lines of `words` words each."""
    line: list[str] = []
    with corpus.open(encoding="utf-8") as source, out.open("w", encoding="utf-8") as target:
        for text in source:
            line += text.split()
            while len(line) >= words:
                target.write(" ".join(line[:words]) + "\n")
                del line[:words]
        target.write(" ".join(line) + "\n" if line else "")


def run_here(job: dict[str, Any]) -> dict[str, Any]:
    """Time one run in this process, then measure its vectors; the child's part."""
    if job["whose"] == GENSIM:
        from gensim.models import Word2Vec
    else:
        from w2vfast import Word2Vec
    settings = job["settings"] | {"sg": int(job["mode"] == "sg"), "seed": job["seed"]}
    if job["source"] == LISTS:
        with open(job["path"], encoding="utf-8") as file:
            settings["sentences"] = [line.split() for line in file]
    else:
        settings["corpus_file"] = job["path"]
    before = peak_rss_bytes()
    wall, cpu = time.perf_counter(), time.process_time()
    model = Word2Vec(**settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_rss_bytes()
    from w2vfast.eval.quality import quality
    from w2vfast.formats import Vectors

    try:
        scores = quality(Vectors(list(model.wv.index_to_key), model.wv.vectors))
    except InputError:  # a corpus without the words that are asked for
        scores = dict.fromkeys(MEASURES)
    return {
        "raw_words": int(model.corpus_total_words),
        "vocabulary": len(model.wv),
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_rss_mb": None if peak is None else peak / 1e6,
        "rss_before_mb": None if before is None else before / 1e6,
    } | scores


def run(case: Case, path: Path, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Time one run in a process of its own. Raises InputError with its last line if it fails."""
    given = {name: value for name, value in settings.items() if case.whose == OURS or name in SETTINGS}
    job = dataclasses.asdict(case) | {"path": str(path), "seed": seed, "settings": given}
    search = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, str(Path(__file__).resolve()), "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": search})
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"{case.whose} failed with exit code {done.returncode}: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(case: Case, runs: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the CSV row of several runs with different seeds; how it stands against others comes later."""
    row: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "corpus": arguments.corpus.name,
        "raw_words": runs[0]["raw_words"],
        "vocabulary": runs[0]["vocabulary"],
        "class": case.whose,
        "version": importlib.metadata.version(case.whose),
        "backend": arguments.choice.name if case.whose == OURS else "",
        "mode": case.mode,
        "source": case.source,
        "sentence_words": case.sentence_words or "",
    }
    row |= {name: arguments.settings[name] for name in SETTINGS}
    row["runs"] = len(runs)
    for name in TIMES:
        values = [run[name] for run in runs]
        row[name] = round(statistics.median(values), 3)
        row |= {f"{name}_min": round(min(values), 3), f"{name}_max": round(max(values), 3)}
    seconds = statistics.median(run["wall_seconds"] for run in runs)
    row["words_per_second"] = round(row["raw_words"] * row["epochs"] / seconds)
    for name in ("peak_rss_mb", "rss_before_mb"):
        values = [run[name] for run in runs]
        row[name] = "" if None in values else round(statistics.median(values), 1)
    for name in MEASURES:
        values = [run[name] for run in runs if run[name] is not None]
        row[name] = round(statistics.mean(values), 2) if values else ""
    row["parity_error"] = f"{arguments.parity[case.mode]:.1e}" if case.whose == OURS else ""
    return row


def compare(rows: list[dict[str, Any]]) -> None:
    """Add how each row stands against gensim's of the same mode and source, and against its corpus_file of that cut."""

    def against(row: dict[str, Any], name: str, **other: Any) -> float | str:
        same = {key: row[key] for key in ("class", "mode", "source", "sentence_words")} | other
        peer = next((peer for peer in rows if same.items() <= peer.items()), None)
        return "" if peer is None else round(peer[name] / row[name], 3)

    for row in rows:
        for name in TIMES:
            row[SPEEDUP[name]] = against(row, name, **{"class": GENSIM})
        row["share_of_corpus_file"] = against(row, "wall_seconds", source=CORPUS_FILE)


def identify(row: dict[str, Any], sgemm_gflops: float) -> None:
    """Add what machine and versions the row was measured with."""
    packages = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "gensim"))
    row["machine"] = machine.processor()
    row["versions"] = f"{packages} python {platform.python_version()}"
    row |= machine.identity()
    row["sgemm_gflops"] = round(sgemm_gflops, 1)


def report(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line a row."""
    for row in rows:
        source = f"{row['source']} of {row['sentence_words']}" if row["sentence_words"] else row["source"]
        beside = ""
        if row["class"] == OURS and row["wall_speedup_over_gensim"] != "":
            beside = f", {row['wall_speedup_over_gensim']}x gensim by the clock"
            beside += f", {row['cpu_speedup_over_gensim']}x by CPU time"
        if row["source"] == LISTS:
            beside += f", {100 * row['share_of_corpus_file']:.0f} % of corpus_file's speed"
        memory = f", {row['peak_rss_mb']:.0f} MB" if row["peak_rss_mb"] != "" else ""
        scores = "  ".join(f"{name} {row[name]}" for name in MEASURES if row[name] != "")
        yield (
            f"{row['mode']:4} {row['class']:7} {source:17} {row['wall_seconds']:8.2f} s, "
            f"{row['cpu_seconds']:8.2f} CPU s{memory}{beside}  {scores}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    given = sys.argv[1:] if argv is None else argv
    if given and given[0] == "--job":  # a run in a process of its own
        print(json.dumps(run_here(json.loads(given[1]))))
        return 0
    return exit_code("benchmarks/drop_in.py", partial(_main, given))


def _main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a plain text file, a sentence a line")
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--sentence-words", type=int, nargs="*", default=[5, 20], help="the lists' lengths")
    parser.add_argument("--gensim", action=argparse.BooleanOptionalAction, default=True, help="time gensim's class too")
    parser.add_argument("--gensim-lists", action="store_true", help="time gensim on the cut sentences too")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, with seeds 1, 2, 3, ...")
    for name, value in SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--backend", choices=("auto", *backends.NAMES), default="auto")
    parser.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    arguments = parser.parse_args(argv)
    if not arguments.corpus.is_file():
        raise InputError(f"{arguments.corpus} is not a file: name a plain text file")
    arguments.settings = {name: getattr(arguments, name) for name in SETTINGS} | {"backend": arguments.backend}
    arguments.choice = backends.choose(Config(backend=arguments.backend))
    arguments.parity = {}
    for mode in arguments.modes:
        error = parity.largest_error(arguments.choice.name, arguments.choice.device, mode)
        if not error <= parity.largest_allowed(arguments.choice.name):
            raise InputError(f"{mode} differs from the reference by {error:.1e}: no speed is reported")
        arguments.parity[mode] = error
    sgemm_gflops = machine.sgemm_peak()
    runs: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases(arguments)}
    with tempfile.TemporaryDirectory() as folder:
        paths = {0: arguments.corpus.resolve()}
        for words in arguments.sentence_words:
            paths[words] = Path(folder) / f"{words}.txt"
            cut(arguments.corpus, words, paths[words])
        for seed in range(1, arguments.runs + 1):
            for case, done in runs.items():
                done.append(run(case, paths[case.sentence_words], seed, arguments.settings))
    rows = [summarise(case, done, arguments) for case, done in runs.items()]
    compare(rows)
    for row in rows:
        identify(row, sgemm_gflops)
        speed.append(arguments.csv, row)
    print("\n".join(report(rows)))


if __name__ == "__main__":
    sys.exit(main())
