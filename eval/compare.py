"""Trains gensim and w2vfast on the user's corpus and says, with intervals, which is better and which is faster.

With objectives to compare, w2vfast trains each of them instead, on all but the end of the corpus, and is measured on
that end too: what it predicts there, beside its vectors.

Each run is a process of its own, one after another, so that its time and memory are its own; trainers take turns within
a seed, so that a noisy machine is noisy for all. All vectors are scored on one shared word list, since the order of
equally frequent words decides which questions fall within a limit.
"""

import argparse
import csv
import dataclasses
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np

from w2vfast.command import Parser, add_options, config_of
from w2vfast.config import Config, ObjectiveName, flag
from w2vfast.errors import InputError
from w2vfast.eval import gensim_runner, held_out, prediction, trainers
from w2vfast.eval.analogy import METHODS, evaluate_analogies
from w2vfast.eval.datasets import read_pairs, read_questions
from w2vfast.eval.measure import measure
from w2vfast.eval.quality import ANALOGY_VOCABULARY, SIMILARITY
from w2vfast.eval.similarity import evaluate_similarity
from w2vfast.eval.summary import Measure, as_text, summarise
from w2vfast.files import atomic_path
from w2vfast.formats import Vectors, check_writable, load_vectors
from w2vfast.inputs import open_text
from w2vfast.optional import require_gensim
from w2vfast.prediction import load_model

SHARED_OPTIONS = tuple(name for name in gensim_runner.OPTIONS if name != "seed")
# Options that belong to certain objectives; those that objectives share with gensim are above.
OF_OBJECTIVES = tuple(
    field.name
    for field in dataclasses.fields(Config)
    if field.metadata["objectives"] and field.name not in (*SHARED_OPTIONS, "shared_negatives", "early_negatives")
)
OWN_OPTIONS = (
    *OF_OBJECTIVES,
    "device",
    "tile",
    "shared_negatives",
    "early_negatives",
    "precision",
    "tokens_in_flight",
    "cap",
)
BLOCK_BYTES = 1 << 20
HELD_OUT = 0.02

