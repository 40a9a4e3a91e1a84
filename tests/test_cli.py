"""The training command as a user runs it: files, JSON, ledger; bad input exits with 2 and writes nothing."""

import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from tests.conftest import share_of_right_neighbours
from w2vfast import formats
from w2vfast.train import main

OPTIONS = ["--epochs", "3", "--vector-size", "12", "--min-count", "1", "--workers", "1", "--seed", "5"]


def run(capsys, *argv):
    code = main([str(word) for word in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("suffix", [".bin", ".txt", ".vec", ".kv", ".safetensors"])
def test_trains_and_writes_each_format(suffix, themed_file, tmp_path, capsys):
    output = tmp_path / f"vectors{suffix}"
    code, out, err = run(capsys, themed_file, "-o", output, *OPTIONS)
    assert code == 0
    vectors = formats.load_vectors(output)
    assert vectors.vectors.shape == (24, 12)
    assert np.isfinite(vectors.vectors).all()
    assert str(output) in out
    assert "loss per pair" in out
    assert "backend" in err.splitlines()[0]
    assert {path.name for path in tmp_path.iterdir()} == {themed_file.name, output.name}


def test_json_is_one_object_and_the_ledger_adds_up(themed_file, tmp_path, capsys):
    themed_file.write_text(themed_file.read_text() + "once\nhapax\n")
    options = [*OPTIONS, "--min-count", "2", "--sample", "1e-2", "--json"]
    code, out, _ = run(capsys, themed_file, "-o", tmp_path / "v.bin", *options)
    assert code == 0
    account = json.loads(out)
    tokens = account["tokens"]
    assert tokens["read"] == 12_002
    assert tokens["in_vocabulary"] + tokens["out_of_vocabulary"] == tokens["read"]
    assert tokens["out_of_vocabulary"] == 2
    assert tokens["trained"] + tokens["subsampled"] == 3 * tokens["in_vocabulary"]
    assert 0 < tokens["trained"] < 3 * 12_000
    assert account["vocabulary_size"] == 24
    assert len(account["loss_per_epoch"]) == 3
    assert account["loss_per_epoch"][2] < account["loss_per_epoch"][0]
    assert set(account["seconds"]) == {"scan", "setup", "train", "evaluate", "save"}
    assert set(account["cpu_seconds"]) == {"scan", "setup", "train"}
    assert account["seconds"]["evaluate"] == 0
    assert account["epochs_visited"] == 3
    assert account["pairs"] > account["tokens"]["trained"]
    assert account["raw_words_per_second"] == pytest.approx(3 * tokens["read"] / account["seconds"]["train"])
    assert account["peak_rss_bytes"] > 10_000_000
    assert account["settings"]["tile"] >= 1
    assert account["settings"]["tokens_in_flight"] >= account["settings"]["tile"]


def test_other_tools_command_lines_run(themed_file, tmp_path, capsys):
    output = tmp_path / "vec.out"
    line = f"-train {themed_file} -output {output} -size 8 -cbow 1 -iter 1 -threads 1 -binary 1 -min-count 1"
    assert run(capsys, *line.split())[0] == 0
    from gensim.models import KeyedVectors

    assert KeyedVectors.load_word2vec_format(str(output), binary=True).vectors.shape == (24, 8)


def test_reads_standard_input_and_several_files(themed_file, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("ship sailor\n" * 100)
    (folder / "b.txt").write_text("bread oven\n" * 100)
    text = subprocess.run(
        [sys.executable, "-m", "w2vfast.train", "-", folder, "-o", tmp_path / "v.txt", *OPTIONS, "--json"],
        input=themed_file.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert json.loads(text.stdout)["tokens"]["read"] == 12_400
    assert b"%" not in text.stderr  # no progress bar where stderr is no terminal


def test_saved_vocabulary_reads_back(themed_file, tmp_path, capsys):
    vocab = tmp_path / "vocab.txt"
    assert run(capsys, themed_file, "-o", tmp_path / "a.txt", *OPTIONS, "--save-vocab", vocab)[0] == 0
    assert len(vocab.read_text().splitlines()) == 24
    assert run(capsys, themed_file, "-o", tmp_path / "b.txt", *OPTIONS, "--read-vocab", vocab)[0] == 0
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b.txt").read_bytes()


def test_a_corpus_in_the_cache_gives_the_same_vectors(themed_file, tmp_path, capsys):
    cache = tmp_path / "cache"
    cache.mkdir()
    assert run(capsys, themed_file, "-o", tmp_path / "a.bin", *OPTIONS)[0] == 0
    options = [*OPTIONS, "--cache-dir", cache, "--cache-above", "1000"]
    assert run(capsys, themed_file, "-o", tmp_path / "b.bin", *options)[0] == 0
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    (kept,) = cache.iterdir()
    code, out, _ = run(capsys, themed_file, "-o", tmp_path / "c.bin", *options, "--json")
    assert (code, json.loads(out)["scan_kept"]) == (0, str(kept))
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "c.bin").read_bytes()


def test_backends_are_listed(capsys):
    code, out, _ = run(capsys, "--backends", "--json")
    listed = json.loads(out)
    assert code == 0
    assert set(listed) == {"triton", "native", "torch"}
    assert (listed["torch"]["available"], listed["torch"]["reason"]) == (True, None)
    assert all(entry["available"] == (entry["reason"] is None) for entry in listed.values())
    assert {"negative-sampling", "nce"} <= set(listed["torch"]["objectives"])
    assert set(map(tuple, listed["torch"]["precisions"].values())) == {("float32",)}
    assert all(able[-1] == "float32" for entry in listed.values() for able in entry["precisions"].values())
    code, out, _ = run(capsys, "--backends")
    assert re.search("^torch +can run; objectives: .*nce", out, re.MULTILINE)


def write(tmp_path, content):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    return path


BAD_CORPORA = {
    "empty": (b"", "empty"),
    "binary": (b"\x00\x01ab" * 400, "binary"),
    "only-white-space": (b" \n \n\t\n", "no words|empty"),
    "below-min-count": (b"one two three two\n", r"min_count.*4 words|4 words.*min_count"),
    "one-word": (b"again " * 50, "two"),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_bad_corpora_exit_2_and_write_nothing(case, tmp_path, capsys):
    content, message = BAD_CORPORA[case]
    path = write(tmp_path, content)
    code, out, err = run(capsys, path, "-o", tmp_path / "v.bin")
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.search(message, err)
    assert list(tmp_path.iterdir()) == [path]


def test_broken_gzip_exits_2(tmp_path, capsys):
    import gzip

    path = tmp_path / "c.txt.gz"
    path.write_bytes(gzip.compress(os.urandom(5000).hex().encode() * 3)[:-2000])
    code, _, err = run(capsys, path, "-o", tmp_path / "v.bin")
    assert code == 2
    assert "c.txt.gz" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["missing.txt"], "missing.txt"),
        ([], "no input"),
        (["{corpus}", "-o", "v.parquet"], r"\.bin"),
        (["{corpus}", "-o", "nowhere/v.bin"], "nowhere"),
        (["{corpus}", "-o", "."], "folder|suffix"),
        (["{corpus}", "--save-vocab", "nowhere/vocab"], "nowhere"),
        (["{corpus}", "--cache-dir", "nowhere", "--cache-above", "0"], "nowhere"),
        (["{corpus}", "--backend", "triton"], "triton"),
        (["{corpus}", "--backend", "torch", "--device", "cuda"], "cuda"),
        (["{corpus}", "--window", "0"], "window"),
        (["{corpus}", "--alpha", "nan"], "alpha"),
        (["{corpus}", "--demo"], "demo"),
    ],
    ids=lambda value: value if isinstance(value, str) else "_".join(value),
)
def test_bad_usage_exits_2_before_training(argv, message, themed_file, tmp_path, monkeypatch, capsys):
    import torch

    if "cuda" in argv or "triton" in argv:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *[word.format(corpus=themed_file) for word in argv])
    assert code == 2
    assert out == ""
    assert re.search(message, err)
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [themed_file]


