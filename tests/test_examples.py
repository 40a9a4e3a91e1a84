"""The examples run from a checkout, and what they print and plot is sensible."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
pytestmark = pytest.mark.slow


def run(name, *arguments, cwd):
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", EXAMPLES / name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested():
    here = Path(__file__).read_text()
    assert all(f'"{path.name}"' in here for path in EXAMPLES.glob("*.py"))


def test_real_text(tmp_path):
    out = run("real_text.py", "--epochs", "10", cwd=tmp_path)
    assert "106 articles, 452,944 words" in out
    (spearman,) = re.findall(r"Spearman ([-0-9.]+)", out)
    assert 40 < float(spearman) < 80
    assert re.search(r"^  war .*\b(army|military|battle|soviet|vietnam|civil|wars|allied|peace)\b", out, re.MULTILINE)
    assert "and trained on there" in out
    assert list(tmp_path.iterdir()) == []


def test_node_embeddings(tmp_path):
    from matplotlib.image import imread

    out = run("node_embeddings.py", "karate.png", cwd=tmp_path)
    (share,) = re.findall(r"(\d+) % of the nodes", out)
    assert int(share) >= 85
    assert imread(tmp_path / "karate.png").shape[:2] == (605, 1320)


def test_efficiency_tricks():
    """Both ways of each pair give the same numbers, or the script fails."""
    out = run("efficiency_tricks.py", "--threads", "2", cwd=EXAMPLES)
    assert re.findall(r"^Trick (\d)", out, re.MULTILINE) == ["1", "2", "3"]
    assert out.count("Parallelism") == 3
    ratios = [float(ratio) for ratio in re.findall(r" ms +[\d.]+ ms +([\d.]+)x$", out, re.MULTILINE)]
    assert len(ratios) >= 8
    # Those with threads say nothing on a busy machine.
    assert min(ratios[:4]) > 1
    assert ratios[-1] > 1
