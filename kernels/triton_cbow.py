"""CBOW tiles in one launch: the persistent Triton kernel of triton_sg.py with the roles of the tables turned.

A tile is T centres. Their hidden vectors come from the T + 2W halo by the mask M [T, H] (a dense product, M of zeros and
ones), and are scored against C = T + N columns, X = W_out[centres and negatives]; a centre's own column is its label 1:

    h  = M W_in[halo] (/ n_t if CBOW_MEAN)              [T, D]
    S  = h X^T                                          [T, C]   pass 1, D walked in steps of BLOCK_D
    G  = lr * weight * (label - sigmoid(S))             [T, C]
    dX = s_out * (G^T h)     dh = G X     dU = s_in * M^T (dh, / n_t unless CBOW_MEAN)       pass 2

Every target's row of W_in receives dh_t, or dh_t / n_t where the hidden vector is a sum: gensim's convention, not the
true gradient. Tokens without targets are skipped. Row moves and the races tolerated are those of triton_sg.py; the
halo is gathered twice too, BLOCK_H rows at a time.
"""

import triton
import triton.language as tl

from w2vfast.kernels.triton_plan import in_window, learning_rate, negatives, plan_chunk, window_of
from w2vfast.kernels.triton_tile import gather, note_scales, scatter, score_gradient


@triton.jit
def _halo(notes_ptr, group, tile, kept, T: tl.constexpr, W: tl.constexpr, BLOCK_H: tl.constexpr):
    """Return (index among the kept, word) of a group of the halo; word -1 outside the halo and the chunk."""
    place = group * BLOCK_H + tl.arange(0, BLOCK_H)
    other = tile * T - W + place
    in_halo = (place < T + 2 * W) & (other >= 0) & (other < kept)
    return other, tl.load(notes_ptr + other, mask=in_halo, other=-1)


