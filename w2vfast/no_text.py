"""Tells what is no text: other formats by their signature, the rest by words that hold control characters or no UTF-8.

A word is *binary* if more than one in 32 of its bytes is a control character, so that a stray NUL does not make a line
of Chinese one. White space splits words; bell, backspace and escape do no harm: logs hold them. A word is *foreign* if
at least two in five of its bytes belong to no valid UTF-8: few are in Latin-1, most are in encodings of other scripts.
`kernels/native/scan_words.hpp` counts alike.

The bounds stand between what was measured on the first 64 KiB of files (docs/design.md, "What is no text"):

| | binary words | foreign words |
| --- | --- | --- |
| UTF-8 in 9 scripts, base64, logs with colours | 0 to 0.8 % | 0 |
| ISO 8859-1, -2, -9, -13, -15, Windows-1258 | 0 | 0 to 7 % |
| GB18030, Big5, Shift-JIS, EUC, Windows-1251, KOI8-R, ISO 8859-7 | 0 | 38 to 94 % |
| random, compressed, arrays, programs, fonts, databases | 14 to 100 % | |
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import NamedTuple

from w2vfast.errors import InputError

MAX_BINARY = 0.05  # of the words
MAX_FOREIGN = 0.25
_MAX_NUL_SHARE = 0.01

ALL_THE_SAME = "w2vfast.train --force (force=True) trains on it all the same"
_CONTROL = bytes([*range(7), *range(14, 27), *range(28, 32), 127])

_UNPACK = "unpack it first"
_VECTORS = "give the text that they were trained on"
# Of each format its signature at the beginning, its name and the remedy. Not those that text may begin with.
_SIGNATURES: list[tuple[bytes, str, str]] = [
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive (as docx, xlsx, epub, npz and PyTorch files are)", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", f"{_UNPACK} (7z x FILE)"),
    (rb"Rar!\x1a\x07", "a rar archive", f"{_UNPACK} (unrar x FILE)"),
    (rb".{257}ustar", "a tar archive", f"{_UNPACK} (tar xf FILE)"),
    (rb"!<arch>\n", "an ar archive", _UNPACK),
    (rb"\x04\x22\x4d\x18", "lz4-compressed", "use 'lz4 -dc FILE | ... -'"),
    (rb"\x1f[\x9d\xa0]", "compress-ed (.Z)", "use 'zcat FILE | ... -'"),
    (rb"LZIP\x01", "lzip-compressed", "use 'lzip -dc FILE | ... -'"),
    (rb"\xff\x06\x00\x00sNaPpY", "snappy-compressed", "decompress it first"),
    (rb"\x1f\x8b\x08", "gzip-compressed inside another compression", "decompress it once first"),
    (rb"BZh[1-9]1AY&SY", "bzip2-compressed inside another compression", "decompress it once first"),
    (rb"\xfd7zXZ\x00", "xz-compressed inside another compression", "decompress it once first"),
    (rb"\x28\xb5\x2f\xfd", "zstd-compressed inside another compression", "decompress it once first"),
    (rb"%PDF-", "a PDF document", "extract its text first (pdftotext FILE)"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", "save it as plain text first"),
    (rb"\{\\rtf\d", "an RTF document", "save it as plain text first"),
    (rb"PAR[1E]\x15", "a parquet table", "write its texts to a file (pandas.read_parquet)"),
    (rb"ARROW1\x00\x00", "an arrow or feather table", "write its texts to a file (pandas.read_feather)"),
    (rb"\xff\xff\xff\xff.{2}\x00\x00", "an arrow stream", "write its texts to a file (pyarrow.ipc)"),
    (rb"Obj\x01", "an Avro file", "write its texts to a file"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its texts to a file"),
    (rb"SQLite format 3\x00", "an SQLite database", "write its texts to a file (sqlite3)"),
    (rb"\x93NUMPY", "a numpy array (.npy)", "give the text that it was made from"),
    (rb".{4}\x00{4}\{[\" }]", "a safetensors file", _VECTORS),
    (rb"\xba\x16\x4f\x2f", "a fastText model", _VECTORS),
    (rb"GGUF[\x01-\x09]\x00", "a GGUF model", "give text"),
    (rb"\x80[\x02-\x05][\x20-\x7e\x80-\xff]", "a pickle (as models of gensim are)", "write its texts to a file"),
    (rb"\x7fELF", "a program or library (ELF)", "give text"),
    (rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe", "a program or library (Mach-O)", "give text"),
    (rb"\xca\xfe\xba\xbe\x00", "a program (Mach-O or Java class)", "give text"),
    (rb"MZ.{58}.{2}\x00\x00.*?PE\x00\x00", "a program or library (Windows PE)", "give text"),
    (rb"\x00asm", "a WebAssembly program", "give text"),
    (rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP", "an image", "give text"),
    (rb"II\x2a\x00|MM\x00\x2a|BM.{4}\x00{4}", "an image", "give text"),
    (rb"RIF[FX].{4}WAVE|OggS\x00|fLaC\x00|ID3[\x02-\x04]", "a sound file", "give text"),
    (rb"\x00.{3}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video", "give text"),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32", "convert it to UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16", "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (rb"[^\x1b]*\x1b\$[@B]", "ISO-2022-JP", "convert it to UTF-8 (iconv -f ISO-2022-JP -t UTF-8)"),
]  # fmt: skip
_KINDS = [(re.compile(signature, re.DOTALL), what, remedy) for signature, what, remedy in _SIGNATURES]
_HEADER = re.compile(rb"\s*\d{1,12} +(\d{1,9}) *\r?\n")
_UTF16_LE, _UTF16_BE = re.compile(rb"(?:[^\x00]\x00){8}"), re.compile(rb"(?:\x00[^\x00]){8}")
_DECIMAL = re.compile(rb"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)
_LEAST_COLUMNS = 10  # of vectors without a header, as GloVe writes them


def refuse_no_text(name: str, head: bytes, *, cut: bool) -> None:
    """Raise InputError if `head`, the beginning of a text, is that of another format; `cut`: the text goes on."""
    for signature, what, remedy in _KINDS:
        if signature.match(head):
            raise InputError(f"{name} is {what}: {remedy}; {ALL_THE_SAME}")
    header = _HEADER.match(head)
    if _vectors_as_text(head[header.end() :] if header else head, int(header[1]) if header else None):
        raise InputError(f"{name} holds word vectors, not text: {_VECTORS}; {ALL_THE_SAME}")
    nuls = head.count(0)
    if nuls > _MAX_NUL_SHARE * len(head):
        for order, pattern in (("LE", _UTF16_LE), ("BE", _UTF16_BE)):
            if pattern.match(head):
                encoding = f"UTF-16{order}"
                raise InputError(
                    f"{name} is {encoding}: convert it to UTF-8 (iconv -f {encoding} -t UTF-8); {ALL_THE_SAME}"
                )
    try:
        if nuls > _MAX_NUL_SHARE * len(head):
            raise InputError(
                f"{name} is binary: {nuls:,} of its first {len(head):,} bytes are NUL; give plain text in UTF-8; "
                f"{ALL_THE_SAME}"
            )
        words = _whole_words(head) if cut else head.split()
        flaws = find_flaws(words)
        refuse_flawed(name, len(words), len(flaws.binary), len(flaws.foreign), "its first ")
    except InputError as error:
        if header and "is binary" in str(error):
            message = f"{name} holds word vectors in binary, not text: {_VECTORS}; {ALL_THE_SAME}"
            raise InputError(message) from error
        raise


def refuse_flawed(name: str, words: int, binary: int, foreign: int, where: str = "") -> None:
    """Raise InputError if more of a text's words are binary or foreign than text has."""
    if binary > MAX_BINARY * words:
        raise InputError(
            f"{name} is binary: {binary:,} of {where}{words:,} words hold control characters; give plain text in "
            f"UTF-8; {ALL_THE_SAME}"
        )
    if foreign > MAX_FOREIGN * words:
        raise InputError(
            f"{name} is not in UTF-8: {foreign:,} of {where}{words:,} words are not; convert it from what it is in "
            f"(iconv -f GB18030 -t UTF-8, -f SHIFT_JIS, -f WINDOWS-1251, ...); {ALL_THE_SAME}"
        )


