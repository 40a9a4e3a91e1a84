"""Trains for half an hour, killed with SIGKILL again and again, and holds the end to that of a run left alone.

    python -m tests.soak corpus.txt --csv benchmarks/soak.csv
    python -m tests.soak corpus.txt --minutes 5 --kills 10 -- --workers 2 --deterministic

What stands behind -- goes to `python -m w2vfast.train` (without it: --workers 1). Every second kill comes at a random
moment, the others inside the checkpoint writer, after its first call of write, fsync, rename or unlink, its second and
so on. First the same run is left alone. Epochs are as many as the killed run takes `--minutes` for, what kills cost it
included. Exits with 1 unless all kills came, tables and ledger are the same in the end, and memory stayed within 2 %
while the run that was left alone trained.
"""

import argparse
import csv
import datetime
import hashlib
import json
import math
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine

KILLED_LATEST = 2.5  # times the seconds between checkpoints
TRAINED = 0.6  # of the time; the rest is lost with what was not written, and with starting again
MOST_SPREAD = 0.02
SAMPLE_SECONDS = 0.25
NUMBER = re.compile(r"checkpoint-(\d+)\.json")
KILLED_INSIDE = (
    "import sys; from tests.killed_runs import in_a_thread, kill_at; from w2vfast.train import main;"
    "kill_at(int(sys.argv[1]), after=True, counts=in_a_thread); sys.exit(main(sys.argv[2:]))"
)


@dataclass
class Watched:
    """What a process came to: its output if it ended by itself, and its resident memory between two checkpoints."""

    output: str | None
    calls: str = ""  # what it said that it was killed after
    rss: list[int] = field(default_factory=list)  # bytes, from its first checkpoint to the one at its end

    @property
    def spread(self) -> float:
        """The largest over the smallest resident memory, less 1."""
        return max(self.rss) / min(self.rss) - 1


def watch(command: list[str], state: Path | None, log: Path, killed_after: float | None = None) -> Watched:
    """Run a command to its end, or kill it after so many seconds."""
    before, began, samples = newest(state), time.monotonic(), []
    with open(log, "a+") as errors:
        start = errors.tell()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        while process.poll() is None:
            if killed_after is not None and time.monotonic() - began >= killed_after:
                process.kill()
                break
            samples.append((newest(state), resident(process.pid)))
            time.sleep(SAMPLE_SECONDS if killed_after is None else min(SAMPLE_SECONDS, killed_after / 4))
        output, _ = process.communicate()
        errors.seek(start)
        said = errors.read()
    if process.returncode not in (0, -9):
        raise SystemExit(f"{shlex.join(command)} exited with {process.returncode}: {said[-2000:]}")
    last = newest(state)
    rss = [size for number, size in samples if before < number < last and size]
    return Watched(output if process.returncode == 0 else None, "".join(re.findall(r"killed after .*", said)), rss)


def newest(state: Path | None) -> int:
    """Return the number of the newest checkpoint in a folder, 0 if there is none."""
    names = (NUMBER.fullmatch(name) for name in (os.listdir(state) if state is not None and state.exists() else ()))
    return max((int(name[1]) for name in names if name), default=0)


def resident(process: int) -> int:
    """Return a process's resident memory in bytes, 0 once it has ended."""
    try:
        with open(f"/proc/{process}/status") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0


