"""benchmarks/gpu.py before a GPU: from a bare checkout, killed half way, with parts that fail; all on a toy."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import parity
from tests.conftest import MODES, triton_device

ROOT = Path(__file__).resolve().parent.parent
DEVICE = triton_device()
if DEVICE is None:
    pytest.skip("triton has no wheel for this platform", allow_module_level=True)

# What a borrowed machine lacks: all but numpy, torch and triton, and what is compiled or installed of this project.
LACKING = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
class Missing:
    def find_spec(self, name, path=None, target=None):
        gone = ("gensim", "smart_open", "scipy", "tqdm", "matplotlib", "safetensors", "pandas", "zstandard")
        if name.split(".")[0] in gone or name.startswith(("w2vfast._", "w2vfast.kernels.native._")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the sources without anything built, and the environment of a machine that lacks the rest."""
    for folder in ("w2vfast", "kernels", "eval", "benchmarks"):
        shutil.copytree(
            ROOT / folder, tmp_path / "clone" / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "clone")
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "sitecustomize.py").write_text(LACKING)
    dropped = ("PYTHONPATH", "TRITON_INTERPRET")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment["PYTHONPATH"] = str(tmp_path / "lacking")
    return tmp_path / "clone", environment


def command(folder, *arguments):
    return [sys.executable, str(folder / "benchmarks" / "gpu.py"), "--toy", "--out", "results", *map(str, arguments)]


