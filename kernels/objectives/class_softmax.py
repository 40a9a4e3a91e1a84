"""Class-based softmax (Goodman, "Classes for fast maximum entropy training", ICASSP 2001).

    p(w | row) = p(c | row) p(w | c, row), c the class of w

the first factor a softmax over the C classes, the second one over the words of the class. W_out's rows are the
classes, then the words: word w is row C + w. A row's loss is -log p summed over its n targets, and its gradient, with
n_c of them in class c, 1 for each target and its class, -n p(c) for every class, and -n_c p(w | c) for every word of
their classes.

In the row cap a pair weighs what it puts on a column: 1 on its target and its class, and the probabilities on what each
is normalised over, hence 2 on either side and 4 in its inputs.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w2vfast.kernels.contract import Gradient, OwnPair, Tile


@dataclass(frozen=True, eq=False)
class ClassSoftmax:
    """See contract.Objective."""

    class_of: NDArray[np.int32]  # [V], 0 .. C - 1
    classes: int = field(init=False)  # C
    largest: int = field(init=False)  # words of the largest class
    members: NDArray[np.int32] = field(init=False)  # [V] words, class after class
    start: NDArray[np.int32] = field(init=False)  # [C + 1] where each class begins in `members`

    name: ClassVar[str] = "class-softmax"
    noise: ClassVar[None] = None
    weight_per_pair: ClassVar[float] = 4.0

    def __post_init__(self) -> None:
        if len(self.class_of) == 0 or int(self.class_of.min()) < 0:
            raise ValueError("classes must be numbered from 0, one for each word")
        if int(self.class_of.max()) >= len(self.class_of):  # refused here: counting them would fill the memory
            raise ValueError("some classes have no words: number them without gaps")
        sizes = np.bincount(self.class_of)
        values = {
            "classes": len(sizes),
            "largest": int(sizes.max()),
            "members": np.argsort(self.class_of, kind="stable").astype(np.int32),
            "start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def words_of(self, number: int) -> NDArray[np.int32]:
        """Return the words of a class, int32 [its words]."""
        return self.members[self.start[number] : self.start[number + 1]]

    def out_rows(self, V: int) -> int:
        """A row a class, then a row a word."""
        return self.classes + V

    def check(self, V: int) -> None:
        """Raise ValueError if there is not a class for each of V words, or a class has no words."""
        if self.class_of.dtype != np.int32 or self.class_of.shape != (V,):
            raise ValueError(f"class_of must be int32 [{V}], not {self.class_of.dtype} {self.class_of.shape}")
        empty = int((np.diff(self.start) == 0).sum())
        if empty:
            raise ValueError(f"{empty} of {self.classes} classes have no words: number them without gaps")

    def static_out_weight(self, pairs: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 a pair as target, and as much as the softmax puts there once it has learnt how often that is."""
        of_classes = np.bincount(self.class_of, weights=pairs)
        return (2.0 * np.concatenate([of_classes, pairs])).astype(np.float32)

    def columns(self, tile: Tile) -> tuple[list[int], list[OwnPair]]:
        """All classes; for each row, every word of its targets' classes, once.

        A pair's weight is n_c, its label what part of the n_c targets the word is.
        """
        own = []
        for r, row in enumerate(tile.rows):
            classes = [int(self.class_of[target]) for target in row.targets]
            for number in dict.fromkeys(classes):
                n = classes.count(number)
                own += [
                    OwnPair(r, self.classes + w, row.targets.count(w) / n, n) for w in self.words_of(number).tolist()
                ]
        return list(range(self.classes)), own

    def gradient(
        self, tile: Tile, own: list[OwnPair], own_scores: NDArray[np.float64], shared_scores: NDArray[np.float64]
    ) -> Gradient:
        """Return the gradients of the softmax over classes and of those within them."""
        of_class = np.zeros(shared_scores.shape)  # [R, C] how many of a row's targets are in a class
        for r, row in enumerate(tile.rows):
            np.add.at(of_class[r], self.class_of[row.targets], 1.0)
        log_p = shared_scores - np.logaddexp.reduce(shared_scores, axis=1)[:, None]
        mass = of_class.sum(1, keepdims=True) * np.exp(log_p)
        loss = -float((of_class * log_p).sum())
        ones, own_mass = np.empty(len(own)), np.empty(len(own))
        first = 0
        while first < len(own):
            number = int(self.class_of[own[first].column - self.classes])
            block = slice(first, first + len(self.words_of(number)))
            n = own[first].weight
            ones[block] = [pair.weight * pair.label for pair in own[block]]
            log_p_own = own_scores[block] - np.logaddexp.reduce(own_scores[block])
            own_mass[block] = n * np.exp(log_p_own)
            loss -= float((ones[block] * log_p_own).sum())
            first = block.stop
        return Gradient(ones - own_mass, of_class - mass, ones + own_mass, of_class + mass, loss)


def classes_by_frequency(weight: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return classes of equal summed sqrt(p), words in order of falling p, int32 [V]; p is `weight` over its sum.

    A pair costs the C classes and the words of its target's class, C + sum over classes of p(c) |c|. Where |c| words
    of about one p make a class, a word adds 1 / |c| + p |c| to that, least at |c| = 1 / sqrt(p): classes whose
    sum of sqrt(p) is 1. On wiki18, 85,569 words, a pair costs 315 columns in 158 classes; in 255 classes of equal mass
    576, and the largest of those has 10,444 words, of these 1,677.
    """
    order = np.argsort(-weight, kind="stable")
    share = np.sqrt(weight[order] / weight.sum())
    count = max(1, round(float(share.sum())))
    middle = (np.cumsum(share) - share / 2) / share.sum()
    numbers = np.unique(np.minimum((middle * count).astype(np.int64), count - 1), return_inverse=True)[1]
    class_of = np.empty(len(weight), np.int32)
    class_of[order] = numbers
    return class_of
