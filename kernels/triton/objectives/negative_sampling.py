"""Negative sampling in Triton (kernels/objectives/negative_sampling.py)."""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from typing import Any

import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray

from w2vfast.kernels.objectives.negative_sampling import NegativeSampling
from w2vfast.kernels.triton.inputs import windows
from w2vfast.kernels.triton.tile import logistic, pair_weights


def table(objective: NegativeSampling) -> NDArray[np.float32] | None:
    """Return None: a score is all that there is to a pair."""
    return None


def constants(objective: NegativeSampling) -> dict[str, Any]:
    """Return the kernel's constants that are the objective's."""
    return {"WEIGH": weigh, "K": objective.negative, "MASK": objective.mask}


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
    CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """See w2vfast.kernels.triton.objectives."""
    offs_t = tl.arange(0, BLOCK_T)
    token, left, right = windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    word = tl.load(notes_ptr + token, mask=(offs_t < T) & (token < kept), other=-1)
    loss = tl.zeros((BLOCK_T,), tl.float32)
    for block in range(blocks):
        column = block * BLOCK_C + tl.arange(0, BLOCK_C)
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        weight, is_shared = pair_weights(
            ids_ptr, notes_ptr, tile, token, left, right, word, column, score, T, N, W, K, CBOW, MASK, BLOCK_T
        )
        g, block_loss = logistic(score, is_shared, weight, lr)
        tl.store(element, g)
        tl.store(weights_ptr + column, tl.sum(weight, 0))
        loss += tl.sum(block_loss, 1)
    tl.debug_barrier()
    return tl.sum(loss, 0)