def test_divergence_stops_at_once_and_writes_nothing(themed_file, tmp_path, capsys):
    options = ["--alpha", "1", "--cap", "1e9", "--tile", "512", "--shared-negatives", "1", "--negative", "1000"]
    options += ["--vector-size", "300", "--epochs", "50", "--min-count", "1", "--backend", "torch", "--window", "50"]
    code, _, err = run(capsys, themed_file, "-o", tmp_path / "v.bin", *options)
    assert code == 2
    assert "diverged" in err
    assert "alpha=1" in err
    assert not (tmp_path / "v.bin").exists()


def test_vectors_are_rescued_when_the_output_has_become_unwritable(themed_file, tmp_path, monkeypatch, capsys):
    folder, rescue = tmp_path / "out", tmp_path / "rescue"
    folder.mkdir()
    rescue.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rescue))
    check = formats.check_writable

    def check_then_remove(path, *rest):
        check(path, *rest)
        folder.rmdir()

    monkeypatch.setattr(formats, "check_writable", check_then_remove)
    code, _, err = run(capsys, themed_file, "-o", folder / "v.bin", *OPTIONS)
    assert code == 2
    (saved,) = rescue.glob("*/v.bin")
    assert str(saved) in err
    assert formats.load_vectors(saved).vectors.shape == (24, 12)