SPEED = (
    Measure("raw_words_per_second", "raw words per second of training", 0, True),
    Measure("raw_words_per_cpu_second", "raw words per CPU second of training", 0, True),
    Measure("scan_seconds", "seconds to scan", 2, False),
    Measure("train_seconds", "seconds of training", 2, False),
    Measure("total_seconds", "seconds from start to vectors", 2, False),
    Measure("peak_memory_mb", "peak memory, MB", 0, False),
)
QUALITY = (
    *(Measure(name, f"{label}, Spearman x 100", 1, True) for name, label in SIMILARITY.items()),
    Measure("analogy_30k", "analogies in 30k words, %", 1, True),
    Measure("semantic_30k", "  semantic, %", 1, True),
    Measure("syntactic_30k", "  syntactic, %", 1, True),
    Measure("analogy_30k_3cosmul", "analogies by 3CosMul, %", 1, True),
)
PREDICTION = (
    Measure("nll", "held-out pairs, nats a pair", 3, False),
    Measure("perplexity", "  perplexity", 0, False),
    Measure("top1", "  likeliest word right, %", 1, True),
    Measure("top10", "  among the likeliest 10, %", 1, True),
)
OUT_BYTES = Measure("out_mb", "output table, MB", 2, False)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What to train and to score on; `settings` are options of Config, of which gensim gets those that it has.

    With `objectives`, the settings of each by its name, these are compared, on the first of the `backends`, and the
    last `held_out` of the corpus, a share, is kept from training.
    """

    corpus: Path
    seeds: int
    backends: tuple[str, ...]
    settings: Mapping[str, Any]
    similarity: tuple[str, ...] = ()
    analogies: tuple[str, ...] = ()
    objectives: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    held_out: float = 0.0

    @property
    def sides(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """What is trained in turns: a name, the trainer and its settings."""
        if self.objectives:
            return [(name, self.backends[0], settings) for name, settings in self.objectives.items()]
        return [(trainer, trainer, self.settings) for trainer in (trainers.GENSIM, *self.backends)]


def run(argv: Sequence[str]) -> None:
    """Run the command `compare`. Raises InputError for bad input and a trainer that failed."""
    options = _parser().parse_args(argv)
    objectives = _objectives(options) if options.objectives is not None else {}
    settings: Mapping[str, Any] = {}
    if not objectives:
        require_gensim("compare", instead="--objectives")
        config = config_of(options)
        settings = {name: getattr(config, name) for name in (*SHARED_OPTIONS, *OWN_OPTIONS)}
    if options.seeds < 1:
        raise InputError(f"--seeds must be at least 1, not {options.seeds}")
    for path in (options.csv, options.report):
        if path is not None:
            check_writable(path, "text")
    # a fault in these files must not come to light after the training
    for path in options.similarity:
        read_pairs(path)
    for path in options.analogies:
        read_questions(path)
    comparison = Comparison(
        corpus=Path(options.corpus),
        seeds=options.seeds,
        backends=tuple(dict.fromkeys(name.strip() for name in options.backends.split(","))),
        settings=settings,
        similarity=tuple(options.similarity),
        analogies=tuple(options.analogies),
        objectives=objectives,
        held_out=options.held_out if objectives else 0.0,
    )
    outcome = compare(comparison, lambda text: print(text, file=sys.stderr, flush=True), keep=bool(options.report))
    shown = outcome.pop("vectors", None)
    if options.csv is not None:
        write_csv(outcome, options.csv)
    print(json.dumps(outcome) if options.json else as_text(outcome), flush=True)
    if options.report is not None:
        from w2vfast.eval.report import write_report

        write_report(
            options.report,
            shown,
            title=f"{' and '.join(objectives or ('gensim', 'w2vfast'))} on {comparison.corpus.name}",
            comparison=outcome,
            measured=measure(shown, similarity=comparison.similarity, analogies=comparison.analogies),
        )


def _objectives(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings of each objective asked for; an option that belongs to certain objectives is given to these.

    Raises InputError for what cannot be trained or would be ignored.
    """
    names = [name.strip().replace("+", ",") for name in options.objectives.split(",")]
    unknown = [name for name in names if name not in get_args(ObjectiveName)]
    if unknown or len(set(names)) < 2:
        known = ", ".join(name.replace(",", "+") for name in get_args(ObjectiveName))
        fault = f"{unknown[0]!r} is no objective" if unknown else "at least two different objectives are needed"
        raise InputError(f"--objectives {options.objectives}: {fault}; take two or more of {known}")
    if options.objective is not None:
        raise InputError("--objective and --objectives contradict each other: give one of them")
    if "," in options.backends:
        raise InputError(f"--backends {options.backends}: with --objectives give one backend")
    if not 0 < options.held_out <= 0.5:
        raise InputError(f"--held-out must be above 0 and at most 0.5, not {options.held_out}")
    names = list(dict.fromkeys(names))
    owners = {field.name: field.metadata["objectives"] for field in dataclasses.fields(Config)}
    given = {
        name: value
        for name in (*SHARED_OPTIONS, *OWN_OPTIONS)
        if name != "objective" and (value := getattr(options, name)) is not None
    }
    for name in given:
        if owners[name] and not set(names) & set(owners[name]):
            raise InputError(
                f"{flag(name)} belongs to {', '.join(owners[name])}, none of which is compared: leave it out"
            )
    found = {}
    for objective in names:
        own = {name: value for name, value in given.items() if not owners[name] or objective in owners[name]}
        config = Config(**own, objective=objective)
        found[objective] = {name: getattr(config, name) for name in (*SHARED_OPTIONS, *OWN_OPTIONS)}
    return found


def _parser() -> Parser:
    parser = Parser(
        prog="python -m w2vfast.eval compare",
        description="Train gensim and w2vfast on a text file with the same settings, and compare quality and speed; "
        "or, with --objectives, several objectives, and compare how they predict the end of the text too.",
        allow_abbrev=False,
    )
    parser.add_argument("corpus", help="one text file (plain, .gz, .bz2, .xz or .zst)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each trainer (default: 3)")
    parser.add_argument(
        "--backends", default="auto", metavar="LIST", help="w2vfast's, parted by commas, e.g. native,torch"
    )
    parser.add_argument(
        "--objectives",
        metavar="LIST",
        help="compare these instead, parted by commas, e.g. softmax,nce; a + joins a pair: "
        "hierarchical-softmax+negative-sampling",
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=HELD_OUT,
        metavar="SHARE",
        help=f"with --objectives: the end of the text that is not trained on (default: {HELD_OUT})",
    )
    add_options(parser, (*SHARED_OPTIONS, *OWN_OPTIONS))
    for name in ("--similarity", "--analogies"):
        parser.add_argument(name, action="append", default=[], metavar="FILE", help="score on this file too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--csv", metavar="FILE", help="write one row a run")
    parser.add_argument("--report", metavar="FILE", help="write an HTML page with tables, charts and a map")
    return parser


