"""Predicts data parallel training on more machines than there are: speed from bytes counted and speeds measured.

    python benchmarks/scale_model.py benchmarks/scale.csv
    python benchmarks/scale_model.py benchmarks/scale.csv --json

Every figure is a prediction. A machine trains `SPEED` tokens a second, and begins an exchange whenever it has trained
an interval's. What is sent at one is that of exchange.py for a vocabulary (the rows of scale.csv are held against it
first): a ring sends 2 (R - 1) / R of it through each link in 2 (R - 1) steps of `LATENCY`, while training goes on, so
that an interval takes the longer of the two; and training stands still for `WORK` a byte. Where the network takes
longer, intervals double, as they do in a run. `tokens at least` is the run, all its epochs, that has as many intervals
as were measured to keep quality. What longer intervals or more ranks than measured do to it is unknown.
"""

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from w2vfast.exchange import EXCHANGES, HEAD, LONGEST, LONGEST_INTERVAL

# Trained tokens a second at 100 dimensions. A machine of 16 cores: one core of Zen 4 (benchmarks/results.csv: 2.91 M
# words, 0.78 of them trained) times 16, less what threads lose to each other (two reach 1.8 times one). The GPU is an
# H100 as docs/gpu-kernels.md predicts it, at 128 dimensions.
SPEED = {"16 cores": 2.91e6 * 0.78 * 16 * 0.9, "GPU": 392e6}
# Seconds in which training stands still for a byte exchanged: subtraction, sums and additions. One core of Zen 4 takes
# 0.63 ns at best, 0.75 ns are taken; that 16 cores or a GPU take an eighth is an assumption.
WORK = 0.75e-9 / 8
LATENCY = 100e-6  # s, a step of a ring between machines: an assumption
VECTOR_SIZE = 100
LARGEST = 0.1  # how far rows of scale.csv may be from what is counted here


@dataclass(frozen=True)
class Prediction:
    """What `ranks` machines are predicted to do at a network's speed."""

    kind: str
    ranks: int
    gbit: float
    interval: int  # tokens of a machine
    least_tokens: float  # of the run, all epochs, for so many exchanges
    bytes_a_token: float
    times_one: float
    bound: str
    quality: str


def bytes_of_exchange(vocabulary: int, vector_size: int) -> float:
    """Return the bytes that one exchange sums, on average, of both tables: what exchange._Table takes in turns."""
    rows, begin, turns = float(min(HEAD, vocabulary)), HEAD, 2
    while begin < vocabulary:
        end = vocabulary if turns == LONGEST else min(2 * begin, vocabulary)
        rows += (end - begin) / turns
        begin, turns = end, 2 * turns
    return 2 * rows * vector_size * 4


def predict(kind: str, ranks: int, gbit: float, vocabulary: int, vector_size: int, interval: int) -> Prediction:
    """Return the prediction for an interval, or for the longer one that the network asks for."""
    summed = bytes_of_exchange(vocabulary, vector_size)
    sent = 2 * (ranks - 1) / ranks * summed
    network = sent * 8 / (gbit * 1e9) + 2 * (ranks - 1) * LATENCY
    while network > interval / SPEED[kind]:
        interval *= 2
    training = interval / SPEED[kind] + WORK * summed
    times = ranks * (interval / SPEED[kind]) / max(training, network)
    return Prediction(
        kind=kind,
        ranks=ranks,
        gbit=gbit,
        interval=interval,
        least_tokens=float(EXCHANGES) * interval * ranks,
        bytes_a_token=round(sent / interval, 1),
        times_one=round(times, 1),
        bound="network" if network > training else "training",
        quality="measured" if ranks <= 8 and interval <= LONGEST_INTERVAL else "unknown",
    )


def check(rows: Sequence[dict[str, str]], vocabulary: int) -> None:
    """Raise ValueError where a measured row's bytes are not those that are counted here."""
    for row in rows:
        ranks, between = int(row["ranks"]), float(row["tokens_between_exchanges"])
        if ranks > 1 and row["corpus"] == rows[0]["corpus"]:
            summed = bytes_of_exchange(vocabulary, int(row["vector_size"]))
            counted = 2 * (ranks - 1) / ranks * summed / between
            # At a run's end all rows are exchanged once.
            counted += (
                2 * (ranks - 1) / ranks * 8 * vocabulary * int(row["vector_size"]) / between / int(row["exchanges"])
            )
            if abs(counted / float(row["bytes_a_token"]) - 1) > LARGEST:
                raise ValueError(
                    f"{ranks} ranks sent {row['bytes_a_token']} bytes a token, and {counted:.0f} are counted"
                )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the predictions; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", help="what benchmarks/scale.py wrote, to hold the count of bytes against")
    parser.add_argument(
        "--rows-vocabulary",
        type=int,
        default=85_569,
        help="words of the text of the first row, and of others on it: those on another are not counted",
    )
    parser.add_argument("--vocabulary", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    with open(arguments.rows, newline="") as file:
        check(list(csv.DictReader(file)), arguments.rows_vocabulary)
    sizes = arguments.vocabulary, VECTOR_SIZE
    machines = itertools.product(["16 cores"], [8, 16, 32, 64], [10.0, 25.0, 100.0])
    gpus = itertools.product(["GPU"], [2, 4, 8], [10.0, 25.0, 100.0])
    found = [predict(*one, *sizes, LONGEST_INTERVAL) for one in itertools.chain(machines, gpus)]
    if arguments.json:
        print(json.dumps([asdict(one) for one in found]))
        return 0
    print(f"predictions for {sizes[0]:,} words of {sizes[1]} dimensions")
    print("machines       Gbit/s  interval  tokens at least  bytes a token  times one  bound     quality")
    for p in found:
        name = f"{p.ranks} x {p.kind}"
        print(
            f"{name:14} {p.gbit:6g} {p.interval:9,} {p.least_tokens / 1e9:14.1f} G {p.bytes_a_token:14} "
            f"{p.times_one:10} {p.bound:9} {p.quality}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
