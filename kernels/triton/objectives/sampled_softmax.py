"""Softmax with a sampled normaliser in Triton (kernels/objectives/sampled_softmax.py).

Three walks over the columns, since the scores of a tile do not fit the registers: the rows' largest draw M and their
sum E = sum of e^(s - log(N q) - M); the own pairs, with 1 / Z summed a row; the draws. What depends on a draw being a
pair's target needs that pair's score alone, for both are the same row of W_out:

    the draws that are not the target    E - hits e^(s - log(N q) - M), hits = how often the target was drawn
    the sum of 1 / Z without the pairs that the draw is the target of    sum - count / Z(s of the draw)

e^s(target) stays in Z beside the first difference, so that its rounding changes p by 2^-24 hits / (N q) at most, where
a word of such a q is drawn at all.
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from typing import Any

import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray

from w2vfast.kernels.objectives.sampled_softmax import SampledSoftmax
from w2vfast.kernels.triton.inputs import windows
from w2vfast.kernels.triton.tile import pair_weights


def table(objective: SampledSoftmax) -> NDArray[np.float32] | None:
    """Return log q."""
    return objective.log_q


def constants(objective: SampledSoftmax) -> dict[str, Any]:
    """Return the kernel's constants that are the objective's."""
    return {"WEIGH": weigh, "K": 1, "MASK": True}


@triton.jit
def _log_expected(ids_ptr, objective_ptr, column, N: tl.constexpr):
    """Return (word, log(N q)) of columns [C]; where there is no word -1 and 0."""
    word = tl.load(ids_ptr + column)
    return word, tl.load(objective_ptr + word, mask=word >= 0, other=0.0) + tl.log(N * 1.0)


@triton.jit
def _normaliser(score, log_expected, hits, largest, total):
    """Return (e^(M - top), its product with the draws that are not the target, e^(score - top)) of pairs [T, C].

    `top` is the larger of M and the score; Z is the sum of the last two in units of e^top.
    """
    hit = tl.minimum(score - log_expected[None, :] - largest[:, None], 0.0)  # above 0 only by other programs' additions
    others = tl.maximum(total[:, None] - hits[None, :] * tl.exp(hit), 0.0)
    apart = score - largest[:, None]
    of_draws = tl.exp(tl.minimum(-apart, 0.0))
    return of_draws, others * of_draws, tl.exp(tl.minimum(apart, 0.0))


@triton.jit
def _hits(ids_ptr, word, first, N: tl.constexpr, BLOCK_C: tl.constexpr):
    """Return how often each word [C] was drawn; the draws' columns begin at `first`."""
    count = tl.zeros((BLOCK_C,), tl.float32)
    for start in range(0, N, BLOCK_C):
        draw = start + tl.arange(0, BLOCK_C)
        drawn = tl.load(ids_ptr + first + draw, mask=draw < N, other=-2)
        count += tl.sum(tl.where(word[:, None] == drawn[None, :], 1.0, 0.0), 1)
    return count


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
    FIRST: tl.constexpr = SHARED_AT
    # More elements at once than 1,024 take more registers than there are.
    BLOCK: tl.constexpr = min(BLOCK_C, max(8, 1024 // BLOCK_T))
    blocks *= BLOCK_C // BLOCK
    offs_t = tl.arange(0, BLOCK_T)
    token, left, right = windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    word_of_row = tl.load(notes_ptr + token, mask=(offs_t < T) & (token < kept), other=-1)
    n = (tl.minimum(left + right, 1) if CBOW else left + right).to(tl.float32)

    largest = tl.full((BLOCK_T,), -1e30, tl.float32)
    total = tl.zeros((BLOCK_T,), tl.float32)
    for block in range(FIRST // BLOCK, blocks):
        column = block * BLOCK + tl.arange(0, BLOCK)
        is_draw = (column >= FIRST) & (column < FIRST + N)
        _, log_expected = _log_expected(ids_ptr, objective_ptr, column, N)
        score = tl.load(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T) - log_expected[None, :]
        score = tl.where(is_draw[None, :], score, -1e38)
        higher = tl.maximum(largest, tl.max(score, 1))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(score - higher[:, None]), 1)
        largest = higher

    inverse = tl.zeros((BLOCK_T,), tl.float32)
    loss = tl.zeros((BLOCK_T,), tl.float32)
    for block in range(0, tl.cdiv(FIRST, BLOCK)):
        column = block * BLOCK + tl.arange(0, BLOCK)
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        word, log_expected = _log_expected(ids_ptr, objective_ptr, column, N)
        weight, is_shared = pair_weights(
            ids_ptr,
            notes_ptr,
            tile,
            token,
            left,
            right,
            word_of_row,
            column,
            score,
            T,
            N,
            W,
            1,
            CBOW,
            False,
            FIRST,
            BLOCK_T,
        )
        weight = tl.where(is_shared, 0.0, weight)
        hits = _hits(ids_ptr, word, FIRST, N, BLOCK)
        of_draws, others, of_own = _normaliser(score, log_expected, hits, largest, total)
        z = others + of_own
        is_own = column < FIRST
        tl.store(element, lr * weight * (others / z), mask=is_own[None, :] & (offs_t >= 0)[:, None])
        tl.store(weights_ptr + column, tl.sum(weight, 0), mask=is_own)
        inverse += tl.sum(weight * (of_draws / z), 1)
        loss += tl.sum(weight * (tl.maximum(largest[:, None] - score, 0.0) + tl.log(z)), 1)

    for block in range(FIRST // BLOCK, blocks):
        column = block * BLOCK + tl.arange(0, BLOCK)
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        word, log_expected = _log_expected(ids_ptr, objective_ptr, column, N)
        others_targets, _ = pair_weights(
            ids_ptr,
            notes_ptr,
            tile,
            token,
            left,
            right,
            word_of_row,
            column,
            score,
            T,
            N,
            W,
            N,
            CBOW,
            True,
            FIRST,
            BLOCK_T,
        )
        hits = _hits(ids_ptr, word, FIRST, N, BLOCK)
        of_draws, others, of_own = _normaliser(score, log_expected, hits, largest, total)
        count = n[:, None] - others_targets
        left_over = tl.maximum(inverse[:, None] - count * (of_draws / (others + of_own)), 0.0)
        share = tl.exp(tl.minimum(score - log_expected[None, :] - largest[:, None], 0.0))
        is_draw = (column >= FIRST) & (column < FIRST + N)
        p = tl.where(is_draw[None, :] & (others_targets > 0), share * left_over, 0.0)
        tl.store(element, -lr * p, mask=(column >= FIRST)[None, :] & (offs_t >= 0)[:, None])
        tl.store(weights_ptr + column, tl.sum(p, 0), mask=column >= FIRST)
    tl.debug_barrier()
    return tl.sum(loss, 0)
