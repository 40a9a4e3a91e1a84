"""Text in .zst is read as .gz is: frames one after another, also to be skipped; what is cut or damaged is told."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from w2vfast import inputs
from w2vfast.corpus import ScannerName, native_unavailable_reason, scan
from w2vfast.errors import InputError
from w2vfast.inputs import open_text

if sys.version_info >= (3, 14):
    from compression import zstd

    compress: Callable[[bytes], bytes] = zstd.compress
else:
    zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed: pip install 'w2vfast[zstd]'")

    def compress(text: bytes) -> bytes:
        packed: bytes = zstandard.ZstdCompressor(write_checksum=True).compress(text)
        return packed


NO_NATIVE = native_unavailable_reason()
SCANNERS = ["python", pytest.param("native", marks=pytest.mark.skipif(NO_NATIVE is not None, reason=str(NO_NATIVE)))]
TEXT = b"".join(b"the %d ships sail over the sea\n" % number for number in range(20_000))
SKIPPED = b"\x51\x2a\x4d\x18\x03\x00\x00\x00abc"

PACKED: dict[str, Callable[[], bytes]] = {
    "text.zst": lambda: compress(TEXT),
    "text.ZST": lambda: compress(TEXT),
    "no-suffix": lambda: compress(TEXT),
    "two-frames.zst": lambda: compress(TEXT[:1000]) + compress(TEXT[1000:]),
    "many-frames.zst": lambda: b"".join(compress(TEXT[at : at + 5000]) for at in range(0, len(TEXT), 5000)),
    "empty-frame.zst": lambda: compress(b"") + compress(TEXT) + compress(b""),
    "skipped.zst": lambda: SKIPPED + compress(TEXT[:1000]) + SKIPPED + compress(TEXT[1000:]) + SKIPPED,
    "byte-order-mark.zst": lambda: compress(b"\xef\xbb\xbf" + TEXT),
}


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("name", PACKED)
def test_zst_is_read(tmp_path: Path, scanner: ScannerName, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name]())
    calls = []
    corpus = scan([path], min_count=1, scanner=scanner, progress=lambda *call: calls.append(call))
    assert corpus.ledger.read == len(TEXT.split())
    assert corpus.vocab.words[0] == "the"
    assert calls[-1] == (path.stat().st_size, path.stat().st_size)
    for size in (1, 1000, 1 << 20):
        with open_text(path) as text:
            assert text.read(3000 if size == 1 else len(TEXT) + size).startswith(TEXT[:3000])


def test_standard_input_in_zst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(compress(TEXT))))
    assert scan(["-"], min_count=1).ledger.read == len(TEXT.split())


@pytest.mark.parametrize("length", [4, 5, 20, 0.5, -5, -1])
def test_what_is_cut_is_told(tmp_path: Path, length: float) -> None:
    packed = compress(TEXT)
    cut = int(length * len(packed)) if isinstance(length, float) else length
    (tmp_path / "cut.zst").write_bytes(packed[:cut])
    with pytest.raises(InputError, match=r"cut\.zst is cut short: its compressed data ends too early"):
        scan([tmp_path / "cut.zst"], min_count=1)
    (tmp_path / "cut.zst").write_bytes(packed + packed[:cut])
    with pytest.raises(InputError, match=r"cut\.zst is cut short"):
        scan([tmp_path / "cut.zst"], min_count=1)


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.zst"
    packed = bytearray(compress(TEXT))
    for damaged in (bytes(packed[:300]) + os.urandom(60) + bytes(packed[360:]), bytes(packed) + b"not a frame"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"bad\.zst is (damaged: .*; copy or download it again|cut short)"):
            scan([path], min_count=1)


def test_what_lies_inside_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "text.zst"
    for content, message in (
        (compress(b"%PDF-1.7"), "is a PDF document"),
        (compress(compress(TEXT)), "is zstd-compressed inside another compression"),
        (compress(b""), "is empty"),
        (TEXT, "is named like a zstd file but is not one"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            scan([path], min_count=1)


def test_memory_stays_small_where_little_becomes_much(tmp_path: Path) -> None:
    (tmp_path / "much.zst").write_bytes(compress(b"ship sea " * 5_000_000))
    with open_text(tmp_path / "much.zst") as text:
        assert len(text.read(100)) == 100
        assert sum(len(block) for block in iter(lambda: text.read(1 << 20), b"")) == 45_000_000 - 100


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the standard library reads zstd here")
def test_without_the_package_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.zst").write_bytes(compress(TEXT))
    monkeypatch.setattr(inputs, "is_installed", lambda _: False)
    with pytest.raises(InputError, match=r"pip install zstandard .*zstd -dc FILE"):
        scan([tmp_path / "text.zst"])
