"""What each objective costs and gains on one text: speed, quality of the vectors, prediction of held-out text, memory.

    python benchmarks/objectives.py corpus.txt --tune 0.0125 0.025 0.05        search the learning rates
    python benchmarks/objectives.py corpus.txt --gensim                        every objective, both modes, two seeds
    python benchmarks/objectives.py corpus.txt --words 1000000 --objectives softmax margin negative-sampling
    python benchmarks/objectives.py --table                                    the rows as Markdown

An objective may have settings of its own: `binary-code:code=hybrid:code_words=1000`; `+` joins a pair of them. The end
of the text is held out in two parts of `--held-out` words, one that rates are tuned on and one that is measured.

With --tune every rate trains on the first `--tune-words` words; all are written to objectives_tuning.csv beside this
file, and the best by `--tune-by` is what a later run with the same objective, mode and corpus takes: quality (mean of
the three measures of the vectors) or prediction (likelihood of the part for tuning, top 10 where there is none).

Otherwise each run is a process of its own, objectives take turns within a seed, and a row of objectives.csv has
medians of speed and means of quality with negative sampling (always among them) and, with --gensim, gensim's
hierarchical softmax and negative sampling in the same run. Parity with the reference is checked first.
"""

import argparse
import csv
import dataclasses
import datetime
import importlib.metadata
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import growth
import machine
import parity
import speed

from w2vfast import formats
from w2vfast.command import Parser, add_options, config_of, exit_code
from w2vfast.config import Config, ObjectiveName
from w2vfast.errors import InputError
from w2vfast.eval import held_out, prediction, trainers
from w2vfast.eval.quality import MEASURES, quality
from w2vfast.eval.trainers import GENSIM
from w2vfast.prediction import load_model

HERE = Path(__file__).parent
CSV = HERE / "objectives.csv"
TUNING = HERE / "objectives_tuning.csv"
DOCUMENT = HERE.parent / "docs" / "output-layers.md"
BEGIN, END = "<!-- rows: drawn by benchmarks/objectives.py -->", "<!-- end of rows -->"
BASE = "negative-sampling"
GENSIM_OF = {f"{GENSIM} {name}": name for name in ("hierarchical-softmax", BASE) if name in get_args(ObjectiveName)}
OPTIONS = ("vector_size", "window", "sample", "min_count", "epochs", "workers", "alpha")
PREDICTION = ("nll", "nll_uncorrected", "unigram", "top1", "top10", "outside")
TUNE_WORDS = 2_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """What is trained: an objective with options of its own, by its label, in one mode; `trainer` runs it."""

    label: str
    mode: str
    trainer: str
    options: dict[str, Any]  # of Config, the objective's name among them


def cases_of(labels: Sequence[str], modes: Sequence[str], gensim: bool, targets: Path) -> list[Case]:
    """Return what labels mean in each mode they can be trained in, negative sampling first; gensim's peers last."""
    found: list[Case] = []
    for mode in modes:
        for label in dict.fromkeys([BASE, *labels]):
            options = options_of(label)
            if options["objective"] == "von-mises-fisher":
                options = {"targets": str(targets)} | options
            if options["objective"] == "margin" and mode == "cbow":
                continue
            found.append(Case(label, mode, growth.backend_of(options["objective"]), options))
        if gensim:
            found += [Case(label, mode, GENSIM, {"objective": name}) for label, name in GENSIM_OF.items()]
    return found


def options_of(label: str) -> dict[str, Any]:
    """Return the options of Config that a label such as binary-code:code=ecc stands for. Raises InputError."""
    name, *rest = label.split(":")
    options: dict[str, Any] = {"objective": name.replace("+", ",")}
    if options["objective"] not in get_args(ObjectiveName):
        raise InputError(f"no objective {name!r}: one of {', '.join(get_args(ObjectiveName))}, + for a comma")
    hints = get_type_hints(Config)
    for part in rest:
        option, _, value = part.partition("=")
        if option not in hints or not value:
            raise InputError(f"{label}: {part!r} is no setting; write option=value")
        kinds = [kind for kind in (*get_args(hints[option]), hints[option]) if kind in (bool, int, float)]
        try:
            options[option] = value == "True" if kinds[:1] == [bool] else kinds[0](value) if kinds else value
        except ValueError as error:
            raise InputError(f"{label}: {option} is a number, not {value!r}") from error
    Config(**options if options["objective"] != "von-mises-fisher" else {"targets": "later"} | options)
    return options


