"""What a run trains, made from its config and its vocabulary: the one place that knows both."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2vfast import classes, plan, targets
from w2vfast.config import CODE_WORDS, Config
from w2vfast.errors import InputError
from w2vfast.kernels.contract import EXACT_MINING, Objective
from w2vfast.kernels.huffman import Tree, huffman_tree
from w2vfast.kernels.noise import alias_table
from w2vfast.kernels.objectives.binary_code import BinaryCode, bits_for, by_frequency
from w2vfast.kernels.objectives.class_softmax import ClassSoftmax, classes_by_frequency
from w2vfast.kernels.objectives.hierarchical_softmax import HierarchicalSoftmax
from w2vfast.kernels.objectives.hierarchical_softmax__negative_sampling import HierarchicalSoftmaxNegativeSampling
from w2vfast.kernels.objectives.margin import Margin
from w2vfast.kernels.objectives.nce import Nce
from w2vfast.kernels.objectives.negative_sampling import NegativeSampling
from w2vfast.kernels.objectives.sampled_softmax import SampledSoftmax
from w2vfast.kernels.objectives.softmax import Softmax
from w2vfast.kernels.objectives.von_mises_fisher import VonMisesFisher
from w2vfast.optional import is_installed

# Words; above it skip-gram's mask changes nothing measurable, and CBOW's costs nothing (docs/experiments.md, "The
# target mask").
TARGET_MASK_BELOW = 1000


def create(
    config: Config, counts: NDArray[np.int64], words: Sequence[str] | None = None, tree: Tree | None = None
) -> Objective:
    """Return a config's objective for words of these counts, int64 [V].

    The words are what files of them need; `tree` stands in for the Huffman tree of the counts. Raises InputError for
    files and settings that do not go with the vocabulary.
    """
    match config.objective:
        case "softmax":
            return Softmax(len(counts))
        case "hierarchical-softmax":
            return HierarchicalSoftmax(tree or huffman_tree(counts))
        case "class-softmax":
            return _class_softmax(config, counts, words)
        case "binary-code":
            return _binary_code(config, counts)
    noise = alias_table(noise_distribution(counts, config.ns_exponent))
    mask = config.mode == "cbow" or len(counts) < TARGET_MASK_BELOW
    match config.objective:
        case "negative-sampling":
            return NegativeSampling(noise, config.negatives, mask)
        case "hierarchical-softmax,negative-sampling":
            return HierarchicalSoftmaxNegativeSampling(tree or huffman_tree(counts), noise, config.negatives, mask)
        case "nce":
            return Nce(noise, config.negatives, config.log_z)
        case "sampled-softmax":
            return SampledSoftmax(noise)
        case "margin":
            _check_mining(config, counts)
            return Margin(
                noise if config.mined_share < 1 else None, config.mined, config.mined_share, config.mine_every
            )
        case "von-mises-fisher":
            if words is None or config.targets is None:
                raise InputError("von-mises-fisher takes targets by their words: train by the command or train_files")
            vectors = targets.read(config.targets, words, config.vector_size)
            return VonMisesFisher(vectors, config.norm_penalty, config.dot_weight)


def _check_mining(config: Config, counts: NDArray[np.int64]) -> None:
    """Raise InputError if there are too few words to mine; warn where it takes long."""
    V = len(counts)
    if config.mined >= V:
        raise InputError(f"mined ({config.mined}) wrong words a pair: the vocabulary of {V} has {V - 1}; lower mined")
    if V > EXACT_MINING and not is_installed("faiss"):
        searches = -(-int(counts.sum()) * config.epochs // config.mine_every)
        warnings.warn(
            f"margin mines {V:,} words without faiss: each of about {searches:,} searches takes "
            f"{V**2 * config.vector_size:.1e} multiplications; pip install w2vfast[faiss], or raise mine_every",
            stacklevel=2,
        )


def _class_softmax(config: Config, counts: NDArray[np.int64], words: Sequence[str] | None) -> ClassSoftmax:
    if config.classes is None:
        return ClassSoftmax(classes_by_frequency(_trained(config, counts)))
    if words is None:
        raise InputError("a file of classes goes by the words: train with the command or from files")
    return ClassSoftmax(classes.number(config.classes, words))


def _trained(config: Config, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each word is a target, up to a factor: its count after subsampling, never 0."""
    return np.maximum(counts, 1) * plan.keep_probability(counts, config.sample)


def _binary_code(config: Config, counts: NDArray[np.int64]) -> BinaryCode:
    V, code_words = len(counts), 0
    if config.is_hybrid:
        code_words = config.code_words or min(CODE_WORDS, V - 1)
        if code_words >= V:
            raise InputError(f"code_words ({code_words:,}) leaves no word to have a code: give at most {V - 1:,}")
    least = bits_for(V - code_words)
    bits = config.code_bits or least
    if bits < least:
        raise InputError(
            f"a code of {bits} bits is too short for {V - code_words:,} words: give code_bits {least} or more, or "
            "leave it out"
        )
    return by_frequency(_trained(config, counts), code_words, bits, config.code.endswith("ecc"))


def noise_distribution(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float64]:
    """Return the distribution that shared words are drawn from, float64 [V]: proportional to counts ** exponent."""
    weight: NDArray[np.float64] = np.maximum(counts, 1).astype(np.float64) ** exponent
    weight /= weight.sum()
    return weight
