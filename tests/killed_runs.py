"""Kills runs inside the checkpoint writer, at every system call in turn, and prints the tables that each ends in.

    python tests/killed_runs.py BACKEND FOLDER EVERY

A process of its own that forks its runs: each is killed by SIGKILL at one call of write, fsync, rename or unlink, the
next goes on from what is there. One line a kill: the number of the call, and a hash of the vectors in the end.
"""

import hashlib
import os
import signal
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from w2vfast import trainer
from w2vfast.checkpoint import Keeper
from w2vfast.config import Config

CALLS = ("write", "fsync", "replace", "unlink")


def sentences():
    rng = np.random.default_rng(3)
    return [[f"w{i}" for i in rng.zipf(1.5, 8).clip(max=40)] for _ in range(300)]


def kill_at(call, *, after=False, counts=lambda: True):
    """Have this process end itself just before the given call, or after it, counted over all of them that `counts`."""
    calls = 0

    def counted(name, real):
        def wrapped(*arguments, **options):
            nonlocal calls
            calls += counts()
            if calls == call and not after:
                die()
            result = real(*arguments, **options)
            if calls == call:
                die(name)
            return result

        return wrapped

    def die(name=None):
        if name is not None:
            os.writev(2, [f"killed after call {call}, {name}\n".encode()])
        os.kill(os.getpid(), signal.SIGKILL)

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))


def in_a_thread():
    """Whether this is a thread beside the main one, as the checkpoint writer is."""
    return threading.current_thread() is not threading.main_thread()


def run(config, call=None):
    """Train in a process of its own; returns a hash of the vectors, None if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if call is not None:
            kill_at(call)
            Keeper.due = property(lambda _: True)  # one after every advance, however slow the disk is
        result = trainer.train_sentences(sentences(), config)
        os.writev(writing, [hashlib.sha256(result.w_in.tobytes() + result.w_out.tobytes()).hexdigest().encode()])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, status
    return told or None


def main(backend, folder, every):
    warnings.simplefilter("error")
    options = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 5, "sample": 1e-2}
    if backend == "torch":
        import torch  # noqa: F401  (once, before the forks)

        options |= {"tile": 16, "tokens_in_flight": 48}
    config = Config(backend=backend, **options)
    print("whole", run(config), flush=True)
    for call in range(1, 1000, int(every)):
        checked = replace(config, checkpoint=str(Path(folder) / str(call)), checkpoint_every=1e-6, resume=True)
        if run(checked, call) is not None:
            return
        print(call, run(checked), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
