"""gensim's own tests of Word2Vec with our class in its place, and the script that runs them."""

import csv
import os
import subprocess
import sys

import pytest

from tests.run_gensim_tests import EXCEPTIONS, FAILED, PASSED, SKIPPED, report, run_in_a_child

SCRIPT = EXCEPTIONS.parent.parent / "run_gensim_tests.py"


@pytest.mark.slow
def test_gensims_own_tests_pass():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_some_of_gensims_own_tests_pass():
    """The quick ones, in every run: saving, loading, rules, vocabulary."""
    words = [
        "persistence",
        "rule",
        "vocab",
        "online_learning",
        "training",
        "large_mmap",
        "explicit_param",
        "reset_from",
    ]
    options = [part for word in words for part in ("-k", word)]
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_exception_has_a_reason():
    with EXCEPTIONS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(len(row["reason"].split()) >= 3 for row in rows)
    assert len({row["test"] for row in rows}) == len(rows)


def outcome(kind):
    return {"outcome": kind, "detail": "why", "seconds": "0.0"}


@pytest.mark.parametrize(
    ("outcomes", "listed", "code", "said"),
    [
        pytest.param({"a": PASSED}, [], 0, "1 passed", id="all pass"),
        pytest.param({"a": PASSED, "b": FAILED}, [], 1, "FAILS: b\nwhy", id="fails"),
        pytest.param({"a": PASSED, "b": FAILED}, ["b"], 0, "fails as listed: b: reason", id="fails as listed"),
        pytest.param({"a": PASSED}, ["a"], 1, "TAKE OFF THE LIST: a (passed)", id="listed and passes"),
        pytest.param({"a": PASSED, "b": SKIPPED}, ["b"], 1, "TAKE OFF THE LIST: b (skipped)", id="listed and skipped"),
        pytest.param({"a": PASSED}, ["gone"], 1, "TAKE OFF THE LIST: gone (gone)", id="listed and gone"),
        pytest.param({"a": SKIPPED}, [], 1, "0 passed", id="nothing passed"),
    ],
)
def test_the_verdict(outcomes, listed, code, said, capsys):
    outcomes = {test: outcome(kind) for test, kind in outcomes.items()}
    assert report(outcomes, dict.fromkeys(listed, "reason")) == code
    assert said in capsys.readouterr().out


def test_another_class_in_gensims_place_is_what_is_tested(tmp_path, monkeypatch):
    (tmp_path / "idle.py").write_text(
        "import gensim.models\n"
        "class Word2Vec(gensim.models.Word2Vec):\n"
        "    def train(self, *arguments, **named):\n"
        "        return 0, 0\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    outcomes = run_in_a_child("idle", ["test_sg_neg", "test_lambda_rule"], timeout=120)
    assert {test.split(".")[1]: found["outcome"] for test, found in outcomes.items()} == {
        "test_lambda_rule": PASSED,
        "test_sg_neg": FAILED,
        "test_sg_neg_fromfile": FAILED,
        "test_sg_neg_online": FAILED,
    }
