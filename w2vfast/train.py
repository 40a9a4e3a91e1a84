"""The command that trains word vectors.

    python -m w2vfast.train corpus.txt -o vectors.bin
    python -m w2vfast.train news/ more.txt.gz --mode cbow --vector-size 300 -o vectors.kv
    python -m w2vfast.train --demo

Progress and settings go to stderr, results to stdout and the output file. Exit code 2 on bad input.
"""

import argparse
import difflib
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from w2vfast import __version__
from w2vfast.command import Parser, add_options, config_of, exit_code
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.memory import peak_rss_bytes
from w2vfast.optional import require_gensim

DEFAULT_OUTPUT = "vectors.bin"
# For the sample inside gensim's wheel (453 thousand words): enough passes for sensible neighbours.
DEMO_DEFAULTS = {"epochs": 20, "sample": 1e-3, "min_count": 5}
DEMO_WORDS = ("music", "war", "river", "king", "computer", "france", "philosophy", "animals")


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser: one option for each field of Config, with other tools' spellings as aliases."""
    parser = Parser(
        prog="python -m w2vfast.train",
        description="Train word vectors (word2vec's skip-gram or CBOW) on text: words separated by white space, "
        "a sentence or paragraph a line. Reads plain text, .gz, .bz2 and .xz.",
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
    add_options(parser)
    parser.add_argument("-cbow", type=int, choices=(0, 1), help="word2vec.c's spelling of --mode: 1 cbow, 0 skip-gram")
    parser.add_argument("-hs", type=int, choices=(0,), help="word2vec.c's: only 0, there is no hierarchical softmax")
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
    return arguments, config_of(arguments, **(DEMO_DEFAULTS if arguments.demo else {}))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return exit_code("w2vfast.train", partial(_main, argv), interrupted="interrupted; nothing was written")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"w2vfast.train: warning: {message}", file=sys.stderr)


def _main(argv: Sequence[str] | None) -> None:
    arguments, config = parse(sys.argv[1:] if argv is None else argv)
    if arguments.backends:
        _list_backends(arguments.json)
    else:
        _train(arguments, config)


def _list_backends(as_json: bool) -> None:
    from w2vfast import backends

    reasons = {name: backends.unavailable_reason(name) for name in backends.NAMES}
    if as_json:
        print(json.dumps({name: {"available": not why, "reason": why} for name, why in reasons.items()}))
    else:
        for name, why in reasons.items():
            print(f"{name:8} {'can run' if why is None else 'cannot run: ' + why}")


def _train(arguments: argparse.Namespace, config: Config) -> None:
    # Imported here so that --help and bad usage answer at once.
    from w2vfast import backends, formats, trainer
    from w2vfast.vocab import save_vocab

    inputs = [*arguments.input, *([arguments.train] if arguments.train else [])]
    if arguments.demo and inputs:
        raise InputError("--demo trains on its own text: give either --demo or input files")
    if not inputs and not arguments.demo:
        raise InputError("no input: name text files, folders, or - for standard input (or try --demo)")
    if arguments.demo:
        require_gensim("--demo", instead="a text of your own")
    output = Path(arguments.output or DEFAULT_OUTPUT)
    binary = {None: None, 0: "text", 1: "binary"}[arguments.binary]
    formats.check_writable(output, binary)
    if config.save_vocab is not None:
        formats.check_writable(config.save_vocab, "text")
    evaluate = _scorer(config)
    choice = backends.choose(config)
    screen = _Screen(quiet=not sys.stderr.isatty())
    watch = trainer.Stopwatch()
    if arguments.demo:
        corpus = _demo_corpus(config, output.absolute().parent)
    else:
        corpus = trainer.scan_files(inputs, config, output.absolute().parent, screen.scanned)
    with corpus:
        scanned = watch.read()
        if config.save_vocab is not None:
            save_vocab(corpus.vocab, config.save_vocab)
        result = trainer.train_corpus(
            corpus,
            config,
            choice,
            scanned=scanned,
            on_start=lambda started: print(_introduction(started, output, len(corpus.tokens)), file=sys.stderr),
            on_progress=screen.trained,
            evaluate=evaluate,
        )
    screen.close()
    watch = trainer.Stopwatch()
    _save(result.vectors, output, binary)
    result.seconds["save"] = watch.read()[0]
    if arguments.json:
        print(json.dumps(account(result, output)))
    else:
        print(_summary(result, output))
        if arguments.demo:
            print(_neighbours(result))


def _scorer(config: Config) -> Any:
    """Return what scores the vectors while training, None where the config asks for no scores."""
    if config.eval_every is None:
        return None
    from w2vfast.eval.score import scorer

    return scorer(config.eval_set)


def _save(vectors: Any, output: Path, format: str | None) -> None:
    """Save the vectors; if the output can no longer be written (a full disk), save them where temporary files go."""
    from w2vfast import formats

    try:
        formats.save_vectors(vectors, output, format)
    except (OSError, InputError) as error:
        rescue = Path(tempfile.mkdtemp(prefix="w2vfast-")) / output.name
        formats.save_vectors(vectors, rescue, format)
        raise InputError(f"{error}; the vectors are in {rescue} instead") from error


