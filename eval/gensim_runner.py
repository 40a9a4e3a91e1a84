"""Trains gensim's Word2Vec in a process of its own and accounts for it as `python -m w2vfast.train --json` does.

    python -m w2vfast.eval.gensim_runner corpus.txt -o vectors.bin --mode sg --workers 2 --json

`compare` and the benchmarks time gensim through this. The corpus goes in as `corpus_file`, gensim's fastest way.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence

from w2vfast.config import Config, usable_processors
from w2vfast.errors import InputError
from w2vfast.optional import require_gensim

DEFAULTS = Config()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m w2vfast.eval.gensim_runner", allow_abbrev=False)
    parser.add_argument("corpus", help="a plain text file, a sentence a line")
    parser.add_argument("-o", "--output", required=True, help="where the vectors go, in word2vec's binary format")
    parser.add_argument("--mode", choices=("sg", "cbow"), default=DEFAULTS.mode)
    for name in ("vector_size", "window", "negative", "min_count", "epochs", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(DEFAULTS, name))
    for name in ("sample", "alpha", "min_alpha", "ns_exponent"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(DEFAULTS, name))
    for name in ("cbow_mean", "shrink_windows"):
        parser.add_argument(f"--{name.replace('_', '-')}", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--workers", type=int, default=usable_processors())
    parser.add_argument("--json", action="store_true", help="print one JSON object with the account of the run")
    options = parser.parse_args(argv)
    try:
        account = train(options)
    except InputError as error:
        print(f"w2vfast.eval.gensim_runner: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(account) if options.json else f"{account['vocabulary_size']:,} vectors: {options.output}")
    return 0


def train(options: argparse.Namespace) -> dict[str, object]:
    """Train, save and return the account. Raises InputError if no word is frequent enough, or gensim is missing."""
    require_gensim("this command")
    import gensim

    from w2vfast.train import peak_rss_bytes

    settings = {name: value for name, value in vars(options).items() if name not in ("corpus", "output", "json")}
    model = gensim.models.Word2Vec(
        sg=int(options.mode == "sg"), **{name: value for name, value in settings.items() if name != "mode"}
    )
    start, start_cpu = time.perf_counter(), time.process_time()
    model.build_vocab(corpus_file=options.corpus)
    if not len(model.wv):
        raise InputError(f"no word of {options.corpus} occurs {options.min_count} times: lower --min-count")
    scanned, scanned_cpu = time.perf_counter(), time.process_time()
    trained_words, _ = model.train(
        corpus_file=options.corpus,
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=options.epochs,
    )
    trained, trained_cpu = time.perf_counter(), time.process_time()
    model.wv.save_word2vec_format(options.output, binary=True)
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
            "subsampled": known * options.epochs - int(trained_words),
        },
        "seconds": {"scan": scanned - start, "train": trained - scanned, "save": time.perf_counter() - trained},
        "cpu_seconds": {"scan": scanned_cpu - start_cpu, "train": trained_cpu - scanned_cpu},
        "raw_words_per_second": read * options.epochs / (trained - scanned),
        "loss_per_epoch": [],
        "peak_rss_bytes": peak_rss_bytes(),
        "output": options.output,
    }


if __name__ == "__main__":
    sys.exit(main())
