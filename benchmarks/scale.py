"""Trains one text with 1, 2, 4, 8 ranks on this machine: speed, bytes sent, time in exchanges, quality.

    python benchmarks/scale.py corpus.txt --ranks 1 2 4 --modes sg cbow --seeds 1 2 3
    sudo python benchmarks/scale.py corpus.txt --ranks 2 --mbit 1000 --delay-ms 0.2

With --mbit each rank has a network namespace of its own, joined to the others by a bridge, whose link is so fast: netem
limits it where the kernel has it, with the delay, else a token bucket, without. Bytes are counted at the network's
devices (loopback's without namespaces, where those of other programs count too), beside what the command says.

Writes a CSV row a run to stdout. Ranks beyond the processors show quality and bytes; their speed says nothing.
"""

import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import machine

import w2vfast
from w2vfast.eval.quality import quality
from w2vfast.formats import load_vectors

ROOT = Path(w2vfast.__file__).resolve().parent.parent
PREFIX = "w2vrank"
ADDRESS = "10.213.7."
LIMITS = ("netem rate {mbit}mbit delay {delay}ms", "tbf rate {mbit}mbit burst 256kb latency 100ms")


def command(*words: Any) -> bool:
    """Run a system command and return whether it succeeded."""
    return subprocess.run([str(word) for word in words], capture_output=True, check=False).returncode == 0


@contextmanager
def namespaces(ranks: int, mbit: float, delay: float) -> Iterator[str]:
    """Make a namespace a rank, on one bridge; yield how their links are limited. Raises OSError where it may not."""
    bridge = f"{PREFIX}br"
    try:
        if not (command("ip", "link", "add", bridge, "type", "bridge") and command("ip", "link", "set", bridge, "up")):
            raise OSError("network namespaces cannot be made here: run as root, or leave --mbit out")
        limited = ""
        for rank in range(ranks):
            space, outside = f"{PREFIX}{rank}", f"{PREFIX}v{rank}"
            inside = ("ip", "netns", "exec", space)
            steps = [
                ("ip", "netns", "add", space),
                ("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space),
                ("ip", "link", "set", outside, "master", bridge, "up"),
                (*inside, "ip", "addr", "add", f"{ADDRESS}{rank + 1}/24", "dev", "eth0"),
                (*inside, "ip", "link", "set", "eth0", "up"),
                (*inside, "ip", "link", "set", "lo", "up"),
            ]
            if not all(command(*step) for step in steps):
                raise OSError(f"the namespace of rank {rank} cannot be made")
            tries = [limit.format(mbit=mbit, delay=delay) for limit in LIMITS]
            add = (*inside, "tc", "qdisc", "add", "dev", "eth0", "root")
            limited = next((one for one in tries if command(*add, *one.split())), "")
            if not limited:
                raise OSError("tc has neither netem nor tbf here")
        yield limited
    finally:
        for rank in range(ranks):
            command("ip", "netns", "del", f"{PREFIX}{rank}")
        command("ip", "link", "del", bridge)


def sent_bytes(ranks: int, apart: bool) -> int:
    """Return what the ranks' devices have sent so far."""
    if not apart:
        return int(Path("/sys/class/net/lo/statistics/tx_bytes").read_text())
    # What a namespace sends its peer outside receives.
    return sum(int(Path(f"/sys/class/net/{PREFIX}v{r}/statistics/rx_bytes").read_text()) for r in range(ranks))


def start(words: Sequence[str], ranks: int, apart: bool, port: int) -> str:
    """Run the command in all ranks and return what rank 0 says."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--master-port", str(port)]
    if not apart:
        jobs = [[*torchrun, "--nproc-per-node", str(ranks), *words]]
    else:
        environment |= {"GLOO_SOCKET_IFNAME": "eth0"}
        torchrun += ["--nnodes", str(ranks), "--nproc-per-node", "1", "--master-addr", f"{ADDRESS}1"]
        jobs = [
            ["ip", "netns", "exec", f"{PREFIX}{rank}", *torchrun, "--node-rank", str(rank), *words]
            for rank in range(ranks)
        ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    started = [subprocess.Popen(job, **pipes) for job in jobs]
    told = [job.communicate() for job in started]
    for job, (_, said) in zip(started, told, strict=True):
        if job.returncode:
            raise RuntimeError(said)
    return str(told[0][0])


def run(
    corpus: str, mode: str, ranks: int, seed: int, options: Sequence[str], limits: tuple[float, float] | None
) -> dict:
    """Train once and return the row."""
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/v.bin"
        words = ["-m", "w2vfast.train", corpus, "-o", output, "--json", "--mode", mode, "--seed", str(seed), *options]
        port = 20_000 + os.getpid() % 10_000
        if limits is None:
            limited, before = "", sent_bytes(ranks, False)
            began = time.perf_counter()
            account = json.loads(start(words, ranks, False, port))
            sent = sent_bytes(ranks, False) - before
        else:
            with namespaces(ranks, *limits) as limited:
                began = time.perf_counter()
                account = json.loads(start(words, ranks, True, port))
                sent = sent_bytes(ranks, True)
        whole = time.perf_counter() - began
        scores = quality(load_vectors(output))
    settings, exchanged = account["settings"], account["ranks"] or {}
    return {
        "date": datetime.date.today().isoformat(),
        "corpus": Path(corpus).name,
        "raw_words": account["tokens"]["read"],
        "mode": mode,
        "vector_size": settings["vector_size"],
        "epochs": settings["epochs"],
        "ranks": ranks,
        "workers": settings["workers"],
        "seed": seed,
        "alpha": settings["alpha"],
        "network": limited or "loopback",
        "tokens_between_exchanges": round(exchanged.get("tokens_between_exchanges", 0)),
        "exchanges": exchanged.get("exchanges", 0),
        "bytes_a_token": round(exchanged.get("bytes_a_token", 0), 1),
        "bytes_a_token_counted": round(sent / account["tokens"]["trained"], 1),
        "exchange_seconds": round(exchanged.get("exchange_seconds", 0), 2),
        "waited_seconds": round(exchanged.get("waited_seconds", 0), 2),
        "scan_seconds": round(account["seconds"]["scan"], 3),
        "train_seconds": round(account["seconds"]["train"], 2),
        "train_cpu_seconds": round(account["cpu_seconds"]["train"], 2),
        "whole_seconds": round(whole, 2),
        "loss": round(account["loss_per_epoch"][-1], 4),
        **{name: None if score is None else round(score, 2) for name, score in scores.items()},
        **machine.identity(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; returns the exit code. Options that are not the rig's are the command's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--modes", nargs="+", default=["sg"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--mbit", type=float, help="of each rank's link")
    parser.add_argument("--delay-ms", type=float, default=0.1)
    arguments, options = parser.parse_known_args(argv)
    limits = None if arguments.mbit is None else (arguments.mbit, arguments.delay_ms)
    table: Any = None
    for seed in arguments.seeds:
        for mode in arguments.modes:
            for ranks in arguments.ranks:
                row = run(arguments.corpus, mode, ranks, seed, options, limits)
                if table is None:
                    table = csv.DictWriter(sys.stdout, row)
                    table.writeheader()
                table.writerow(row)
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
