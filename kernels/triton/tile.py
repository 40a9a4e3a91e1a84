"""A tile on the device: its entries, rows in and out of the tables, and the row cap.

Beside the plan's notes (plan.py) a program owns four more pieces of global memory that stay in the caches. A
tile's *entries* are the C columns of its scores, the targets' and from SHARED_AT on the shared ones, and then the
rows of W_in that it changes:

    ids [2, entries]    int32, the entry's word, or -1 where there is none; of a tile and of the next
    weights [entries]   float32, the entry's own weight, lr left out (contract.py, "The row cap")
    scales [entries]    float32, the scale of its step; 0 where there is nothing to add
    scores [C, T]       float32, S and then G, block by block
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels.triton.plan import draw_words, in_window


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
def prefetch_rows(table_ptr, rows, D: tl.constexpr):
    """Ask level 2 for rows [M] of tables [M], a line of 128 bytes at a time; for none where the row is -1."""
    LINES: tl.constexpr = D // 32 if D % 32 == 0 else D // 32 + 2  # a row that begins within a line ends in one more
    offs = tl.arange(0, triton.next_power_of_2(LINES)) * 32
    pointers = table_ptr[:, None] + rows.to(tl.int64)[:, None] * D + tl.minimum(offs, D - 1)[None, :]
    wanted = (rows >= 0)[:, None] & (offs < 32 * LINES)[None, :]
    tl.inline_asm_elementwise(
        "{ .reg .pred p; setp.ne.b32 p, $2, 0; @p prefetch.global.L2 [$1]; mov.b32 $0, 0; }",
        "=r,l,r",
        [pointers.to(tl.int64), wanted.to(tl.int32)],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def scatter(table_ptr, rows, scale, step, offs_d, D: tl.constexpr):
    """Add scale * step [M, BLOCK_D] to the columns `offs_d` of rows, where the scale is not 0."""
    add(table_ptr, rows, scale > 0, step * scale[:, None], offs_d, D)


@triton.jit
def add(table_ptr, rows, there, step, offs_d, D: tl.constexpr):
    """Add step [M, BLOCK_D] to the columns `offs_d` of rows, where there is anything to add."""
    mask = there[:, None] & (offs_d < D)[None, :]
    tl.atomic_add(row_pointers(table_ptr, rows, offs_d, D), step, mask=mask, sem="relaxed")


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
    draw_epoch,
    seed,
    V,
    columns,
    TARGETS: tl.constexpr,
    SHARED_AT: tl.constexpr,
    N: tl.constexpr,
):
    """Note the words of a tile's columns: the kept tokens from `first` on, TARGETS of them, and the N words drawn."""
    for start in range(0, columns, 128):
        column = start + tl.arange(0, 128)
        token = first + column
        is_token = (column < TARGETS) & (token >= 0) & (token < kept)
        j = column - SHARED_AT
        is_shared = (j >= 0) & (j < N)
        word = tl.load(notes_ptr + token, mask=is_token, other=-1)
        drawn = draw_words(j, is_shared, noise_prob_ptr, noise_alias_ptr, tile, chunk, draw_epoch, seed, V)
        tl.store(ids_ptr + column, tl.where(is_shared, drawn, word), mask=column < columns)


@triton.jit
def _targets_equal(e, drawn, notes_ptr, token, left, right, W: tl.constexpr):
    """Add to e [T, C] how many of the targets in each token's window are the words `drawn` [C]."""
    for distance in range(-W, W + 1):
        is_target = (distance >= -left) & (distance <= right) & (distance != 0)
        word = tl.load(notes_ptr + token + distance, mask=is_target, other=-2)
        e += tl.where(is_target[:, None] & (word[:, None] == drawn[None, :]), 1.0, 0.0)
    return e


@triton.jit
def pair_weights(
    ids_ptr,
    notes_ptr,
    tile,
    token,
    left,
    right,
    word,
    column,
    score,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    CBOW: tl.constexpr,
    MASK: tl.constexpr,
    SHARED_AT: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Return (weight [T, C], is_shared [1, C]) of a block of columns: own pairs 1, shared ones K / N a target of a row.

    With MASK a shared word weighs nothing for those of the row's targets that it is; CBOW's are `word` [T].
    """
    if CBOW:
        is_shared = (column >= SHARED_AT)[None, :]
        weighs = (column < SHARED_AT + N)[None, :] & (tl.arange(0, BLOCK_T) >= 0)[:, None]
        if MASK:
            weighs = (column < SHARED_AT + N)[None, :] & (word[:, None] != tl.load(ids_ptr + column)[None, :])
        shared_weight = tl.where(weighs, K / N, 0.0)
        own = tl.arange(0, BLOCK_T)[:, None] == column[None, :]
        weight = tl.where(is_shared, shared_weight, tl.where(own, 1.0, 0.0))
        weight = tl.where((left + right > 0)[:, None], weight, 0.0)
    else:
        is_shared = (column >= SHARED_AT)[None, :]
        count = (left + right).to(tl.float32)[:, None] + tl.zeros_like(score)
        if MASK:
            drawn = tl.load(ids_ptr + column)
            count -= _targets_equal(tl.zeros_like(score), drawn, notes_ptr, token, left, right, W)
        shared_weight = tl.where((column < SHARED_AT + N)[None, :], count * (K / N), 0.0)
        own = in_window(token, left, right, tile * T - W + column)
        weight = tl.where(is_shared, shared_weight, tl.where(own, 1.0, 0.0))
    return weight, is_shared


@triton.jit
def _keys(ids_ptr, entry, inside, columns):
    """Return what entries [M] are compared by: the word, apart for the two tables; -1 or less where there is none."""
    word = tl.load(ids_ptr + entry, mask=inside, other=-1)
    return word, tl.where(entry < columns, word, -3 - word)


@triton.jit(noinline=True)
def note_scales(
    ids_ptr,
    weights_ptr,
    scales_ptr,
    out_weight_ptr,
    in_weight_ptr,
    columns,
    lr,
    cap,
    INPUTS: tl.constexpr,
    HAS_STATIC: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Note the row cap's scale of every entry, `columns` of W_out and then INPUTS of W_in: min(1, cap / x).

    x is lr times the greater of the weight of all entries with the same word and the word's static weight. Entries
    that are compared, BLOCK at a time, lie along the first axis, whose sum is taken once, mostly within threads.
    """
    entries = columns + INPUTS
    for start in range(0, entries, BLOCK_E):
        entry = start + tl.arange(0, BLOCK_E)
        inside = entry < entries
        rows, keys = _keys(ids_ptr, entry, inside, columns)
        same = tl.zeros((BLOCK, BLOCK_E), tl.float32)
        for other_start in range(0, entries, BLOCK):
            other = other_start + tl.arange(0, BLOCK)
            there = other < entries
            _, other_keys = _keys(ids_ptr, other, there, columns)
            other_weight = tl.load(weights_ptr + other, mask=there, other=0.0)
            same += tl.where(other_keys[:, None] == keys[None, :], other_weight[:, None], 0.0)
        own = tl.load(weights_ptr + entry, mask=inside, other=0.0)
        weight = tl.sum(same, 0)
        if HAS_STATIC:
            static = tl.load(out_weight_ptr + rows, mask=(rows >= 0) & (entry < columns), other=0.0)
            static = tl.load(in_weight_ptr + rows, mask=(rows >= 0) & (entry >= columns), other=static)
            weight = tl.maximum(weight, static)
        scale = tl.where(own > 0, cap / tl.maximum(lr * weight, cap), 0.0)
        tl.store(scales_ptr + entry, scale, mask=inside)
    tl.debug_barrier()
