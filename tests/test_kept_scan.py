"""Kept scans: the same corpus without reading the text; never that of another text, another scan or a broken file."""

import gzip
import os
import warnings

import numpy as np
import pytest

from w2vfast import kept_scan, trainer
from w2vfast.config import Config
from w2vfast.corpus import Ledger, scan
from w2vfast.errors import InputError, Stopped
from w2vfast.kept_scan import scan_kept
from w2vfast.kernels.mapped import is_mapped
from w2vfast.vocab import Vocab

OPTIONS = {"min_count": 2, "max_vocab_size": None, "max_final_vocab": None, "vocab": None}
HOW = {"memory_limit": 1 << 20, "workers": 1, "force": False}
TEXT = "".join(f"w{i % 7} w{i % 11}{chr(10) * (i % 3 == 0)} é w{i % 13} rare{i}\n" for i in range(3000))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def found(text, folder, **options):
    inputs = [text] if isinstance(text, os.PathLike) else text
    return scan_kept(inputs, folder, **OPTIONS | HOW | options)


def unread(monkeypatch):
    """Have every scan fail from now on."""

    def read(*_, **__):
        raise AssertionError("the text was read")

    monkeypatch.setattr(kept_scan, "scan", read)


def assert_same(corpus, other):
    np.testing.assert_array_equal(corpus.tokens, other.tokens)
    assert corpus.vocab.words == other.vocab.words
    np.testing.assert_array_equal(corpus.vocab.counts, other.vocab.counts)
    assert (corpus.ledger, corpus.sentences) == (other.ledger, other.sentences)


@pytest.mark.parametrize("memory_limit", [0, 1 << 20], ids=["in-a-file", "in-memory"])
def test_the_second_time_the_text_is_not_read(memory_limit, text, folder, monkeypatch):
    first = found(text, folder, memory_limit=memory_limit)
    (path,) = folder.iterdir()
    unread(monkeypatch)
    again = found(text, folder, memory_limit=memory_limit, workers=2)
    with scan([text], min_count=2) as corpus:
        assert_same(first, corpus)
        assert_same(again, corpus)
    assert (first.kept, again.kept) == (path, path)
    assert first.ids_sha256 == again.ids_sha256 == kept_scan.sum_of_ids(again.tokens)
    assert is_mapped(again.tokens)
    assert not again.tokens.flags.writeable


def test_what_is_kept_is_open_to_all_that_read_tensors(text, folder):
    from safetensors.numpy import load_file

    corpus = found(text, folder)
    tensors = load_file(corpus.kept)
    np.testing.assert_array_equal(tensors["ids"], corpus.tokens)
    assert tensors["words"].tobytes().decode() == "".join(corpus.vocab.words)


@pytest.mark.parametrize(
    "other",
    [
        {"min_count": 3},
        {"max_vocab_size": 12},
        {"max_final_vocab": 5},
        {"vocab": Vocab(["w1", "w2"], np.array([3, 2]))},
        {"vocab": Vocab(["w1", "w2"], np.array([4, 2]))},
        {"force": True},
    ],
    ids=lambda other: "-".join(other),
)
def test_another_scan_is_another_file(other, text, folder):
    found(text, folder)
    with_other = found(text, folder, **other)
    assert len(list(folder.iterdir())) == 2
    with scan([text], **OPTIONS | other) as corpus:
        assert_same(with_other, corpus)


CHANGES = {
    "longer": lambda text: text.write_text(TEXT + "w1 w2\n"),
    "touched": lambda text: os.utime(text, ns=(5, 5)),
    "other-bytes": lambda text: keep_time(text, "x" + TEXT[1:]),
}


def keep_time(path, text):
    """Write another text of the same length, and give the file its time of change back."""
    status = path.stat()
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES)
def test_a_text_that_changed_is_read_again(change, text, folder, monkeypatch):
    found(text, folder)
    CHANGES[change](text)
    with pytest.warns(UserWarning, match=r"the text has changed since .* \(then / now\): .*text.txt \((size|ch|sam)"):
        again = found(text, folder)
    with scan([text], min_count=2) as corpus:
        assert_same(again, corpus)
    assert len(list(folder.iterdir())) == 1
    unread(monkeypatch)
    assert_same(found(text, folder), again)


