"""The command that evaluates word vectors.

    python -m w2vfast.eval vectors.bin --restrict-vocab 30000
    python -m w2vfast.eval neighbours vectors.bin king paris
    python -m w2vfast.eval prediction model.safetensors held_out.txt
    python -m w2vfast.eval compare corpus.txt --seeds 3 --report report.html

Results on stdout or in a file, progress on stderr. Exit code 2 on bad input.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from w2vfast.command import Parser, exit_code
from w2vfast.eval.datasets import add_data_options
from w2vfast.eval.tables import table

if TYPE_CHECKING:
    from w2vfast.eval.search import Index
    from w2vfast.formats import Vectors

ProgramName = "python -m w2vfast.eval"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], None]] = {
        "neighbours": _neighbours,
        "analogy": _analogy,
        "prediction": _prediction,
        "compare": _compare,
        "report": _report,
    }
    command = partial(_measure, arguments)
    if arguments and arguments[0] in commands:
        command = partial(commands[arguments[0]], arguments[1:])
    return exit_code("w2vfast.eval", command)


def _measure(argv: list[str]) -> None:
    parser = Parser(
        prog=ProgramName,
        description="Measure word vectors: WordSim-353, SimLex-999 and Google's analogies, and any further file.",
        epilog="Further commands: neighbours VECTORS WORD..., analogy VECTORS A B C, prediction MODEL TEXT, "
        "compare CORPUS, report VECTORS; each has its own --help.",
        allow_abbrev=False,
    )
    _add_vectors(parser)
    add_data_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    from w2vfast.eval.measure import as_text, measure
    from w2vfast.formats import load_vectors

    measured = measure(
        load_vectors(options.vectors),
        similarity=options.similarity,
        analogies=options.analogies,
        categories=options.categories,
        restrict_vocab=options.restrict_vocab,
    )
    print(json.dumps({"vectors": options.vectors, **measured}) if options.json else as_text(measured))


def _add_vectors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vectors", help="a file of vectors: .bin, .txt, .vec (or these .gz), .kv, .safetensors")


def _neighbours(argv: list[str]) -> None:
    parser = Parser(
        prog=f"{ProgramName} neighbours", description="Show the nearest neighbours of words.", allow_abbrev=False
    )
    _add_vectors(parser)
    parser.add_argument("words", nargs="+", metavar="WORD")
    _add_look(parser)
    options = parser.parse_args(argv)
    from w2vfast.eval.neighbours import nearest
    from w2vfast.formats import load_vectors

    vectors = load_vectors(options.vectors)
    found = nearest(vectors, options.words, topn=options.topn, index=_index(options, vectors))
    if options.json:
        print(json.dumps(found))
    else:
        print("\n\n".join(_ranking(word, near) for word, near in found.items()))


def _analogy(argv: list[str]) -> None:
    parser = Parser(
        prog=f"{ProgramName} analogy",
        description="Answer: A is to B as C is to what? The words nearest to B - A + C; "
        "`analogy vectors.bin king man queen` asks for woman.",
        allow_abbrev=False,
    )
    _add_vectors(parser)
    for name in "abc":
        parser.add_argument(name, metavar=name.upper())
    _add_look(parser)
    options = parser.parse_args(argv)
    from w2vfast.eval.neighbours import complete_analogy
    from w2vfast.formats import load_vectors

    a, b, c = options.a, options.b, options.c
    vectors = load_vectors(options.vectors)
    found = complete_analogy(vectors, a, b, c, topn=options.topn, index=_index(options, vectors))
    print(json.dumps(found) if options.json else _ranking(f"{a} : {b} = {c} : ?", found))


def _prediction(argv: list[str]) -> None:
    from w2vfast.eval import prediction

    parser = Parser(
        prog=f"{ProgramName} prediction",
        description="Measure how well a model predicts held-out text: negative log likelihood over the whole "
        "vocabulary, perplexity, and how often the right word is among the likeliest.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="a .safetensors file that w2vfast.train --save-model wrote")
    parser.add_argument("text", help="text that was not trained on (plain, .gz, .bz2, .xz or .zst)")
    parser.add_argument(
        "--pairs", type=int, default=prediction.PAIRS, metavar="N", help=f"score at most so many ({prediction.PAIRS:,})"
    )
    parser.add_argument("--window", type=int, metavar="W", help="words on either side (default: the model's)")
    parser.add_argument("--sample", type=float, metavar="T", help="subsampling, 0 for none (default: the model's)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    from w2vfast.prediction import load_model

    measured = prediction.evaluate(
        load_model(options.model), options.text, pairs=options.pairs, window=options.window, sample=options.sample
    )
    print(json.dumps({"model": options.model, **measured}) if options.json else prediction.as_text(measured))


def _add_look(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--topn", type=int, default=10, metavar="N", help="words to show (default: 10)")
    parser.add_argument(
        "--index",
        action="store_true",
        help="search approximately, by an index of faiss beside the vectors (VECTORS.faiss), made where there is none",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _index(options: argparse.Namespace, vectors: "Vectors") -> "Index | None":
    """Return the index that was asked for, after saying how much of the exact search it finds."""
    if not options.index:
        return None
    from w2vfast.eval.search import Index

    index = Index(vectors, options.vectors)
    done = "made and saved as" if index.made else "taken from"
    print(f"index {done} {index.path}; it finds {100 * index.recall:.1f} % of the exact neighbours", file=sys.stderr)
    return index


def _ranking(title: str, found: list[tuple[str, float]]) -> str:
    return table([title, "cosine"], [[word, f"{cosine:.3f}"] for word, cosine in found])


def _compare(argv: list[str]) -> None:
    from w2vfast.eval import compare

    compare.run(argv)


def _report(argv: list[str]) -> None:
    from w2vfast.eval import report

    report.run(argv)


if __name__ == "__main__":
    sys.exit(main())
