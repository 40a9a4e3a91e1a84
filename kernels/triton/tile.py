"""What skip-gram's and CBOW's tiles share on the device: rows in and out of the tables, gradients, and the row cap.

Beside the plan's notes (triton_plan.py) a program owns four more pieces of global memory that stay in the caches. A
tile's *entries* are the C columns of its scores, then the rows of W_in that it changes:

    ids [entries]       int32, the entry's word, or -1 where there is none
    weights [entries]   float32, the entry's own weight, lr left out (contract.py, "The row cap")
    scales [entries]    float32, the scale of its step; 0 where there is nothing to add
    scores [C, T]       float32, S and then G, block by block
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels.triton_plan import negatives


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


@triton.jit
def note_columns(
    ids_ptr,
    notes_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    first,
    tile,
    kept,
    chunk,
    epoch,
    seed,
    V,
    columns,
    POSITIVES: tl.constexpr,
    N: tl.constexpr,
):
    """Note the words of a tile's columns: the kept tokens from `first` on, POSITIVES of them, then its negatives."""
    for start in range(0, columns, 128):
        column = start + tl.arange(0, 128)
        token = first + column
        is_token = (column < POSITIVES) & (token >= 0) & (token < kept)
        j = column - POSITIVES
        is_negative = (j >= 0) & (j < N)
        word = tl.load(notes_ptr + token, mask=is_token, other=-1)
        drawn = negatives(j, is_negative, noise_prob_ptr, noise_alias_ptr, tile, chunk, epoch, seed, V)
        tl.store(ids_ptr + column, tl.where(is_negative, drawn, word), mask=column < columns)


@triton.jit
def score_gradient(score, is_negative, weight, lr):
    """Return (G, loss), element by element: lr * weight * (label - sigmoid), weight * -log sigmoid(+-score)."""
    against = tl.where(is_negative, score, -score)
    tail = tl.exp(-tl.abs(against))  # in (0, 1]: neither the sigmoid nor the logarithm can overflow
    wrong = tl.where(against >= 0, 1.0, tail) / (1.0 + tail)
    loss = weight * (tl.log(1.0 + tail) + tl.maximum(against, 0.0))
    return lr * weight * tl.where(is_negative, -wrong, wrong), loss


@triton.jit(noinline=True)
def note_scales(
    ids_ptr,
    weights_ptr,
    scales_ptr,
    out_weight_ptr,
    in_weight_ptr,
    columns,
    rows_in,
    lr,
    cap,
    HAS_STATIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Note the row cap's scale of every entry, `columns` of W_out and then `rows_in` of W_in: min(1, cap / x).

    x is lr times the greater of the weight of all entries with the same word and the word's static weight.
    """
    for start in range(0, columns + rows_in, BLOCK):
        first = tl.where(start < columns, 0, columns)
        stop = tl.where(start < columns, columns, columns + rows_in)
        entry = start + tl.arange(0, BLOCK)
        rows = tl.load(ids_ptr + entry, mask=entry < stop, other=-1)
        own = tl.load(weights_ptr + entry, mask=entry < stop, other=0.0)
        weight = tl.zeros((BLOCK,), tl.float32)
        for other_start in range(first, stop, BLOCK):
            other = other_start + tl.arange(0, BLOCK)
            other_rows = tl.load(ids_ptr + other, mask=other < stop, other=-2)
            other_weight = tl.load(weights_ptr + other, mask=other < stop, other=0.0)
            weight += tl.sum(tl.where(rows[:, None] == other_rows[None, :], other_weight[None, :], 0.0), 1)
        if HAS_STATIC:
            of_out = (rows >= 0) & (entry < columns)
            of_in = (rows >= 0) & (entry >= columns)
            static = tl.load(out_weight_ptr + rows, mask=of_out, other=0.0)
            static = tl.load(in_weight_ptr + rows, mask=of_in, other=static)
            weight = tl.maximum(weight, static)
        scale = tl.where(own > 0, cap / tl.maximum(lr * weight, cap), 0.0)
        tl.store(scales_ptr + entry, scale, mask=entry < stop)
    tl.debug_barrier()
