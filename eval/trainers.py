"""Runs a trainer, gensim or a backend of w2vfast, in a process of its own and turns its account into figures.

`compare` and benchmarks/speed.py measure through this, so that time and memory of a run are its own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import w2vfast
from w2vfast.command import option_words
from w2vfast.errors import InputError
from w2vfast.eval import gensim_runner

GENSIM = "gensim"
SHORTEST = 1e-9  # a clock may say 0 for a tiny corpus


@dataclass(frozen=True)
class Figures:
    """What one run took; words are raw words, counted once for each epoch that visited them.

    `total_seconds` is the whole command, from its start to saved vectors.
    """

    words_per_cpu_second: float
    words_per_second: float
    scan_words_per_cpu_second: float
    scan_seconds: float
    train_seconds: float
    total_seconds: float
    peak_rss_mb: float | None


def run(trainer: str, corpus: Path, output: Path, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Figures]:
    """Train on one plain text file; returns the account that the trainer prints as JSON, and figures.

    `trainer` is gensim or a backend's name; `settings` are options of Config, of which gensim gets those that it has.
    Raises InputError with the trainer's last line if it fails.
    """
    module, given = "w2vfast.train", {**settings, "backend": trainer}
    if trainer == GENSIM:
        module = "w2vfast.eval.gensim_runner"
        given = {name: value for name, value in settings.items() if name in gensim_runner.OPTIONS}
    command = [sys.executable, "-m", module, str(corpus), "-o", str(output), "--json", *option_words(given)]
    root = str(Path(w2vfast.__file__).resolve().parent.parent)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    }
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    total = time.perf_counter() - began
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"{trainer} failed with exit code {done.returncode}: {said[-1]}")
    account = json.loads(done.stdout)
    return account, figures(account, total)


def epochs_visited(account: Mapping[str, Any]) -> float:
    """Return how many epochs a run made, with the fraction of one that it stopped in."""
    return float(account.get("epochs_visited", account["settings"]["epochs"]))


def figures(account: Mapping[str, Any], total_seconds: float) -> Figures:
    """Return the figures of an account and of the whole command's wall seconds."""
    read, seconds, cpu_seconds = account["tokens"]["read"], account["seconds"], account["cpu_seconds"]
    words = read * epochs_visited(account)
    peak = account["peak_rss_bytes"]
    return Figures(
        words_per_cpu_second=words / max(cpu_seconds["train"], SHORTEST),
        words_per_second=words / max(seconds["train"], SHORTEST),
        scan_words_per_cpu_second=read / max(cpu_seconds["scan"], SHORTEST),
        scan_seconds=seconds["scan"],
        train_seconds=seconds["train"],
        total_seconds=total_seconds,
        peak_rss_mb=None if peak is None else peak / 1e6,
    )
