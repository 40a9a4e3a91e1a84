"""The one number that training follows: which measure a set gets, and faults found before training."""

import pytest

from tests.eval_vectors import eval_vectors
from w2vfast.errors import InputError
from w2vfast.eval.quality import quality
from w2vfast.eval.score import scorer
from w2vfast.eval.similarity import evaluate_similarity


def test_built_in_sets_score_as_quality_does():
    vectors = eval_vectors()
    scores = quality(vectors)
    assert scorer("wordsim353")(vectors) == pytest.approx(scores["wordsim353"])
    assert scorer("simlex999")(vectors) == pytest.approx(scores["simlex999"])
    assert scorer("questions-words")(vectors) == pytest.approx(scores["analogy_30k"])
    assert len(set(scores.values())) == 3


def test_files_are_told_apart_by_their_first_line(tmp_path):
    vectors = eval_vectors()
    pairs, questions, sections = tmp_path / "pairs.tsv", tmp_path / "four.txt", tmp_path / "sections.txt"
    words = vectors.words[:40]
    pairs.write_text(
        "# a comment\n"
        + "".join(f"{a}\t{b}\t{i}\n" for i, (a, b) in enumerate(zip(words[:20], words[20:], strict=True)))
    )
    asked = ["athens greece oslo norway", "paris france rome italy", "berlin germany madrid spain"]
    questions.write_text("\n".join(asked))
    sections.write_text(": capitals\n" + "\n".join(asked))
    assert scorer(str(pairs))(vectors) == pytest.approx(100 * evaluate_similarity(vectors, pairs, resamples=0).spearman)
    assert scorer(str(questions))(vectors) == scorer(str(sections))(vectors) >= 0


@pytest.mark.parametrize("text", ["one two\n", "a b c\n", "", ": only a section\n"])
def test_faulty_files_are_refused_before_training(text, tmp_path):
    path = tmp_path / "set.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"set\.txt"):
        scorer(str(path))


def test_a_missing_file_is_refused():
    with pytest.raises(InputError, match="nowhere"):
        scorer("nowhere.tsv")
