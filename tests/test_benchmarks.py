"""The benchmark scripts: parity, a tiny run of each, README's table drawn from the committed rows."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2vfast import backends, exchange

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


def run(*command, cwd=None):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_parity_of_every_cpu_backend():
    names = [name for name in ("native", "torch") if backends.unavailable_reason(name) is None]
    lines = sum(1 if objective == "margin" else 2 for name in names for objective in backends.objectives(name))
    assert run(BENCHMARKS / "parity.py", *names, "--length", "250").count("largest error") == lines


def test_parity_fails_on_a_wrong_kernel(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import parity

    from w2vfast.kernels.torch import step as torch_step

    right = torch_step.TorchStep._add
    monkeypatch.setattr(
        torch_step.TorchStep, "_add", lambda self, *rest: right(self, *rest[:2], rest[2] * 1.01, *rest[3:])
    )
    assert parity.largest_error("torch", "cpu", "sg", 8) > parity.largest_allowed("torch")


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
    assert all(float(row["sgemm_gflops"]) > 0 and row["cpu_vendor"] and row["device"] == "cpu" for row in rows)
    if (BENCHMARKS / "results.csv").exists():
        with (BENCHMARKS / "results.csv").open(newline="") as file:
            assert next(csv.reader(file)) == list(rows[0])


def test_predictions_of_many_machines_count_the_bytes_that_were_sent(monkeypatch):
    """The rows' bytes are those that the model counts, and the model counts rows as exchanges take them."""
    out = json.loads(run(BENCHMARKS / "scale_model.py", BENCHMARKS / "scale.csv", "--json"))
    assert {one["ranks"] for one in out if one["kind"] == "16 cores"} == {8, 16, 32, 64}
    assert all(0 < one["times_one"] <= one["ranks"] for one in out)
    monkeypatch.syspath_prepend(BENCHMARKS)
    import scale_model
    import torch

    words = 100_000
    table = exchange._Table(torch.zeros(words, 1), np.arange(words, 0, -1, dtype=np.float32))
    taken = [sum(map(table.size_of, table.rows_of(number))) for number in range(exchange.LONGEST)]
    assert scale_model.bytes_of_exchange(words, 1) == pytest.approx(8 * np.mean(taken), rel=0.001)
    with (BENCHMARKS / "scale.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["bytes_a_token"] = "9999"
    with pytest.raises(ValueError, match="are counted"):
        scale_model.check([row for row in rows if row["ranks"] != "1"], 85_569)


@pytest.mark.slow
def test_scale_writes_a_row_for_each_number_of_ranks(themed_file):
    options = ["--ranks", "1", "2", "--workers", "1", "--epochs", "1", "--vector-size", "8", "--min-count", "1"]
    rows = list(csv.DictReader(run(BENCHMARKS / "scale.py", themed_file, *options).splitlines()))
    assert [row["ranks"] for row in rows] == ["1", "2"]
    assert float(rows[1]["bytes_a_token_counted"]) > 0.9 * float(rows[1]["bytes_a_token"]) > 0


def test_a_fault_of_speed_is_one_line(tmp_path):
    (tmp_path / "c.txt").write_text("too few words\n")
    command = [sys.executable, str(BENCHMARKS / "speed.py"), str(tmp_path / "c.txt"), "--trainers", "gensim"]
    command += ["--csv", str(tmp_path / "rows.csv")]
    for more, message in ([], "no word of"), (["--window", "0"], "window must be at least 1"):
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "rows.csv").exists()


def a_run(trainer, epochs, **account):
    """Return what speed.measure returns of a run of two CPU seconds over 1000 words an epoch."""
    from w2vfast.eval import trainers

    settings = dict.fromkeys(("window", "min_count", "negative"), 5) | {"vector_size": 100, "epochs": epochs}
    settings |= {"sample": 1e-3, "alpha": 0.025, "workers": 1}
    if trainer != "gensim":
        settings |= {"tile": 64, "shared_negatives": 32, "early_negatives": 16, "tokens_in_flight": 64, "device": "cpu"}
    account = {
        "settings": settings | account.pop("settings", {}),
        "tokens": {"read": 1000, "trained": 700 * epochs},
        "seconds": {"scan": 1.0, "train": 2.0},
        "cpu_seconds": {"scan": 1.0, "train": 2.0},
        "peak_rss_bytes": None,
        **account,
    }
    figures = vars(trainers.figures(account, 4.0))
    return {
        "account": account,
        "figures": figures,
        "quality": {"wordsim353": 1.0, "simlex999": 2.0, "analogy_30k": None},
    }