def run(checkout, *arguments):
    folder, environment = checkout
    done = subprocess.run(
        command(folder, *arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def rows(checkout):
    lines = (checkout[0] / "results" / "rows.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_parts_run_from_a_bare_checkout(checkout):
    """A part that cannot do its work does not stop the next one."""
    (checkout[0] / "garbage.bin").write_bytes(bytes(range(256)) * 40)
    code, said = run(checkout, "--parts", "train,ceilings", "--corpus", "garbage.bin")
    assert code == 1, said
    found = rows(checkout)
    assert [row["part"] for row in found if "InputError" in row.get("error", "")] == ["train"] * 2
    (ceiling,) = (row for row in found if row["part"] == "ceilings")
    assert ceiling["gather_bytes_per_second"] > 0
    assert ceiling["toy"]
    assert "## ceilings" in (checkout[0] / "results" / "gpu.md").read_text()


@pytest.mark.slow
def test_what_was_measured_survives_a_kill_and_is_not_measured_again(checkout):
    folder, environment = checkout
    running = subprocess.Popen(
        command(folder, "--parts", "parity"), cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    table = folder / "results" / "rows.jsonl"
    while running.poll() is None and (not table.exists() or table.read_text().count("\n") < 3):
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = rows(checkout)
    assert len(before) >= 3
    assert not any(row["failed"] for row in before)
    with table.open("a") as file:
        file.write('{"part": "parity", "case": "tf32 s')  # as a kill may leave it
    code, said = run(checkout, "--parts", "parity,ceilings", "--seconds", "0.01")
    assert code == 0, said
    after = rows(checkout)
    assert after[: len(before)] == before
    made = {row["case"] for row in after if "case" in row and row["part"] == "parity"}
    (left,) = (row["left_out"] for row in after if "left_out" in row)
    assert {row["case"] for row in before} <= made
    assert not made & set(left)
    assert after[-1]["part"] == "ceilings"


@pytest.mark.slow
def test_the_whole_dry_run(checkout):
    """Every part to its end, scores but for the data sets that are not there."""
    (checkout[0] / "text.txt").write_text("the king saw the queen\nthe queen saw the king\n" * 3)
    code, said = run(checkout, "--corpus", "text.txt")
    assert code == 0, said
    found = rows(checkout)
    assert not [row for row in found if "error" in row or "stopped" in row or "left_out" in row]
    assert {row["part"] for row in found} == {"parity", "ceilings", "sweep", "train", "quality"}
    for row in found:
        if row["part"] == "sweep":
            assert 0 < row["slowest"] <= row["tokens_per_second"] <= row["fastest"]
        if row["part"] == "quality":
            assert (checkout[0] / "results" / row["vectors"]).stat().st_size > 100
            assert "gensim" in row["not_scored"]
    assert len([row for row in found if row["part"] == "quality"]) == 2 * 3
    assert "off by 0 smallest additions" in said


def test_lost_additions_and_failing_parity_show(monkeypatch, tmp_path, capsys):
    """The checks themselves: broken kernels make rows that fail, and their mode is not timed."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    from w2vfast.kernels.triton.step import TritonStep

    toy = gpu.TOY
    right = TritonStep.tables

    def one_less(self):
        w_in, w_out = right(self)
        changed = w_in if not w_in[0].any() or (w_in[0] != w_in[1]).any() else w_out
        row = int(abs(changed).max(1).argmax())
        changed[row, 0] -= changed[row, 0] / 64
        return w_in, w_out

    assert gpu.conserved("sg", 32, 8, toy)["off"] == 0
    with monkeypatch.context() as broken:
        broken.setattr(TritonStep, "tables", one_less)
        assert gpu.conserved("sg", 32, 8, toy)["failed"]
        settings = gpu.Settings(tmp_path, toy, None, False)
        broken.setattr(gpu, "MODES", ("sg",))
        broken.setattr(gpu, "done_already", lambda rows, part: set())
        broken.setattr(
            gpu, "parity_cases", lambda scale: iter([("tf32 sg D=8", lambda: gpu.conserved("sg", 32, 8, scale))])
        )
        assert gpu.run_part("parity", 60, settings) == 1
    signal.alarm(0)
    assert list(gpu.cases_of("sweep", gpu.Settings(tmp_path, toy, None, False)))
    assert not [name for name, _ in gpu.cases_of("sweep", settings) if name.startswith("sg")]
    assert "not timed, since parity fails: sg" in capsys.readouterr().out


def test_a_part_keeps_to_its_time_and_a_failing_case_does_not_end_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    now = [0.0]

    def takes(seconds, row):
        def work():
            now[0] += seconds
            return 1 / row if row == 0 else {"value": row}

        return work

    cases = [("a", takes(3, 1)), ("b", takes(5, 0)), ("c", takes(1, 2)), ("d", takes(1, 3)), ("e", takes(1, 4))]
    monkeypatch.setattr(gpu, "cases_of", lambda part, settings: iter(cases))
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    settings = gpu.Settings(tmp_path, gpu.TOY, None, False)
    assert gpu.run_part("ceilings", 13.5, settings) == 1
    signal.alarm(0)
    found = gpu.rows_of(tmp_path)
    assert [row.get("value") for row in found] == [1, None, 2, None]
    assert "ZeroDivisionError" in found[1]["error"]
    assert found[3]["left_out"] == ["d", "e"]  # 9 s are gone, and the longest case took 5
    gpu.report(tmp_path)
    assert "no time for: d, e" in (tmp_path / "gpu.md").read_text()


def test_it_says_what_it_needs(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    with pytest.raises(SystemExit):
        gpu.main(["--parts", "quality", "--out", str(tmp_path)])
    assert "name it with --corpus" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gpu.main(["--parts", "speed", "--out", str(tmp_path)])
    assert "no part speed" in capsys.readouterr().err
    if DEVICE != "cuda":
        assert gpu.main(["--parts", "parity", "--out", str(tmp_path)]) == 2
        assert "nothing was measured: the triton backend cannot run here: no GPU" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_the_limit_of_tf32_is_what_truncation_costs(mode, monkeypatch):
    """On a shorter text than benchmarks/tf32.py takes: below the limit, and more than exact products are off."""
    if DEVICE == "cuda":
        pytest.skip("the interpreter truncates")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import tf32

    options = MODES["sg" if mode == "sg" else "cbow-mean"] | {"precision": "tf32", "tile": 32}
    del options["mode"]
    with tf32.truncated_products():
        error = parity.largest_error("triton", DEVICE, mode, 100, 150, **options)
    assert parity.LARGEST_ERROR["tf32"] / 100 < error < parity.LARGEST_ERROR["tf32"] / 2
    assert parity.largest_error("triton", DEVICE, mode, 100, 150, **options) < parity.LARGEST_ERROR["ieee"]
