"""Several processes under torchrun: a shared scan is one process's, exchanges merge, errors are told once.

tests/in_ranks.py has what two ranks do together, for one start of both.
"""

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity import make_job, random_tables, zipf_ids
from tests.conftest import MODES, share_of_right_neighbours
from tests.in_ranks import TEXTS
from w2vfast import backends, checkpoint, exchange, inputs, ranks, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.formats import load_vectors
from w2vfast.kernels.contract import ID_MASK, Unsupported
from w2vfast.kernels.torch import step as torch_step
from w2vfast.train import main

PARTS = ("scans", "kept_scans", "differences", "merging", "training", "checkpoints", "apart", "slow")
PARTS += ("dimensions", "resumed_dimensions")


def torchrun(count, *command, restarts=0, **environment):
    """Start ranks and return the finished job."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    start += ["--max-restarts", str(restarts)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    command = [str(word) for word in (*start, *command)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture(scope="module")
def together(tmp_path_factory, themed_sentences):
    """What came of each part that two ranks did, and the folder in which they did it."""
    folder = tmp_path_factory.mktemp("ranks")
    for name, text in TEXTS.items():
        (folder / name).write_bytes(text)
    (folder / "kept").mkdir()
    (folder / "empty.gz").write_bytes(gzip.compress(b"a b c\n" * 100))
    (folder / "themed").write_text("".join(" ".join(sentence) + "\n" for sentence in themed_sentences))
    job = torchrun(2, "-m", "tests.in_ranks", folder)
    assert job.returncode == 0, job.stderr
    return folder, json.loads((folder / "came.json").read_text())


@pytest.mark.parametrize("part", PARTS)
def test_two_ranks(part, together):
    _, came = together
    assert not came[part], came[part][0]


def test_two_ranks_learn(together):
    words, vectors = json.loads((together[0] / "vectors.json").read_text())
    assert share_of_right_neighbours(words, np.array(vectors)) > 0.9


@pytest.fixture
def alone(monkeypatch):
    """Have this process be the only rank."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    told = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": "test"}
    for name, value in (told | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}).items():
        monkeypatch.setenv(name, str(value))


def test_one_rank_is_one_process_bit_for_bit(themed_file, tmp_path, alone, monkeypatch):
    options = ["--epochs", "2", "--vector-size", "12", "--min-count", "1", "--workers", "1"]
    assert main([str(themed_file), "-o", str(tmp_path / "rank.bin"), *options]) == 0
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert main([str(themed_file), "-o", str(tmp_path / "process.bin"), *options]) == 0
    assert (tmp_path / "rank.bin").read_bytes() == (tmp_path / "process.bin").read_bytes()


def test_dimensions_of_two_ranks_are_taken_up_by_one(together, alone):
    """Of tables with some dimensions each, any number of ranks goes on, to what the others would have come to."""
    folder, _ = together
    options = {"min_count": 1, "vector_size": 7, "epochs": 3, "workers": 1, "alpha": 0.1, "parallel": "dimension"}
    config = Config(**options, backend="torch", device="cpu", checkpoint=str(folder / "stopped"), resume=True)
    with ranks.joined(60) as found:
        result = trainer.train_files([folder / "themed"], config, ranks=found)
    assert result.resumed_from is not None
    np.testing.assert_allclose(result.w_in, np.load(folder / "whole.npy"), rtol=1e-4, atol=1e-5)


def test_copies_of_two_ranks_are_not_taken_up_by_others(together):
    """Each goes on with its own tables."""
    newest = max((together[0] / "state").glob("*.json"))
    about = checkpoint._read_about(newest)
    config = Config(**{name: about["asked"][name] for name in about["asked"]})
    for count in (1, 3):
        with pytest.raises(InputError, match=rf"ranks \(each goes on with its own tables\): 2 / {count}"):
            checkpoint.Checkpoint(newest, about, 0, count).refuse_other_run(config, backends.choose(config))


def test_the_command_saves_and_speaks_once(themed_file, tmp_path):
    command = ["-m", "w2vfast.train", themed_file, "-o", tmp_path / "v.bin", "--epochs", "1", "--min-count", "1"]
    job = torchrun(2, *command, "--json", "--workers", "99", "--vector-size", "8")
    assert job.returncode == 0, job.stderr
    account = json.loads(job.stdout)
    assert account["ranks"]["ranks"] == 2
    assert account["settings"]["alpha"] == pytest.approx(0.03)
    assert account["tokens"]["read"] == 12_000
    assert job.stderr.count("backend ") == 1
    assert job.stderr.count("threads of this machine's ranks share") == 1
    assert {path.name for path in tmp_path.iterdir()} == {themed_file.name, "v.bin"}


def test_errors_are_told_once(themed_file, tmp_path):
    job = torchrun(2, "-m", "w2vfast.train", tmp_path / "absent.txt", "-o", tmp_path / "v.bin")
    assert job.returncode != 0
    assert job.stderr.count("w2vfast.train: error: cannot read") == 1
    assert "RankLostError" not in job.stderr
    assert not (tmp_path / "v.bin").exists()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_parts_are_the_text(text, count, tmp_path):
    """Parts of files follow each other, cut between words, and compressed files are whole."""
    (tmp_path / "a").write_bytes(text)
    (tmp_path / "b.gz").write_bytes(gzip.compress(text))
    (tmp_path / "c").write_bytes(text)
    files = inputs.expand_inputs([tmp_path])
    read, packed = b"", 0
    for rank in range(count):
        for path, bounds in inputs.share_of(files, rank, count):
            begin, end = bounds or (0, path.stat().st_size)
            assert begin < end
            packed += path.suffix == ".gz"
            if path.suffix != ".gz":
                part = path.read_bytes()
                assert begin == 0 or part[begin - 1 : begin].isspace()
                read += part[begin:end]
    assert read == text + text
    assert packed == 1


