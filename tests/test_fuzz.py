"""Inputs that a fuzzer found, or that hostile hands would make, are read rightly or refused, in little memory."""

import importlib.util
import json
import struct
import tracemalloc
import warnings
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from w2vfast import formats, model_file
from w2vfast.errors import InputError

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
NATIVE = ("scanner", "encoder")
MOST_BYTES = 1 << 26  # that a file of a few kilobytes may take; readers work in blocks of 4 MiB


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_read_rightly_or_refused(target, tmp_path):
    if target in NATIVE and importlib.util.find_spec(f"w2vfast._{target}") is None:
        pytest.skip(f"the native {target} is not built")
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    failures = []
    tracemalloc.start()
    try:
        for path in inputs:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a damaged checkpoint
                tracemalloc.reset_peak()
                try:
                    TARGETS[target](path.read_bytes(), tmp_path)
                except Exception as error:
                    failures.append(f"{path.name}: {type(error).__name__}: {error}")
                taken = tracemalloc.get_traced_memory()[1]
                if taken > MOST_BYTES:
                    failures.append(f"{path.name}: took {taken:,} bytes")
    finally:
        tracemalloc.stop()
    assert not failures, "\n".join(failures)


def refused(read, path, content, match):
    """Have a reader refuse a file, in one line and before memory is taken for what it claims to hold."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=match) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
@pytest.mark.parametrize(
    ("header", "match"),
    [
        (b"1099511627776 100", "more than the file can hold"),
        (b"10 2147483648", "more than the file can hold"),
        (b"4294967296 4294967296", "more than the file can hold"),
        (b"9" * 5000 + b" 2", "more than the file can hold"),
        (b"2 " + b"9" * 5000, "more than the file can hold"),
        (b"-1 2", "not a number|numbers of words and of dimensions expected|numbers instead of"),
        (b"1 -2", "not a number|numbers of words and of dimensions expected|numbers instead of"),
    ],
    ids=["V-2-40", "D-2-31", "both", "V-of-5000-digits", "D-of-5000-digits", "V-negative", "D-negative"],
)
def test_a_hostile_header_is_refused(suffix, header, match, tmp_path):
    row = b"a 1 2\n" if suffix == ".txt" else b"a " + bytes(8)
    refused(formats.load_vectors, tmp_path / f"vectors{suffix}", header + b"\n" + row, match)


def test_a_word_that_does_not_end_is_refused(tmp_path):
    content = b"2 200\n" + b"x" * (1 << 20)
    refused(formats.load_vectors, tmp_path / "vectors.bin", content, "no word found|truncated")
    refused(formats.load_vectors, tmp_path / "vectors.txt", content, "0 numbers instead of 200")


def test_lines_that_could_not_be_as_long_as_the_first_are_refused(tmp_path):
    content = b"a" + b" 1" * 10_000 + b"\n" + b"x\n" * 100_000
    refused(formats.load_vectors, tmp_path / "vectors.txt", content, "10000 numbers, more than all 100001 lines")


def tensors(data, **entries):
    """Return a safetensors file whose header claims these (dtype, shape, begin, end)."""
    header = {name: {"dtype": d, "shape": s, "data_offsets": [a, b]} for name, (d, s, a, b) in entries.items()}
    text = json.dumps(header).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return struct.pack("<Q", len(text)) + text + data


def int64(*numbers):
    return struct.pack(f"<{len(numbers)}q", *numbers)


OFFSETS, WORDS, VECTORS = ("I64", [3], 0, 24), ("U8", [2], 32, 34), ("F32", [2, 1], 24, 32)
HOSTILE = {
    "header of 2^63 bytes": (struct.pack("<Q", 2**63) + b"{}", "broken"),
    "overlap": (
        tensors(int64(0, 1, 2, 0), offsets=OFFSETS, vectors=("F32", [2, 1], 16, 24), words=("U8", [2], 24, 26)),
        "broken",
    ),
    "ends before it begins": (tensors(bytes(8), vectors=("F32", [2, 1], 8, 0)), "broken"),
    "V of 2^40": (tensors(bytes(34), offsets=OFFSETS, vectors=("F32", [2**40, 1], 24, 32), words=WORDS), "broken"),
    "V of 2^40, D of 0": (
        tensors(bytes(26), offsets=OFFSETS, vectors=("F32", [2**40, 0], 24, 24), words=("U8", [2], 24, 26)),
        r"not F32 \[V, D\]",
    ),
    "V of 0, D of 2^40": (
        tensors(bytes(8), offsets=("I64", [1], 0, 8), vectors=("F32", [0, 2**40], 8, 8), words=("U8", [0], 8, 8)),
        r"not F32 \[V, D\]",
    ),
    "negative shape": (tensors(bytes(8), vectors=("F32", [-2, -1], 0, 8)), "broken"),
} | {
    f"offsets {numbers}": (
        tensors(int64(*numbers) + bytes(8) + b"ab", offsets=OFFSETS, vectors=VECTORS, words=WORDS),
        "offsets do not go with",
    )
    for numbers in ((-1, 1, 2), (1, 1, 2), (0, 2, 1), (0, 3, 2), (-(2**63), 2**63 - 1, 2), (0, 1, 2**40))
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_safetensors_are_refused(what, tmp_path):
    content, match = HOSTILE[what]
    refused(formats.load_vectors, tmp_path / "vectors.safetensors", content, match)
    refused(model_file.load, tmp_path / "model.safetensors", content, "truncated or broken|holds no model")