class Flaws(NamedTuple):
    """Which of a list of words, by their indices, have which flaw."""

    undecodable: list[int]  # not valid UTF-8
    binary: list[int]
    foreign: list[int]


def find_flaws(words: Sequence[bytes]) -> Flaws:
    """Return which of the words have a flaw."""
    # Mostly nothing is amiss, which one look at all of them tells quickly.
    together = b" ".join(words)
    every = range(len(words))
    binary = [i for i in every if is_binary(words[i])] if together.translate(None, _CONTROL) != together else []
    undecodable = [] if _decodes(together) else [i for i in every if not _decodes(words[i])]
    return Flaws(undecodable, binary, [i for i in undecodable if is_foreign(words[i])])


def _decodes(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_binary(word: bytes) -> bool:
    """Return whether more than one in 32 of the word's bytes is a control character."""
    return (len(word) - len(word.translate(None, _CONTROL))) * 32 > len(word)


def is_foreign(word: bytes) -> bool:
    """Return whether two in five of the word's bytes belong to no valid UTF-8."""
    return (len(word) - len(word.decode(errors="ignore").encode())) * 5 >= 2 * len(word)


def _whole_words(head: bytes) -> list[bytes]:
    """Return the words of a text's beginning but the last, which may go on; of a single one what is whole of it."""
    words = head.split()
    if head[-1:].isspace():
        return words
    if len(words) > 1:
        return words[:-1]
    decoder = getincrementaldecoder("utf-8")(errors="ignore")
    decoder.decode(head)
    pending, _ = decoder.getstate()
    return (head[: len(head) - len(pending)]).split()


def _vectors_as_text(text: bytes, columns: int | None) -> bool:
    """Return whether lines of a word and `columns` decimal fractions begin here, or as many on each line if None."""
    lines = [line.split() for line in text.split(b"\n", 4)]
    rows = lines[:-1] if len(lines) > 1 else lines  # the last one may be cut
    if columns is None:
        columns = len(rows[0]) - 1
        if columns < _LEAST_COLUMNS or len(rows) < 2:
            return False
    if columns < 1:
        return False
    return all(_is_row(row, columns) for row in rows)


def _is_row(row: list[bytes], columns: int) -> bool:
    # A word may hold white space of other kinds, so that a row may have more fields.
    numbers = row[-columns:]
    # Without a fraction they may be a graph's nodes, which are words.
    return (
        len(row) > columns
        and any(b"." in n for n in numbers)
        and all(_DECIMAL.fullmatch(n) is not None for n in numbers)
    )
