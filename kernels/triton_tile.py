"""What skip-gram's and CBOW's tiles share on the device: the gradient of scores, and the row cap.

Beside the plan's notes (triton_plan.py) a program owns four more pieces of global memory that stay in the caches. A
tile's *entries* are the C columns of its scores, then the IN_ROWS rows of W_in that it changes:

    ids [C + IN_ROWS]        int32, the entry's word, or -1 where there is none
    weights [C + IN_ROWS]    float32, the entry's own weight, lr left out (contract.py, "The row cap")
    scales [C + IN_ROWS]     float32, the scale of its step; 0 where there is nothing to add
    gradients [C * BLOCK_T]  float32, G; used only where the columns take more than one group
"""

import triton
import triton.language as tl


@triton.jit
def note_scales(
    ids_ptr,
    weights_ptr,
    scales_ptr,
    static_ptr,
    lr,
    cap,
    count: tl.constexpr,
    HAS_STATIC: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Write the row cap's scale of `count` entries: min(1, cap / x).

    x is lr times the greater of the weight of all entries with the same word and the word's static weight.
    """
    for start in range(0, count, BLOCK):
        entry = start + tl.arange(0, BLOCK)
        rows = tl.load(ids_ptr + entry, mask=entry < count, other=-1)
        own = tl.load(weights_ptr + entry, mask=entry < count, other=0.0)
        weight = tl.zeros((BLOCK,), tl.float32)
        for other_start in range(0, count, BLOCK_E):
            other = other_start + tl.arange(0, BLOCK_E)
            other_rows = tl.load(ids_ptr + other, mask=other < count, other=-2)
            other_weight = tl.load(weights_ptr + other, mask=other < count, other=0.0)
            weight += tl.sum(tl.where(rows[:, None] == other_rows[None, :], other_weight[None, :], 0.0), 1)
        if HAS_STATIC:
            weight = tl.maximum(weight, tl.load(static_ptr + rows, mask=rows >= 0, other=0.0))
        scale = tl.where(own > 0, cap / tl.maximum(lr * weight, cap), 0.0)
        tl.store(scales_ptr + entry, scale, mask=entry < count)


@triton.jit
def score_gradient(score, positive, weight, lr):
    """Return (G, loss) of scores, element by element: lr * weight * (label - sigmoid), weight * -log sigmoid(+-score)."""
    tail = tl.exp(-tl.abs(score))  # in (0, 1]: neither the sigmoid nor the logarithm can overflow
    sigmoid = tl.where(score >= 0, 1.0, tail) / (1.0 + tail)
    label = tl.where(positive, 1.0, 0.0)
    against = tl.where(positive, -score, score)
    return lr * weight * (label - sigmoid), weight * (tl.log(1.0 + tail) + tl.maximum(against, 0.0))


@triton.jit
def row_pointers(table_ptr, rows, offs_d, D: tl.constexpr):
    """Return pointers [M, BLOCK_D] to the columns `offs_d` of rows; 64-bit, since V * D passes 2^31."""
    return table_ptr + rows.to(tl.int64)[:, None] * D + offs_d[None, :]


@triton.jit
def gather(table_ptr, rows, offs_d, D: tl.constexpr):
    """Return the columns `offs_d` of rows [M, BLOCK_D]; 0 where the row is -1."""
    mask = (rows >= 0)[:, None] & (offs_d < D)[None, :]
    return tl.load(row_pointers(table_ptr, rows, offs_d, D), mask=mask, other=0.0)


@triton.jit
def scatter(table_ptr, rows, scale, step, offs_d, D: tl.constexpr):
    """Add scale * step [M, BLOCK_D] to the columns `offs_d` of rows, where the scale is not 0."""
    mask = (scale > 0)[:, None] & (offs_d < D)[None, :]
    tl.atomic_add(row_pointers(table_ptr, rows, offs_d, D), step * scale[:, None], mask=mask, sem="relaxed")
