"""What a fuzzer feeds to each reader of files: bytes are read rightly or refused with InputError, in bounded memory.

A target takes bytes and a folder to write them to. Whatever it raises is a finding. The native scanner and encoder have
targets here too, on the builds that are installed; scanner.cpp and encoder.cpp fuzz them under the sanitizers.
"""

import hashlib
import itertools
import json
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from w2vfast import checkpoint, classes, formats, model_file
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.eval import datasets
from w2vfast.interner import PythonInterner
from w2vfast.prediction import Model
from w2vfast.vectors import Vectors
from w2vfast.vocab import encode_words, read_vocab


def _written(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _check_vectors(found: Vectors) -> None:
    assert len(set(found.words)) == len(found.words) == len(found.vectors) > 0
    assert found.vectors.shape[1] > 0
    assert np.isfinite(found.vectors).all()


def _vectors(data: bytes, folder: Path, name: str) -> None:
    path = _written(data, folder, name)
    try:
        found = formats.load_vectors(path)
    except InputError:
        return
    _check_vectors(found)
    assert formats.load_vectors(path, limit=1).words == found.words[:1]


def text(data: bytes, folder: Path) -> None:
    """Read word2vec's text format, with a header and without."""
    _vectors(data, folder, "vectors.txt")


def binary(data: bytes, folder: Path) -> None:
    """Read word2vec's binary format."""
    _vectors(data, folder, "vectors.bin")


def safetensors(data: bytes, folder: Path) -> None:
    """Read a safetensors file of vectors with its vocabulary; behind a NUL the header is made of what follows."""
    _vectors(_tensors(data[1:]) if data[:1] == b"\0" else data, folder, "vectors.safetensors")


NAMES = ("offsets", "vectors", "words", "counts")
DTYPES = {"I64": 8, "F32": 4, "U8": 1, "F64": 8, "F16": 2, "BF16": 2, "I32": 4, "U64": 8, "BOOL": 1, "F8_E4M3": 1}


def _tensors(data: bytes) -> bytes:
    """Return a whole safetensors file: by tensor a byte for dtype and axes, one an axis; the rest are its contents."""
    entries: dict[str, dict[str, object]] = {}
    begin = at = 0
    for name in NAMES:
        kind = data[at] if at < len(data) else 0
        dtype, axes = list(DTYPES)[kind % len(DTYPES)], kind // len(DTYPES) % 4
        shape = list(data[at + 1 : at + 1 + axes])
        at += 1 + axes
        end = begin + DTYPES[dtype] * math.prod(shape)
        if kind < 200 and end - begin < 1 << 16:
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
            begin = end
    header = json.dumps(entries).encode()
    header = header.ljust(-(-len(header) // 8) * 8)
    return struct.pack("<Q", len(header)) + header + data[at : at + begin].ljust(begin, b"\0")


def model(data: bytes, folder: Path) -> None:
    """Load a saved model, and have it predict."""
    path = _written(data, folder, "model.safetensors")
    try:
        contents = model_file.load(path)
    except InputError:
        return
    _check_vectors(Vectors(contents.words, contents.w_in, contents.counts))
    found = Model(contents)
    with np.errstate(all="ignore"):
        found.predict(found.words[:1], 1)


CONFIG = Config(vector_size=2, min_count=1, epochs=1, workers=1, backend="native")


def checkpoint_(data: bytes, folder: Path) -> None:
    """Read a checkpoint: the JSON up to the first NUL, then the tables.

    A first byte of 's' has its checksums made right, as they would be of a file that someone edited with care.
    """
    kind, (about, _, tables) = data[:1], data[1:].partition(b"\0")
    path = folder / "checkpoint-00000001.json"
    path.with_suffix(".safetensors").write_bytes(tables)
    path.write_bytes(_signed(about, tables) if kind == b"s" else about)
    try:
        found = checkpoint.Folder(folder).newest()
        if found is not None:
            found.read()
            found.refuse_other_run(CONFIG, Choice("native", "cpu", "it is asked for"))
            found.tile_settings(CONFIG, Choice("native", "cpu", "it is asked for"))
    except InputError:
        pass


def _signed(about: bytes, tables: bytes) -> bytes:
    try:
        content = json.loads(about)
        if not isinstance(content, dict):
            return about
        content |= {"format": checkpoint.FORMAT, "format_version": checkpoint.VERSION}
        content["tensors_sha256"] = hashlib.sha256(tables).hexdigest()
        summed = {name: content[name] for name in content if name not in ("format", "format_version", "sha256")}
        sha256 = hashlib.sha256(json.dumps(summed, sort_keys=True).encode()).hexdigest()
        return json.dumps(content | {"sha256": sha256}).encode()
    except (ValueError, RecursionError):
        return about


LISTS: tuple[Callable[[Path], object], ...] = (
    datasets.read_pairs,
    datasets.read_questions,
    datasets.read_categories,
    read_vocab,
    lambda path: classes.read(str(path)),
)


def evaluation(data: bytes, folder: Path) -> None:
    """Read word pairs, analogies, categories, a vocabulary or classes, as the first byte says."""
    if data:
        with suppress(InputError):
            LISTS[data[0] % len(LISTS)](_written(data[1:], folder, "list.txt"))


PINNED = ["a", "a-word-of-more-than-16-bytes"]


def scanner(data: bytes, folder: Path) -> None:
    """Hold the native scanner to the Python one; scanner.cpp says what an input is."""
    if len(data) < 5:
        return
    threads, bound, pinned, cut, repetitions = data[:5]
    words, max_types = encode_words(PINNED[: pinned % 3]), bound % 16 or None
    text = data[5:][:256] if max_types else data[5:] * (1 + repetitions % 8)
    path = _written(text, folder, "text")
    native = import_module("w2vfast._scanner").Scanner(words, max_types, 1 + threads % 3)
    stream: list[tuple[int, bool, int]] = []
    step = 1 + cut if threads % 3 == 0 else max(1 + cut, len(text) // 4 + 1)
    with path.open("rb") as file:
        for begin in range(0, len(text), step):
            end = min(begin + step, len(text))
            for ids, ends_before, table in native.add_file(file.fileno(), 0, begin, end, len(text)):
                _append(stream, ids, ends_before, table)
    python, expected = PythonInterner(words, max_types), []
    for piece in python.add_block(text):
        _append(expected, *piece)
    assert native.read == python.read
    counts, undecodable, tables, flawed = native.finish()
    right_counts, right_undecodable, (right_table,), right_flawed = python.finish()
    every = np.arange(len(counts))
    assert native.words(every) == python.words(every)
    assert (counts.tolist(), undecodable.tolist(), flawed) == (
        right_counts.tolist(), right_undecodable.tolist(), right_flawed,
    )  # fmt: skip
    assert [(int(tables[t][i]), end) for i, end, t in stream] == [(int(right_table[i]), end) for i, end, _ in expected]


def _append(stream: list[tuple[int, bool, int]], ids: np.ndarray, ends_before: bool, table: int) -> None:
    if ends_before and stream:
        stream[-1] = (stream[-1][0], True, stream[-1][2])
    stream += [(token & (2**31 - 1), token < 0, table) for token in ids.tolist()]


def encoder(data: bytes, folder: Path) -> None:
    """Hold the native encoder to the Python one: tokens parted at NULs, sentences at newlines."""
    from w2vfast import encoder as module

    sentences = [line.decode(errors="surrogateescape").split("\0") for line in data.split(b"\n")]
    tokens = list(itertools.chain.from_iterable(sentences))
    index = {token: i for i, token in enumerate(dict.fromkeys(tokens[::2]))}
    native, python = (module.encode(sentences, index, native=native) for native in (True, False))
    assert (native[0].tolist(), native[1:]) == (python[0].tolist(), python[1:])
    counted = [module.count(sentences, native=native) for native in (True, False)]
    assert counted[0] == counted[1]
    assert list(counted[0][0]) == list(counted[1][0])


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "scanner": scanner,
    "encoder": encoder,
    "text": text,
    "binary": binary,
    "safetensors": safetensors,
    "checkpoint": checkpoint_,
    "evaluation": evaluation,
    "model": model,
}
