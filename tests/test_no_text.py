"""What is no text is refused, with its format and the remedy named, by both scanners alike; text of any kind passes."""

import base64
import bz2
import gzip
import io
import lzma
import os
import pickle
import random
import sqlite3
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2vfast.corpus import ScannerName, native_unavailable_reason, scan
from w2vfast.errors import InputError
from w2vfast.formats import Vectors, save_vectors
from w2vfast.inputs import open_text
from w2vfast.no_text import find_flaws, is_binary, is_foreign

NO_NATIVE = native_unavailable_reason()
needs_native = pytest.mark.skipif(NO_NATIVE is not None, reason=str(NO_NATIVE))

ENGLISH = "the ship sailed on and the crew , all of them , slept while the moon rose over the sea . \n" * 40
FRENCH = "l' été où la forêt brûla , les élèves étaient déjà à l' école ; ça n' a pas gêné le maître là-bas . \n" * 40
CZECH = "loď plula po moři , celá posádka spala , zatímco měsíc vycházel nad vodou a tichý vítr vál od břehu . \n" * 40
RUSSIAN = "корабль плыл по морю , и вся команда спала , пока луна вставала над водой . \n" * 40
GREEK = "το πλοίο έπλεε στη θάλασσα και όλο το πλήρωμα κοιμόταν όσο ανέτειλε το φεγγάρι . \n" * 40
CHINESE = "船 在 海上 航行 , 全体 船员 都 睡着 了 , 月亮 从 海面 升起 。 \n" * 40
JAPANESE = "船 は 海 を 進み 、 乗組員 は みな 眠り 、 月 が 海 の 上 に 昇った 。 \n" * 40
UNSEGMENTED = CHINESE.replace(" ", "")
COLOURED = "\x1b]0;user@host\x07\x1b[32mINFO\x1b[0m \x1b[1mship\x1b[0m \x1b[31msailed\x1b[0m on b\bbo\bol\bld\bd\n" * 40
RNG = np.random.default_rng(0)