@triton.jit
def _hidden(
    w_in_ptr,
    notes_ptr,
    tile,
    kept,
    centre,
    left,
    right,
    share,
    offs_d,
    D: tl.constexpr,
    T: tl.constexpr,
    W: tl.constexpr,
    HALO_GROUPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return the columns `offs_d` of the hidden vectors, [T, BLOCK_D]."""
    h = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
    for group in range(HALO_GROUPS):
        other, rows = _halo(notes_ptr, group, tile, kept, T, W, BLOCK_H)
        u = gather(w_in_ptr, rows, offs_d, D)
        m = in_window(centre, left, right, other).to(tl.float32)
        h = tl.dot(m, u, h, input_precision=PRECISION)
    return h * share[:, None]


@triton.jit
def _score_columns(
    ids_ptr,
    weights_ptr,
    notes_ptr,
    w_in_ptr,
    w_out_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    group,
    centre,
    word,
    left,
    right,
    share,
    tile,
    kept,
    chunk,
    epoch,
    seed,
    lr,
    V,
    D: tl.constexpr,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    HALO_GROUPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return (G [T, C], loss [T]) of a group of columns; note their words and weights."""
    column = group * BLOCK_C + tl.arange(0, BLOCK_C)
    j = column - T
    is_negative = (j >= 0) & (j < N)
    is_centre = (j < 0) & (tile * T + column < kept)
    drawn = negatives(j, is_negative, noise_prob_ptr, noise_alias_ptr, tile, chunk, epoch, seed, V)
    rows = tl.where(is_negative, drawn, tl.load(notes_ptr + tile * T + column, mask=is_centre, other=-1))

    score = tl.zeros((BLOCK_T, BLOCK_C), tl.float32)
    for d in range(0, D, BLOCK_D):
        offs_d = d + tl.arange(0, BLOCK_D)
        h = _hidden(
            w_in_ptr, notes_ptr, tile, kept, centre, left, right, share, offs_d,
            D, T, W, HALO_GROUPS, BLOCK_T, BLOCK_H, BLOCK_D, PRECISION,
        )  # fmt: skip
        x = gather(w_out_ptr, rows, offs_d, D)
        score = tl.dot(h, tl.trans(x), score, input_precision=PRECISION)

    has_window = (left + right > 0)[:, None]
    positive = has_window & is_centre[None, :] & (centre[:, None] == (tile * T + column)[None, :])
    counted = has_window & is_negative[None, :] & (word[:, None] != drawn[None, :])
    weight = tl.where(positive, 1.0, tl.where(counted, K / N, 0.0))
    g, loss = score_gradient(score, positive, weight, lr)
    tl.store(ids_ptr + column, rows)
    tl.store(weights_ptr + column, tl.sum(weight, 0))
    return g, tl.sum(loss, 1)


@triton.jit(do_not_specialize=["chunks", "first_rank", "epoch", "seed", "n_tokens", "V", "cap"])
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
    gradients_ptr,
    chunks,
    first_rank,
    epoch,
    seed: tl.int64,
    n_tokens: tl.int64,
    V,
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
    HALO_GROUPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_E: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Train CBOW on `chunks` chunks; see the module's docstring, and triton_step.py for the arguments."""
    program = tl.program_id(0).to(tl.int64)
    C: tl.constexpr = GROUPS * BLOCK_C
    H: tl.constexpr = HALO_GROUPS * BLOCK_H
    ENTRIES: tl.constexpr = C + H
    notes_ptr += program * (NOTES * CHUNK)
    ids_ptr += program * ENTRIES
    weights_ptr += program * ENTRIES
    scales_ptr += program * ENTRIES
    gradients_ptr += program * (C * BLOCK_T)
    offs_t = tl.arange(0, BLOCK_T)
    offs_c = tl.arange(0, BLOCK_C)
    offs_h = tl.arange(0, BLOCK_H)
    in_group = offs_t[:, None] * BLOCK_C + offs_c[None, :]
    loss_sum = tl.load(loss_ptr + program)
    windows = tl.load(counts_ptr + 2 * program)
    trained = tl.load(counts_ptr + 2 * program + 1)

    place = tl.atomic_add(next_ptr, 1, sem="relaxed")
    while place < chunks:
        chunk = tl.load(order_ptr + place)
        length = tl.minimum(n_tokens - chunk * CHUNK, CHUNK).to(tl.int32)
        chunk_tokens_ptr = tokens_ptr + tl.load(slots_ptr + place) * CHUNK
        kept = plan_chunk(
            notes_ptr, chunk_tokens_ptr, keep_threshold_ptr, chunk, length, epoch, seed, W, SHRINK, CHUNK, BLOCK_P
        )
        trained += kept
        for tile in range(0, tl.cdiv(kept, T)):
            centre = tile * T + offs_t
            valid = (offs_t < T) & (centre < kept)
            word = tl.load(notes_ptr + centre, mask=valid, other=-1)
            left, right = window_of(notes_ptr, centre, valid, CHUNK)
            n = left + right
            one_nth = 1.0 / tl.maximum(n, 1).to(tl.float32)
            share = one_nth if CBOW_MEAN else tl.full((BLOCK_T,), 1.0, tl.float32)
            share_back = tl.full((BLOCK_T,), 1.0, tl.float32) if CBOW_MEAN else one_nth
            offset = tl.load(notes_ptr + 2 * CHUNK + tile * T)
            lr = learning_rate(schedule_ptr, epoch, first_rank + place, offset, n_tokens, CHUNK)
            for group in range(HALO_GROUPS):
                other, halo_rows = _halo(notes_ptr, group, tile, kept, T, W, BLOCK_H)
                m = in_window(centre, left, right, other).to(tl.float32)
                tl.store(ids_ptr + C + group * BLOCK_H + offs_h, halo_rows)
                tl.store(weights_ptr + C + group * BLOCK_H + offs_h, tl.sum(m, 0) * (1 + K))

            if GROUPS == 1:
                g, loss = _score_columns(
                    ids_ptr, weights_ptr, notes_ptr, w_in_ptr, w_out_ptr, noise_prob_ptr, noise_alias_ptr,
                    0, centre, word, left, right, share, tile, kept, chunk, epoch, seed, lr, V,
                    D, T, N, W, K, HALO_GROUPS, BLOCK_T, BLOCK_C, BLOCK_H, BLOCK_D, PRECISION,
                )  # fmt: skip
            else:
                loss = tl.zeros((BLOCK_T,), tl.float32)
                for group in range(GROUPS):
                    part_g, part_loss = _score_columns(
                        ids_ptr, weights_ptr, notes_ptr, w_in_ptr, w_out_ptr, noise_prob_ptr, noise_alias_ptr,
                        group, centre, word, left, right, share, tile, kept, chunk, epoch, seed, lr, V,
                        D, T, N, W, K, HALO_GROUPS, BLOCK_T, BLOCK_C, BLOCK_H, BLOCK_D, PRECISION,
                    )  # fmt: skip
                    loss += part_loss
                    tl.store(gradients_ptr + group * (BLOCK_T * BLOCK_C) + in_group, part_g)
            loss_sum += tl.sum(loss, 0).to(tl.float64)
            windows += tl.sum((n > 0).to(tl.int32), 0)

            tl.debug_barrier()
            note_scales(
                ids_ptr, weights_ptr, scales_ptr, out_weight_ptr, lr, cap, C, HAS_STATIC, BLOCK_C, BLOCK_E
            )
            note_scales(
                ids_ptr + C, weights_ptr + C, scales_ptr + C, in_weight_ptr, lr, cap, H, HAS_STATIC, BLOCK_H, BLOCK_E
            )
            tl.debug_barrier()
            if GROUPS == 1:
                rows = tl.load(ids_ptr + offs_c)
                scale_out = tl.load(scales_ptr + offs_c)
                rows = tl.where(scale_out > 0, rows, -1)

            for d in range(0, D, BLOCK_D):
                offs_d = d + tl.arange(0, BLOCK_D)
                h = _hidden(
                    w_in_ptr, notes_ptr, tile, kept, centre, left, right, share, offs_d,
                    D, T, W, HALO_GROUPS, BLOCK_T, BLOCK_H, BLOCK_D, PRECISION,
                )  # fmt: skip
                if GROUPS == 1:
                    x = gather(w_out_ptr, rows, offs_d, D)
                    dh = tl.dot(g, x, input_precision=PRECISION)
                    dx = tl.dot(tl.trans(g), h, input_precision=PRECISION)
                    scatter(w_out_ptr, rows, scale_out, dx, offs_d, D)
                else:
                    dh = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
                    for group in range(GROUPS):
                        part_g = tl.load(gradients_ptr + group * (BLOCK_T * BLOCK_C) + in_group)
                        x = gather(w_out_ptr, tl.load(ids_ptr + group * BLOCK_C + offs_c), offs_d, D)
                        dh = tl.dot(part_g, x, dh, input_precision=PRECISION)
                    tl.debug_barrier()
                    for group in range(GROUPS):
                        part_g = tl.load(gradients_ptr + group * (BLOCK_T * BLOCK_C) + in_group)
                        dx = tl.dot(tl.trans(part_g), h, input_precision=PRECISION)
                        part_rows = tl.load(ids_ptr + group * BLOCK_C + offs_c)
                        part_scale = tl.load(scales_ptr + group * BLOCK_C + offs_c)
                        scatter(w_out_ptr, part_rows, part_scale, dx, offs_d, D)
                dh *= share_back[:, None]
                for group in range(HALO_GROUPS):
                    other, halo_rows = _halo(notes_ptr, group, tile, kept, T, W, BLOCK_H)
                    m = in_window(centre, left, right, other).to(tl.float32)
                    du = tl.dot(tl.trans(m), dh, input_precision=PRECISION)
                    halo_scale = tl.load(scales_ptr + C + group * BLOCK_H + offs_h)
                    scatter(w_in_ptr, halo_rows, halo_scale, du, offs_d, D)
            tl.debug_barrier()  # the next tile writes to what is read here
        place = tl.atomic_add(next_ptr, 1, sem="relaxed")

    tl.store(loss_ptr + program, loss_sum)
    tl.store(counts_ptr + 2 * program, windows)
    tl.store(counts_ptr + 2 * program + 1, trained)
