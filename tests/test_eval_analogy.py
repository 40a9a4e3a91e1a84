"""Analogies: gensim's answers question by question, by both methods, coverage, and faults."""

import time
from pathlib import Path

import numpy as np
import pytest
from gensim.test.utils import datapath

from tests.eval_vectors import eval_vectors
from w2vfast.errors import InputError
from w2vfast.eval import analogy, evaluate_analogies, quality
from w2vfast.formats import Vectors, to_keyed_vectors


def upper(questions: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [tuple(word.upper() for word in question) for question in questions]


@pytest.mark.parametrize("restrict_vocab", [300_000, 2500])
def test_equals_gensim_question_by_question(restrict_vocab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # small blocks, so that a question's candidates lie in several
    monkeypatch.setattr(analogy, "TABLE_ELEMENTS", 1 << 19)
    vectors = eval_vectors()
    ours = evaluate_analogies(vectors, restrict_vocab=restrict_vocab)
    score, sections = to_keyed_vectors(vectors).evaluate_word_analogies(
        datapath("questions-words.txt"), restrict_vocab=restrict_vocab
    )
    questions = upper(ours.questions)
    theirs = [s for s in sections[:-1] if s["correct"] or s["incorrect"]]
    mine = [tally for tally in ours.sections if tally.used]
    assert [s["section"] for s in theirs] == [tally.name for tally in mine]
    assert [len(s["correct"]) for s in theirs] == [tally.correct["3cosadd"] for tally in mine]
    assert [len(s["correct"]) + len(s["incorrect"]) for s in theirs] == [tally.used for tally in mine]
    hits = [q for q, hit in zip(questions, ours.correct["3cosadd"], strict=True) if hit]
    assert hits == [q for s in theirs for q in s["correct"]]
    misses = [q for q, hit, u in zip(questions, ours.correct["3cosadd"], ours.used, strict=True) if u and not hit]
    assert misses == [q for s in theirs for q in s["incorrect"]]
    assert ours.total.accuracy() == pytest.approx(score)
    assert 0.2 < score < 0.9


# gensim 4.4's most_similar_cosmul calls a function that gensim itself deprecates
@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`:DeprecationWarning")
def test_3cosmul_equals_gensim_question_by_question() -> None:
    vectors = eval_vectors()
    ours = evaluate_analogies(vectors, methods=("3cosmul",))
    keyed = to_keyed_vectors(vectors)
    keyed.fill_norms()
    first = {word.upper(): word for word in reversed(vectors.words)}
    asked = np.flatnonzero(ours.used)[::40]
    answers = []
    for i in asked:
        a, b, c, _ = (first[word.upper()] for word in ours.questions[i])
        near = keyed.most_similar_cosmul(positive=[b, c], negative=[a], topn=20)
        answers.append(next(w for w, _ in near if w.upper() not in {a.upper(), b.upper(), c.upper()}))
    assert [vectors.words[ours.predicted["3cosmul"][i]] for i in asked] == answers
    assert set(ours.correct) == {"3cosmul"}


def test_3cosmul_differs_from_3cosadd() -> None:
    ours = evaluate_analogies(eval_vectors())
    assert 0.2 < ours.total.accuracy("3cosmul") < 0.9
    assert (ours.predicted["3cosadd"] != ours.predicted["3cosmul"]).any()


def test_coverage_and_kinds_add_up() -> None:
    result = evaluate_analogies(eval_vectors())
    total = result.total
    assert total.total == 19_544
    assert 0 < total.used < total.total
    assert len(result.sections) == 14
    assert [tally.name for tally in result.kinds] == ["semantic", "syntactic"]
    assert [tally.total for tally in result.kinds] == [8869, 10_675]
    for part in (result.sections, result.kinds):
        assert sum(tally.used for tally in part) == total.used
        assert sum(tally.correct["3cosadd"] for tally in part) == total.correct["3cosadd"]
    assert total.accuracy_over_all() == total.correct["3cosadd"] / 19_544
    assert (result.predicted["3cosadd"] >= 0).tolist() == result.used.tolist()


def test_a_file_without_sections(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("# four words a line\nman king woman queen\nman king Woman missing\n\n")
    words = ["man", "king", "woman", "queen", "KING"]
    vectors = Vectors(words, np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1.2], [0, 1, 1]], np.float32))
    result = evaluate_analogies(vectors, tmp_path / "q")
    assert result.section_names == ["(no section)"]
    assert result.kinds == []
    # KING is nearest, but a case variant of a question's word is no answer
    assert result.predicted["3cosadd"].tolist() == [3, -1]
    assert (result.total.used, result.total.total, result.total.accuracy()) == (1, 2, 1.0)


def test_nothing_left_to_answer_is_wrong_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("a b c a\n")
    result = evaluate_analogies(Vectors(["a", "b", "c"], np.eye(3, dtype=np.float32)), tmp_path / "q")
    assert result.predicted["3cosadd"].tolist() == [-1]
    assert result.total.accuracy() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (": one\na b c d\na b c\n", r"line 3: 'a b c': four words or ': section' expected"),
        (": one\n", "holds no questions"),
        ("a b c d\nx y z a\n", r"none of its 2 questions has all four words among the first 3"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "q").write_text(content)
    with pytest.raises(InputError, match=message):
        evaluate_analogies(Vectors(["a", "b", "c"], np.eye(3, dtype=np.float32)), tmp_path / "q")


def test_quality_is_gensims() -> None:
    vectors = eval_vectors()
    keyed = to_keyed_vectors(vectors)
    assert quality(vectors) == {
        "wordsim353": pytest.approx(100 * keyed.evaluate_word_pairs(datapath("wordsim353.tsv"))[1][0]),
        "simlex999": pytest.approx(100 * keyed.evaluate_word_pairs(datapath("simlex999.txt"))[1][0]),
        "analogy_30k": pytest.approx(
            100 * keyed.evaluate_word_analogies(datapath("questions-words.txt"), restrict_vocab=30_000)[0]
        ),
    }


def test_quality_of_what_cannot_be_measured() -> None:
    some = Vectors(["tiger", "cat", "computer"], np.array([[1, 0], [1, 1], [-1, 1]], np.float32))
    assert quality(some)["analogy_30k"] is None
    assert quality(some)["wordsim353"] is not None
    with pytest.raises(InputError, match="no quality can be measured"):
        quality(Vectors(["xx", "yy"], np.eye(2, dtype=np.float32)))


@pytest.mark.slow
def test_ten_times_less_time_than_gensim(tmp_path: Path) -> None:
    small = eval_vectors(100)
    rng = np.random.default_rng(0)
    fill = rng.normal(size=(30_000 - len(small.words), 100)).astype(np.float32)
    vectors = Vectors(
        small.words + [f"more{i}" for i in range(len(fill))], np.concatenate([small.vectors, fill]).astype(np.float32)
    )
    keyed = to_keyed_vectors(vectors)
    keyed.fill_norms()
    watch = time.perf_counter()
    ours = evaluate_analogies(vectors, restrict_vocab=30_000, methods=("3cosadd",))
    seconds = time.perf_counter() - watch
    lines = Path(datapath("questions-words.txt")).read_text().splitlines()
    asked = [line for line in lines if not line.startswith(":")]
    (tmp_path / "some").write_text(": some\n" + "\n".join(asked[::10]))
    watch = time.perf_counter()
    _, sections = keyed.evaluate_word_analogies(str(tmp_path / "some"), restrict_vocab=30_000)
    theirs = time.perf_counter() - watch
    theirs *= ours.total.used / len(sections[-1]["correct"] + sections[-1]["incorrect"])
    print(f"{ours.total.used} questions: {seconds:.2f} s, gensim {theirs:.2f} s (from a tenth of them)")
    assert ours.total.used > 9_000
    assert theirs > 10 * seconds
