"""CBOW tiles in one launch: the persistent Triton kernel of triton_sg.py with the roles of the tables turned.

A tile is T centres. Their hidden vectors come from the T + 2W halo by the mask M [T, H] (a dense product, M of zeros
and ones), and are scored against C = T + N columns, X = W_out[centres and negatives]; a centre's own column has
label 1:

    h  = M W_in[halo] (/ n_t if CBOW_MEAN)              [T, D]
    S  = h X^T                                          [T, C]   pass 1, D walked in steps of BLOCK_D
    G  = lr * weight * (label - sigmoid(S))             [T, C]
    dX = s_out * (G^T h)     dh = G X     dU = s_in * M^T (dh, / n_t unless CBOW_MEAN)       pass 2

Every target's row of W_in receives dh_t, or dh_t / n_t where the hidden vector is a sum: gensim's convention, not the
true gradient. Tokens without targets are skipped. Row moves and the races tolerated are those of triton_sg.py: here too
each row is read twice and added to once, the halo BLOCK_H rows at a time.
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels.triton_plan import in_window, learning_rate, plan_chunk, window_of
from w2vfast.kernels.triton_tile import gather, note_columns, note_scales, scatter, score_gradient


@triton.jit
def _windows(notes_ptr, tile, kept, T: tl.constexpr, CHUNK: tl.constexpr, BLOCK_T: tl.constexpr):
    """Return (centre, left, right) [T] of a tile."""
    offs_t = tl.arange(0, BLOCK_T)
    centre = tile * T + offs_t
    left, right = window_of(notes_ptr, centre, (offs_t < T) & (centre < kept), CHUNK)
    return centre, left, right


@triton.jit
def _one_nth(left, right):
    return 1.0 / tl.maximum(left + right, 1).to(tl.float32)


@triton.jit
def _hidden(
    w_in_ptr,
    halo_ids_ptr,
    first,
    centre,
    left,
    right,
    offs_d,
    halo_blocks,
    D: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return the columns `offs_d` of the hidden vectors, [T, BLOCK_D]."""
    h = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
    for block in range(halo_blocks):
        place = block * BLOCK_H + tl.arange(0, BLOCK_H)
        u = gather(w_in_ptr, tl.load(halo_ids_ptr + place), offs_d, D)
        m = in_window(centre, left, right, first + place).to(tl.float32)
        h = tl.dot(m, u, h, input_precision=PRECISION)
    if CBOW_MEAN:
        h *= _one_nth(left, right)[:, None]
    return h


