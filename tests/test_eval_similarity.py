"""Similarity: gensim's numbers on the same vectors, files of users, and faults."""

from pathlib import Path

import numpy as np
import pytest
from gensim.test.utils import datapath
from scipy import stats

from tests.eval_vectors import eval_vectors
from w2vfast.errors import InputError
from w2vfast.eval import evaluate_similarity, quality
from w2vfast.eval.datasets import BUILT_IN, data_path
from w2vfast.formats import Vectors, to_keyed_vectors


def test_data_is_found_where_gensim_says() -> None:
    for name in BUILT_IN.values():
        assert str(data_path(name)) == datapath(name)


@pytest.mark.parametrize("name", ["wordsim353", "simlex999"])
@pytest.mark.parametrize("restrict_vocab", [300_000, 600])
def test_equals_gensim(name: str, restrict_vocab: int) -> None:
    vectors = eval_vectors()
    ours = evaluate_similarity(vectors, name, restrict_vocab=restrict_vocab)
    pearson, spearman, unknown = to_keyed_vectors(vectors).evaluate_word_pairs(
        datapath(BUILT_IN[name]), restrict_vocab=restrict_vocab
    )
    assert ours.spearman == pytest.approx(spearman[0], abs=1e-9)
    assert ours.pearson == pytest.approx(pearson[0], abs=1e-7)
    assert 100 * (1 - ours.pairs_used / ours.pairs_total) == pytest.approx(unknown)
    assert 0 < ours.pairs_used < ours.pairs_total


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    vectors = eval_vectors()
    result = evaluate_similarity(vectors, "wordsim353")
    assert result.interval is not None
    low, high = result.interval
    keyed = to_keyed_vectors(vectors)
    rows = [line.split("\t") for line in Path(datapath("wordsim353.tsv")).read_text().splitlines() if line[0] != "#"]
    known = {word.upper(): word for word in reversed(vectors.words)}
    pairs = [(known[a.upper()], known[b.upper()], float(s)) for a, b, s in rows if {a.upper(), b.upper()} <= set(known)]
    gold = np.array([s for _, _, s in pairs])
    model = np.array([keyed.similarity(a, b) for a, b, _ in pairs])
    rng = np.random.default_rng(1)
    picks = [rng.integers(0, len(gold), len(gold)) for _ in range(3000)]
    plain = np.percentile([stats.spearmanr(gold[p], model[p]).statistic for p in picks], [2.5, 97.5])
    assert abs(low - plain[0]) < 0.012
    assert abs(high - plain[1]) < 0.012
    assert evaluate_similarity(vectors, "wordsim353").interval == result.interval
    assert evaluate_similarity(vectors, "wordsim353", resamples=0).interval is None


@pytest.mark.parametrize(
    "content",
    [
        "old\tnew\t1.5\nsmart\tintelligent\t9\nhard\tdifficult\t8\n",
        "word 1,word 2,score\nold,new,1.5\nsmart,intelligent,9\nhard,difficult,8\n",
        "# a comment\n\nOLD new 1.5\r\nsmart   intelligent 9\nhard difficult 8",
        "\ufeffold new 1.5\nsmart intelligent 9\nhard difficult 8\nunknownword old 3\n",
    ],
    ids=["tabs", "commas and header", "spaces, comments and CRLF", "byte-order mark and an unknown word"],
)
def test_files_of_users(tmp_path: Path, content: str) -> None:
    (tmp_path / "pairs").write_text(content, encoding="utf-8")
    words = ["old", "new", "smart", "intelligent", "hard", "difficult"]
    vectors = Vectors(words, np.array([[1, 0], [0, 1], [1, 1], [1, 1.1], [2, 1], [2, 1.5]], np.float32))
    result = evaluate_similarity(vectors, tmp_path / "pairs")
    assert result.spearman == pytest.approx(1)
    assert result.pairs_used == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("old new 1\nold new\n", r"line 2: 'old new': two words and a score expected"),
        ("old new 1\nold new x\n", r"line 2: 'old new x'"),
        ("old new nan\nold new 1 2\n", r"line 2: 'old new 1 2'"),
        ("old new\n", r"line 1: 'old new'"),
        ("old,,3\n", r"line 1: 'old,,3'"),
        ("# nothing\n", "holds no pairs"),
        ("dog cat 3\ncat dog 4\n", r"none of its 2 pairs has both words among the first 2"),
        ("old new 3\ncat dog 4\n", r"1 of its 2 pairs has both words"),
        ("old new 3\nnew old 3\n", "the same score"),
        (b"old new 1\n\xff new 1\n", "line 2: not UTF-8"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / "pairs").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        evaluate_similarity(Vectors(["old", "new"], np.eye(2, dtype=np.float32)), tmp_path / "pairs")


def test_a_vector_without_direction_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("old new 1\nnew hard 2\n")
    vectors = Vectors(["pad", "old", "new", "hard"], np.array([[0, 0], [1, 0], [0, 0], [1, 1]], np.float32))
    with pytest.raises(InputError, match=r"row 3 of the vectors, 'new', is all zeros"):
        evaluate_similarity(vectors, tmp_path / "pairs")
    with pytest.raises(InputError, match=r"row 1 of the vectors, 'pad', is all zeros"):
        quality(vectors)
    with pytest.raises(InputError, match="restrict_vocab must be at least 1"):
        evaluate_similarity(vectors, tmp_path / "pairs", restrict_vocab=0)
