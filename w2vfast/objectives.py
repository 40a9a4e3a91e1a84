"""What a run trains, made from its config and its vocabulary: the one place that knows both."""

import numpy as np
from numpy.typing import NDArray

from w2vfast.config import Config
from w2vfast.kernels.contract import Objective
from w2vfast.kernels.noise import alias_table
from w2vfast.kernels.objectives.nce import Nce
from w2vfast.kernels.objectives.negative_sampling import NegativeSampling

# Words; above it skip-gram's mask changes nothing measurable, and CBOW's costs nothing (docs/experiments.md, "The
# target mask").
TARGET_MASK_BELOW = 1000


def create(config: Config, counts: NDArray[np.int64]) -> Objective:
    """Return a config's objective for words of these counts, int64 [V]."""
    noise = alias_table(noise_distribution(counts, config.ns_exponent))
    match config.objective:
        case "negative-sampling":
            mask = config.mode == "cbow" or len(counts) < TARGET_MASK_BELOW
            return NegativeSampling(noise, config.negatives, mask)
        case "nce":
            return Nce(noise, config.negatives, config.log_z)


def noise_distribution(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float64]:
    """Return the distribution that shared words are drawn from, float64 [V]: proportional to counts ** exponent."""
    weight: NDArray[np.float64] = np.maximum(counts, 1).astype(np.float64) ** exponent
    weight /= weight.sum()
    return weight