def compare(comparison: Comparison, say: Callable[[str], None], *, keep: bool = False) -> dict[str, Any]:
    """Make a comparison; returns settings, every run and the summary as a plain object, with "vectors" too if `keep`.

    The vectors kept are those of w2vfast's last run. `say` hears one line a run. Raises InputError for a corpus or a
    data set that cannot be read, for a trainer that fails, and if the vectors can be scored on nothing.
    """
    sides = comparison.sides
    with tempfile.TemporaryDirectory(prefix="w2vfast-compare-") as folder:
        corpus = _plain(comparison.corpus, Path(folder))
        held = None
        if comparison.objectives:
            words = held_out.count_words(corpus)
            bound = words - int(comparison.held_out * words)
            parts = held_out.cut(corpus, Path(folder), {"train": (0, bound), "held": (bound, words)})
            corpus, held = parts["train"], parts["held"]
        runs: list[dict[str, Any]] = []
        shared: list[str] = []
        kept: Vectors | None = None
        for seed in range(1, comparison.seeds + 1):
            round_of_runs = []
            outputs = [Path(folder) / f"{i}.bin" for i in range(len(sides))]
            for side, output in zip(sides, outputs, strict=True):
                round_of_runs.append(_train(side, seed, corpus, output, held))
                say(_line(round_of_runs[-1], comparison.seeds))
            loaded = [load_vectors(output) for output in outputs]
            if not shared:
                known = set.intersection(*(set(vectors.words) for vectors in loaded))
                shared = [word for word in loaded[0].words if word in known]
            for one, vectors in zip(round_of_runs, loaded, strict=True):
                quality, one["sections"] = score(_in_order(vectors, shared), comparison)
                one["quality"] |= quality
            kept = loaded[-1]
            runs += round_of_runs
    measures = [m for m in _measures(comparison) if any(run["quality"].get(m.name) is not None for run in runs)]
    costs = [*SPEED, OUT_BYTES] if held else [*SPEED]
    if not measures:
        raise InputError(
            "the vectors can be scored on nothing: no data set has words of this corpus; give --similarity"
        )
    names = list(dict.fromkeys(run["trainer"] for run in runs))
    first = runs[0]["account"]
    settings = {
        name: value
        for name, value in first["settings"].items()
        if not held or all(run["account"]["settings"][name] == value for run in runs)
    }
    outcome: dict[str, Any] = {
        "corpus": comparison.corpus.name,
        "raw_words": first["tokens"]["read"],
        "vocabulary_size": first["vocabulary_size"],
        "shared_words": len(shared),
        "settings": settings | {"seed": None},
        "seeds": comparison.seeds,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "trainers": names,
        "measures": [dataclasses.asdict(measure) for measure in (*measures, *costs)],
        "summary": summarise(runs, names, [*measures, *costs]),
        "runs": runs,
    }
    return outcome | {"vectors": kept} if keep else outcome


def _measures(comparison: Comparison) -> list[Measure]:
    more = [Measure(path, f"{Path(path).name}, Spearman x 100", 1, True) for path in comparison.similarity]
    more += [Measure(path, f"{Path(path).name}, %", 1, True) for path in comparison.analogies]
    return [*QUALITY, *more, *(PREDICTION if comparison.objectives else ())]