def test_standard_input_is_for_one():
    with pytest.raises(InputError, match="by one process only"):
        inputs.share_of(["-"], 0, 2)


@pytest.mark.parametrize("name", trainer.OF_RANKS)
def test_options_of_ranks_are_refused_without(name, themed_file):
    with pytest.raises(InputError, match=f"{name} is for ranks"):
        trainer.train_files([themed_file], Config(**{name: "dimension" if name == "parallel" else 7}))


def test_rows_take_turns():
    """Each row takes part at least once in LONGEST exchanges, the head in all, whether rows lie in order or not."""
    import torch

    rows = 5 * exchange.HEAD + 7
    for weight in (np.arange(rows, 0, -1, dtype=np.float32), np.random.default_rng(0).random(rows, np.float32)):
        table = exchange._Table(torch.zeros(rows, 2), weight)
        seen = np.zeros(rows, int)
        for number in range(exchange.LONGEST):
            for part in table.rows_of(number):
                seen[part] += 1
                assert table.size_of(part) == 2 * len(np.arange(rows)[part])
        order = np.argsort(-weight, kind="stable")
        assert (seen[order[: exchange.HEAD]] == exchange.LONGEST).all()
        assert (seen > 0).all()
        assert (np.diff(seen[order]) <= 0).all()


def test_the_scale_sums_rare_rows_and_averages_frequent_ones():
    import torch

    table = exchange._Table(torch.zeros(2, 3), np.array([1e9, 1e-9], np.float32))
    scale = table.scale(slice(0, 2), 1000.0, 0.025, 4)[:, 0].tolist()
    assert scale == pytest.approx([0.25, 1.0], abs=1e-5)


@pytest.mark.parametrize("options", [MODES["sg-softmax"], MODES["cbow-classes"], {"objective": "margin"}, {"bits": 1}])
def test_what_needs_whole_rows_has_no_dimensions(options):
    """Rather than to train something else: softmax and the like read other dimensions than by a batch's scores."""
    job = make_job(**options)
    with pytest.raises(Unsupported, match="need whole rows"):
        torch_step.create_step(job, *random_tables(job, 6), sum_scores=lambda scores: None)


def test_who_is_no_rank_is_told_apart(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert not ranks.under_torchrun()
    assert ranks.first_to_tell()
    with ranks.joined(1) as found:
        assert found is None


def ranks_of(job):
    """Return the process ids of a job's ranks, by their number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            told = (entry / "environ").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == job.pid and any(line.startswith(b"RANK=") for line in told):
                found[next(int(line[5:]) for line in told if line.startswith(b"RANK="))] = int(entry.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident sets in /proc")
def test_a_rank_holds_its_dimensions_and_little_more(tmp_path):
    words, size, tokens = 20_000, 1000, 60_000
    ids = np.concatenate([np.arange(words), zipf_ids(words, tokens - words) & ID_MASK])
    text = tmp_path / "text"
    text.write_text("".join(f"w{i}\n" if n % 20 == 19 else f"w{i} " for n, i in enumerate(ids.tolist())))
    rss = "import torch.distributed, w2vfast.memory as memory; print(memory.rss_bytes())"
    alone = int(subprocess.run([sys.executable, "-c", rss], capture_output=True, text=True, check=True).stdout)
    options = ["--parallel", "dimension", "--min-count", "1", "--epochs", "1", "--workers", "1", "--json"]
    options += ["--tokens-in-flight", "1024"]
    command = ["-m", "w2vfast.train", text, "-o", tmp_path / "v.bin", "--vector-size", size, *options]
    for count in (2, 4):
        job = torchrun(count, *command)
        assert job.returncode == 0, job.stderr
        account = json.loads(job.stdout)
        assert account["vocabulary_size"] == words
        tables = 2 * words * size * 4 // count
        assert account["peak_rss_bytes"] - alone < tables + 4 * tokens + 100e6


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_killed_rank(restarts, themed_file, tmp_path):
    """Without restarts the job ends and the other rank says who is lost; with one it goes on from its checkpoint."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    start += ["--max-restarts", str(restarts), "--monitor-interval", "0.1", "-m", "w2vfast.train", str(themed_file)]
    options = ["--epochs", "2000", "--min-count", "1", "--workers", "1", "--vector-size", "8"]
    options += ["--checkpoint", str(tmp_path / "state"), "--checkpoint-every", "0.3", "-o", str(tmp_path / "v.bin")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*start, *options], env=environment, text=True, **pipes) as job:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("state/*.json")):
            assert job.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(ranks_of(job)[1], signal.SIGKILL)
        _, told = job.communicate(timeout=240)
    if restarts:
        assert job.returncode == 0, told
        assert "going on from" in told
        assert load_vectors(tmp_path / "v.bin").vectors.shape == (24, 8)
    else:
        assert job.returncode != 0
        assert not (tmp_path / "v.bin").exists()
        assert list(tmp_path.glob("state/*.json"))
    assert len(re.findall(r"^w2vfast\.train: ", told, re.MULTILINE)) <= 1
