"""The soak's own machinery, on a toy: runs are killed in both ways, resumed, and held to the one left alone."""

import csv
import os
import subprocess
import sys

import pytest

from w2vfast import backends


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="memory is read from /proc")
def test_a_soak_of_seconds(tmp_path, themed_sentences):
    if backends.unavailable_reason("native") is not None:
        pytest.skip("native cannot run here")
    text, table = tmp_path / "text.txt", tmp_path / "soak.csv"
    text.write_text("".join(" ".join(sentence) + "\n" for sentence in themed_sentences * 20))
    command = [sys.executable, "-m", "tests.soak", str(text), "--epochs", "60", "--kills", "6", "--every", "0.3"]
    command += ["--csv", str(table), "--", "--workers", "1", "--vector-size", "20", "--backend", "native"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["same_tables"], row["same_ledger"], row["kills_random"], row["kills_inside"]) == (
        "True",
        "True",
        "3",
        "3",
    )
    assert row["kills_inside_after"] == "write:3"
