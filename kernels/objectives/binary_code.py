"""Binary codes for words (Oda et al., "Neural machine translation via binary code prediction", ACL 2017).

A word's code is its place by frequency in binary, most significant bit first. Each bit of it is a row of W_out and a
logistic regression on the row, so that a row's loss over its n targets, ones of them with the bit set, is n softplus(s)
- ones s, and its gradient ones - n sigmoid(s): one score a bit, however many targets. No column depends on a target.

    plain       B = ceil(log2 V) bits
    hybrid      the N most frequent words and 'other' have a softmax, the first N + 1 rows of W_out; codes are for the
                other words, and bits learn from those targets alone
    ecc         the code is convolutional (convolutional.py), 2 (B + 6) bits of which any 4 may be wrong
    hybrid-ecc  both

A score has a bias, as in the paper, here a constant that is known beforehand: a bit's log odds over all targets, in the
softmax the logarithm of a word's share of them. So vectors tell how words differ from the mean.

In the row cap a pair weighs BIT_WEIGHT on each of its target's bits and, in the softmax, what it puts on a column: 1 on
its target, and the probabilities.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile
from w2vfast.kernels.objectives import convolutional

BIT_WEIGHT = 1.0
LARGEST_BIAS = 20.0  # of a bit that all words have or none


@dataclass(frozen=True, eq=False)
class BinaryCode:
    """See contract.Objective."""

    rank: NDArray[np.int32]  # [V] a word's place by falling frequency, 0 .. V - 1
    code_words: int  # N, 0 where there is no softmax
    data_bits: int  # of a code, before error correction
    correcting: bool
    bias: NDArray[np.float32]  # [out_rows], added to the scores
    softmax: int = field(init=False)  # columns of the softmax: N + 1, or 0
    bits: int = field(init=False)  # columns of the code
    bit_weight: float = field(init=False)
    codes: NDArray[np.uint8] = field(init=False)  # [V, bits] by word; of words of the softmax 0

    name: ClassVar[str] = "binary-code"
    noise: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not 1 <= self.data_bits <= 32:  # refused here: the codes would fill the memory
            raise ValueError(f"a code has 1 to 32 bits, not {self.data_bits}")
        codes = codewords(self.rank, self.code_words, self.data_bits, self.correcting)
        for name, value in (
            ("softmax", self.code_words + 1 if self.code_words else 0),
            ("bits", codes.shape[1]),
            ("bit_weight", BIT_WEIGHT),
            ("codes", codes),
        ):
            object.__setattr__(self, name, value)

    @property
    def weight_per_pair(self) -> float:
        """That of all bits, and 2 for the softmax."""
        return self.bit_weight * self.bits + (2.0 if self.code_words else 0.0)

    def out_rows(self, V: int) -> int:
        """The softmax's rows, then a row a bit."""
        return self.softmax + self.bits

    def check(self, V: int) -> None:
        """Raise ValueError if ranks are not those of V words, or the code is too short for the words that have one."""
        if self.rank.dtype != np.int32 or not np.array_equal(np.sort(self.rank), np.arange(V)):
            raise ValueError(f"rank must be a permutation of 0 .. {V - 1}, int32")
        if not 0 <= self.code_words < V:
            raise ValueError(f"code_words must lie in 0 .. {V - 1}, not {self.code_words}")
        if 2**self.data_bits < V - self.code_words:
            raise ValueError(f"a code of {self.data_bits} bits is too short for {V - self.code_words} words")
        if self.bias.dtype != np.float32 or self.bias.shape != (self.out_rows(V),) or not np.isfinite(self.bias).all():
            raise ValueError(f"bias must be finite, float32 [{self.out_rows(V)}]")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """A bit's weight from every pair that has a code; twice a pair where the softmax has learnt its share."""
        weight = np.empty(self.out_rows(len(pairs)))
        coded = self.rank >= self.code_words
        weight[self.softmax :] = self.bit_weight * pairs[coded].sum()
        if self.code_words:
            weight[self.rank[~coded]] = 2.0 * pairs[~coded]
            weight[self.code_words] = 2.0 * pairs[coded].sum()
        return weight.astype(np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """All rows of W_out; no own pairs."""
        return list(range(self.softmax + self.bits)), []

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the logistic gradient of the bits and that of the softmax."""
        shared_scores = shared_scores + self.bias
        ones = np.zeros(shared_scores.shape)
        n, coded = np.zeros((len(tile.rows), 1)), np.zeros((len(tile.rows), 1))
        for r, row in enumerate(tile.rows):
            for target in row.targets:
                n[r] += 1
                if self.rank[target] >= self.code_words:
                    coded[r] += 1
                    ones[r, self.softmax :] += self.codes[target]
                if self.code_words:
                    ones[r, min(int(self.rank[target]), self.code_words)] += 1
        bits = shared_scores[:, self.softmax :]
        softplus = np.logaddexp(0.0, bits)
        mass = np.empty(shared_scores.shape)
        mass[:, self.softmax :] = coded * np.exp(bits - softplus)
        loss = float((coded * softplus - ones[:, self.softmax :] * bits).sum())
        weight = np.empty(shared_scores.shape)
        weight[:, self.softmax :] = self.bit_weight * coded
        if self.code_words:
            words = shared_scores[:, : self.softmax]
            log_p = words - np.logaddexp.reduce(words, axis=1)[:, None]
            mass[:, : self.softmax] = n * np.exp(log_p)
            weight[:, : self.softmax] = ones[:, : self.softmax] + mass[:, : self.softmax]
            loss -= float((ones[:, : self.softmax] * log_p).sum())
        return Gradient(np.zeros(0), ones - mass, np.zeros(0), weight, loss)


def codewords(rank: NDArray[np.int32], code_words: int, data_bits: int, correcting: bool) -> NDArray[np.uint8]:
    """Return the codes of words, uint8 [V, bits]; those of the `code_words` most frequent are 0."""
    place = np.maximum(rank.astype(np.int64) - code_words, 0)
    data = (place[:, None] >> np.arange(data_bits)[::-1] & 1).astype(np.uint8)
    codes = convolutional.encode(data) if correcting else data
    codes[rank < code_words] = 0
    return codes


def by_frequency(weight: NDArray[np.float64], code_words: int, data_bits: int, correcting: bool) -> BinaryCode:
    """Return the objective for words that are targets in proportion to `weight`, float64 [V]."""
    rank = np.empty(len(weight), np.int32)
    rank[np.argsort(-weight, kind="stable")] = np.arange(len(weight), dtype=np.int32)
    coded, share = rank >= code_words, weight / weight.sum()
    codes = codewords(rank, code_words, data_bits, correcting)
    ones = share[coded] @ codes[coded] / share[coded].sum()
    with np.errstate(divide="ignore"):
        bias = np.log(ones) - np.log1p(-ones)
    if code_words:
        of_words = np.empty(code_words + 1)
        of_words[rank[~coded]] = share[~coded]
        of_words[code_words] = share[coded].sum()
        bias = np.concatenate([np.log(of_words), bias])
    bias = np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS).astype(np.float32)
    return BinaryCode(rank, code_words, data_bits, correcting, bias)


def bits_for(words: int) -> int:
    """Return the bits that tell so many words apart, at least 1."""
    return max(1, (words - 1).bit_length())
