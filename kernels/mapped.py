"""Walking a token stream that may lie in a file, of which only the pages at hand stay in memory."""

import mmap
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def is_mapped(tokens: NDArray[np.int32]) -> bool:
    """Return whether a stream lies in a file whose pages can be let go of: no copy, and none written to apart."""
    return getattr(tokens, "_mmap", None) is not None and getattr(tokens, "mode", None) != "c"


def release(tokens: NDArray[np.int32]) -> None:
    """Let go of the pages of a stream that lies in a file; what was written stays, what is needed again is read again.

    They count as the process's memory until then, though the system could take them back.
    """
    if is_mapped(tokens) and hasattr(mmap, "MADV_DONTNEED"):
        tokens._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def blocks(tokens: NDArray[np.int32], size: int) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Yield (position of the first, tokens) of `size` tokens at a time, and release them behind."""
    for start in range(0, len(tokens), size):
        yield start, tokens[start : start + size]
        release(tokens)
