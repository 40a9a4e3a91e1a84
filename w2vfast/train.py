"""The command that trains word vectors.

    python -m w2vfast.train corpus.txt -o vectors.bin
    python -m w2vfast.train news/ more.txt.gz --mode cbow --vector-size 300 -o vectors.kv
    python -m w2vfast.train corpus.txt --objective nce --save-model model.safetensors
    python -m w2vfast.train corpus.txt -o vectors.bin --checkpoint state/ --resume
    python -m w2vfast.train --demo

Progress and settings go to stderr, results to stdout and the output file. Exit code 2 on bad input. SIGINT and SIGTERM
finish the chunks in hand, write a checkpoint where --checkpoint is given, and exit with 130 and 143.
"""

import argparse
import difflib
import json
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2vfast import __version__, ranks
from w2vfast.command import Interrupted, Parser, Signals, add_options, config_of, exit_code
from w2vfast.config import BOTH, HIERARCHICAL, Config
from w2vfast.errors import InputError, Stopped

if TYPE_CHECKING:
    from w2vfast.trainer import TrainResult

DEFAULT_OUTPUT = "vectors.bin"


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser: one option for each field of Config, with other tools' spellings as aliases."""
    parser = Parser(
        prog="python -m w2vfast.train",
        description="Train word vectors (word2vec's skip-gram or CBOW) on text: words separated by white space, "
        "a sentence or paragraph a line. Reads plain text, .gz, .bz2, .xz and .zst.",
        epilog="The spellings of word2vec.c (-train, -output, -size, ...) and fastText (-input, -dim, -ws, ...) are "
        "accepted too and mean the same; they do not change any default.",
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="*", help="text files, folders of text files, or - for standard input")
    parser.add_argument("-train", "-input", dest="train", metavar="FILE", help="one more input (word2vec.c, fastText)")
    parser.add_argument(
        "-o",
        "--output",
        "-output",
        metavar="FILE",
        help=f"where the vectors go; the suffix picks the format: .bin, .txt or .vec, .kv, .safetensors "
        f"(default: {DEFAULT_OUTPUT})",
    )
    parser.add_argument(
        "--save-model",
        metavar="FILE",
        help="save the whole model here too, a .safetensors file: both tables and what the objective needs to predict "
        "words (w2vfast.load_model)",
    )
    add_options(parser)
    parser.add_argument("-cbow", type=int, choices=(0, 1), help="word2vec.c's spelling of --mode: 1 cbow, 0 skip-gram")
    parser.add_argument(
        "-hs",
        type=int,
        choices=(0, 1),
        help="word2vec.c's: 1 is --objective hierarchical-softmax, with -negative above 0 beside it "
        "hierarchical-softmax,negative-sampling; 0 is neither",
    )
    parser.add_argument(
        "-binary", type=int, choices=(0, 1), help="word2vec.c's: its binary (1) or text (0) format, whatever the suffix"
    )
    parser.add_argument("--demo", action="store_true", help="train on the Wikipedia sample inside gensim's wheel")
    parser.add_argument("--backends", action="store_true", help="list the backends and whether each can run here")
    parser.add_argument("--json", action="store_true", help="print one JSON object with the account of the run")
    parser.add_argument("--version", action="version", version=f"w2vfast {__version__}")
    return parser


def _refuse_unknown_spellings(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Raise InputError for `-sizes 5`: argparse would read it as `-s` with the value `izes`."""
    known = {spelling for action in parser._actions for spelling in action.option_strings}
    for word in argv:
        name = word.split("=", 1)[0]
        if not name.startswith("-") or len(name) < 2 or name in known or name[1].isdigit() or name[1] == ".":
            continue
        if name == "--":
            return
        close = difflib.get_close_matches(name, sorted(known), n=1)
        raise InputError(
            f"unknown option {name}" + (f": did you mean {close[0]}?" if close else " (--help lists them)")
        )


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Config]:
    """Return the parsed arguments and the run's config. Raises InputError for bad usage."""
    parser = build_parser()
    _refuse_unknown_spellings(parser, argv)
    arguments = parser.parse_args(argv)
    if arguments.cbow is not None:
        mode = "cbow" if arguments.cbow else "sg"
        if arguments.mode not in (None, mode):
            raise InputError(f"-cbow {arguments.cbow} contradicts --mode {arguments.mode}: give one of them")
        arguments.mode = mode
    if arguments.hs is not None:
        _take_hs(arguments)
    if arguments.demo:
        from w2vfast.demo import DEFAULTS

        return arguments, config_of(arguments, **DEFAULTS)
    return arguments, config_of(arguments)


def _take_hs(arguments: argparse.Namespace) -> None:
    """Turn word2vec.c's -hs and -negative into an objective. Raises InputError if --objective says otherwise."""
    if arguments.hs:
        if arguments.negative == 0:
            arguments.negative = None
        objective = HIERARCHICAL if arguments.negative is None else BOTH
        contradicted = arguments.objective not in (None, objective)
        arguments.objective, given = objective, arguments.objective
    else:
        given = arguments.objective
        contradicted = given in (HIERARCHICAL, BOTH)
    if contradicted:
        raise InputError(f"-hs {arguments.hs} contradicts --objective {given}: give one of them")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return exit_code(
            "w2vfast.train",
            partial(_main, argv),
            interrupted="interrupted; no output was written",
            tells=ranks.first_to_tell,
        )


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"w2vfast.train: {ranks.name()}warning: {message}", file=sys.stderr)


