"""The pass from scores to gradients of a logistic objective: G = lr * weight * (label - sigmoid(S)), loss, weights.

A block of columns is one of three kinds, told apart when the kernel is compiled: targets alone, which weigh 1 in a
row's window; drawn words alone, label 0, which weigh K / N for each of the row's targets, so that without the target
mask weight is a number a row and its sum a number a tile; and both, where they share a block (config.py).
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels.triton.inputs import windows
from w2vfast.kernels.triton.plan import in_window
from w2vfast.kernels.triton.tile import pair_weights


@triton.jit
def _product(a, b):
    return a * b


@triton.jit
def _log_of_rows(factors, FEW: tl.constexpr):
    """Return the sums of a row's logarithms [T]; of its product where the FEW factors that are not 1 allow it."""
    if FEW <= 120:  # each is at most 2
        return tl.log(tl.reduce(factors, 1, _product))
    return tl.sum(tl.log(factors), 1)


@triton.jit
def _wrong(against):
    """Return (sigmoid(x), 1 + e^-|x|, max(x, 0)) of scores x to the wrong side of their label.

    The loss is the logarithm of the second plus the third: neither can overflow, and logarithms of a product are one.
    """
    tail = tl.exp(-tl.abs(against))  # in (0, 1]
    factor = 1.0 + tail
    return tl.where(against >= 0, 1.0, tail) / factor, factor, tl.maximum(against, 0.0)


@triton.jit
def weigh_pairs(
    scores_ptr,
    weights_ptr,
    ids_ptr,
    notes_ptr,
    bias_ptr,
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
    BIAS: tl.constexpr,
):
    """See w2vfast.kernels.triton.objectives; with BIAS a column's `bias_ptr` is taken from its scores."""
    offs_t = tl.arange(0, BLOCK_T)
    offs_c = tl.arange(0, BLOCK_C)
    token, left, right = windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    word = tl.load(notes_ptr + token, mask=(offs_t < T) & (token < kept), other=-1)
    targets = left + right
    if CBOW:
        targets = tl.minimum(targets, 1)
    row_weight = targets.to(tl.float32) * (K / N)
    total = tl.sum(row_weight, 0)
    loss = tl.zeros((BLOCK_T, BLOCK_C), tl.float32)
    factors = tl.full((BLOCK_T, BLOCK_C), 1.0, tl.float32)  # each at most 2, one a block: of up to 127 blocks
    for block in range(0, SHARED_AT // BLOCK_C):
        column = block * BLOCK_C + offs_c
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        if BIAS:
            of_column = tl.load(ids_ptr + column)
            score -= tl.load(bias_ptr + of_column, mask=of_column >= 0, other=0.0)[None, :]
        if CBOW:
            own = (offs_t[:, None] == column[None, :]) & (targets > 0)[:, None]
        else:
            own = in_window(token, left, right, tile * T - W + column)
        wrong, factor, excess = _wrong(-score)
        tl.store(element, tl.where(own, lr * wrong, 0.0))
        tl.store(weights_ptr + column, tl.sum(tl.where(own, 1.0, 0.0), 0))
        factors *= tl.where(own, factor, 1.0)
        loss += tl.where(own, excess, 0.0)
    loss_of_row = _log_of_rows(factors, 2 * W)
    if SHARED_AT % BLOCK_C != 0:
        column = SHARED_AT // BLOCK_C * BLOCK_C + offs_c
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        if BIAS:
            of_column = tl.load(ids_ptr + column)
            score -= tl.load(bias_ptr + of_column, mask=of_column >= 0, other=0.0)[None, :]
        weight, is_shared = pair_weights(
            ids_ptr,
            notes_ptr,
            tile,
            token,
            left,
            right,
            word,
            column,
            score,
            T,
            N,
            W,
            K,
            CBOW,
            MASK,
            SHARED_AT,
            BLOCK_T,
        )
        wrong, factor, excess = _wrong(tl.where(is_shared, score, -score))
        tl.store(element, lr * weight * tl.where(is_shared, -wrong, wrong))
        tl.store(weights_ptr + column, tl.sum(weight, 0))
        loss += weight * (tl.log(factor) + excess)
    drawn_factors = tl.full((BLOCK_T, BLOCK_C), 1.0, tl.float32)
    drawn_loss = tl.zeros((BLOCK_T, BLOCK_C), tl.float32)
    drawn_end = tl.minimum(blocks, (SHARED_AT + N + BLOCK_C - 1) // BLOCK_C)
    for block in range((SHARED_AT + BLOCK_C - 1) // BLOCK_C, drawn_end):
        column = block * BLOCK_C + offs_c
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        if BIAS:
            of_column = tl.load(ids_ptr + column)
            score -= tl.load(bias_ptr + of_column, mask=of_column >= 0, other=0.0)[None, :]
        wrong, factor, excess = _wrong(score)
        if MASK:
            weight, _ = pair_weights(
                ids_ptr, notes_ptr, tile, token, left, right, word, column, score, T, N, W, K, CBOW, True, SHARED_AT,
                BLOCK_T,
            )  # fmt: skip
            tl.store(element, -lr * weight * wrong)
            tl.store(weights_ptr + column, tl.sum(weight, 0))
            loss += weight * (tl.log(factor) + excess)
        else:
            drawn = column < SHARED_AT + N
            tl.store(element, (-lr * row_weight)[:, None] * wrong)  # where nothing is drawn, of rows that are zero
            tl.store(weights_ptr + column, tl.where(drawn, total, 0.0))
            if N % BLOCK_C == 0:
                drawn_factors *= factor
                drawn_loss += excess
            else:
                drawn_factors *= tl.where(drawn[None, :], factor, 1.0)
                drawn_loss += tl.where(drawn[None, :], excess, 0.0)
    for block in range(drawn_end, blocks):  # what pads the last group
        column = block * BLOCK_C + offs_c
        tl.store(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T, tl.zeros((BLOCK_T, BLOCK_C), tl.float32))
        tl.store(weights_ptr + column, tl.zeros((BLOCK_C,), tl.float32))
    if not MASK:
        loss_of_row += row_weight * (_log_of_rows(drawn_factors, N) + tl.sum(drawn_loss, 1))
    tl.debug_barrier()
    return tl.sum(loss_of_row + tl.sum(loss, 1), 0)
