"""A convolutional code of rate 1/2: encoding, and Viterbi's decoder of the terminated code.

Source: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm", IEEE
Transactions on Information Theory 13(2), 1967. The generators 171 and 133 (octal) of constraint length 7 have the
largest free distance there is at that length, 10: any 4 flipped bits are repaired.
"""

import numpy as np
from numpy.typing import NDArray

CONSTRAINT = 7  # bits of data that a pair of code bits depends on
GENERATORS = (0o171, 0o133)
FREE_DISTANCE = 10
_STATES = 1 << (CONSTRAINT - 1)


def code_bits(data_bits: int) -> int:
    """Return the length of a codeword: two bits for each bit of data and of the zeros that terminate it."""
    return 2 * (data_bits + CONSTRAINT - 1)


def _parity(x: NDArray[np.int64]) -> NDArray[np.int64]:
    for shift in (4, 2, 1):
        x = x ^ (x >> shift)
    return x & 1


def _outputs() -> NDArray[np.int64]:
    """Return the two code bits for each content of the register, newest bit highest, int64 [2 ** CONSTRAINT, 2]."""
    register = np.arange(2 * _STATES)
    return np.stack([_parity(register & generator) for generator in GENERATORS], 1)


def encode(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codewords of data bits [..., k], uint8 [..., code_bits(k)]."""
    k = data.shape[-1]
    steps = k + CONSTRAINT - 1
    padded = np.zeros((*data.shape[:-1], steps), np.int64)
    padded[..., :k] = data
    register, outputs = np.zeros(data.shape[:-1], np.int64), _outputs()
    code = np.empty((*data.shape[:-1], steps, 2), np.uint8)
    for t in range(steps):
        register = (register >> 1) | (padded[..., t] << (CONSTRAINT - 1))
        code[..., t, :] = outputs[register]
    return code.reshape(*data.shape[:-1], 2 * steps)


def decode(log_odds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the data of the likeliest terminated codewords, uint8 [R, k].

    `log_odds` [R, code_bits(k)] says of each bit log p(1) - log p(0), independent of the others. Hard bits are given as
    1 and -1: the codeword nearest in Hamming distance is then the likeliest.
    """
    R, steps = len(log_odds), log_odds.shape[1] // 2
    pairs = log_odds.reshape(R, steps, 2)
    register, outputs = np.arange(2 * _STATES), _outputs().T.astype(np.float64)
    before = register & (_STATES - 1)  # a state is all of the register but its oldest bit, after a step
    best = np.full((R, _STATES), -np.inf)
    best[:, 0] = 0.0
    oldest = np.empty((steps, R, _STATES), np.int64)  # which of the two states that lead to a state was the better
    for t in range(steps):
        reached = best[:, before] + pairs[:, t] @ outputs
        if t > steps - CONSTRAINT:
            reached[:, _STATES:] = -np.inf  # a one where zeros terminate the data
        choices = reached.reshape(R, _STATES, 2)
        oldest[t], best = choices.argmax(2), choices.max(2)
    rows, state = np.arange(R), np.zeros(R, np.int64)
    data = np.empty((R, steps), np.uint8)
    for t in reversed(range(steps)):
        data[:, t] = state >> (CONSTRAINT - 2)
        state = before[2 * state + oldest[t, rows, state]]
    return data[:, : steps - CONSTRAINT + 1]