def parts_of(corpus: Path, folder: Path, words: int | None, tune_words: int, held: int) -> dict[str, Path]:
    """Write the parts of a text as files and return them by name.

    held: the last `held` words, at most a twentieth of the text; tune-held: as many before them; train: the first
    `words` of the rest (all unless told); tune: the first `tune_words` of the rest.
    """
    total = held_out.count_words(corpus)
    held = min(held, total // 20)
    rest = total - 2 * held
    bounds = {"train": (0, min(words or rest, rest)), "tune": (0, min(tune_words, rest))}
    bounds |= {"tune-held": (rest, rest + held), "held": (rest + held, total)}
    return held_out.cut(corpus, folder, bounds)


def run(case: Case, base: dict[str, Any], text: Path, held: Path, seed: int, pairs: int) -> dict[str, Any]:
    """Return the account, figures, quality and prediction of one run; gensim's predicts nothing."""
    settings = {**base, **case.options, "mode": case.mode, "seed": seed}
    predicted: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        out, model = Path(folder) / "vectors.bin", Path(folder) / "model.safetensors"
        if case.trainer != GENSIM:
            settings["save_model"] = str(model)
        account, figures = trainers.run(case.trainer, text, out, settings)
        scores: dict[str, float | None] = dict.fromkeys(MEASURES)
        with suppress(InputError):  # a text too small to be measured by the built-in sets
            scores = quality(formats.load_vectors(out))
        if case.trainer != GENSIM:
            loaded = load_model(model)
            predicted = prediction.evaluate(loaded, held, pairs=pairs) | {"out_rows": len(loaded.w_out)}
    return {
        "account": account,
        "figures": dataclasses.asdict(figures),
        "quality": scores,
        "prediction": predicted,
    }


def mean_quality(scores: dict[str, float | None]) -> float | None:
    """Return the mean of the three measures, None where one is missing."""
    values = [value for value in scores.values() if value is not None]
    return statistics.mean(values) if len(values) == len(MEASURES) else None


def tune(case: Case, arguments: argparse.Namespace, parts: dict[str, Path]) -> None:
    """Train with each rate on the part for tuning and append a row for each."""
    for rate in arguments.tune:
        base = arguments.settings | {"alpha": rate}
        try:
            found = run(case, base, parts["tune"], parts["tune-held"], 1, arguments.pairs)
        except InputError as error:
            if "diverged" not in str(error):
                raise
            print(f"{case.mode:4} {case.label} at {rate:g}: diverged", flush=True)
            continue
        measured = found["quality"] | {name: found["prediction"][name] for name in PREDICTION}
        row = {
            "date": datetime.date.today().isoformat(),
            "corpus": arguments.corpus.name,
            "raw_words": found["account"]["tokens"]["read"],
            "objective": case.label,
            "mode": case.mode,
            "alpha": rate,
            **{name: found["account"]["settings"][name] for name in ("vector_size", "window", "epochs")},
            "quality": mean_quality(found["quality"]),
            **measured,
        }
        speed.append(arguments.tuning_csv, {name: _rounded(value, 4) for name, value in row.items()})
        told = ", ".join(f"{name} {value:.4g}" for name, value in measured.items() if value is not None)
        print(f"{case.mode:4} {case.label} at {rate:g}: {told}", flush=True)


def tuned(case: Case, arguments: argparse.Namespace) -> tuple[float, str]:
    """Return the learning rate for a case and how it was found: the best tuned, else the one given."""
    rows = []
    if arguments.tuning_csv.exists() and not case.label.startswith(GENSIM):
        with arguments.tuning_csv.open(newline="") as file:
            same = {"corpus": arguments.corpus.name, "objective": case.label, "mode": case.mode}
            rows = [row for row in csv.DictReader(file) if same.items() <= row.items()]

    def merit(row: dict[str, str]) -> float:
        if arguments.tune_by == "quality":
            return float(row["quality"] or "-inf")
        return -float(row["nll"]) if row["nll"] else float(row["top10"])

    if not rows:
        return arguments.settings["alpha"], "given"
    best = max(rows, key=merit)
    searched = " ".join(sorted({row["alpha"] for row in rows}, key=float))
    return float(best["alpha"]), f"best of {searched} by {arguments.tune_by} on {best['raw_words']} words"


def summarise(case: Case, arguments: argparse.Namespace, runs: list[dict[str, Any]], how: str) -> dict[str, Any]:
    """Return the CSV row of a case's runs."""
    account, settings = runs[0]["account"], runs[0]["account"]["settings"]
    row: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "corpus": arguments.corpus.name,
        "raw_words": account["tokens"]["read"],
        "vocabulary": account["vocabulary_size"],
        "objective": case.label,
        "trainer": case.trainer,
        "mode": case.mode,
        **{name: settings.get(name, "") for name in (*OPTIONS, "negative", "tile", "shared_negatives")},
        "rate": how,
        "seeds": len(runs),
    }
    for name in ("words_per_cpu_second", "words_per_second"):
        values = [found["figures"][name] for found in runs]
        row |= {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
    peaks = [found["figures"]["peak_rss_mb"] for found in runs]
    row["peak_rss_mb"] = None if None in peaks else max(peaks)
    for name in MEASURES:
        row |= _mean(name, [found["quality"][name] for found in runs])
    row |= _mean("quality", [mean_quality(found["quality"]) for found in runs])
    for name in PREDICTION:
        row |= _mean(name, [found["prediction"].get(name) for found in runs])
    z = [found["prediction"].get("log_z") for found in runs if found["prediction"].get("log_z")]
    row["log_z"] = statistics.mean(one["mean"] for one in z) if z else None
    row["log_z_spread"] = statistics.mean(one["sd"] for one in z) if z else None
    row["pairs_predicted"] = runs[0]["prediction"].get("pairs")
    rows_of_out = runs[0]["prediction"].get("out_rows")
    row |= {"out_rows": rows_of_out, "out_bytes": rows_of_out and 4 * rows_of_out * settings["vector_size"]}
    useful = useful_gflops(case, account, row["words_per_cpu_second"])
    row["gflops_per_cpu_second"] = useful
    row["share_of_sgemm"] = useful and useful / arguments.sgemm_gflops
    row = {name: _rounded(value, 2 if name.startswith("words_per") else 4) for name, value in row.items()}
    row["parity_error"] = f"{arguments.parity[case]:.1e}" if case in arguments.parity else ""
    row["machine"] = machine.processor()
    row["versions"] = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch", "gensim"))
    row["versions"] += f" python {platform.python_version()}"
    return row | machine.identity() | {"sgemm_gflops": round(arguments.sgemm_gflops, 1)}


def _mean(name: str, values: list[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    spread = statistics.stdev(known) if len(known) > 1 else None
    return {name: statistics.mean(known) if known else None, f"{name}_sd": spread}


def _rounded(value: Any, digits: int) -> Any:
    return "" if value is None else round(value, digits) if isinstance(value, float) else value


def useful_gflops(case: Case, account: dict[str, Any], words_per_cpu_second: float) -> float | None:
    """Return the useful GFLOP of a CPU second for softmax (every row with every word) and those with shared words.

    None for the others, whose products depend on the word, and for gensim.
    """
    if case.trainer == GENSIM:
        return None
    epochs, settings = trainers.epochs_visited(account), account["settings"]
    rows = account["tokens"]["trained"] / epochs
    pairs, N = account["pairs"] / epochs, speed.mean_negatives(settings)
    if settings["objective"] == "softmax":
        pairs, N = 0, account["vocabulary_size"]
    elif settings["objective"] not in (BASE, "nce", "sampled-softmax"):
        return None
    an_epoch = machine.useful_operations(settings["vector_size"], pairs, rows * N)
    return an_epoch / account["tokens"]["read"] * words_per_cpu_second / 1e9


def compare(rows: list[dict[str, Any]]) -> None:
    """Add to each row of one mode its speed and quality against negative sampling's and gensim's of the same run.

    gensim's is that with the same objective, its negative sampling for those that it has not.
    """
    by_label = {row["objective"]: row for row in rows}
    for row in rows:
        peer = by_label.get(f"{GENSIM} {row['objective']}", by_label.get(f"{GENSIM} {BASE}"))
        for name, other in ((BASE.replace("-", "_"), by_label[BASE]), (GENSIM, peer)):
            speedup = None if other is None else row["words_per_cpu_second"] / other["words_per_cpu_second"]
            known = other is not None and "" not in (row["quality"], other["quality"])
            gain = row["quality"] - other["quality"] if other is not None and known else None
            row[f"words_per_cpu_second_against_{name}"] = _rounded(speedup, 2)
            row[f"quality_against_{name}"] = _rounded(gain, 2)


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows as a Markdown table, the last of each corpus, size, objective, mode and processor."""
    keys = ("corpus", "raw_words", "mode", "vector_size", "objective", *machine.COLUMNS)
    latest = {tuple(row[key] for key in keys): row for row in rows}

    def shown(text: str, digits: int, scale: float = 1, unit: str = "") -> str:
        return f"{scale * float(text):,.{digits}f}{unit}" if text else ""

    head = ["text", "mode", "objective", "alpha", "words / CPU s", "against negative sampling", "against gensim"]
    head += [*MEASURES.values(), "nats a pair", "top 1", "top 10", "W_out"]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for row in latest.values():
        cells = [
            f"{row['corpus']}, {float(row['raw_words']) / 1e6:.1f} M words",
            {"sg": "skip-gram", "cbow": "CBOW"}[row["mode"]],
            row["objective"].replace(":", " ") + ("" if row["trainer"] != "torch" else " (torch)"),
            row["alpha"],
            shown(row["words_per_cpu_second"], 2, 1e-6, " M"),
            shown(row["words_per_cpu_second_against_negative_sampling"], 2, 1, "x"),
            shown(row["words_per_cpu_second_against_gensim"], 1, 1, "x"),
            *(shown(row[name], 1) for name in MEASURES),
            shown(row["nll"], 3),
            shown(row["top1"], 1, 100, " %"),
            shown(row["top10"], 1, 100, " %"),
            shown(row["out_bytes"], 2, 1e-6, " MB"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("benchmarks/objectives.py", partial(_main, sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?", help="a plain text file, a sentence a line")
    parser.add_argument("--objectives", nargs="+", metavar="NAME[:OPTION=VALUE]", default=get_args(ObjectiveName))
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--words", type=int, metavar="N", help="train on the first N words (default: all)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="runs of each (default: 2)")
    add_options(parser, OPTIONS)
    parser.add_argument("--gensim", action="store_true", help="train gensim too, with hs and with negative sampling")
    parser.add_argument("--held-out", type=int, default=100_000, metavar="N", help="words of either part held out")
    parser.add_argument("--pairs", type=int, default=prediction.PAIRS, metavar="N", help="pairs predicted, at most")
    parser.add_argument("--targets", type=Path, help="vectors for von-mises-fisher (default: negative sampling's)")
    parser.add_argument("--tune", type=float, nargs="+", metavar="ALPHA", help="search among these learning rates")
    parser.add_argument("--tune-words", type=int, default=TUNE_WORDS, metavar="N")
    parser.add_argument("--tune-by", choices=("quality", "prediction"), default="quality")
    parser.add_argument("--tuning-csv", type=Path, default=TUNING)
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--table", action="store_true", help="print the rows and put them into docs/output-layers.md")
    arguments = parser.parse_args(argv)
    if arguments.table:
        _table(arguments.csv)
        return
    if arguments.corpus is None or not arguments.corpus.is_file():
        raise InputError("no corpus: name a plain text file")
    config = config_of(arguments, workers=1) if arguments.workers is None else config_of(arguments)
    arguments.settings = {name: getattr(config, name) for name in OPTIONS}
    with tempfile.TemporaryDirectory(prefix="w2vfast-objectives-") as name:
        folder = Path(name)
        parts = parts_of(arguments.corpus, folder, arguments.words, arguments.tune_words, arguments.held_out)
        targets = arguments.targets or folder / "targets.bin"
        cases = cases_of(arguments.objectives, arguments.modes, arguments.gensim, targets)
        if any("targets" in case.options for case in cases) and arguments.targets is None:
            settings = arguments.settings | {"seed": 99}
            trainers.run(growth.backend_of(BASE), parts["train"], targets, settings)
        arguments.parity = {case: _parity(case) for case in cases if case.trainer != GENSIM}
        if arguments.tune:
            for case in cases:
                if case.trainer != GENSIM:
                    tune(case, arguments, parts)
            return
        arguments.sgemm_gflops = machine.sgemm_peak()
        for mode in arguments.modes:
            _measure([case for case in cases if case.mode == mode], arguments, parts)


def _measure(cases: list[Case], arguments: argparse.Namespace, parts: dict[str, Path]) -> None:
    """Run the cases of one mode, which take turns within a seed, and append a row for each."""
    rates = {case: tuned(case, arguments) for case in cases}
    runs: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
    for seed in range(1, arguments.seeds + 1):
        for case in cases:
            base = arguments.settings | {"alpha": rates[case][0]}
            runs[case].append(run(case, base, parts["train"], parts["held"], seed, arguments.pairs))
    rows = [summarise(case, arguments, runs[case], rates[case][1]) for case in cases]
    compare(rows)
    for row in rows:
        speed.append(arguments.csv, row)
    print(table([{name: str(value) for name, value in row.items()} for row in rows]), flush=True)


def _parity(case: Case) -> float:
    options = {name: value for name, value in case.options.items() if name in parity.OF_CONFIG}
    error = parity.largest_error(case.trainer, "cpu", case.mode, **options)
    if not error <= parity.largest_allowed(case.trainer):
        raise SystemExit(f"{case.label} {case.mode} differs from the reference by {error:.1e}: no speed is reported")
    return error


def _table(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path} is missing: measure first, without --table")
    with path.open(newline="") as file:
        drawn = table(list(csv.DictReader(file)))
    print(drawn)
    if path == CSV:
        head, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{head}{BEGIN}\n{drawn}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())
