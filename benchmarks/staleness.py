"""What many tokens in flight cost in quality: the GPU's row cap and chunk order, run by the torch backend.

    python benchmarks/staleness.py corpus.txt --in-flight 4096 16384 65536 --seeds 1 2 3 --csv benchmarks/staleness.csv
    python benchmarks/staleness.py corpus.txt --in-flight 1024 --epochs 1

A GPU's grid computes one tile a program, all from about the same tables, and adds them up. A torch batch of as many
tiles, one from each of as many chunks in the permuted order, capped by the same static weights and each tile's own
exact count, is the same arithmetic with the staleness at its worst: nothing of the batch is visible within it. It shows
what the cap does to quality before any GPU is at hand; it cannot show what true asynchrony does.
"""

import argparse
import csv
import dataclasses
import sys
from pathlib import Path

from w2vfast import jobs, tiles, trainer
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.eval.quality import quality
from w2vfast.tiles import TileSettings


def run(corpus, config: Config, in_flight: int) -> dict[str, object]:
    """Train once with `in_flight` tokens in flight under the GPU's cap; returns one row of the table."""
    negatives = config.shared_negatives or tiles.LEAST_NEGATIVES[config.mode]
    settings = TileSettings(config.tile or tiles.TILE["triton"], negatives, negatives, in_flight, "tile", True)
    choice = Choice("torch", "cpu", "stands in for a GPU's grid")
    work = jobs.prepare(corpus, config, choice, settings)
    job = work.job
    # As many chunks as tiles in flight, each walked by its own program.
    job = dataclasses.replace(job, group_tokens=max(job.group_tokens, job.tiles_in_flight * job.chunk_size))
    result = trainer.train_corpus(corpus, config, choice, work=dataclasses.replace(work, job=job))
    batches = result.tokens["trained"] / in_flight
    row = {
        "mode": config.mode,
        "tokens_in_flight": in_flight,
        "batches": round(batches),
        "seed": config.seed,
        "tile": job.tile,
        "shared_negatives": work.shared_words,
        "cap": job.cap,
        "epochs": config.epochs,
    }
    return row | quality(result.vectors) | {"loss": result.loss_per_epoch[-1]}


def main(argv: list[str] | None = None) -> int:
    """Run the experiment and print or append its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--tile", type=int, help="T (default: the triton backend's)")
    parser.add_argument("--cap", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args(argv)
    base = Config(
        epochs=arguments.epochs, workers=arguments.workers, cap=arguments.cap, tile=arguments.tile, backend="torch"
    )
    with trainer.scan_files([arguments.corpus], base) as corpus:
        for mode in arguments.modes:
            for in_flight in arguments.in_flight:
                for seed in arguments.seeds:
                    row = run(corpus, dataclasses.replace(base, mode=mode, seed=seed), in_flight)
                    print({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}, flush=True)
                    if arguments.csv is None:
                        continue
                    fresh = not arguments.csv.exists()
                    with arguments.csv.open("a", newline="") as file:
                        writer = csv.DictWriter(file, row, lineterminator="\n")
                        if fresh:
                            writer.writeheader()
                        writer.writerow(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