TEXTS: dict[str, bytes] = {
    "english": ENGLISH.encode(),
    "latin-1": FRENCH.encode("latin-1"),
    "latin-2": CZECH.encode("iso-8859-2"),
    "russian": RUSSIAN.encode(),
    "chinese": CHINESE.encode(),
    "one-word-a-line": UNSEGMENTED.encode(),
    "stray-nul-in-long-words": UNSEGMENTED.replace("全", "\0", 20).encode(),
    "stray-bytes": ENGLISH.encode().replace(b"crew", b"cr\xffew"),
    "some-nuls": ENGLISH.encode().replace(b"moon", b"moo\0", 9),
    "coloured-log": COLOURED.encode(),
    "base64": base64.encodebytes(RNG.bytes(90_000)) + ENGLISH.encode(),
    "longer-than-the-head": UNSEGMENTED.replace("\n", "").encode() * 100 + b" \n the ship",
    "walks-of-a-graph": b"12 7\n" + b"3 1 4 1 5 9 2 6\n" * 40,
    "table-of-few-numbers": b"ship 1.5 2.5\nmoon 0.5 1.25\n" * 40,
    "begins-like-a-program": b"MZ PAR1 BM GIF PK 7z Rar! ID3 Obj RIFF " + ENGLISH.encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_any_kind_passes(tmp_path: Path, name: str) -> None:
    for file, content in (("text", TEXTS[name]), ("two-words", b"ship sea")):  # some texts have too few of their own
        (tmp_path / file).write_bytes(content)
    corpora = [scan([tmp_path], min_count=1, scanner=scanner) for scanner in scanners()]
    expected = len(TEXTS[name].split()) + 2
    assert [corpus.ledger.read for corpus in corpora] == [expected] * len(corpora)


def scanners() -> list[ScannerName]:
    return ["python"] if NO_NATIVE else ["python", "native"]


def saved(suffix: str, words: int = 50, size: int = 20) -> bytes:
    """Return what our own writer makes of random vectors."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v.{suffix}"
        vectors = RNG.normal(size=(words, size)).astype(np.float32)
        save_vectors(Vectors([f"w{i}" for i in range(words)], vectors), path)
        return path.read_bytes()


def in_memory(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(file: io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("text.txt", ENGLISH)


def tarred(file: io.BytesIO) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("text.txt")
        member.size = len(ENGLISH)
        archive.addfile(member, io.BytesIO(ENGLISH.encode()))


def database(tmp_path: Path) -> bytes:
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("create table texts (text)")
    connection.execute("insert into texts values (?)", (ENGLISH,))
    connection.commit()
    connection.close()
    return (tmp_path / "db").read_bytes()


PIXELS = np.clip(RNG.normal(128, 20, 50_000), 40, 215).astype(np.uint8).tobytes()
REST = RNG.bytes(5000)

# Content, and what of the message names the format and the remedy.
REFUSED: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "random": (RNG.bytes(300_000), "is binary: .* words hold control characters; give plain text"),
    "few-random": (RNG.bytes(300), "is binary"),
    "control-characters": (ENGLISH.replace(" ", " \x01").encode(), "is binary"),
    "pixels": (PIXELS, "is not in UTF-8"),
    "float32": (RNG.normal(size=9000).astype(np.float32).tobytes(), "is binary"),
    "int64": (RNG.integers(0, 50_000, 9000).tobytes(), "is binary: .* NUL"),
    "npy": (lambda: in_memory(lambda f: np.save(f, np.arange(500.0))), "is a numpy array .*: give the text"),
    "npz": (lambda: in_memory(lambda f: np.savez(f, a=np.arange(5))), "is a zip archive .*npz.*: unpack it first"),
    "zip": (lambda: in_memory(zipped), "is a zip archive .*: unpack it first"),
    "tar": (lambda: in_memory(tarred), "is a tar archive: unpack it first .tar xf"),
    "tar.gz": (lambda: gzip.compress(in_memory(tarred)), "is a tar archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + REST, "is a 7z archive: unpack"),
    "rar": (b"Rar!\x1a\x07\x01\0" + REST, "is a rar archive: unpack"),
    "lz4": (b"\x04\x22\x4d\x18" + REST, "is lz4-compressed: use 'lz4 -dc"),
    "pdf": (b"%PDF-1.7\n" + ENGLISH.encode(), "is a PDF document: extract its text"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + REST, "is an old Office document: save it as plain text"),
    "rtf": (b"{\\rtf1\\ansi " + ENGLISH.encode(), "is an RTF document"),
    "parquet": (b"PAR1\x15\x04\x15" + REST, "is a parquet table: write its texts to a file"),
    "feather": (b"ARROW1\0\0" + REST, "is an arrow or feather table: write its texts to a file"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + REST, "is an HDF5 file"),
    "elf": (b"\x7fELF\x02\x01\x01" + REST, "is a program or library .ELF"),
    "this-python": (lambda: Path(os.path.realpath(sys.executable)).read_bytes()[:100_000], "is a program"),
    "mach-o": (b"\xcf\xfa\xed\xfe\x07\0\0\1" + REST, "is a program or library .Mach-O"),
    "pe": (b"MZ" + b"\x90\0" * 29 + b"\x80\0\0\0" + b"\0" * 64 + b"PE\0\0" + REST, "is a program .*Windows PE"),
    "png": (b"\x89PNG\r\n\x1a\n" + REST, "is an image"),
    "jpeg": (b"\xff\xd8\xff\xe0" + REST, "is an image"),
    "gif": (b"GIF89a" + REST, "is an image"),
    "wave": (b"RIFF\x24\0\0\0WAVEfmt " + REST, "is a sound file"),
    "pickle-2": (pickle.dumps(ENGLISH.split(), 2), "is a pickle .*gensim"),
    "pickle-5": (pickle.dumps(ENGLISH.split(), 5), "is a pickle"),
    "word2vec-binary": (lambda: saved("bin"), "holds word vectors in binary, not text: give the text"),
    "word2vec-binary-wide": (lambda: saved("bin", 300, 300), "holds word vectors in binary"),
    "word2vec-binary-narrow": (lambda: saved("bin", 50, 1), "holds word vectors in binary"),
    "word2vec-text": (lambda: saved("txt"), "holds word vectors, not text: give the text"),
    "word2vec-text-narrow": (lambda: saved("vec", 2, 1), "holds word vectors, not text"),
    "glove": (lambda: saved("txt").split(b"\n", 1)[1], "holds word vectors, not text"),
    "gensim": (lambda: saved("kv"), "is a pickle"),
    "safetensors": (lambda: saved("safetensors"), "is a safetensors file"),
    "gzip-twice": (gzip.compress(gzip.compress(ENGLISH.encode())), "is gzip-compressed inside another compression"),
    "xz-in-bzip2": (bz2.compress(lzma.compress(ENGLISH.encode())), "is xz-compressed inside another compression"),
    "utf-16": (ENGLISH.encode("utf-16"), "is UTF-16: convert it to UTF-8 .iconv -f UTF-16 "),
    "utf-16-without-mark": (ENGLISH.encode("utf-16-le"), "is UTF-16LE: convert it to UTF-8 .iconv -f UTF-16LE "),
    "utf-16-be": (ENGLISH.encode("utf-16-be"), "is UTF-16BE"),
    "utf-32": (ENGLISH.encode("utf-32"), "is UTF-32: convert it"),
    "iso-2022-jp": (JAPANESE.encode("iso-2022-jp"), "is ISO-2022-JP: convert it to UTF-8"),
    "windows-1251": (RUSSIAN.encode("cp1251"), "is not in UTF-8: .* words are not; convert it .*iconv"),
    "koi8": (RUSSIAN.encode("koi8-r"), "is not in UTF-8"),
    "greek": (GREEK.encode("iso-8859-7"), "is not in UTF-8"),
    "gbk": (CHINESE.encode("gbk"), "is not in UTF-8"),
    "gbk-unsegmented": (UNSEGMENTED.encode("gbk"), "is not in UTF-8"),
    "shift-jis": (JAPANESE.encode("shift-jis"), "is not in UTF-8"),
    "euc-jp": (JAPANESE.encode("euc-jp"), "is not in UTF-8"),
    "gbk-in-gzip": (gzip.compress(CHINESE.encode("gbk")), "is not in UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_text_is_named_and_refused(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "corpus"
    path.write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(InputError, match=message) as error:
        scan([path], min_count=1)
    assert str(error.value).startswith(f"{path} ")
    assert "--force" in str(error.value)
    assert "\n" not in str(error.value)
    (tmp_path / "two-words").write_bytes(b"ship sea")
    forced = [scan([tmp_path], min_count=1, scanner=scanner, force=True).ledger for scanner in scanners()]
    with open_text(path, force=True) as text:
        assert [ledger.read for ledger in forced] == [len(text.read(1 << 30).split()) + 2] * len(forced)


def test_a_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "corpus").write_bytes(database(tmp_path))
    with pytest.raises(InputError, match="is an SQLite database: write its texts to a file"):
        scan([tmp_path / "corpus"])


@pytest.mark.parametrize("scanner", ["python", pytest.param("native", marks=needs_native)])
def test_all_files_are_looked_at_before_one_is_read(tmp_path: Path, scanner: ScannerName) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(ENGLISH)
    (tmp_path / "d.gz").write_bytes(gzip.compress(b"%PDF-1.7"))

    def fail(*_: object) -> None:
        raise AssertionError("a text was read")

    with pytest.raises(InputError, match=r"d\.gz is a PDF document"):
        scan([tmp_path], min_count=1, scanner=scanner, progress=fail)
    assert scan([tmp_path], min_count=1, scanner=scanner, force=True).ledger.read == 3 * len(ENGLISH.split()) + 1


@pytest.mark.parametrize(
    ("rest", "message"),
    [(RNG.bytes(400_000), "is binary: "), (RUSSIAN.encode("cp1251") * 60, "is not in UTF-8: ")],
    ids=["random", "windows-1251"],
)
@pytest.mark.parametrize("max_vocab_size", [None, 100])
@pytest.mark.parametrize("packed", [False, True])
def test_a_text_that_turns_to_garbage_is_noticed_in_the_end(
    tmp_path: Path, rest: bytes, message: str, max_vocab_size: int | None, packed: bool
) -> None:
    path = tmp_path / "text"
    content = ENGLISH.encode() * 20 + rest
    assert len(ENGLISH) * 20 > 1 << 16
    path.write_bytes(gzip.compress(content) if packed else content)
    messages = set()
    for scanner in scanners():
        for block in (None, 997):
            with pytest.raises(InputError, match=message) as error:
                scan([path], scanner=scanner, workers=2, max_vocab_size=max_vocab_size, _block_bytes=block)
            messages.add(str(error.value))
        scan([path], scanner=scanner, max_vocab_size=max_vocab_size, force=True)
    assert len(messages) == 1, "the scanners count alike"
    assert f"of {len(content.split()):,} words" in messages.pop()
    (tmp_path / "other").write_text(ENGLISH)
    with pytest.raises(InputError, match=f"^the text {message}"):
        scan([path, tmp_path / "other"])


odd_words = st.lists(
    st.sampled_from([b"a", b"\x00", b"\x07", b"\x1b", b"\x1f", b"\x7f", b"\xc3\xa9", b"\xc3", b"\xff", b"\xed\xa0\x80"])
    | st.sampled_from([b"\xf0\x9f\x98\x80", b"\xf0\x9f\x98", b"\xe2\x82", b"\xc0\x80", b"a" * 31, b"\xf4\x90\x80\x80"]),
    min_size=1,
    max_size=12,
).map(b"".join)


@needs_native
@given(words=st.lists(odd_words, min_size=1, max_size=20), max_types=st.none() | st.integers(1, 5))
def test_scanners_find_the_same_flaws(words: list[bytes], max_types: int | None) -> None:
    from importlib import import_module

    flawed = import_module("w2vfast._scanner").Scanner([], max_types, 2)
    flawed.add_block(b" ".join(words))
    found = find_flaws(words)
    assert flawed.finish()[3] == tuple(map(len, found))
    assert found.undecodable == [i for i, word in enumerate(words) if word.decode(errors="ignore").encode() != word]


def test_bounds_of_a_word() -> None:
    assert [is_binary(b"a" * n + b"\0") for n in (0, 30, 31, 1000)] == [True, True, False, False]
    assert [is_binary(b"a" + control) for control in (b"\x07", b"\x08", b"\x1b", b"\x7f")] == [False] * 3 + [True]
    assert [is_foreign(word) for word in (b"\xff", b"ab\xff\xff", b"abc\xff\xff", b"abcd\xff\xff", b"ab\xff")] == [
        *(True, True, True, False, False)
    ]
    assert not is_foreign("été".encode())
    assert is_foreign("été".encode("latin-1"))


def test_a_long_number_in_the_first_line_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"7 " + b"9" * 10_000 + b"\n" + ENGLISH.encode())
    assert scan([tmp_path / "text"], min_count=1).ledger.read == len(ENGLISH.split()) + 2


def test_random_bytes_of_any_length_are_refused(tmp_path: Path) -> None:
    for seed, size in enumerate((100, 1000, 10_000, 100_000)):
        (tmp_path / "random").write_bytes(random.Random(seed).randbytes(size))
        with pytest.raises(InputError, match="is binary"):
            scan([tmp_path / "random"])
