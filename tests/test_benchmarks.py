"""The benchmark scripts: parity, a tiny run of each, README's table drawn from the committed rows."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from w2vfast import backends

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


def run(*command, cwd=None):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_parity_of_every_cpu_backend():
    names = [name for name in ("native", "torch") if backends.unavailable_reason(name) is None]
    assert run(BENCHMARKS / "parity.py", *names).count("largest error") == 2 * len(names)


def test_parity_fails_on_a_wrong_kernel(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import parity

    from w2vfast.kernels import torch_step

    right = torch_step.TorchStep._add
    monkeypatch.setattr(
        torch_step.TorchStep, "_add", lambda self, *rest: right(self, *rest[:2], rest[2] * 1.01, *rest[3:])
    )
    assert parity.largest_error("torch", "cpu", "sg", 8) > parity.LARGEST_ERROR


def test_speed_writes_a_row_a_trainer(themed_file, tmp_path):
    table = tmp_path / "rows.csv"
    options = ["--modes", "sg", "--runs", "2", "--workers", "1", "--epochs", "1", "--vector-size", "8", "--csv", table]
    out = run(BENCHMARKS / "speed.py", themed_file, "--trainers", "gensim", "torch", *options)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trainer"] for row in rows] == ["gensim", "torch"]
    assert all(float(row["words_per_cpu_second"]) > 0 and row["runs"] == "2" for row in rows)
    assert float(rows[1]["parity_error"]) < 1e-4
    ratio = float(rows[1]["words_per_cpu_second"]) / float(rows[0]["words_per_cpu_second"])
    assert float(rows[1]["words_per_cpu_second_against_gensim"]) == pytest.approx(ratio, abs=0.006)
    assert "x a CPU second" in out
    assert rows[1]["words_per_second_against_one_worker"] == "1.0"


def test_kernels_are_timed_by_build_and_workers(tmp_path):
    if backends.unavailable_reason("native") is not None:
        pytest.skip("no native backend here")
    table = tmp_path / "kernels.csv"
    out = run(
        BENCHMARKS / "native_kernel.py", "--tokens", "20000", "--repeat", "1", "--workers", "1,2", "--csv", table,
        "--mode", "sg", "--vector-size", "8",
    )  # fmt: skip
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["workers"] for row in rows] == ["1", "2", "2 apart"]
    assert all(float(row["ids_per_second"]) > 0 and 0 < float(row["share_of_sgemm"]) < 5 for row in rows)
    assert "x the first row" in out


def test_staleness_experiment_runs(themed_file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import staleness

    table = tmp_path / "staleness.csv"
    assert staleness.main([str(themed_file), "--in-flight", "64", "256", "--epochs", "2", "--csv", str(table)]) == 0
    with table.open(newline="") as file:
        assert [row["tokens_in_flight"] for row in csv.DictReader(file)] == ["64", "256"]


@pytest.mark.skipif(not (BENCHMARKS / "results.csv").exists(), reason="no rows of results yet")
def test_readmes_table_is_drawn_from_the_rows(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import draw

    assert draw.main(["--check"]) == 0
    draw.draw(draw.read_rows(), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
