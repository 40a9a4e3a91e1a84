"""compare: its statistics, one real run of gensim and w2vfast side by side, and faults."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.test.utils import datapath
from scipy import stats

from w2vfast.eval import compare
from w2vfast.eval.__main__ import main
from w2vfast.eval.summary import Measure, describe, difference, summarise
from w2vfast.formats import Vectors, save_vectors

SETTINGS = ["--epochs", "1", "--vector-size", "20", "--workers", "1", "--min-count", "3", "--backends", "torch"]


def test_describe_is_the_t_interval() -> None:
    values = [1.0, 2.0, 4.0]
    found = describe(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert found["interval"] == [pytest.approx(low), pytest.approx(high)]
    assert (found["n"], found["mean"]) == (3, pytest.approx(7 / 3))
    assert describe([5.0]) == {"n": 1, "mean": 5.0, "sd": None, "interval": None}
    assert describe([])["mean"] is None


def test_difference_is_welchs() -> None:
    a, b = [1.0, 2.0, 4.0], [5.0, 5.5, 8.0, 7.0]
    found = difference(a, b)
    expected = stats.ttest_ind(b, a, equal_var=False)
    interval = expected.confidence_interval()
    assert found is not None
    assert found["p"] == pytest.approx(expected.pvalue)
    assert found["interval"] == [pytest.approx(interval.low), pytest.approx(interval.high)]
    assert found["difference"] == pytest.approx(np.mean(b) - np.mean(a))
    assert found["significant"] is bool(expected.pvalue < 0.05)
    single = difference([1.0], [2.0])
    assert single is not None
    assert (single["difference"], single["ratio"], single["p"]) == (1.0, 2.0, None)
    assert difference([], [1.0]) is None
    same = difference([1.0, 1.0], [1.0, 1.0])
    assert same is not None
    assert (same["p"], same["significant"]) == (1.0, False)


def test_summary_leaves_out_what_a_run_could_not_measure() -> None:
    runs = [
        {"trainer": "gensim", "quality": {"x": 1.0}, "speed": {}},
        {"trainer": "ours", "quality": {"x": None}, "speed": {}},
    ]
    (row,) = summarise(runs, ["gensim", "ours"], [Measure("x", "x", 1, True)])
    assert row["trainers"]["ours"]["n"] == 0
    assert row["differences"]["ours"] is None


def test_a_real_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "lee.txt.gz"
    corpus.write_bytes(gzip.compress(Path(datapath("lee_background.cor")).read_bytes()))
    (tmp_path / "pairs").write_text("police government 2\nisraeli palestinian 9\nfire sydney 6\nday year 5\n")
    arguments = ["compare", str(corpus), "--seeds", "2", "--json", *SETTINGS]
    arguments += [
        "--report",
        str(tmp_path / "r.html"),
        "--csv",
        str(tmp_path / "c.csv"),
        "--similarity",
        str(tmp_path / "pairs"),
    ]
    assert main(arguments) == 0
    said = capsys.readouterr()
    outcome = json.loads(said.out)
    assert outcome["trainers"] == ["gensim", "w2vfast torch"]
    assert [(run["trainer"], run["seed"]) for run in outcome["runs"]] == [
        (trainer, seed) for seed in (1, 2) for trainer in outcome["trainers"]
    ]
    gensim, ours = (run["account"] for run in outcome["runs"][:2])
    for name in ("read", "in_vocabulary", "out_of_vocabulary"):
        assert gensim["tokens"][name] == ours["tokens"][name]
    assert outcome["shared_words"] == outcome["vocabulary_size"] == ours["vocabulary_size"]
    for name in ("vector_size", "epochs", "min_count", "mode", "sample"):
        assert gensim["settings"][name] == ours["settings"][name]
    measures = {row["measure"]: row for row in outcome["summary"]}
    assert {"wordsim353", str(tmp_path / "pairs"), "raw_words_per_cpu_second", "peak_memory_mb"} <= set(measures)
    assert all(row["trainers"]["gensim"]["n"] == 2 for row in outcome["summary"])
    for run in outcome["runs"]:
        assert run["account"]["settings"]["seed"] == run["seed"]
        assert -100 <= run["quality"]["wordsim353"] <= 100
        assert run["speed"]["total_seconds"] > run["speed"]["train_seconds"] > 0
    assert "Side by side" in (tmp_path / "r.html").read_text(encoding="utf-8")
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trainer"] for row in rows] == ["gensim", "w2vfast torch"] * 2
    assert float(rows[1]["wordsim353"]) == pytest.approx(outcome["runs"][1]["quality"]["wordsim353"], abs=1e-3)
    assert said.err.count("words/s in training") == 4


def test_both_sides_are_scored_on_one_word_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that one side lacks are left out, and equally frequent words stand in one order."""
    words = {"gensim": ["the", "cat", "dog", "only-here"], "torch": ["the", "other", "dog", "cat"]}
    scored = []

    def train(side: Any, seed: int, corpus: Path, output: Path, held: Path | None) -> dict[str, Any]:
        trainer = side[1]
        rows = np.array([[len(word), ord(word[0])] for word in words[trainer]], np.float32)
        save_vectors(Vectors(words[trainer], rows), output)
        speed = dict.fromkeys((measure.name for measure in compare.SPEED), 1.0)
        account = {"tokens": {"read": 9}, "vocabulary_size": 4, "settings": {"seed": seed}}
        return {"trainer": trainer, "seed": seed, "speed": speed, "quality": {}, "account": account}

    def score(vectors: Vectors, plan: Any) -> tuple[dict[str, float | None], dict[str, float | None]]:
        scored.append(vectors)
        return {"wordsim353": 1.0}, {}

    monkeypatch.setattr(compare, "_train", train)
    monkeypatch.setattr(compare, "score", score)
    (tmp_path / "c.txt").write_text("the cat\n")
    plan = compare.Comparison(tmp_path / "c.txt", 2, ("torch",), {})
    outcome = compare.compare(plan, lambda text: None)
    assert [vectors.words for vectors in scored] == [["the", "cat", "dog"]] * 4
    for vectors in scored:
        assert vectors.vectors.tolist() == [[len(word), ord(word[0])] for word in vectors.words]
    assert outcome["shared_words"] == 3


