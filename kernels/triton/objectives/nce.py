"""Noise contrastive estimation in Triton (kernels/objectives/nce.py): a column's bias is taken from its scores."""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from typing import Any

import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray

from w2vfast.kernels.objectives.nce import Nce
from w2vfast.kernels.triton.logistic import weigh_pairs


def table(objective: Nce) -> NDArray[np.float32] | None:
    """Return the biases."""
    return objective.bias


def constants(objective: Nce) -> dict[str, Any]:
    """Return the kernel's constants that are the objective's."""
    return {"WEIGH": weigh, "K": objective.negative, "MASK": False}


@triton.jit(noinline=True)
def weigh(
    scores_ptr,
    weights_ptr,
    ids_ptr,
    notes_ptr,
    objective_ptr,
    tile,
    kept,
    lr,
    blocks,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    CBOW: tl.constexpr,
    MASK: tl.constexpr,
    SHARED_AT: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """See w2vfast.kernels.triton.objectives."""
    return weigh_pairs(
        scores_ptr, weights_ptr, ids_ptr, notes_ptr, objective_ptr, tile, kept, lr, blocks,
        T, N, W, K, CBOW, MASK, SHARED_AT, CHUNK, BLOCK_T, BLOCK_C, True,
    )  # fmt: skip
