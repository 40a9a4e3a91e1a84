"""The files that vectors are measured on: those inside gensim's wheel by name, anyone's by path; and rows by word."""

import argparse
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.formats import Vectors
from w2vfast.optional import require_gensim

PathLike = str | os.PathLike[str]

BUILT_IN = {
    "wordsim353": "wordsim353.tsv",
    "simlex999": "simlex999.txt",
    "questions-words": "questions-words.txt",
}
# gensim's evaluations look no further down the vocabulary unless told
RESTRICT_VOCAB = 300_000


@dataclass(frozen=True)
class Section:
    """A named part of an analogy file; a question (a, b, c, d) asks for d where a is to b as c is to d."""

    name: str
    questions: list[tuple[str, str, str, str]]

    @property
    def syntactic(self) -> bool:
        """Whether it asks for a grammatical form: questions-words names these sections gram1 to gram9."""
        return self.name.startswith("gram")


def data_path(name: str) -> Path:
    """Return where a file lies in the test data that gensim's wheel holds, without importing gensim.

    Raises InputError where gensim is missing.
    """
    folder = require_gensim("a built-in data set", instead="files of your own")
    return folder / "test" / "test_data" / name


def dataset_path(dataset: PathLike) -> Path:
    """Return the file of a built-in data set's name (wordsim353, simlex999, questions-words) or the path itself."""
    return data_path(BUILT_IN[str(dataset)]) if str(dataset) in BUILT_IN else Path(dataset)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name further data sets."""
    parser.add_argument(
        "--restrict-vocab",
        type=int,
        default=RESTRICT_VOCAB,
        metavar="N",
        help="look for words among the N most frequent (default: 300000, as in gensim)",
    )
    for name, lines in (
        ("--similarity", "two words and a score a line (tabs, commas or spaces)"),
        ("--analogies", "four words a line, ': section' lines between them"),
        ("--categories", "a word and its category a line; gives the purity of clusters"),
    ):
        parser.add_argument(
            name, action="append", default=[], metavar="FILE", help=f"measure this file too: {lines}; can be repeated"
        )


def read_pairs(path: PathLike) -> list[tuple[str, str, float]]:
    """Read lines of two words and a score, parted by tabs, else by commas, else by spaces.

    Empty lines and lines that begin with # are left out, and so is a first line whose third cell is no number. Raises
    InputError with the line's number and text for any other line that is not two words and a finite number.
    """
    pairs: list[tuple[str, str, float]] = []
    for number, line in enumerate(_content(path)):
        text = line.text
        cells = text.split("\t") if "\t" in text else text.split(",") if "," in text else text.split()
        cells = [cell.strip() for cell in cells]
        score = _finite(cells[2]) if len(cells) == 3 else None
        if score is not None and cells[0] and cells[1]:
            pairs.append((cells[0], cells[1], score))
        elif number > 0 or len(cells) < 3 or _finite(cells[2]) is not None:
            raise InputError(f"{line}: two words and a score expected")
    if not pairs:
        raise InputError(f"{path} holds no pairs: lines of two words and a score expected")
    return pairs


def read_questions(path: PathLike) -> list[Section]:
    """Read lines of four words, in sections that ': name' lines begin, or in one nameless section without them.

    Empty lines and lines that begin with # are left out. Raises InputError with the line's number and text for a line
    of more or fewer words.
    """
    sections: list[Section] = []
    for line in _content(path):
        if line.text.startswith(":"):
            sections.append(Section(line.text.strip(": "), []))
            continue
        words = line.text.split()
        if len(words) != 4:
            raise InputError(f"{line}: four words or ': section' expected")
        if not sections:
            sections.append(Section("(no section)", []))
        sections[-1].questions.append((words[0], words[1], words[2], words[3]))
    if not any(section.questions for section in sections):
        raise InputError(f"{path} holds no questions: lines of four words expected")
    return sections


def read_categories(path: PathLike) -> list[tuple[str, str]]:
    """Read lines of a word and its category; empty lines and lines that begin with # are left out.

    Raises InputError with the line's number and text for any other line, and for a word given twice.
    """
    pairs: dict[str, str] = {}
    for line in _content(path):
        cells = [cell.strip() for cell in (line.text.split("\t") if "\t" in line.text else line.text.split())]
        if len(cells) != 2 or not all(cells):
            raise InputError(f"{line}: a word and its category expected")
        if cells[0] in pairs:
            raise InputError(f"{line}: the word came before")
        pairs[cells[0]] = cells[1]
    if not pairs:
        raise InputError(f"{path} holds no words: lines of a word and its category expected")
    return list(pairs.items())


@dataclass(frozen=True)
class _Line:
    path: PathLike
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}: {self.text[:80]!r}"


def _content(path: PathLike) -> Iterator[_Line]:
    """Yield the stripped lines that are neither empty nor comments."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number}: not UTF-8 text ({line[:40]!r})") from error
        if text and not text.startswith("#"):
            yield _Line(path, number, text)


def _finite(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def rows_by_upper_case(words: list[str]) -> dict[str, int]:
    """Return the first row of each upper-cased word, gensim's rule: of case variants the most frequent counts."""
    rows: dict[str, int] = {}
    for row, word in enumerate(words):
        rows.setdefault(word.upper(), row)
    return rows


def unit_rows(vectors: Vectors, rows: slice | NDArray[np.int64] = slice(None)) -> NDArray[np.float32]:
    """Return the vectors of some rows (all of them unless told) at length 1, float32 [n, D].

    Raises InputError naming the first of them that is all zeros (it has no direction, so no cosine) or not finite.
    """
    chosen = vectors.vectors[rows]
    norms = np.linalg.norm(chosen, axis=1)
    _check_lengths(vectors, norms, np.arange(len(vectors.words))[rows])
    return np.asarray(chosen / norms[:, None], dtype=np.float32)


def lengths(vectors: Vectors) -> NDArray[np.float32]:
    """Return the length of every vector, float32 [V], without a copy of the vectors; raises as `unit_rows` does."""
    norms = np.asarray(np.sqrt(np.einsum("vd,vd->v", vectors.vectors, vectors.vectors)), dtype=np.float32)
    _check_lengths(vectors, norms, np.arange(len(norms)))
    return norms


def _check_lengths(vectors: Vectors, norms: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    good = (norms > 0) & np.isfinite(norms)
    if not good.all():
        row = int(rows[np.argmin(good)])
        fault = (
            "is too long or too short for float32"
            if vectors.vectors[row].any()
            else "is all zeros: it has no direction"
        )
        if not np.isfinite(vectors.vectors[row]).all():
            fault = "holds NaN or infinity"
        raise InputError(f"row {row + 1} of the vectors, {vectors.words[row]!r}, {fault}; leave the word out")


def check_restrict_vocab(restrict_vocab: int) -> None:
    """Raise InputError for a limit that leaves no words."""
    if restrict_vocab < 1:
        raise InputError(f"restrict_vocab must be at least 1, not {restrict_vocab}")
