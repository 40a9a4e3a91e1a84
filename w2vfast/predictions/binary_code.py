"""Binary codes: bits are independent given the row, so that most of their probability can lie on codes of no word.

The probability of a word is that of its codeword among the V assigned ones; `outside` says what the others have.
Decoding turns scores into one word without looking at all of them: for a convolutional code by Viterbi's algorithm.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from w2vfast.kernels.objectives import convolutional
from w2vfast.kernels.objectives.binary_code import BinaryCode

PROBABILITIES = True


def scores(objective: BinaryCode, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each word's log probability, codewords normalised among themselves; see w2vfast.predictions."""
    of_words, log_odds = _columns(objective, left, w_out)
    coded = objective.rank >= objective.code_words
    result = np.empty((len(left), len(coded)))
    of_codes = _of_codes(objective, log_odds)
    result[:, coded] = of_codes - logsumexp(of_codes, axis=1, keepdims=True)
    if objective.code_words:
        result[:, coded] += of_words[:, [objective.code_words]]
        result[:, ~coded] = of_words[:, objective.rank[~coded]]
    return result


def outside(objective: BinaryCode, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability of codes that belong to no word, float64 [B]; of a hybrid times that of 'other'."""
    of_words, log_odds = _columns(objective, left, w_out)
    mass = -np.expm1(np.minimum(logsumexp(_of_codes(objective, log_odds), axis=1), 0.0))
    result: NDArray[np.float64] = mass * np.exp(of_words[:, objective.code_words]) if objective.code_words else mass
    return result


def decode(objective: BinaryCode, left: NDArray[np.float64], w_out: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the word that each row's code stands for, int64 [B]; see `decode_scores`."""
    return decode_scores(objective, left @ w_out.T.astype(np.float64) + objective.bias)


def decode_scores(objective: BinaryCode, column_scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the word that each row's scores stand for, int64 [B].

    `column_scores` [B, out_rows] are those of the columns with their biases. The code is the likeliest one, of a
    convolutional code the likeliest terminated one; if no word has it, the word of the likeliest codeword is returned.
    A hybrid's code counts where 'other' is the likeliest of the softmax.
    """
    log_odds = column_scores[:, objective.softmax :]
    coded = objective.rank >= objective.code_words
    word_at = np.empty(len(coded), np.int64)
    word_at[objective.rank] = np.arange(len(coded))
    data = convolutional.decode(log_odds) if objective.correcting else (log_odds > 0).astype(np.uint8)
    place = objective.code_words + data.astype(np.int64) @ (1 << np.arange(objective.data_bits, dtype=np.int64)[::-1])
    result: NDArray[np.int64] = word_at[np.minimum(place, len(coded) - 1)]
    no_word = place >= len(coded)
    if no_word.any():
        result[no_word] = np.flatnonzero(coded)[_of_codes(objective, log_odds[no_word]).argmax(1)]
    if objective.code_words:
        best = column_scores[:, : objective.softmax].argmax(1)
        result = np.where(best < objective.code_words, word_at[best], result)
    return result


def _columns(
    objective: BinaryCode, left: NDArray[np.float64], w_out: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the softmax's log probabilities [B, softmax] and the bits' log odds [B, bits]."""
    all_scores = left @ w_out.T.astype(np.float64) + objective.bias
    words = all_scores[:, : objective.softmax]
    return log_softmax(words, axis=1) if objective.code_words else words, all_scores[:, objective.softmax :]


def _of_codes(objective: BinaryCode, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log probability of each assigned codeword, [B, words that have one], in the words' order."""
    codes = objective.codes[objective.rank >= objective.code_words].astype(np.float64)
    result: NDArray[np.float64] = log_odds @ codes.T - np.logaddexp(0.0, log_odds).sum(1, keepdims=True)
    return result