def score(vectors: Vectors, comparison: Comparison) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return quality by measure (None where a built-in set has nothing to use) and accuracy by section, in %."""
    quality: dict[str, float | None] = {measure.name: None for measure in QUALITY}
    sections: dict[str, float | None] = {}
    for name in SIMILARITY:
        with suppress(InputError):
            quality[name] = 100 * evaluate_similarity(vectors, name, resamples=0).spearman
    with suppress(InputError):
        result = evaluate_analogies(vectors, restrict_vocab=ANALOGY_VOCABULARY, methods=METHODS)
        quality["analogy_30k"] = _percent(result.total.accuracy())
        quality["analogy_30k_3cosmul"] = _percent(result.total.accuracy("3cosmul"))
        quality["semantic_30k"], quality["syntactic_30k"] = (_percent(kind.accuracy()) for kind in result.kinds)
        sections = {tally.name: _percent(tally.accuracy()) for tally in result.sections}
    for path in comparison.similarity:
        quality[path] = 100 * evaluate_similarity(vectors, path, resamples=0).spearman
    for path in comparison.analogies:
        answered = evaluate_analogies(vectors, path, restrict_vocab=ANALOGY_VOCABULARY, methods=("3cosadd",))
        quality[path] = _percent(answered.total.accuracy())
    return quality, sections


def _percent(share: float) -> float | None:
    return None if np.isnan(share) else 100 * share


def _in_order(vectors: Vectors, words: list[str]) -> Vectors:
    row_of = {word: row for row, word in enumerate(vectors.words)}
    return Vectors(words, np.ascontiguousarray(vectors.vectors[[row_of[word] for word in words]]))


def _train(
    side: tuple[str, str, Mapping[str, Any]], seed: int, corpus: Path, output: Path, held: Path | None
) -> dict[str, Any]:
    """Run one trainer; returns its account, what it took under the names of SPEED, PREDICTION of a text held out."""
    name, trainer, given = side
    settings, model = {**given, "seed": seed}, output.with_suffix(".safetensors")
    quality: dict[str, float | None] = {}
    table: dict[str, float] = {}
    if held is not None:
        settings["save_model"] = str(model)
    account, figures = trainers.run(trainer, corpus, output, settings)
    if held is not None:
        loaded = load_model(model)
        found = prediction.evaluate(loaded, held)
        quality = {one.name: found[one.name] for one in PREDICTION}
        quality |= {name: 100 * found[name] for name in ("top1", "top10")}
        table = {OUT_BYTES.name: loaded.w_out.nbytes / 1e6}
        model.unlink()
    else:
        name = trainer if trainer == trainers.GENSIM else f"w2vfast {account['backend']}"
    return {
        "trainer": name,
        "seed": seed,
        "speed": {
            "raw_words_per_second": figures.words_per_second,
            "raw_words_per_cpu_second": figures.words_per_cpu_second,
            "scan_seconds": figures.scan_seconds,
            "train_seconds": figures.train_seconds,
            "total_seconds": figures.total_seconds,
            "peak_memory_mb": figures.peak_rss_mb,
            **table,
        },
        "quality": quality,
        "loss_per_epoch": account["loss_per_epoch"],
        "account": account | {"output": None},
    }


def _line(run: dict[str, Any], seeds: int) -> str:
    speed = run["speed"]
    return (
        f"{run['trainer']}, seed {run['seed']} of {seeds}: {speed['total_seconds']:.1f} s, "
        f"{speed['raw_words_per_second']:,.0f} words/s in training"
    )


def _plain(corpus: Path, folder: Path) -> Path:
    """Return the corpus as a plain text file, written into `folder` where it is packed or has a byte-order mark."""
    if not corpus.is_file():
        raise InputError(
            f"cannot read {corpus}: it is {'a folder' if corpus.is_dir() else 'missing'}; give a text file"
        )
    with open_text(corpus) as text:
        # a byte-order mark would be part of gensim's first word
        if text.plain_fd is not None and not text.start:
            return corpus
        plain = folder / "corpus.txt"
        with plain.open("wb") as target:
            while block := text.read(BLOCK_BYTES):
                target.write(block)
    return plain


def write_csv(outcome: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write one row a run: trainer, seed, quality and speed, and the settings of w2vfast and gensim alike."""
    measures = [measure["name"] for measure in outcome["measures"]]
    settings = [name for name in outcome["settings"] if name != "seed"]
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["corpus", "trainer", "seed", *measures, *settings])
        for run in outcome["runs"]:
            values = run["quality"] | run["speed"]
            row = ["" if values.get(name) is None else round(values[name], 4) for name in measures]
            given = [run["account"]["settings"].get(name, "") for name in settings]
            writer.writerow([outcome["corpus"], run["trainer"], run["seed"], *row, *given])
