"""The rows of word2vec's binary format: a word, a space and the little-endian float32 of its vector."""

from collections.abc import Iterator
from typing import IO

import numpy as np

from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats.words import LONGEST_WORD, decode, encode_unspaced
from w2vfast.vectors import Block, VectorStream

BLOCK_BYTES = 1 << 22


def read_rows(path: PathLike, file: IO[bytes], rows: int, size: int, whole: bool) -> Iterator[Block]:
    """Yield `rows` rows of `size` numbers from the file's position on; they are the `whole` file, or its beginning.

    Raises InputError for a file that ends before them, or after the whole of them goes on.
    """
    width, row, pos, buffer = 4 * size, 0, 0, b""
    while row < rows:
        more = file.read(BLOCK_BYTES)
        buffer = buffer[pos:] + more
        view, pos = memoryview(buffer), 0
        words: list[str] = []
        cells: list[memoryview] = []
        while row + len(words) < rows:
            space = buffer.find(b" ", pos)
            end = space + 1 + width
            if space < 0 or end > len(buffer):
                break
            # word2vec.c ends each row with a newline
            words.append(decode(buffer[pos:space].lstrip(b"\n")))
            cells.append(view[space + 1 : end])
            pos = end
        row += len(words)
        if words:
            yield words, np.frombuffer(b"".join(cells), dtype="<f4").reshape(-1, size).astype(np.float32, copy=False)
        elif not more:
            raise InputError(f"{path}: truncated in row {row + 1} of {rows}; fetch or write it again")
        elif buffer.find(b" ") < 0 and len(buffer) > LONGEST_WORD:
            raise InputError(f"{path}, row {row + 1}: no word found; it is not word2vec binary of {size} dimensions")
    if whole and (rest := buffer[pos:] + file.read(BLOCK_BYTES)).strip(b"\n"):
        raise InputError(
            f"{path}: the header says {rows} words of {size} dimensions, but {len(rest)} or more bytes follow them"
        )


def write(stream: VectorStream, file: IO[bytes], path: PathLike) -> None:
    """Write header and rows. Raises InputError for a word that is empty or holds white space."""
    file.write(f"{stream.rows} {stream.vector_size}\n".encode())
    width = 4 * stream.vector_size
    for words, vectors in stream.blocks:
        rows = np.ascontiguousarray(vectors, dtype="<f4").tobytes()
        file.write(
            b"".join(
                part
                for i, word in enumerate(encode_unspaced(words, path))
                for part in (word, b" ", rows[i * width : (i + 1) * width])
            )
        )