def _main(argv: Sequence[str] | None) -> None:
    arguments, config = parse(sys.argv[1:] if argv is None else argv)
    if arguments.backends:
        _list_backends(arguments.json)
    else:
        with Signals() as signals, ranks.joined(config.rank_timeout) as all_ranks:
            _train(arguments, config, signals, all_ranks)


def _list_backends(as_json: bool) -> None:
    from w2vfast import backends

    listed = {}
    for name in backends.NAMES:
        why, has = backends.unavailable_reason(name), backends.objectives(name)
        precisions = {objective: backends.precisions(name, objective) for objective in has}
        listed[name] = {"available": not why, "reason": why, "objectives": has, "precisions": precisions}
        if not as_json:
            rounded = [f"{objective} in {able[0]}" for objective, able in precisions.items() if able[0] != "float32"]
            print(
                f"{name:8} {'can run' if why is None else 'cannot run: ' + why}; objectives: {', '.join(has) or '?'}"
                + (f"; {', '.join(rounded)}" if rounded else "")
            )
    if as_json:
        print(json.dumps(listed))


def _train(arguments: argparse.Namespace, config: Config, signals: Signals, all_ranks: ranks.Ranks | None) -> None:
    """Train, save and tell; of several ranks the first saves and tells."""
    # Imported here so that --help and bad usage answer at once.
    from w2vfast import demo, formats, model_file, room, trainer
    from w2vfast.account import account, introduction, summary
    from w2vfast.screen import Screen
    from w2vfast.stopwatch import Stopwatch
    from w2vfast.trainer import TrainResult

    inputs = [*arguments.input, *([arguments.train] if arguments.train else [])]
    if arguments.demo and inputs:
        raise InputError("--demo trains on its own text: give either --demo or input files")
    if not inputs and not arguments.demo:
        raise InputError("no input: name text files, folders, or - for standard input (or try --demo)")
    if arguments.demo and all_ranks is not None:
        raise InputError("--demo is for one process: start it without torchrun")
    output = Path(arguments.output or DEFAULT_OUTPUT)
    binary = {None: None, 0: "text", 1: "binary"}[arguments.binary]
    formats.check_writable(output, binary)
    model = arguments.save_model
    if model is not None:
        model_file.check_path(model)
        if Path(model).absolute() == output.absolute():
            raise InputError(f"{model}: --save-model holds the vectors too; name another file, or another output")
    leads = all_ranks is None or all_ranks.leads
    if config.parallel == "dimension" and (model is not None or (binary or formats.format_of(output)) == "kv"):
        what = "--save-model" if model is not None else ".kv"
        raise InputError(
            f"{what} writes whole tables from memory, which --parallel dimension never has: save vectors as "
            ".bin, .txt or .safetensors (w2vfast.convert makes .kv of them)"
        )
    screen = Screen(quiet=not leads)

    def begun(started: TrainResult) -> None:
        words, size = started.vocab.words, config.vector_size
        signals.gently = True
        if not leads:
            return
        room.refuse_lack_of_space(
            output,
            formats.least_bytes(words, size, output, binary, 0 if config.buckets is not None else config.bits),
            "the output",
        )
        if model is not None:
            room.refuse_lack_of_space(model, started.w_in.nbytes + started.w_out.nbytes, "the model")
        print(introduction(started, output), file=sys.stderr, flush=True)

    listening: dict[str, Any] = {
        "cache_dir": output.absolute().parent,
        "on_start": begun,
        "on_progress": screen.trained,
        "stop": lambda: signals.number is not None,
    }
    try:
        if arguments.demo:
            result = trainer.train_sentences(demo.articles(), config, **listening)
        else:
            if config.checkpoint is not None and all_ranks is not None and ranks.restarts():
                config = replace(config, resume=True)  # torchrun has started a job again that was under way
            result = trainer.train_files(inputs, config, on_scan=screen.scanned, ranks=all_ranks, **listening)
    except Stopped as stopped:
        # Where another rank heard the signal this one may not have: it is what ends a job.
        raise Interrupted(signals.number or signal.SIGTERM, str(stopped)) from stopped
    finally:
        screen.close()
        signals.gently = False
    watch = Stopwatch()
    if result.dimensions is not None:
        with result.streams() as stream:
            if stream is not None:
                _rescued(lambda path: formats.write_stream(stream(), path, binary), output)
    elif leads:
        _save(result, output, binary)
    if not leads:
        return
    if model is not None:
        result.save_model(model)
    result.seconds["save"] = watch.read().wall
    if arguments.json:
        print(json.dumps(account(result, output) | {"model": model}))
    else:
        print(summary(result, output) + (f"\nmodel: {model}" if model is not None else ""))
        if arguments.demo:
            print(demo.neighbours(result.vectors))


def _save(result: "TrainResult", output: Path, format: str | None) -> None:
    """Save the vectors, in the bits that they were trained for where the format can."""
    from w2vfast import formats
    from w2vfast.compress import save_compressed

    def save(path: Path) -> None:
        if (small := result.compressed) is not None and (format or formats.format_of(path)) == "safetensors":
            save_compressed(small, path)
        else:
            formats.save_vectors(result.vectors, path, format)

    _rescued(save, output)


def _rescued(save: Callable[[Path], None], output: Path) -> None:
    """Save to the output, or if it can no longer be written (a full disk) where temporary files go."""
    try:
        save(output)
    except (OSError, InputError) as error:
        rescue = Path(tempfile.mkdtemp(prefix="w2vfast-")) / output.name
        save(rescue)
        raise InputError(f"{error}; the vectors are in {rescue} instead") from error


if __name__ == "__main__":
    sys.exit(main())
