"""The few values that a quantised row may hold: W_in as a tile reads it, where training is for fewer bits.

q(x) = step * (clamp(round(x / step - offset), low, high) + offset). Scores and W_out's gradients come from q(x); the
gradient of q(x) is added to x as it is, the row of float32 behind (the straight-through estimator: Bengio, Leonard &
Courville, "Estimating or propagating gradients through stochastic neurons", 2013; on word vectors Lam, "Word2Bits",
2018, who quantises W_out too: docs/experiments.md, "Quantised rows", has why this does not).

    1 bit     +-s              step 2 s, offset 1/2, -1 .. 0
    2 bits    +-s/2, +-3 s/2   step s, offset 1/2, -2 .. 1
    8 bits    up to +-8 s      step s / 16, offset 0, -127 .. 127

s = sqrt(SQUARE / D), so that a row of 1 bit has the squared length SQUARE at any D.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SQUARE = 8.0  # docs/experiments.md, "Quantised rows"
BITS = (1, 2, 8)


@dataclass(frozen=True)
class Levels:
    """See the module's docstring; `low` and `high` are whole numbers."""

    step: float
    offset: float
    low: float
    high: float

    def nearest(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the levels nearest to values of any shape, of their dtype."""
        whole = np.clip(np.rint(rows / self.step - self.offset), self.low, self.high)
        return ((whole + self.offset) * self.step).astype(rows.dtype)


def levels_of(bits: int, vector_size: int) -> Levels:
    """Return the levels of so many bits a value for D = `vector_size`. Raises ValueError for other bits than BITS."""
    s = math.sqrt(SQUARE / vector_size)
    match bits:
        case 1:
            return Levels(2 * s, 0.5, -1, 0)
        case 2:
            return Levels(s, 0.5, -2, 1)
        case 8:
            return Levels(s / 16, 0.0, -127, 127)
    raise ValueError(f"bits must be 1, 2 or 8, not {bits}")
