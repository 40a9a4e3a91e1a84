"""Vectors on disk: every format there and back, gensim as the other reader and writer, and faults named with where."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from w2vfast.errors import InputError
from w2vfast.formats import (
    Vectors,
    check_writable,
    format_of,
    load_vectors,
    open_vectors,
    save_vectors,
    shortest_decimals,
    to_keyed_vectors,
)

ALL = ["v.bin", "v.txt", "v.vec", "v.kv", "v.safetensors"]


def example(rows: int = 7, size: int = 3, counts: bool = True) -> Vectors:
    values = np.random.default_rng(rows).normal(size=(rows, size)).astype(np.float32)
    words = ["naïve", "日本", "a\xa0b", "don't", "0"] + [f"w{i}" for i in range(rows)]
    return Vectors(words[:rows], values, np.arange(rows, 0, -1, dtype=np.int64) if counts else None)


def same(a: Vectors, b: Vectors) -> bool:
    return a.words == b.words and a.vectors.dtype == b.vectors.dtype and np.array_equal(a.vectors, b.vectors)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("rows", "size"), [(1, 1), (7, 3), (5000, 33)])
def test_there_and_back(tmp_path: Path, name: str, rows: int, size: int) -> None:
    vectors = example(rows, size)
    save_vectors(vectors, tmp_path / name)
    loaded = load_vectors(tmp_path / name)
    assert same(loaded, vectors)
    if name in ("v.kv", "v.safetensors"):
        assert loaded.counts is not None
        assert np.array_equal(loaded.counts, vectors.counts)
    else:
        assert loaded.counts is None
    assert loaded.vectors.flags.writeable
    assert loaded.vectors.flags.c_contiguous
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("limit", [1, 4097, 5000, 9999])
def test_limit_reads_the_first_rows(tmp_path: Path, name: str, limit: int) -> None:
    vectors = example(5000, 4)
    save_vectors(vectors, tmp_path / name)
    loaded = load_vectors(tmp_path / name, limit=limit)
    assert loaded.words == vectors.words[:limit]
    assert np.array_equal(loaded.vectors, vectors.vectors[:limit])
    if loaded.counts is not None:
        assert vectors.counts is not None
        assert np.array_equal(loaded.counts, vectors.counts[:limit])


def test_without_counts(tmp_path: Path) -> None:
    for name in ("v.kv", "v.safetensors"):
        save_vectors(example(counts=False), tmp_path / name)
        assert load_vectors(tmp_path / name).counts is None


@pytest.mark.parametrize(("name", "binary"), [("v.bin", True), ("v.txt", False)])
def test_gensim_reads_and_writes_word2vec(tmp_path: Path, name: str, binary: bool) -> None:
    vectors = example(500, 33)
    save_vectors(vectors, tmp_path / name)
    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=binary)
    assert theirs.index_to_key == vectors.words
    assert np.array_equal(theirs.vectors, vectors.vectors)
    theirs.save_word2vec_format(str(tmp_path / ("theirs" + name)), binary=binary)
    assert same(load_vectors(tmp_path / ("theirs" + name)), vectors)


def test_gensim_reads_kv_with_counts_and_neighbours(tmp_path: Path) -> None:
    vectors = example(50, 10)
    save_vectors(vectors, tmp_path / "v.kv")
    theirs = KeyedVectors.load(str(tmp_path / "v.kv"))
    assert theirs.get_vecattr("日本", "count") == 49
    assert theirs.most_similar("naïve", topn=3) == to_keyed_vectors(vectors).most_similar("naïve", topn=3)
    theirs.save(str(tmp_path / "theirs.kv"))
    assert same(load_vectors(tmp_path / "theirs.kv"), vectors)


def test_large_kv_has_its_array_beside_it_and_can_be_mapped(tmp_path: Path) -> None:
    # gensim puts an array of more than 10 Mi elements in a file of its own
    vectors = Vectors(
        [f"w{i}" for i in range(10_500)], np.arange(10_500 * 1000, dtype=np.float32).reshape(10_500, 1000)
    )
    save_vectors(vectors, tmp_path / "v.kv")
    assert sorted(os.listdir(tmp_path)) == ["v.kv", "v.kv.vectors.npy"]
    theirs = KeyedVectors.load(str(tmp_path / "v.kv"), mmap="r")
    assert isinstance(theirs.vectors, np.memmap)
    assert np.array_equal(theirs["w10499"], vectors.vectors[-1])
    assert np.array_equal(load_vectors(tmp_path / "v.kv", limit=10).vectors, vectors.vectors[:10])
    save_vectors(example(), tmp_path / "v.kv")
    assert os.listdir(tmp_path) == ["v.kv"]
    save_vectors(vectors, tmp_path / "v.kv")
    (tmp_path / "v.kv.vectors.npy").unlink()
    with pytest.raises(InputError, match=r"cannot read .*v\.kv\.vectors\.npy: No such file"):
        load_vectors(tmp_path / "v.kv")


def test_safetensors_is_read_by_its_own_library(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    vectors = example(7, 3)
    save_vectors(vectors, tmp_path / "v.safetensors")
    tensors = load_file(tmp_path / "v.safetensors")
    assert {name: str(value.dtype) for name, value in tensors.items()} == {
        "vectors": "float32",
        "words": "uint8",
        "offsets": "int64",
        "counts": "int64",
    }
    assert tensors["offsets"].shape == (8,)
    assert tensors["words"].tobytes().decode() == "".join(vectors.words)


def test_files_of_word2vec_c(tmp_path: Path) -> None:
    """The C tool ends each binary row with a newline, and each text row with a space and a newline."""
    vectors = example(3, 4)
    rows = zip(vectors.words, vectors.vectors, strict=True)
    (tmp_path / "v.bin").write_bytes(
        b"3 4\n" + b"".join(w.encode() + b" " + v.tobytes() + b"\n" for w, v in rows),
    )
    assert same(load_vectors(tmp_path / "v.bin"), vectors)
    (tmp_path / "v.txt").write_text("2 2\n</s> 0.002001 -1.5 \nthe 1e-3 2 \n")
    loaded = load_vectors(tmp_path / "v.txt")
    assert loaded.words == ["</s>", "the"]
    assert loaded.vectors.tolist() == np.array([[0.002001, -1.5], [1e-3, 2]], np.float32).tolist()
    # and it writes text to any name
    (tmp_path / "text.bin").write_text("2 2\n</s> 0.002001 -1.5 \nthe 1e-3 2 \n")
    assert same(load_vectors(tmp_path / "text.bin"), loaded)
    (tmp_path / "v.bin").rename(tmp_path / "binary.txt")
    assert same(load_vectors(tmp_path / "binary.txt"), vectors)


def test_glove_text_without_header(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("the 1 2\n. . . 3 4\nof\t5\t6\n")
    loaded = load_vectors(tmp_path / "g.txt")
    assert loaded.words == ["the", ". . .", "of"]
    assert loaded.vectors.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert load_vectors(tmp_path / "g.txt", limit=1).words == ["the"]


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.bin"])
def test_gz(tmp_path: Path, name: str) -> None:
    save_vectors(example(), tmp_path / name)
    packed = gzip.compress((tmp_path / name).read_bytes())
    (tmp_path / (name + ".gz")).write_bytes(packed)
    assert same(load_vectors(tmp_path / (name + ".gz")), example())
    (tmp_path / (name + ".gz")).write_bytes(packed[:-20])
    with pytest.raises(InputError, match=r"broken \.gz"):
        load_vectors(tmp_path / (name + ".gz"))


def test_bytes_that_are_no_utf8_stay_different(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(b"2 1\ncaf\xc3 1\ncaf\xc4 2\n")
    assert load_vectors(tmp_path / "v.txt").words == ["caf\\xc3", "caf\\xc4"]


def test_text_holds_the_shortest_decimals() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 20_000, dtype=np.uint32).view(np.float32)
    usual = rng.normal(scale=0.3, size=40_000).astype(np.float32)
    edges = np.array(
        [0.0, -0.0, 1, 0.1, 1e-45, 3.4028235e38, 16777216, 999999.94, 9.999999e-5, 1e12, 1e-12], np.float32
    )
    values = np.concatenate([bits[np.isfinite(bits)], usual, edges])
    texts = [repr(value) for value in shortest_decimals(values).tolist()]
    assert np.array_equal(np.array(texts, dtype=np.float32).view(np.uint32), values.view(np.uint32))
    digits = [text.split("e")[0].replace(".", "").strip("-0") for text in texts]
    numpys = [str(value).split("e")[0].replace(".", "").strip("-0") for value in values]
    assert [len(d) for d in digits] == [len(d) for d in numpys]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", b"", "is empty"),
        ("v.txt", b"3 2\na 1 2\nb 3 4\n", "header says 3 words, but the file ends after 2"),
        ("v.txt", b"1 2\na 1 2\nb 3 4\n", "header says 1 words, but more lines follow"),
        ("v.txt", b"2 2\na 1 2\nb 3\n", r"line 3: 1 numbers instead of 2: 'b 3'"),
        ("v.txt", b"2 2\na 1 2 3\nb 3 4 5\n", r"line 2: 3 numbers instead of 2"),
        ("v.txt", b"2 2\na 1 2\nb 3 x4\n", r"line 3: 'x4' is not a number, in 'b 3 x4'"),
        ("v.txt", b"a 1 2\nb 3 x4\n", r"line 2: 'x4' is not a number"),
        ("v.txt", b"2 2\na 1 2\n\nb 3 4\n", r"line 3: an empty line before the end"),
        ("v.txt", b"2 2\na 1 2\nb nan 4\n", r"line 3: the vector of 'b' holds NaN or infinity"),
        ("v.txt", b"2 2\na 1 2\na 3 4\n", r"line 3: the word 'a' came before, in line 2"),
        ("v.txt", b"2 2\na 1 2\t3\nb  4\n", r"line 2: 3 numbers instead of 2"),
        ("v.txt", b"0 2\n", "nothing in the file"),
        ("v.txt", b"word\n", "line 1: the numbers of words and of dimensions expected"),
        ("v.bin", b"hello there\n", "line 1: the numbers of words and of dimensions expected"),
        ("v.bin", b"2 1\na \0\0\0\0b \0\0", r"truncated|more than the file can hold"),
        ("v.bin", b"2 1\na \0\0\0\0bcdefghijkl \0\0", r"truncated in row 2 of 2"),
        ("v.bin", b"1 1\na \0\0\0\0b \0\0\0\0", r"header says 1 words of 1 dimensions, but 6 or more bytes follow"),
        ("v.bin", b"1 1\na \0\0\xc0\x7f", r"row 1: the vector of 'a' holds NaN"),
        ("v.bin", b"2 1\na \0\0\0\0a \0\0\0\0", r"row 2: the word 'a' came before, in row 1"),
        ("v.bin", b"99999999999 100\na ", "more than the file can hold"),
        ("v.bin", b"\xba\x16\x4f\x2f\x0c\0\0\0", "fastText model"),
        ("v.kv", b"not a pickle", "not a file of gensim's KeyedVectors.save"),
        ("v.safetensors", b"not tensors", "broken safetensors file"),
    ],
)
def test_faults_are_named_with_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_vectors(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_safetensors_of_another_tool(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"vectors": np.zeros((2, 2), np.float32)}, tmp_path / "v.safetensors")
    with pytest.raises(InputError, match="no tensor 'offsets'"):
        load_vectors(tmp_path / "v.safetensors")


def test_missing_file_and_unknown_suffix(tmp_path: Path) -> None:
    for name in ALL:
        with pytest.raises(InputError, match=r"cannot read .*No such file"):
            load_vectors(tmp_path / name)
    for name in ("v.npy", "v", "v.kv.gz"):
        with pytest.raises(InputError, match=r"no known format; use \.bin .*\.safetensors"):
            format_of(name)
    assert [format_of(name) for name in ALL] == ["binary", "text", "text", "kv", "safetensors"]


@pytest.mark.parametrize("word", ["hello world", "a\nb", "a\tb", ""])
def test_a_word_that_text_and_binary_cannot_hold(tmp_path: Path, word: str) -> None:
    vectors = Vectors(["ok", word], np.ones((2, 2), np.float32))
    for name in ("v.bin", "v.txt", "v.vec"):
        (tmp_path / name).write_text("old")
        with pytest.raises(InputError, match="the word " + repr(word).replace("\\", "\\\\")):
            save_vectors(vectors, tmp_path / name)
        assert (tmp_path / name).read_text() == "old"
    for name in ("v.kv", "v.safetensors"):
        save_vectors(vectors, tmp_path / name)
        assert same(load_vectors(tmp_path / name), vectors)
    assert sorted(os.listdir(tmp_path)) == sorted(ALL)


@pytest.mark.parametrize("name", ["v.bin", "v.kv", "v.safetensors"])
def test_a_word_that_is_no_text(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no valid Unicode"):
        save_vectors(Vectors(["\ud800"], np.ones((1, 1), np.float32)), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "v.bin")
    check_writable(tmp_path / "vocabulary", "text")
    (tmp_path / "d.bin").mkdir()
    for path, message in [
        (tmp_path / "v.csv", "suffix '.csv'"),
        (tmp_path / "v.txt.gz", r"\.gz is read but not written"),
        (tmp_path / "d.bin", "it is a folder"),
        (tmp_path / "no" / "v.bin", "does not exist"),
        (Path("/proc/v.bin"), "cannot write /proc/v.bin"),
    ]:
        with pytest.raises(InputError, match=message):
            check_writable(path)
    assert os.listdir(tmp_path) == ["d.bin"]


def test_vectors_checks_its_arrays() -> None:
    for words, values, counts in [
        (["a"], np.zeros((2, 2), np.float32), None),
        (["a"], np.zeros((1, 2)), None),
        (["a", "b"], np.zeros((2, 2), np.float32, order="F"), None),
        (["a"], np.zeros((1, 2), np.float32), np.zeros(2, np.int64)),
    ]:
        with pytest.raises(ValueError, match=r"must be|do not go with"):
            Vectors(words, values, counts)  # type: ignore[arg-type]


def test_blocks_come_one_at_a_time(tmp_path: Path) -> None:
    save_vectors(example(9000, 2), tmp_path / "v.txt")
    with open_vectors(tmp_path / "v.txt") as stream:
        assert (stream.rows, stream.vector_size) == (9000, 2)
        assert [len(words) for words, _ in stream.blocks] == [4096, 4096, 808]


def test_neither_gensim_nor_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from w2vfast.formats import *\n"
        "v = Vectors(['a'], np.ones((1, 2), np.float32))\n"
        f"for n in ('v.bin', 'v.txt', 'v.safetensors'): save_vectors(v, {str(tmp_path)!r} + '/' + n); "
        f"load_vectors({str(tmp_path)!r} + '/' + n)\n"
        "assert not {'gensim', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
