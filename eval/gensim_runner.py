"""Trains gensim's Word2Vec in a process of its own and accounts for it as `python -m w2vfast.train --json` does.

    python -m w2vfast.eval.gensim_runner corpus.txt -o vectors.bin --mode sg --workers 2 --json

`compare` and the benchmarks time gensim through this. The corpus goes in as `corpus_file`, gensim's fastest way.
"""

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from w2vfast.command import Parser, add_options, config_of, exit_code
from w2vfast.errors import InputError
from w2vfast.memory import peak_rss_bytes
from w2vfast.optional import require_gensim

# Those of Config's options that gensim has too. Of objectives it has hierarchical softmax, negative sampling and both
# at once; for any other it trains negative sampling.
OPTIONS = (
    *("mode", "objective", "vector_size", "window", "negative", "min_count", "epochs", "seed", "sample", "alpha"),
    *("min_alpha", "ns_exponent", "cbow_mean", "shrink_windows", "workers"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return exit_code("w2vfast.eval.gensim_runner", partial(_main, sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> None:
    parser = Parser(prog="python -m w2vfast.eval.gensim_runner", allow_abbrev=False)
    parser.add_argument("corpus", help="a plain text file, a sentence a line")
    parser.add_argument("-o", "--output", required=True, help="where the vectors go, in word2vec's binary format")
    add_options(parser, OPTIONS)
    parser.add_argument("--json", action="store_true", help="print one JSON object with the account of the run")
    arguments = parser.parse_args(argv)
    config = config_of(arguments)
    settings = {name: getattr(config, name) for name in OPTIONS} | {"negative": config.negatives}
    account = train(arguments.corpus, arguments.output, settings)
    print(json.dumps(account) if arguments.json else f"{account['vocabulary_size']:,} vectors: {arguments.output}")


def train(corpus: str, output: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Train, save and return the account. Raises InputError if no word is frequent enough, or gensim is missing."""
    require_gensim("this command")
    import gensim

    tree, given = "hierarchical-softmax" in settings["objective"].split(","), dict(settings)
    mode, objective = given.pop("mode"), given.pop("objective")
    given["negative"] = 0 if objective == "hierarchical-softmax" else given["negative"] or 5
    model = gensim.models.Word2Vec(sg=int(mode == "sg"), hs=int(tree), **given)
    start, start_cpu = time.perf_counter(), time.process_time()
    model.build_vocab(corpus_file=corpus)
    if not len(model.wv):
        raise InputError(f"no word of {corpus} occurs {settings['min_count']} times: lower --min-count")
    scanned, scanned_cpu = time.perf_counter(), time.process_time()
    trained_words, _ = model.train(
        corpus_file=corpus,
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=settings["epochs"],
    )
    trained, trained_cpu = time.perf_counter(), time.process_time()
    model.wv.save_word2vec_format(output, binary=True)
    read = int(model.corpus_total_words)
    known = int(model.wv.expandos["count"].sum())
    return {
        "settings": settings,
        "backend": "gensim",
        "backend_reason": f"gensim {gensim.__version__}",
        "vocabulary_size": len(model.wv),
        "tokens": {
            "read": read,
            "in_vocabulary": known,
            "out_of_vocabulary": read - known,
            "trained": int(trained_words),
            "subsampled": known * settings["epochs"] - int(trained_words),
        },
        "seconds": {"scan": scanned - start, "train": trained - scanned, "save": time.perf_counter() - trained},
        "cpu_seconds": {"scan": scanned_cpu - start_cpu, "train": trained_cpu - scanned_cpu},
        "raw_words_per_second": read * settings["epochs"] / (trained - scanned),
        "loss_per_epoch": [],
        "peak_rss_bytes": peak_rss_bytes(),
        "output": output,
    }


if __name__ == "__main__":
    sys.exit(main())
