"""The host's part of the plan: a pure function of seed, epoch and corpus, never of workers, grid or backend.

What a kernel computes itself (which tokens are kept, radii, shared words) is stated in kernels/contract.py.
"""

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import CHUNK_TOKENS
from w2vfast.kernels.philox import PURPOSE_INITIAL, PURPOSE_ORDER, philox4x32

SMALLEST_CHUNK = 256
CHUNKS_OF_A_SMALL_CORPUS = 256  # a corpus below a million tokens is cut into about as many, so that what is in flight
#                                 comes from far-apart text there too
WINDOWS_OF_A_CHUNK = 8  # at least: a sixteenth of the pairs is then cut at most, however long sentences are
HUGE_PAGE = 2 << 20  # bytes
_UINT32 = 2**32


def chunk_size(tokens: int, window: int = 1) -> int:
    """Return the positions of a chunk for a corpus of `tokens` in-vocabulary tokens: a power of two, 256 to 4,096.

    No window crosses the end of a chunk, so that a wide one asks for long chunks in a small corpus too.
    """
    wanted = max(
        SMALLEST_CHUNK, min(CHUNK_TOKENS, max(tokens // CHUNKS_OF_A_SMALL_CORPUS, window * WINDOWS_OF_A_CHUNK))
    )
    return 1 << (wanted.bit_length() - 1)


def chunk_order(chunks: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits its chunks, int64 [chunks]: a permutation drawn from (seed, epoch)."""
    index = np.arange(chunks, dtype=np.uint64)
    words = philox4x32(seed, index & np.uint64(_UINT32 - 1), index >> np.uint64(32), epoch, PURPOSE_ORDER)
    keys = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
    return np.argsort(keys, kind="stable").astype(np.int64)


def keep_probability(counts: NDArray[np.int64], sample: float) -> NDArray[np.float64]:
    """Return the probability that subsampling keeps a token of each word, float64 [V].

    p = sqrt(t / f) + t / f, at most 1, with f the word's share of the retained corpus (word2vec.c's form of Mikolov et
    al., "Distributed representations of words and phrases", 2013, equation 5). sample >= 1 is a count, as in gensim:
    t = int(sample * (3 + sqrt 5) / 2) occurrences. sample = 0 keeps all.
    """
    if sample == 0:
        return np.ones(len(counts))
    total = float(counts.sum())
    threshold = sample * total if sample < 1 else float(int(sample * (3 + np.sqrt(5)) / 2))
    ratio = threshold / np.maximum(counts, 1)
    keep: NDArray[np.float64] = np.minimum(1.0, np.sqrt(ratio) + ratio)
    return keep


def keep_thresholds(probability: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return uint32 [V]: a token is kept if its random 32-bit word is at most its word's threshold."""
    return np.floor(probability * (_UINT32 - 1)).astype(np.uint32)


def zeros(rows: int, vector_size: int) -> NDArray[np.float32]:
    """Return a table of zeros, float32 [rows, vector_size], whose memory is untouched.

    It begins at a huge page of 2 MiB if it is as large as one: the first rows are the most frequent words', and small
    pages there cost a run up to 6 % of its time.
    """
    size, page = rows * vector_size, HUGE_PAGE // 4
    if size < page:
        return np.zeros((rows, vector_size), np.float32)
    memory = np.zeros(size + page, np.float32)
    first = -memory.ctypes.data % HUGE_PAGE // 4
    return memory[first : first + size].reshape(rows, vector_size)


def initial_vectors(words: int, vector_size: int, seed: int, dimensions: slice = slice(None)) -> NDArray[np.float32]:
    """Return W_in before training, float32 [words, vector_size], uniform in -1/D .. 1/D (gensim 4's range).

    Or only some of its `dimensions`.
    """
    vectors = zeros(words, len(range(*dimensions.indices(vector_size))))
    rows = 4 * max(1, (1 << 14) // vector_size)  # the generator's intermediates then stay in the second cache level
    for first in range(0, words, rows):
        last = min(first + rows, words)
        quads = np.arange(first * vector_size // 4, -(-last * vector_size // 4), dtype=np.uint64)
        draws = philox4x32(seed, quads & np.uint64(_UINT32 - 1), quads >> np.uint64(32), 0, PURPOSE_INITIAL)
        drawn = draws.reshape(-1)[: (last - first) * vector_size].reshape(-1, vector_size)[:, dimensions]
        unit = (drawn >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
        vectors[first:last] = (unit * np.float32(2) - np.float32(1)) / np.float32(vector_size)
    return vectors