def test_both_sides_read_one_plain_text(tmp_path: Path) -> None:
    """Packed by whatever name, or with a byte-order mark that gensim would take for a part of the first word."""
    (tmp_path / "plain.txt").write_bytes(b"two words\n")
    (tmp_path / "packed.txt").write_bytes(gzip.compress(b"two words\n"))
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbftwo words\n")
    assert compare._plain(tmp_path / "plain.txt", tmp_path) == tmp_path / "plain.txt"
    for name in ("packed.txt", "marked.txt"):
        plain = compare._plain(tmp_path / name, tmp_path)
        assert (plain.name, plain.read_bytes()) == ("corpus.txt", b"two words\n")
        plain.unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "cannot read missing.txt: it is missing"),
        (["."], "cannot read .: it is a folder"),
        (["c.txt", "--seeds", "0"], "--seeds must be at least 1"),
        (["c.txt", "--window", "0"], "window must be at least 1"),
        (["c.txt", "--csv", "no/c.csv"], "the folder"),
        (["c.txt", "--mode", "glove"], "invalid choice"),
        (["c.txt", "--similarity", "c.txt"], "c.txt holds no pairs: lines of two words and a score expected"),
        (["c.txt", "--analogies", "c.txt"], "c.txt, line 1: 'too few words': four words"),
        (["broken.gz"], "broken.gz is named like a gzip file but is not one"),
        (["c.txt"], "no word of c.txt occurs 5 times: lower --min-count"),
    ],
)
def test_faults_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.txt").write_text("too few words\n")
    Path("broken.gz").write_bytes(b"\x1f\x8bno")
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.slow
def test_objectives_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, csv_file, page = (tmp_path / name for name in ("lee.txt.gz", "c.csv", "r.html"))
    corpus.write_bytes(gzip.compress(Path(datapath("lee_background.cor")).read_bytes()))
    arguments = ["compare", str(corpus), "--seeds", "2", "--json", "--csv", str(csv_file), "--report", str(page)]
    arguments += ["--objectives", "nce,negative-sampling", "--log-z", "0.5", "--negative", "3", "--held-out", "0.1"]
    assert main([*arguments, *SETTINGS, "--epochs", "15"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["trainers"] == ["nce", "negative-sampling"]
    settings = [run["account"]["settings"] for run in outcome["runs"]]
    assert [(one["objective"], one["log_z"], one["negative"]) for one in settings[:2]] == [
        ("nce", 0.5, 3),
        ("negative-sampling", 0.0, 3),
    ]
    # What differs is not shown as the setting of all.
    assert outcome["settings"]["negative"] == 3
    assert "objective" not in outcome["settings"]
    assert "log_z" not in outcome["settings"]
    words = len(Path(datapath("lee_background.cor")).read_text().split())
    assert outcome["raw_words"] == pytest.approx(0.9 * words, rel=0.02)
    summary = {row["measure"]: row for row in outcome["summary"]}
    size = 4 * 20 * outcome["vocabulary_size"] / 1e6
    for name in outcome["trainers"]:
        means = {measure: row["trainers"][name]["mean"] for measure, row in summary.items()}
        assert means["out_mb"] == pytest.approx(size)
        assert 1 < means["nll"] < np.log(outcome["vocabulary_size"])
        assert means["perplexity"] == pytest.approx(np.exp(means["nll"]), rel=0.01)
        assert 0 < means["top1"] < means["top10"] < 100
        assert means["raw_words_per_cpu_second"] > 0
    with csv_file.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trainer"] for row in rows] == outcome["trainers"] * 2
    assert all(float(row["nll"]) > 1 for row in rows)
    assert "nce and negative-sampling" in page.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objectives", "nce"], "at least two"),
        (["--objectives", "nce,nce"], "at least two"),
        (["--objectives", "nce,guess"], "'guess' is no objective"),
        (["--objectives", "nce,negative-sampling", "--objective", "nce"], "contradict"),
        (["--objectives", "nce,negative-sampling", "--backends", "native,torch"], "one backend"),
        (["--objectives", "nce,negative-sampling", "--held-out", "0.9"], "at most 0.5"),
        (["--objectives", "nce,negative-sampling", "--negative", "0"], "negative must be at least 1"),
        (["--objectives", "nce,negative-sampling"], "too short"),
    ],
)
def test_faults_of_objectives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    (tmp_path / "c.txt").write_text("one two three\n" * 4)
    assert main(["compare", str(tmp_path / "c.txt"), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
