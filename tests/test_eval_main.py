"""The eval command: tables and JSON, quick looks equal to gensim's, categories, and faults in one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.eval_vectors import eval_vectors
from w2vfast.errors import InputError
from w2vfast.eval import evaluate_analogies, evaluate_similarity
from w2vfast.eval.__main__ import main
from w2vfast.eval.categories import evaluate_categories
from w2vfast.eval.neighbours import complete_analogy, nearest, rows_of
from w2vfast.formats import Vectors, save_vectors, to_keyed_vectors


@pytest.fixture
def saved(tmp_path: Path) -> str:
    save_vectors(eval_vectors(), tmp_path / "v.bin")
    return str(tmp_path / "v.bin")


def test_tables_and_json_say_the_same(saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c, d = eval_vectors().words[:4]
    (tmp_path / "pairs").write_text(f"{a} {b} 3\n{c} {d} 4\n{a} {d} 1\n")
    (tmp_path / "questions").write_text(f"{a} {b} {c} {d}\n")
    (tmp_path / "categories").write_text(f"{a} x\n{b} y\n{c} y\nunknown x\n")
    further = [
        f"--similarity={tmp_path / 'pairs'}",
        f"--analogies={tmp_path / 'questions'}",
        f"--categories={tmp_path / 'categories'}",
    ]
    arguments = [saved, "--restrict-vocab", "4000", *further]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    vectors = eval_vectors()
    simlex = evaluate_similarity(vectors, "simlex999", restrict_vocab=4000)
    assert [one["dataset"] for one in found["similarity"]] == ["wordsim353", "simlex999", str(tmp_path / "pairs")]
    assert found["similarity"][1]["spearman"] == simlex.spearman
    assert tuple(found["similarity"][1]["interval"]) == simlex.interval
    google = evaluate_analogies(vectors, restrict_vocab=4000)
    assert found["analogies"][0]["total"]["used"] == google.total.used
    assert found["analogies"][0]["total"]["3cosmul"]["accuracy"] == google.total.accuracy("3cosmul")
    assert found["analogies"][1]["total"]["total"] == 1
    assert (found["categories"][0]["words_used"], found["categories"][0]["words_total"]) == (3, 4)
    assert main(arguments) == 0
    text = capsys.readouterr().out
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert f"{100 * google.total.accuracy():.1f} %" in total
    assert f"{google.total.used:,} / 19,544" in total
    assert f"{simlex.pairs_used} / 999" in text


def test_a_built_in_set_in_another_language_is_said_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["haus", "hund", "katze", "maus"]
    save_vectors(Vectors(words, np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)), tmp_path / "v.bin")
    (tmp_path / "paare").write_text("haus hund 1\nhund katze 5\nkatze maus 4\n")
    assert main([str(tmp_path / "v.bin"), "--similarity", str(tmp_path / "paare"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["analogies"] == []
    assert set(found["unusable"]) == {"wordsim353", "simlex999", "questions-words"}
    assert main([str(tmp_path / "v.bin")]) == 2
    assert "nothing can be measured" in capsys.readouterr().err


def test_quick_looks_are_gensims(saved: str, capsys: pytest.CaptureFixture[str]) -> None:
    vectors = eval_vectors()
    keyed = to_keyed_vectors(vectors)
    word = vectors.words[3]
    found = nearest(vectors, [word], topn=7)[word]
    theirs = keyed.most_similar(word, topn=7)
    assert [w for w, _ in found] == [w for w, _ in theirs]
    assert [c for _, c in found] == pytest.approx([c for _, c in theirs], abs=1e-6)
    a, b, c = vectors.words[10:13]
    answers = complete_analogy(vectors, a, b, c, topn=5)
    theirs = keyed.most_similar(positive=[b, c], negative=[a], topn=5)
    assert [w for w, _ in answers] == [w for w, _ in theirs]
    assert [s for _, s in answers] == pytest.approx([s for _, s in theirs], abs=1e-6)
    assert main(["neighbours", saved, word, "--topn", "7", "--json"]) == 0
    assert [w for w, _ in json.loads(capsys.readouterr().out)[word]] == [w for w, _ in found]
    assert main(["analogy", saved, a, b, c, "-n", "5"]) == 0
    assert answers[0][0] in capsys.readouterr().out


def test_an_unknown_word_gets_the_nearest_spellings() -> None:
    words = ["color", "colour", "Berlin", "cloud", "colony", "xyz"]
    vectors = Vectors(words, np.eye(6, dtype=np.float32))
    with pytest.raises(InputError, match=r"'coluor' is not among the 6 words; did you mean color, colour"):
        rows_of(vectors, ["color", "coluor"])
    with pytest.raises(InputError, match="did you mean Berlin"):
        nearest(vectors, ["berlin"])
    with pytest.raises(InputError, match="no word of a similar spelling"):
        nearest(vectors, ["qqqqqqqqqqqqqqqq"])


def test_purity_of_clear_and_of_mixed_clusters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(4, 8) * 5
    rows = np.repeat(centres, 10, axis=0) + rng.normal(size=(40, 8)) * 0.5
    vectors = Vectors([f"w{i}" for i in range(40)], rows.astype(np.float32))
    (tmp_path / "clear").write_text("".join(f"w{i} kind{i // 10}\n" for i in range(40)))
    (tmp_path / "mixed").write_text("".join(f"w{i}\tkind{i % 4}\n" for i in range(40)))
    assert evaluate_categories(vectors, tmp_path / "clear").purity == 1.0
    # the share of words in their cluster's most common category, not of categories in their best cluster
    (tmp_path / "split").write_text(
        "".join(f"w{i} {'ab'[i % 10 > 5] if i < 20 else 'cd'[i // 10 - 2]}\n" for i in range(40))
    )
    assert evaluate_categories(vectors, tmp_path / "split").purity == (6 + 6 + 10 + 10) / 40
    mixed = evaluate_categories(vectors, tmp_path / "mixed")
    assert 0.25 <= mixed.purity <= 0.35
    assert (mixed.words_used, mixed.categories) == (40, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: vectors"),
        (["missing.bin"], "cannot read missing.bin: No such file"),
        (["v.csv"], "no known format"),
        (["v.bin", "--restrict-vocab", "0"], "restrict_vocab must be at least 1"),
        (["v.bin", "--restrict", "5"], "unrecognized arguments: --restrict"),
        (["v.bin", "--similarity", "bad"], "bad, line 1: 'one': two words and a score expected"),
        (["v.bin", "--analogies", "bad"], "bad, line 1: 'one': four words"),
        (["v.bin", "--categories", "bad"], "bad, line 1: 'one': a word and its category expected"),
        (["v.bin", "--categories", "twice"], "twice, line 2: 'cat z': the word came before"),
        (["v.bin", "--categories", "unknown"], "0 of its 1 words are in the vocabulary"),
        (["zero.bin"], "row 2 of the vectors, 'pad', is all zeros"),
        (["neighbours", "v.bin", "ca"], "'ca' is not among the 3 words; did you mean cat"),
        (["neighbours", "v.bin", "cat", "-n", "0"], "must be at least 1"),
        (["neighbours", "zero.bin", "pad"], "row 2 of the vectors, 'pad', is all zeros"),
        (["analogy", "v.bin", "cat", "same"], "the following arguments are required: C"),
        (["analogy", "line.bin", "a", "b", "c"], "b - a + c is zero: it has no nearest word"),
    ],
)
def test_faults_are_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.array([[1, 0], [1, 0], [2, 0]], np.float32)
    save_vectors(Vectors(["cat", "same", "opposite"], rows), "v.bin")
    save_vectors(Vectors(["tiger", "pad"], np.array([[1, 0], [0, 0]], np.float32)), "zero.bin")
    sides = np.array([[1, 0], [0.5, 0.75**0.5], [0.5, -(0.75**0.5)]], np.float32)
    save_vectors(Vectors(["a", "b", "c"], sides), "line.bin")
    Path("bad").write_text("one\n")
    Path("twice").write_text("cat x\ncat z\n")
    Path("unknown").write_text("zebra animal\n")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_the_command_starts_without_gensim_and_torch() -> None:
    code = "import sys, w2vfast.eval.__main__ as m\nassert not {'gensim', 'torch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_reader_that_leaves_early_is_no_crash(tmp_path):
    path = tmp_path / "v.bin"
    save_vectors(eval_vectors(), path)
    command = [sys.executable, "-m", "w2vfast.eval", "neighbours", str(path), "king"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