def test_words_and_vectors_belong_together(themed_file, tmp_path, capsys):
    output = tmp_path / "v.bin"
    options = ["--epochs", "20", "--vector-size", "16", "--sample", "0", "--workers", "1"]
    assert run(capsys, themed_file, "-o", output, *options)[0] == 0
    vectors = formats.load_vectors(output)
    assert share_of_right_neighbours(vectors.words, vectors.vectors) > 0.95


def test_missing_native_parts_are_loud_and_training_goes_on(themed_file, tmp_path):
    """As after an installation without a compiler: the torch backend, the Python scanner, a line about each."""
    program = (
        "import sys; sys.modules['w2vfast._scanner'] = sys.modules['w2vfast.kernels.native._base'] = None\n"
        "from w2vfast import backends; backends._GPU_DEVICES = ()\n"
        "from w2vfast.train import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, themed_file, "-o", tmp_path / "v.bin", *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert any(line.startswith("w2vfast.train: warning: ") and "scanner" in line for line in lines)
    assert any(line.startswith("backend torch") and "WARNING: native kernels missing" in line for line in lines)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "v.bin").exists()


def test_scores_while_training_are_reported(themed_file, tmp_path, capsys):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("ship sailor 9\nship oven 1\nbread oven 9\nbread comet 1\nmoon orbit 8\nmoon piano 2\n")
    options = [*OPTIONS, "--eval-every", "1", "--eval-set", pairs, "--keep-best"]
    code, out, _ = run(capsys, themed_file, "-o", tmp_path / "v.bin", *options)
    assert code == 0
    assert "pairs.tsv by epoch: 1: " in out
    code, out, _ = run(capsys, themed_file, "-o", tmp_path / "v.bin", *options, "--json")
    assert [entry["epoch"] for entry in json.loads(out)["scores"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--eval-every", "0"], "eval_every"),
        (["--keep-best"], "eval_every"),
        (["--patience", "2"], "eval_every"),
        (["--eval-set", "simlex999"], "eval_every"),
        (["--eval-every", "1", "--eval-set", "missing.tsv"], "missing.tsv"),
    ],
    ids="_".join,
)
def test_bad_scoring_options_exit_2(argv, message, themed_file, tmp_path, capsys):
    code, _, err = run(capsys, themed_file, "-o", tmp_path / "v.bin", *OPTIONS, *argv)
    assert code == 2
    assert message in err
    assert not (tmp_path / "v.bin").exists()


def test_the_demo_trains_on_gensims_sample_and_heeds_every_option(tmp_path):
    options = ["--epochs", "1", "--max-vocab-size", "3000", "--workers", "1", "--json"]
    command = [sys.executable, "-m", "w2vfast.train", "--demo", "-o", tmp_path / "v.bin", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert account["tokens"]["read"] == 452_944
    assert 100 < account["vocabulary_size"] <= 3000


def test_help_and_import_are_quick_and_light():
    code = (
        "import sys, time; t = time.perf_counter(); import w2vfast; spent = time.perf_counter() - t;"
        "print(spent, [m for m in ('torch', 'triton', 'gensim', 'scipy') if m in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, loaded = min(run.stdout.strip().split(" ", 1) for run in runs)
    assert loaded == "[]"
    assert float(seconds) < 0.5
