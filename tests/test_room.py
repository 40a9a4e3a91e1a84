"""Memory and disk: what bounds them is found, what a run needs is told before, and who lacks it reads numbers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2vfast import corpus, memory, room, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.train import main

GB = 10**9
MEMINFO = "MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 4000000 kB\nHugePages_Total: 0\n"
ROW = "30 20 0:1 {root} {at} rw,relatime - {kind} {kind} {options}\n"


def machine(root, cgroup="", mounts="", files=None):
    """Make a tree with /proc and /sys as a system would have them."""
    files = (files or {}) | {"proc/meminfo": MEMINFO, "proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


V2 = ROW.format(root="/", at="/sys/fs/cgroup", kind="cgroup2", options="rw")
V1 = ROW.format(root="{root}", at="/sys/fs/cgroup/memory", kind="cgroup", options="rw,memory")
STAT = "anon 5\ninactive_file 100000000\n"


def group(folder, limit, taken, version=2):
    names = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}[version]
    stat = STAT if version == 2 else STAT.replace("inactive", "total_inactive")
    return dict(zip((f"{folder}/{names[0]}", f"{folder}/{names[1]}"), (limit, taken), strict=True)) | {
        f"{folder}/memory.stat": stat
    }


MACHINES = {
    "none": ({}, 4_096_000_000, "the machine"),
    "v2": (
        {"cgroup": "0::/a/b\n", "mounts": V2, "files": group("sys/fs/cgroup/a/b", "2000000000\n", "600000000")},
        1_500_000_000,
        "memory.max: 2.0 GB",
    ),
    "v2-above": (
        {
            "cgroup": "0::/a/b\n",
            "mounts": V2,
            "files": group("sys/fs/cgroup/a/b", "max\n", "6") | group("sys/fs/cgroup/a", "3100000000", "200000000"),
        },
        3_000_000_000,
        "memory.max: 3.1 GB",
    ),
    "v2-full": (
        {"cgroup": "0::/\n", "mounts": V2, "files": group("sys/fs/cgroup", "1000000000", "1200000000")},
        0,
        "memory.max",
    ),
    "v1": (
        {
            "cgroup": "3:cpu:/x\n4:memory:/a\n0::/\n",
            "mounts": V2 + V1.format(root="/"),
            "files": group("sys/fs/cgroup/memory/a", "1000000000", "200000000", 1),
        },
        900_000_000,
        "memory.limit_in_bytes: 1.0 GB",
    ),
    "v1-container": (
        {
            "cgroup": "4:memory:/docker/x\n",
            "mounts": V1.format(root="/docker/x"),
            "files": group("sys/fs/cgroup/memory", "1000000000", "200000000", 1),
        },
        900_000_000,
        "memory.limit_in_bytes",
    ),
    "v1-unbounded": (
        {
            "cgroup": "4:memory:/\n",
            "mounts": V1.format(root="/"),
            "files": group("sys/fs/cgroup/memory", "9223372036854771712", "0", 1),
        },
        4_096_000_000,
        "the machine",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_what_bounds_memory_is_found(name, tmp_path):
    system, size, what = MACHINES[name]
    found = memory.available_bytes(machine(tmp_path, **system))
    assert found is not None
    assert found[0] == size
    assert what in found[1]


def test_this_system_tells():
    found = memory.available_bytes()
    assert found is None or found[0] > 0


def have(monkeypatch, size):
    monkeypatch.setattr(memory, "available_bytes", lambda: (size, "a limit (of 1 GB)"))


@pytest.fixture
def sentences():
    return [[f"w{i}" for i in range(1000)]] * 5


def test_a_run_that_cannot_fit_says_what_it_needs(sentences, monkeypatch):
    have(monkeypatch, 150_000_000)
    options = {"min_count": 1, "workers": 1, "epochs": 1, "vector_size": 20_000}
    with pytest.raises(InputError) as error:
        trainer.train_sentences(sentences, Config(**options))
    told = str(error.value)
    assert "of memory are needed (160 MB for the tables" in told
    assert "a limit (of 1 GB) leaves 150 MB: lower vector_size (20000), have fewer words than 1,000" in told
    have(monkeypatch, 10**10)
    trainer.train_sentences(sentences, Config(**options | {"vector_size": 20}))


PARTS = {
    "checkpoint": ({"checkpoint": "state"}, "for the copy that checkpoints are written from"),
    "keep_best": ({"keep_best": True, "eval_every": 1.0}, r"for the best tables \(keep_best\)"),
    "scoring": ({"eval_every": 1.0}, "for scoring"),
    "mined": ({"objective": "margin", "mined": 500}, "for mined words"),
    "tiles": ({"window": 1000}, "for tiles"),
}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_counts(part, sentences, tmp_path, monkeypatch):
    options, what = PARTS[part]
    monkeypatch.chdir(tmp_path)
    options |= {"min_count": 1, "workers": 1, "epochs": 1, "vector_size": 1000}
    have(monkeypatch, 0)
    with pytest.raises(InputError, match=rf"[1-9][0-9]* MB {what}"):
        trainer.train_sentences(
            sentences, Config(**options), evaluate=(lambda _: 0) if "eval_every" in options else None
        )


def test_the_command_exits_2_with_numbers(themed_file, tmp_path, monkeypatch, capsys):
    have(monkeypatch, 1000)
    assert main([str(themed_file), "-o", str(tmp_path / "v.bin"), "--min-count", "1"]) == 2
    (*_, line) = capsys.readouterr().err.splitlines()
    assert "of memory are needed" in line
    assert not (tmp_path / "v.bin").exists()


def test_words_that_no_longer_fit_end_the_scan(tmp_path, monkeypatch):
    (tmp_path / "c.txt").write_text("".join(f"word{i}\n" for i in range(300_000)))
    monkeypatch.setattr(corpus, "_LEAST_ROOM", 1 << 20)
    have(monkeypatch, 1000)
    with pytest.raises(InputError, match=r"MB for the words to come.*words are read; set max_vocab_size"):
        corpus.scan([tmp_path / "c.txt"], min_count=1)


def test_memory_that_runs_out_all_the_same_exits_2(themed_file, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 8 GiB")

    monkeypatch.setattr(trainer.plan, "initial_vectors", fail)
    assert main([str(themed_file), "-o", str(tmp_path / "v.bin"), "--min-count", "1"]) == 2
    assert "memory ran out (Unable to allocate 8 GiB): lower --vector-size" in capsys.readouterr().err


def test_gensims_class_counts_too(monkeypatch):
    pytest.importorskip("gensim")
    from w2vfast import Word2Vec

    have(monkeypatch, 1000)
    with pytest.raises(InputError, match=r"for the vectors, .* for the output table.*lower vector_size"):
        Word2Vec([["a", "b"]] * 10, min_count=1, vector_size=1000)


# A run of its own, which tells what it thought it needed and what it took from there on.
PEAK = """
import json, sys
import numpy as np
from w2vfast import memory, room, trainer
from w2vfast.config import Config