def test_files_are_known_by_their_order_and_number(text, folder, tmp_path):
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"w1 w1 b b\n"))
    both = found([text, tmp_path / "b.txt.gz"], folder)
    turned = found([tmp_path / "b.txt.gz", text], folder)
    assert both.ledger == turned.ledger
    assert not np.array_equal(both.tokens, turned.tokens)
    assert len(list(folder.iterdir())) == 2


def damage(data, how):
    middle = len(data) // 2
    return {
        "bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "cut": data[:-9],
        "empty": b"",
        "zeros": bytes(len(data)),
        "ledger": data.replace(b'read\\": ', b'read\\":9', 1),
        "other": b"no tensors",
    }[how]


@pytest.mark.parametrize("how", ["bit", "cut", "empty", "zeros", "ledger", "other"])
def test_a_damaged_file_is_warned_of_and_replaced(how, text, folder, monkeypatch):
    whole = found(text, folder)
    (path,) = folder.iterdir()
    data = path.read_bytes()
    assert damage(data, how) != data
    path.unlink()  # what is mapped must not change
    path.write_bytes(damage(data, how))
    with pytest.warns(UserWarning, match="is damaged .*: the text is read again"):
        assert_same(found(text, folder), whole)
    assert path.read_bytes() == data
    unread(monkeypatch)
    assert_same(found(text, folder), whole)


def test_a_scan_that_cannot_be_kept_is_warned_of(text, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    found(text, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    text.write_text(TEXT + TEXT)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="not kept|has changed") as warned:
        corpus = found(text, folder)
    assert "the scan is not kept in" in str(warned[1].message)
    assert "No space left on device; training goes on" in str(warned[1].message)
    with scan([text], min_count=2) as right:
        assert_same(corpus, right)
    assert corpus.kept is None
    assert corpus.ids_sha256 == kept_scan.sum_of_ids(corpus.tokens)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_pipes_are_read_each_time(text, folder, tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes with a name")
    import threading

    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(TEXT))
    writer.start()
    corpus = found(tmp_path / "pipe", folder)
    writer.join()
    assert corpus.kept is None
    assert not list(folder.iterdir())


def test_a_text_replaced_while_it_is_read_is_refused(text, folder, tmp_path):
    def replaced(_, __):
        if not (tmp_path / "old.txt").exists():
            text.rename(tmp_path / "old.txt")
            text.write_text(TEXT + TEXT)

    with pytest.raises(InputError, match="the text changed while it was read"):
        found(text, folder, progress=replaced)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_resumed_run_does_not_read_the_text(backend, text, folder, tmp_path, monkeypatch):
    from w2vfast import backends

    if backends.unavailable_reason(backend) is not None:
        pytest.skip(backends.unavailable_reason(backend))
    options = {"backend": backend, "workers": 1, "vector_size": 8, "epochs": 3, "sample": 0.0, "seed": 5}
    if backend == "torch":
        options |= {"tile": 64, "tokens_in_flight": 4096}
    whole = trainer.train_files([text], Config(**options))
    options |= {"cache_dir": str(folder), "checkpoint": str(tmp_path / "state"), "resume": True}
    with pytest.raises(Stopped):
        trainer.train_files([text], Config(**options), stop=lambda: True)
    unread(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = trainer.train_files([text], Config(**options))
    np.testing.assert_array_equal(resumed.w_in, whole.w_in)
    assert resumed.scan_kept == str(next(folder.iterdir()))


def test_a_run_does_not_go_on_with_a_text_that_changed(text, folder, tmp_path):
    options = {"workers": 1, "vector_size": 8, "epochs": 3, "cache_dir": str(folder), "resume": True}
    options |= {"checkpoint": str(tmp_path / "state")}
    with pytest.raises(Stopped):
        trainer.train_files([text], Config(**options), stop=lambda: True)
    text.write_text(TEXT + "w1\n")
    with (
        pytest.warns(UserWarning, match="the text has changed since"),
        pytest.raises(InputError, match=r"other corpus \(then / now\): read: [0-9]+ / [0-9]+"),
    ):
        trainer.train_files([text], Config(**options))


def test_a_missing_folder_is_refused(text, tmp_path):
    with pytest.raises(InputError, match=r"cannot keep the scan in .*nowhere: there is no such folder"):
        found(text, tmp_path / "nowhere")


def test_the_ledger_is_kept(text, folder):
    found(text, folder)
    assert found(text, folder).ledger == Ledger(*vars(scan([text], min_count=2).ledger).values())