def fingerprint(state: Path, vectors: Path) -> str:
    """Return a hash of a run's end: both tables in its last checkpoint, and the vectors that were saved."""
    digest = hashlib.sha256((state / f"checkpoint-{newest(state):08d}.safetensors").read_bytes())
    digest.update(vectors.read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--every", type=float, default=20, help="seconds between checkpoints")
    parser.add_argument("--epochs", type=int, help="in place of as many as --minutes needs")
    parser.add_argument("--at-once", action="store_true", help="train both runs at the same time")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--csv", type=Path, help="append a row to this file")
    own, train = sys.argv[1:], ["--workers", "1"]
    if "--" in own:
        train, own = own[own.index("--") + 1 :], own[: own.index("--")]
    arguments = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as folder:
        return soak(arguments, train, Path(folder))


def soak(arguments: argparse.Namespace, train: list[str], folder: Path) -> int:
    """Calibrate, train undisturbed, train killed; print and record the figures."""
    log, every = folder / "log", arguments.every
    began = time.monotonic()
    words = [arguments.corpus, *train, "--json"]

    def options(name: str, epochs: int) -> tuple[list[str], Path, Path]:
        state, vectors = folder / name, folder / f"{name}.bin"
        checkpoints = ["--checkpoint", str(state), "--checkpoint-every", str(every), "--resume"]
        return [*words, "--epochs", str(epochs), "-o", str(vectors), *checkpoints], state, vectors

    command = [sys.executable, "-m", "w2vfast.train"]
    epochs = arguments.epochs
    if epochs is None:
        timed = watch([*command, *words, "--epochs", "2", "-o", str(folder / "timed.bin")], None, log)
        epoch = json.loads(str(timed.output))["seconds"]["train"] / 2
        epochs = max(2, math.ceil(arguments.minutes * 60 * TRAINED / epoch))
    print(f"{epochs} epochs", flush=True)

    def train_alone() -> tuple[Watched, dict[str, Any], str, int]:
        given, state, vectors = options("alone", epochs)
        alone = watch([*command, *given], state, folder / "log-alone")
        account, end = json.loads(str(alone.output)), fingerprint(state, vectors)
        took = account["seconds"]["train"]
        print(f"left alone: {took:.0f} s, {end}, memory within {alone.spread:.2%}", flush=True)
        return alone, account, end, newest(state)

    beside = ThreadPoolExecutor(1)
    left_alone = beside.submit(train_alone)
    if not arguments.at_once:
        left_alone.result()

    chance = random.Random(arguments.seed)
    given, state, vectors = options("again", epochs)
    random_kills, inside, medians = 0, [], []
    again_began = time.monotonic()
    while True:
        kill = random_kills + len(inside)
        if kill == arguments.kills:
            one = watch([*command, *given], state, log)
        elif kill % 2:
            one = watch([sys.executable, "-c", KILLED_INSIDE, str(len(inside) + 1), *given], state, log)
        else:
            one = watch([*command, *given], state, log, chance.uniform(0, KILLED_LATEST * every))
        if one.rss:
            medians.append(statistics.median(one.rss))
        if one.output is not None:
            break
        if kill % 2:
            inside.append(one.calls.split(", ")[-1])
        else:
            random_kills += 1
        what = one.calls or "killed at a random moment"
        print(f"kill {kill + 1}: {what}; checkpoint {newest(state)}", flush=True)
    killed, again, took = json.loads(one.output), fingerprint(state, vectors), time.monotonic() - again_began
    alone, account, end, written = left_alone.result()
    ledger_same = (killed["tokens"], killed["pairs"]) == (account["tokens"], account["pairs"])
    row = {
        "date": datetime.date.today().isoformat(),
        "corpus": Path(arguments.corpus).name,
        "options": shlex.join(train),
        "backend": account["backend"],
        "epochs": epochs,
        "words_read": account["tokens"]["read"],
        "words_trained": account["tokens"]["trained"],
        "checkpoint_every": every,
        "kills_random": random_kills,
        "kills_inside": len(inside),
        "kills_inside_after": " ".join(f"{name}:{inside.count(name)}" for name in sorted(set(inside))),
        "checkpoints_alone": written,
        "checkpoints_killed": newest(state),
        "at_once": arguments.at_once,
        "minutes_alone": round(account["seconds"]["train"] / 60, 2),
        "minutes_killed": round(took / 60, 2),
        "minutes_in_all": round((time.monotonic() - began) / 60, 2),
        "rss_mb": round(statistics.median(alone.rss) / 1e6, 1),
        "rss_spread_percent": round(100 * alone.spread, 3),
        "rss_spread_over_processes_percent": round(100 * (max(medians) / min(medians) - 1), 3) if medians else "",
        "same_tables": again == end,
        "same_ledger": ledger_same,
        "sha256": again,
        **machine.identity(),
    }
    for name, value in row.items():
        print(f"{name:36} {value}")
    if arguments.csv is not None:
        append(arguments.csv, row)
    whole = random_kills + len(inside) == arguments.kills
    return int(not (again == end and ledger_same and whole and alone.spread <= MOST_SPREAD))


def append(path: Path, row: dict[str, object]) -> None:
    """Add a row to a table, which begins with its columns."""
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    sys.exit(main())