told = {}
def tell(work, config, choice, **how):
    told["needed"] = sum(room.memory_needed(work, config, choice, **how).values())
    told["before"] = memory.rss_bytes()
room.refuse_lack_of_memory = tell
options = json.loads(sys.argv[1])
words = [f"w{i}" for i in range(20_000)]
score = (lambda v: float(np.linalg.norm(v.vectors / np.float32(2)))) if "eval_every" in options else None
config = Config(min_count=1, workers=2, vector_size=300, epochs=1, sample=0.0, **options)
trainer.train_sentences([words] * 3, config, evaluate=score)
print(json.dumps(told | {"peak": memory.peak_rss_bytes()}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a process's memory")
@pytest.mark.parametrize(
    "options", [{}, {"checkpoint": "c", "checkpoint_every": 1e-6, "keep_best": True, "eval_every": 1.0}]
)
def test_what_is_told_is_what_is_taken(options, tmp_path):
    """Within a quarter, in a run whose tables have 48 MB."""
    command = [sys.executable, "-c", PEAK, json.dumps(options)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    told = json.loads(done.stdout)
    taken = told["peak"] - told["before"]
    assert told["needed"] / 1.25 < taken < told["needed"] * 1.25, told


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is told apart on Linux only")
def test_a_real_limit_ends_the_command_before_it_takes_the_memory(tmp_path):
    """Address space for the program and 128 MiB."""
    program = "import resource, sys; from w2vfast import trainer; from w2vfast.train import main;"
    program += "size = int(next(l for l in open('/proc/self/status') if l.startswith('VmSize')).split()[1]) * 1024;"
    program += "resource.setrlimit(resource.RLIMIT_AS, (size + 2**27, resource.RLIM_INFINITY)); sys.exit(main())"
    (tmp_path / "c.txt").write_text(" ".join(f"w{i}" for i in range(3000)))
    words = [tmp_path / "c.txt", "-o", tmp_path / "v.bin", "--min-count", 1, "--vector-size", 30000, "--workers", 1]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "720 MB for the tables" in done.stderr
    assert "RLIMIT_AS" in done.stderr


def test_a_real_cgroup_counts(tmp_path):
    """Needs a cgroup that may be made, as root has it."""
    folders = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    own = f"w2vfast-test-{os.getpid()}"
    for folder, limit in zip(folders, ("memory.limit_in_bytes", "memory.max"), strict=True):
        try:
            (folder / own).mkdir()
        except OSError as error:
            reason = error
            continue
        try:
            (folder / own / limit).write_text("300000000")
            program = f"open('{folder / own}/cgroup.procs', 'w').write('0');"
            program += "from w2vfast.memory import available_bytes; print(available_bytes())"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        except OSError as error:
            reason = error
            continue
        finally:
            (folder / own).rmdir()
        assert done.returncode == 0, done.stderr
        size, what = eval(done.stdout)
        assert 150_000_000 < size <= 300_000_000
        assert limit in what
        return
    pytest.skip(f"no cgroup may be made here: {reason}")


def no_space(monkeypatch, free=1000):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))


def test_an_output_that_cannot_fit_is_refused_before_training(themed_file, tmp_path, monkeypatch, capsys):
    no_space(monkeypatch)
    for name in ("v.bin", "v.txt", "v.safetensors"):
        assert main([str(themed_file), "-o", str(tmp_path / name), "--min-count", "1"]) == 2
        assert f"the output needs 0 MB of disk space, and {tmp_path} has 0 MB free" in capsys.readouterr().err
    words = [str(themed_file), "-o", os.devnull, "-binary", "1", "--min-count", "1", "--epochs", "1"]
    assert main([*words, "--save-model", str(tmp_path / "m.safetensors")]) == 2
    assert "the model needs" in capsys.readouterr().err
    assert main([*words, "--checkpoint", str(tmp_path / "state")]) == 2
    assert "a checkpoint needs" in capsys.readouterr().err
    assert main(words) == 0


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.kv", "v.safetensors"])
def test_a_file_is_at_least_as_large_as_told(name, tmp_path):
    from w2vfast.formats import Vectors, least_bytes, save_vectors

    if name == "v.kv":
        pytest.importorskip("gensim")
    words = [f"w{i}" for i in range(500)]
    vectors = np.random.default_rng(1).normal(size=(500, 40)).astype(np.float32)
    save_vectors(Vectors(words, vectors), tmp_path / name)
    size = (tmp_path / name).stat().st_size
    assert size / 1.6 < least_bytes(words, 40, tmp_path / name) <= size
    assert vectors.itemsize == room.FLOAT
