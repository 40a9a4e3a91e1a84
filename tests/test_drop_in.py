"""The benchmark of the class against gensim's: a tiny run, how rows stand against each other, and its cutting."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPT = BENCHMARKS / "drop_in.py"


@pytest.fixture
def drop_in(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import drop_in

    return drop_in


def test_a_tiny_run_writes_a_row_a_case(themed_file, tmp_path):
    table = tmp_path / "rows.csv"
    command = [sys.executable, SCRIPT, themed_file, "--modes", "sg", "--sentence-words", "5", "--runs", "1"]
    command += ["--workers", "1", "--epochs", "1", "--vector-size", "8", "--csv", table]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["source"], row["sentence_words"]) for row in rows] == [
        ("gensim", "corpus_file", ""),
        ("w2vfast", "corpus_file", ""),
        ("w2vfast", "corpus_file", "5"),
        ("w2vfast", "lists", "5"),
    ]
    assert {(row["raw_words"], row["vocabulary"]) for row in rows} == {("12000", "24")}
    assert all(float(row["wall_seconds"]) > 0 and float(row["peak_rss_mb"]) > 10 for row in rows)
    assert all(float(row["sgemm_gflops"]) > 0 and row["cpu_vendor"] for row in rows)
    assert [row["wall_speedup_over_gensim"] != "" for row in rows] == [True, True, False, False]
    assert float(rows[1]["parity_error"]) < 1e-4
    assert done.stdout.count("x gensim by the clock") == 1
    assert done.stdout.count("% of corpus_file's speed") == 1
    if (BENCHMARKS / "drop_in.csv").exists():
        with (BENCHMARKS / "drop_in.csv").open(newline="") as file:
            assert next(csv.reader(file)) == list(rows[0])


def test_rows_stand_against_gensim_and_against_the_same_cut(drop_in):
    def row(whose, source, words, wall, cpu):
        return {"class": whose, "mode": "sg", "source": source, "sentence_words": words} | {
            "wall_seconds": wall,
            "cpu_seconds": cpu,
        }

    rows = [
        row("gensim", "corpus_file", "", 50.0, 90.0),
        row("w2vfast", "corpus_file", "", 5.0, 10.0),
        row("w2vfast", "corpus_file", 5, 2.0, 4.0),
        row("w2vfast", "lists", 5, 2.5, 4.0),
    ]
    drop_in.compare(rows)
    assert [row["wall_speedup_over_gensim"] for row in rows] == [1.0, 10.0, "", ""]
    assert [row["cpu_speedup_over_gensim"] for row in rows] == [1.0, 9.0, "", ""]
    assert [row["share_of_corpus_file"] for row in rows] == [1.0, 1.0, 1.0, 0.8]


def test_sentences_are_cut_across_lines_and_lose_nothing(drop_in, tmp_path):
    (tmp_path / "in.txt").write_text("a b c\n\nd e f g h\ni\n")
    drop_in.cut(tmp_path / "in.txt", 4, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "a b c d\ne f g h\ni\n"


def test_a_fault_is_one_line(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "none.txt"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not a file" in done.stderr
    assert done.stderr.count("\n") == 1