@triton.jit(noinline=True)
def _note_entries(
    ids_ptr,
    weights_ptr,
    notes_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    tile,
    kept,
    chunk,
    epoch,
    seed,
    V,
    columns,
    halo_blocks,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    CHUNK: tl.constexpr,
    C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """Note the words of the columns, and the halo's words and weights; returns the number of windows."""
    note_columns(
        ids_ptr, notes_ptr, noise_prob_ptr, noise_alias_ptr, tile * T, tile, kept, chunk, epoch, seed, V,
        columns, T, N,
    )  # fmt: skip
    centre, left, right = _windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    for block in range(halo_blocks):
        place = block * BLOCK_H + tl.arange(0, BLOCK_H)
        token = tile * T - W + place
        in_halo = (place < T + 2 * W) & (token >= 0) & (token < kept)
        m = in_window(centre, left, right, token).to(tl.float32)
        tl.store(ids_ptr + C + place, tl.load(notes_ptr + token, mask=in_halo, other=-1))
        tl.store(weights_ptr + C + place, tl.sum(m, 0) * (1 + K))
    tl.debug_barrier()
    return tl.sum((left + right > 0).to(tl.int32), 0)


@triton.jit(noinline=True)
def _score(
    scores_ptr,
    w_in_ptr,
    w_out_ptr,
    ids_ptr,
    notes_ptr,
    tile,
    kept,
    vector_size,
    groups,
    halo_blocks,
    D: tl.constexpr,
    T: tl.constexpr,
    W: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    CHUNK: tl.constexpr,
    C: tl.constexpr,
    PER_GROUP: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Pass 1: write S."""
    offs_t = tl.arange(0, BLOCK_T)
    offs_s = tl.arange(0, BLOCK_S)
    centre, left, right = _windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    for group in range(groups):
        rows = ()
        score = ()
        for block in tl.static_range(PER_GROUP):
            rows = rows + (tl.load(ids_ptr + (group * PER_GROUP + block) * BLOCK_S + offs_s),)
            score = score + (tl.zeros((BLOCK_T, BLOCK_S), tl.float32),)
        for d in range(0, vector_size, BLOCK_D):
            offs_d = d + tl.arange(0, BLOCK_D)
            h = _hidden(
                w_in_ptr, ids_ptr + C, tile * T - W, centre, left, right, offs_d, halo_blocks,
                D, CBOW_MEAN, BLOCK_T, BLOCK_H, BLOCK_D, PRECISION,
            )  # fmt: skip
            summed = ()
            for block in tl.static_range(PER_GROUP):
                x = gather(w_out_ptr, rows[block], offs_d, D)
                summed = summed + (tl.dot(h, tl.trans(x), score[block], input_precision=PRECISION),)
            score = summed
        for block in tl.static_range(PER_GROUP):
            column = (group * PER_GROUP + block) * BLOCK_S + offs_s
            tl.store(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T, score[block])
    tl.debug_barrier()


@triton.jit(noinline=True)
def _weigh(
    scores_ptr,
    weights_ptr,
    ids_ptr,
    notes_ptr,
    tile,
    kept,
    lr,
    blocks,
    T: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Turn S into G, note the columns' weights; returns the loss."""
    offs_t = tl.arange(0, BLOCK_T)
    centre, left, right = _windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    word = tl.load(notes_ptr + centre, mask=(offs_t < T) & (centre < kept), other=-1)
    has_window = (left + right > 0)[:, None]
    loss = tl.zeros((BLOCK_T,), tl.float32)
    for block in range(blocks):
        column = block * BLOCK_C + tl.arange(0, BLOCK_C)
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        is_negative = (column >= T)[None, :]
        other_word = word[:, None] != tl.load(ids_ptr + column)[None, :]
        negative_weight = tl.where((column < T + N)[None, :] & other_word, K / N, 0.0)
        own = offs_t[:, None] == column[None, :]
        weight = tl.where(is_negative, negative_weight, tl.where(own, 1.0, 0.0))
        weight = tl.where(has_window, weight, 0.0)
        g, block_loss = score_gradient(score, is_negative, weight, lr)
        tl.store(element, g)
        tl.store(weights_ptr + column, tl.sum(weight, 0))
        loss += tl.sum(block_loss, 1)
    tl.debug_barrier()
    return tl.sum(loss, 0)


@triton.jit(noinline=True)
def _update(
    w_in_ptr,
    w_out_ptr,
    ids_ptr,
    scales_ptr,
    scores_ptr,
    notes_ptr,
    tile,
    kept,
    vector_size,
    blocks,
    halo_blocks,
    D: tl.constexpr,
    T: tl.constexpr,
    W: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    CHUNK: tl.constexpr,
    C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Pass 2: add the scaled steps to both tables."""
    offs_t = tl.arange(0, BLOCK_T)
    offs_c = tl.arange(0, BLOCK_C)
    centre, left, right = _windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    for d in range(0, vector_size, BLOCK_D):
        offs_d = d + tl.arange(0, BLOCK_D)
        h = _hidden(
            w_in_ptr, ids_ptr + C, tile * T - W, centre, left, right, offs_d, halo_blocks,
            D, CBOW_MEAN, BLOCK_T, BLOCK_H, BLOCK_D, PRECISION,
        )  # fmt: skip
        dh = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
        for block in range(blocks):
            column = block * BLOCK_C + offs_c
            g = tl.load(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T)
            x = gather(w_out_ptr, tl.load(ids_ptr + column), offs_d, D)
            dh = tl.dot(g, x, dh, input_precision=PRECISION)
        tl.debug_barrier()
        for block in range(blocks):
            column = block * BLOCK_C + offs_c
            g_transposed = tl.load(scores_ptr + column[:, None] * BLOCK_T + offs_t[None, :])
            dx = tl.dot(g_transposed, h, input_precision=PRECISION)
            scatter(w_out_ptr, tl.load(ids_ptr + column), tl.load(scales_ptr + column), dx, offs_d, D)
        if not CBOW_MEAN:
            dh *= _one_nth(left, right)[:, None]
        for block in range(halo_blocks):
            place = block * BLOCK_H + tl.arange(0, BLOCK_H)
            m = in_window(centre, left, right, tile * T - W + place).to(tl.float32)
            du = tl.dot(tl.trans(m), dh, input_precision=PRECISION)
            scatter(w_in_ptr, tl.load(ids_ptr + C + place), tl.load(scales_ptr + C + place), du, offs_d, D)
    tl.debug_barrier()  # the next tile writes to what is read here


@triton.jit(
    do_not_specialize=[
        "chunks",
        "first_rank",
        "epoch",
        "seed",
        "n_tokens",
        "V",
        "vector_size",
        "groups",
        "halo_blocks",
        "cap",
    ]
)
def cbow_kernel(
    w_in_ptr,
    w_out_ptr,
    tokens_ptr,
    order_ptr,
    slots_ptr,
    keep_threshold_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    in_weight_ptr,
    out_weight_ptr,
    schedule_ptr,
    next_ptr,
    loss_ptr,
    counts_ptr,
    notes_ptr,
    ids_ptr,
    weights_ptr,
    scales_ptr,
    scores_ptr,
    chunks,
    first_rank,
    epoch,
    seed: tl.int64,
    n_tokens: tl.int64,
    V,
    vector_size,
    groups,
    halo_blocks,
    cap: tl.float32,
    D: tl.constexpr,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    SHRINK: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    HAS_STATIC: tl.constexpr,
    CHUNK: tl.constexpr,
    NOTES: tl.constexpr,
    GROUPS: tl.constexpr,
    PER_GROUP: tl.constexpr,
    HALO_BLOCKS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Train CBOW on `chunks` chunks; see the module's docstring, and triton_step.py for the arguments."""
    program = tl.program_id(0).to(tl.int64)
    C: tl.constexpr = GROUPS * PER_GROUP * BLOCK_S
    H: tl.constexpr = HALO_BLOCKS * BLOCK_H
    notes_ptr += program * (NOTES * CHUNK)
    ids_ptr += program * (C + H)
    weights_ptr += program * (C + H)
    scales_ptr += program * (C + H)
    scores_ptr += program * (C * BLOCK_T)
    columns = groups * (PER_GROUP * BLOCK_S)

    place = tl.atomic_add(next_ptr, 1, sem="relaxed")
    while place < chunks:
        chunk = tl.load(order_ptr + place)
        length = tl.minimum(n_tokens - chunk * CHUNK, CHUNK).to(tl.int32)
        chunk_tokens_ptr = tokens_ptr + tl.load(slots_ptr + place) * CHUNK
        kept = plan_chunk(
            notes_ptr, chunk_tokens_ptr, keep_threshold_ptr, chunk, length, epoch, seed, W, SHRINK, CHUNK, BLOCK_P
        )
        tl.atomic_add(counts_ptr + 2 * program + 1, kept.to(tl.int64), sem="relaxed")
        for tile in range(0, tl.cdiv(kept, T)):
            offset = tl.load(notes_ptr + 2 * CHUNK + tile * T)
            lr = learning_rate(schedule_ptr, epoch, first_rank + place, offset, n_tokens, CHUNK)
            windows = _note_entries(
                ids_ptr, weights_ptr, notes_ptr, noise_prob_ptr, noise_alias_ptr, tile, kept, chunk, epoch, seed, V,
                columns, halo_blocks, T, N, W, K, CHUNK, C, BLOCK_T, BLOCK_H,
            )  # fmt: skip
            _score(
                scores_ptr, w_in_ptr, w_out_ptr, ids_ptr, notes_ptr, tile, kept, vector_size, groups, halo_blocks,
                D, T, W, CBOW_MEAN, CHUNK, C, PER_GROUP, BLOCK_T, BLOCK_S, BLOCK_H, BLOCK_D, PRECISION,
            )  # fmt: skip
            loss = _weigh(
                scores_ptr, weights_ptr, ids_ptr, notes_ptr, tile, kept, lr, columns // BLOCK_C,
                T, N, K, CHUNK, BLOCK_T, BLOCK_C,
            )  # fmt: skip
            tl.atomic_add(loss_ptr + program, loss.to(tl.float64), sem="relaxed")
            tl.atomic_add(counts_ptr + 2 * program, windows.to(tl.int64), sem="relaxed")
            note_scales(
                ids_ptr, weights_ptr, scales_ptr, out_weight_ptr, in_weight_ptr, columns,
                halo_blocks * BLOCK_H, lr, cap, HAS_STATIC, BLOCK_C,
            )  # fmt: skip
            _update(
                w_in_ptr, w_out_ptr, ids_ptr, scales_ptr, scores_ptr, notes_ptr, tile, kept, vector_size,
                columns // BLOCK_C, halo_blocks,
                D, T, W, CBOW_MEAN, CHUNK, C, BLOCK_T, BLOCK_C, BLOCK_H, BLOCK_D, PRECISION,
            )  # fmt: skip
        place = tl.atomic_add(next_ptr, 1, sem="relaxed")