@pytest.fixture
def rows_of(monkeypatch):
    """Return a function from runs by trainer to the rows that speed.py makes of them."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import argparse

    import speed

    def rows_of(**runs):
        arguments = argparse.Namespace(
            corpus=Path("c.txt"), gensim_quality=None, sgemm_gflops=0.1, bfloat16_gflops=None
        )
        arguments.parity = {(trainer, "sg"): 0.0 for trainer in runs}
        rows = [speed.summarise(trainer, arguments, "sg", 1, [run]) for trainer, run in runs.items()]
        speed.compare(rows)
        speed.report(rows)
        return rows

    return rows_of


def test_the_share_of_the_sgemm_peak(rows_of, capsys):
    """gensim has as many pairs an epoch as w2vfast, each with negatives of its own, and may run fewer epochs."""
    gensim, native = rows_of(gensim=a_run("gensim", 1), native=a_run("native", 5, pairs=5 * 3000))
    ours = 6 * 100 * 5 * (3000 + 700 * (16 + 32) / 2) / 2 / 1e9
    theirs = 6 * 100 * 1 * 3000 * (1 + 5) / 2 / 1e9
    assert (native["pairs_per_epoch"], native["trained_per_epoch"], gensim["pairs_per_epoch"]) == (3000, 700, "")
    assert native["gflops_per_cpu_second"] == round(ours, 2)
    assert native["share_of_sgemm"] == round(ours / 0.1, 4)
    assert gensim["gflops_per_cpu_second"] == round(theirs, 2)
    assert gensim["share_of_sgemm"] == round(theirs / 0.1, 4)
    assert capsys.readouterr().out.count("of the sgemm peak") == 2


def test_no_share_without_pairs_or_on_a_gpu(rows_of):
    for runs in (
        {"gensim": a_run("gensim", 1), "native": a_run("native", 5)},
        {"triton": a_run("triton", 5, pairs=9, settings={"device": "cuda"})},
    ):
        assert {(row["gflops_per_cpu_second"], row["share_of_sgemm"]) for row in rows_of(**runs)} == {("", "")}


def test_an_epoch_that_was_not_visited_does_not_count(rows_of):
    (stopped,) = rows_of(native=a_run("native", 5, pairs=2 * 3000, epochs_visited=2.0))
    assert stopped["words_per_second"] == 1000
    assert stopped["pairs_per_epoch"] == 3000


def test_an_options_values_take_turns(themed_file, tmp_path):
    table = tmp_path / "rows.csv"
    options = ["--seeds", "1", "--csv", table, "--set", "epochs=1", "vector_size=8", "alpha=0.05"]
    out = run(BENCHMARKS / "option.py", themed_file, "early_negatives", "32", "4", *options)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["value"], row["early_negatives"], row["alpha"]) for row in rows] == [
        ("32", "32", "0.05"),
        ("4", "4", "0.05"),
    ]
    ratio = float(rows[1]["words_per_cpu_second"]) / float(rows[0]["words_per_cpu_second"])
    assert float(rows[1]["against_first"]) == round(ratio, 3)
    assert out.count("option=early_negatives") == 2


def test_backends_take_turns_with_gensim_among_them(themed_file, tmp_path):
    table = tmp_path / "rows.csv"
    options = ["--seeds", "1", "--csv", table, "--set", "epochs=1", "objective=hierarchical-softmax", "min_count=1"]
    run(BENCHMARKS / "option.py", themed_file, "backend", "gensim", "torch", *options)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["backend"], row["objective"]) for row in rows] == [
        ("gensim", "hierarchical-softmax"),
        ("torch", "hierarchical-softmax"),
    ]
    assert float(rows[1]["against_first"]) > 0
    assert rows[0]["loss"] == ""
    assert rows[1]["loss"] != ""


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


def test_rows_of_different_processors_are_never_merged_or_compared(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import draw

    with draw.CSV.open(newline="") as file:
        one = next(row for row in csv.DictReader(file) if row["trainer"] == "native")
    rows = []
    # the last two are of one generation
    for family, model, generation in ("26", "2", "Zen 5"), ("25", "17", "Zen 4"), ("25", "160", "Zen 4"):
        here = {"cpu_family": family, "cpu_model": model, "cpu_generation": generation, "sgemm_gflops": "110.4"}
        rows += [one | here, one | here | {"trainer": "gensim", "tile": "", "share_of_sgemm": "0.052"}]
    rows.append(one | {"cpu_family": "7"})  # no gensim beside it
    rows.append(rows[0] | {"words_per_cpu_second": "1e6"})  # the same once more
    monkeypatch.setattr(draw, "CSV", tmp_path / "rows.csv")
    with draw.CSV.open("w", newline="") as file:
        writer = csv.DictWriter(file, one)
        writer.writeheader()
        writer.writerows(rows)
    latest = draw.read_rows()
    assert len(latest) == 7
    drawn = draw.table(latest).splitlines()[2:]
    assert [line.split(" | ")[1] for line in drawn] == [
        *["Zen 5 (model 2), 110 GFLOP/s"] * 2,
        *["Zen 4 (model 17), 110 GFLOP/s"] * 2,
        *["Zen 4 (model 160), 110 GFLOP/s"] * 2,
    ]
    assert [line.split(" | ")[5] for line in drawn] == ["5 %", ""] * 3
    assert "| 1.00 M |" in drawn[1]
    assert draw.processor_of(one | {"cpu_vendor": "arm", "cpu_family": "", "cpu_generation": ""}) == "arm"
    draw.draw(latest, tmp_path / "plot.png")
    from matplotlib.image import imread

    assert imread(tmp_path / "plot.png").shape[:2] == (3 * 660, 1800)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_objectives_are_tuned_measured_and_compared(themed_file, tmp_path):
    tuning, table = tmp_path / "tuning.csv", tmp_path / "rows.csv"
    options = ["--objectives", "nce:log_z=1", "--vector-size", "8", "--min-count", "1", "--epochs", "1"]
    options += ["--csv", table, "--tuning-csv", tuning, "--pairs", "200", "--modes", "sg", "--held-out", "500"]
    run(BENCHMARKS / "objectives.py", themed_file, *options, "--tune", "0.01", "0.05", "--tune-words", "3000")
    rates = read(tuning)
    assert [(row["objective"], row["alpha"], row["raw_words"]) for row in rates] == [
        (objective, alpha, "3000") for objective in ("negative-sampling", "nce:log_z=1") for alpha in ("0.01", "0.05")
    ]
    assert not table.exists()
    out = run(BENCHMARKS / "objectives.py", themed_file, *options, "--tune-by", "prediction", "--gensim")
    rows = read(table)
    base, nce, *gensims = rows
    assert [row["objective"] for row in gensims][-1] == "gensim negative-sampling"
    assert all(row["raw_words"] == "11000" for row in rows)
    for row, searched in ((base, rates[:2]), (nce, rates[2:])):
        best = min(searched, key=lambda rate: float(rate["nll"]))
        assert row["alpha"] == best["alpha"]
        assert row["rate"] == "best of 0.01 0.05 by prediction on 3000 words"
        assert float(row["nll"]) < 3.3
        assert 0 < float(row["top1"]) < float(row["top10"]) <= 1
        assert (row["out_rows"], row["out_bytes"]) == ("24", str(24 * 8 * 4))
        assert float(row["parity_error"]) < 1e-4
        assert row["seeds"] == "2"
        assert 0 < float(row["share_of_sgemm"]) < 1
    assert (base["log_z"], base["words_per_cpu_second_against_negative_sampling"]) == ("", "1.0")
    assert float(nce["log_z"]) != 0
    for row in (base, nce):
        ratio = float(row["words_per_cpu_second"]) / float(gensims[-1]["words_per_cpu_second"])
        assert float(row["words_per_cpu_second_against_gensim"]) == pytest.approx(ratio, abs=0.006)
    assert gensims[-1]["nll"] == gensims[-1]["out_bytes"] == ""
    assert "nce log_z=1" in out
    assert run(BENCHMARKS / "objectives.py", "--table", "--csv", table) == out


def test_parts_of_a_text_do_not_overlap(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import objectives

    text = tmp_path / "text.txt"
    lines = [f"a{i} b c d{i}\n" for i in range(250)]
    text.write_text("".join(lines))
    found = objectives.parts_of(text, tmp_path, None, 200, 10_000)
    parts = {name: path.read_text().splitlines(keepends=True) for name, path in found.items()}
    assert parts["train"] + parts["tune-held"] + parts["held"] == lines
    assert parts["tune"] == lines[:50]
    assert len(parts["held"]) == pytest.approx(len(parts["tune-held"]), abs=1)
    some = objectives.parts_of(text, tmp_path, 400, 200, 40)
    assert some["train"].read_text() == "".join(lines[:100])
    assert some["held"].read_text() == "".join(lines[-10:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "no corpus"),
        (["c.txt"], "too short"),
        (["c.txt", "--objectives", "guess"], "no objective 'guess'"),
        (["c.txt", "--objectives", "nce:speed=2"], "'speed=2' is no setting"),
        (["c.txt", "--objectives", "nce:log_z=x"], "log_z is a number"),
        (["c.txt", "--objectives", "negative-sampling:log_z=1"], "log_z is nce's"),
        (["--table", "--csv", "missing.csv"], "missing.csv is missing"),
    ],
)
def test_faults_of_objectives_are_one_line(tmp_path, arguments, message):
    (tmp_path / "c.txt").write_text("one two\n" * (30 if "--objectives" in arguments else 3))
    command = [sys.executable, str(BENCHMARKS / "objectives.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_growth_measures_and_draws(tmp_path):
    table, plot = tmp_path / "rows.csv", tmp_path / "plot.png"
    options = ["--objectives", "negative-sampling", "--vector-size", "4", "--csv", table, "--plot", plot]
    run(BENCHMARKS / "growth.py", *options, "--words", "500", "2000")
    rows = read(table)
    assert [row["words"] for row in rows] == ["500", "2000"]
    assert all(0 < float(row["cpu_seconds_per_token"]) < 1e-4 and int(row["tokens"]) > 1000 for row in rows)
    assert plot.read_bytes().startswith(b"\x89PNG")
    plot.unlink()
    assert "given up" in run(BENCHMARKS / "growth.py", *options, "--words", "1000", "--limit", "0.1")
    assert len(read(table)) == 2
    assert plot.exists()


def test_sizes_are_measured_in_turn_and_drawn(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import sizes

    monkeypatch.setattr(sizes, "BASE", sizes.BASE | {"words": 300, "tokens": 4000, "vector_size": 8})
    monkeypatch.setattr(sizes, "AXES", sizes.AXES | {"words": (300, 3000), "window": (5, 9)})
    csv_file, plot = tmp_path / "sizes.csv", tmp_path / "sizes.png"
    arguments = ["--axes", "words", "window", "--modes", "cbow", "--repeat", "1", "--csv", csv_file, "--plot", plot]
    assert sizes.main([str(argument) for argument in arguments]) == 0
    rows = sizes.read_rows(csv_file)
    assert [(row["words"], row["tokens"], row["window"]) for row in rows] == [
        ("300", "4000", "5"),
        ("3000", "6000", "5"),
        ("300", "4000", "9"),
    ]
    assert all(float(row["cpu_ns_per_token"]) > 0 and float(row["peak_mb"]) > 10 for row in rows)
    assert plot.read_bytes().startswith(b"\x89PNG")
