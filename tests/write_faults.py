"""Fails the calls that write what the project writes, one after the other, and tells whether all earlier is intact.

    LD_PRELOAD=failing_writes.so python -m tests.write_faults FOLDER KIND...

A process of its own, with tests/native/failing_writes.c before the C library. For each kind (below) it writes once, to
count the calls; then for each of them writes anew with that call failing, which has to raise an error of one line, and
compares all files with those before, byte by byte. One line a kind: its name and how many calls there were.
"""

import ctypes
import sys
import warnings
from pathlib import Path

import numpy as np

from w2vfast import checkpoint, convert, formats, kept_scan, model_file, objectives
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.formats import Vectors
from w2vfast.run import RunState
from w2vfast.vocab import Vocab, save_vocab

LIBRARY = ctypes.CDLL(None)
ROWS, SIZE = 400, 40
WORDS = [f"word{i}" for i in range(ROWS)]
COUNTS = np.arange(ROWS, 0, -1)


def tables(number, rows=ROWS):
    rng = np.random.default_rng(number)
    return rng.normal(size=(rows, SIZE)).astype(np.float32), rng.normal(size=(rows, SIZE)).astype(np.float32)


def vectors(name):
    return lambda folder, number: formats.save_vectors(Vectors(WORDS, tables(number)[0], COUNTS), folder / name)


def large_kv(folder, number):
    """gensim puts arrays of ten million numbers into files of their own."""
    array = np.full((110_000, 100), number, np.float32)
    formats.save_vectors(Vectors([f"w{i}" for i in range(len(array))], array), folder / "large.kv")


def model(folder, number):
    objective = objectives.create(Config(), COUNTS, WORDS)
    model_file.save(model_file.Contents(WORDS, COUNTS, *tables(number), objective, {}), folder / "m.safetensors")


def vocabulary(folder, number):
    save_vocab(Vocab(WORDS, COUNTS + number), folder / "vocab.txt")


def a_checkpoint(folder, number):
    made = checkpoint.Folder(folder)
    about = {"version": "0", "backend": "native", "asked": {}, "settings": {}, "corpus": {}}
    made.save(about, checkpoint.Contents(RunState(epoch=number), tables(number)))


def scan(folder, number):
    """Ids in a cache file, and the scan kept: what cannot be kept is a warning, and the text changes each time."""
    text = folder.parent / "scanned.txt"
    options = {"min_count": 1, "max_vocab_size": None, "max_final_vocab": None, "vocab": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the text has changed")
        warnings.filterwarnings("error", message="the scan is not kept")
        kept_scan.scan_kept([text], folder, **options, memory_limit=0, workers=1, force=False).close()


def projector(folder, number):
    source = folder.parent / "source.safetensors"
    if not source.exists():
        formats.save_vectors(Vectors(WORDS, tables(1)[0], COUNTS), source)
    convert.export_projector(source, folder, top=ROWS - number)


KINDS = {
    "binary": vectors("v.bin"),
    "text": vectors("v.txt"),
    "safetensors": vectors("v.safetensors"),
    "kv": vectors("v.kv"),
    "large-kv": large_kv,
    "model": model,
    "vocabulary": vocabulary,
    "checkpoint": a_checkpoint,
    "scan": scan,
    "projector": projector,
}


def write(kind, folder, number, fail):
    """Write one kind with the given call failing; returns how many calls there were, and whether it raised."""
    if kind == "scan":
        text = "".join(f"word{i % 700} word{(i * i + number) % 1900}\n" for i in range(6_000))
        (folder.parent / "scanned.txt").write_text(text)
    LIBRARY.count_from_here(ctypes.c_long(fail))
    try:
        KINDS[kind](folder, number)
        raised = None
    except (InputError, UserWarning) as error:
        raised = error
    return LIBRARY.counted(), raised


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same(kind, folder, other):
    """Return whether two folders hold the same; a kept scan tells when its text was written too."""
    one, two = contents(folder), contents(other)
    return one == two or (kind == "scan" and [*map(len, one.values())] == [*map(len, two.values())])


def main(root, *kinds):
    for kind in kinds:
        folder, clean = Path(root) / kind, Path(root) / f"clean-{kind}"
        folder.mkdir()
        clean.mkdir()
        assert write(kind, clean, 3, 0)[1] is None
        write(kind, folder, 1, 0)
        calls, raised = write(kind, folder, 2, 0)
        assert raised is None, raised
        before, whole = contents(folder), 0
        for call in range(1, calls + 1):
            _, raised = write(kind, folder, 3, call)
            if raised is None:  # there was another way: of making a temporary file, say
                assert same(kind, folder, clean), f"{kind}: call {call} of {calls} failed, and nothing was said"
                write(kind, folder, 2, 0)
                before = contents(folder)
                continue
            assert "\n" not in str(raised)
            if contents(folder) != before:
                # Nothing but the last sync of the folder, behind the rename, may leave what is new: it is whole.
                assert call == calls, f"{kind}: call {call} of {calls} left {sorted(contents(folder))}, {raised}"
                assert same(kind, folder, clean)
                whole += 1
        assert write(kind, folder, 4, 0)[1] is None
        assert set(contents(folder)) >= {name for name in before if kind != "checkpoint"}
        print(kind, calls, whole, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