def _demo_corpus(config: Config, cache_dir: Path) -> Any:
    """Encode the Wikipedia sample that ships inside gensim's wheel: 106 articles, one sentence each."""
    from gensim.corpora import WikiCorpus
    from gensim.test.utils import datapath

    from w2vfast import trainer
    from w2vfast.corpus import encode_sentences

    logging.getLogger("gensim").setLevel(logging.ERROR)
    path = datapath("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2")
    print("reading 106 Wikipedia articles from gensim's wheel ...", file=sys.stderr)
    articles = WikiCorpus(path, dictionary={}).get_texts()
    return encode_sentences(articles, **trainer.scan_options(config, cache_dir))


def account(result: Any, output: Path) -> dict[str, Any]:
    """Return what `--json` prints: settings, ledger, times, losses; a plain JSON object."""
    order = ("read", "in_vocabulary", "out_of_vocabulary", "trained", "subsampled", "undecodable")
    return {
        "settings": result.settings,
        "backend": result.backend,
        "backend_reason": result.backend_reason,
        "vocabulary_size": len(result.vocab.words),
        "tokens": {name: result.tokens[name] for name in order},
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "raw_words_per_second": result.raw_words_per_second,
        "loss_per_epoch": result.loss_per_epoch,
        "scores": result.scores,
        "peak_rss_bytes": peak_rss_bytes(),
        "output": str(output),
    }


def _introduction(result: Any, output: Path, tokens: int) -> str:
    s = result.settings
    return (
        f"backend {result.backend} on {s['device']}: {result.backend_reason}\n"
        f"{result.tokens['read']:,} words read, {tokens:,} in a vocabulary of {len(result.vocab.words):,}\n"
        f"{s['mode']} vector_size={s['vector_size']} window={s['window']} negative={s['negative']} "
        f"sample={s['sample']:g} min_count={s['min_count']} epochs={s['epochs']} alpha={s['alpha']:g} "
        f"min_alpha={s['min_alpha']:g} seed={s['seed']} workers={s['workers']}\n"
        f"tile={s['tile']} shared_negatives={s['shared_negatives']} tokens_in_flight={s['tokens_in_flight']} "
        f"cap={s['cap']:g} chunk_size={s['chunk_size']} output={output}"
    )


def _summary(result: Any, output: Path) -> str:
    t, seconds, epochs = result.tokens, result.seconds, result.settings["epochs"]
    whole = t["trained"] + t["subsampled"] == epochs * t["in_vocabulary"]
    visits = f"{epochs} epochs" if whole else f"{result.scores[-1]['epoch']:g} epochs, stopped by patience,"
    losses = ", ".join(f"{loss:.4f}" for loss in result.loss_per_epoch)
    scores = ", ".join(f"{entry['epoch']:g}: {entry['score']:.2f}" for entry in result.scores)
    scored = f"{result.settings['eval_set']} by epoch: {scores}\n" if scores else ""
    undecodable = f", {t['undecodable']:,} not valid UTF-8 (replaced)" if t["undecodable"] else ""
    return (
        f"tokens: {t['read']:,} read = {t['in_vocabulary']:,} in vocabulary + {t['out_of_vocabulary']:,} out of it"
        f"{undecodable}; in {visits} = {t['trained']:,} trained + {t['subsampled']:,} subsampled\n"
        f"loss per pair, by epoch: {losses}\n{scored}"
        f"scan {seconds['scan']:.1f} s, training {seconds['train']:.1f} s "
        f"({result.raw_words_per_second:,.0f} words/s), saving {seconds['save']:.1f} s\n"
        f"{len(result.vocab.words):,} vectors of {result.settings['vector_size']} dimensions: {output}"
    )


def _neighbours(result: Any) -> str:
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(vector_size=result.w_in.shape[1])
    vectors.add_vectors(result.vocab.words, result.w_in)
    lines = ["nearest neighbours (cosine):"]
    for word in DEMO_WORDS:
        if word in vectors:
            found = ", ".join(f"{other} {cosine:.2f}" for other, cosine in vectors.most_similar(word, topn=6))
            lines.append(f"  {word:12} {found}")
    return "\n".join(lines)


class _Screen:
    """The progress bars on stderr; silent where stderr is no terminal."""

    def __init__(self, quiet: bool) -> None:
        from tqdm import tqdm

        self._make: Any = partial(tqdm, disable=quiet, file=sys.stderr, smoothing=0.1, dynamic_ncols=True)
        self._scan: Any = None
        self._bar: Any = None

    def scanned(self, done: int, total: int | None) -> None:
        """Show the scan's progress in bytes."""
        if self._scan is None:
            self._scan = self._make(total=total, desc="scan", unit="B", unit_scale=True, leave=False)
        self._scan.update(done - self._scan.n)

    def trained(self, progress: Any) -> None:
        """Show tokens done, learning rate and loss."""
        if self._scan is not None:
            self._scan.close()
        if self._bar is None:
            self._bar = self._make(total=progress.tokens_total, desc="train", unit="word", unit_scale=True)
        score = "" if progress.score is None else f", score {progress.score:.2f}"
        self._bar.set_postfix_str(
            f"epoch {progress.epoch + 1}, lr {progress.learning_rate:.5f}, loss {progress.loss:.4f}{score}",
            refresh=False,
        )
        self._bar.update(progress.tokens_done - self._bar.n)

    def close(self) -> None:
        """End the bars."""
        for bar in (self._scan, self._bar):
            if bar is not None:
                bar.close()


if __name__ == "__main__":
    sys.exit(main())
