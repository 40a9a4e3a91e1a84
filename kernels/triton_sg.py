"""Skip-gram tiles in one launch: a persistent Triton kernel that plans, gathers, multiplies, caps and scatters.

A program takes the next chunk of the visiting order, plans it (triton_plan.py) and trains its tiles, one after another.
A tile is T centres, V = W_in[centres] [T, D], against C = (T + 2W) + N columns, X = W_out[halo and negatives] [C, D]:

    S  = V X^T                                          [T, C]   pass 1, D walked in steps of BLOCK_D
    G  = lr * weight * (label - sigmoid(S))             [T, C]   kept in registers
    dV = s_in * (G X)      dX = s_out * (G^T V)                  pass 2, the same steps; added by relaxed atomics

s_in and s_out are the row cap's scales: the smaller of what the tile's exact count and the static count allow. Columns
are worked on BLOCK_C at a time. Where they all fit (GROUPS == 1: every shipped configuration) each row is read twice and
added to once: three moves where two are distinct. Else G goes through memory, and V is read once more a group.

Races tolerated. Programs do not wait for each other, so:
- a row may be read while others add to it: a read may hold some of their additions and not the rest, element by element;
- the second read of a row may see more of them than the first: G comes from slightly older rows than dV and dX;
- additions are atomic: none is lost. Within a tile all reads of a step come before its additions (the dots' operands go
  through shared memory and a barrier), so a tile does not see its own.
- W_in and W_out are read through L1, which other processors' additions do not refresh. A row that a program reads and
  has a gradient for it also adds to, which drops the line: what it reads is no older than its own last tile with the row.
"""

import triton
import triton.language as tl

from w2vfast.kernels.triton_plan import in_window, learning_rate, negatives, plan_chunk, window_of
from w2vfast.kernels.triton_tile import gather, note_scales, scatter, score_gradient


@triton.jit
def _targets_equal(e, drawn, notes_ptr, centre, left, right, W: tl.constexpr):
    """Add to e [T, C] how many of each centre's targets are the words `drawn` [C]."""
    for distance in range(-W, W + 1):
        is_target = (distance >= -left) & (distance <= right) & (distance != 0)
        word = tl.load(notes_ptr + centre + distance, mask=is_target, other=-1)
        e += tl.where(is_target[:, None] & (word[:, None] == drawn[None, :]), 1.0, 0.0)
    return e


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
    TARGET_MASK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return (G [T, C], loss [T]) of a group of columns; note their words and weights."""
    column = group * BLOCK_C + tl.arange(0, BLOCK_C)
    j = column - (T + 2 * W)
    is_negative = (j >= 0) & (j < N)
    target = tile * T - W + column
    in_halo = (j < 0) & (target >= 0) & (target < kept)
    drawn = negatives(j, is_negative, noise_prob_ptr, noise_alias_ptr, tile, chunk, epoch, seed, V)
    rows = tl.where(is_negative, drawn, tl.load(notes_ptr + target, mask=in_halo, other=-1))

    score = tl.zeros((BLOCK_T, BLOCK_C), tl.float32)
    for d in range(0, D, BLOCK_D):
        offs_d = d + tl.arange(0, BLOCK_D)
        v = gather(w_in_ptr, word, offs_d, D)
        x = gather(w_out_ptr, rows, offs_d, D)
        score = tl.dot(v, tl.trans(x), score, input_precision=PRECISION)

    positive = in_window(centre, left, right, target) & in_halo[None, :]
    count = (left + right).to(tl.float32)[:, None] + tl.zeros_like(score)
    if TARGET_MASK:
        count -= _targets_equal(tl.zeros_like(score), drawn, notes_ptr, centre, left, right, W)
    weight = tl.where(is_negative[None, :], count * (K / N), tl.where(positive, 1.0, 0.0))
    g, loss = score_gradient(score, positive, weight, lr)
    tl.store(ids_ptr + column, rows)
    tl.store(weights_ptr + column, tl.sum(weight, 0))
    return g, tl.sum(loss, 1)


@triton.jit(do_not_specialize=["chunks", "first_rank", "epoch", "seed", "n_tokens", "V", "cap"])
def sg_kernel(
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
    TARGET_MASK: tl.constexpr,
    HAS_STATIC: tl.constexpr,
    CHUNK: tl.constexpr,
    NOTES: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_E: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Train skip-gram on `chunks` chunks; see the module's docstring, and triton_step.py for the arguments."""
    program = tl.program_id(0).to(tl.int64)
    C: tl.constexpr = GROUPS * BLOCK_C
    ENTRIES: tl.constexpr = C + BLOCK_T
    notes_ptr += program * (NOTES * CHUNK)
    ids_ptr += program * ENTRIES
    weights_ptr += program * ENTRIES
    scales_ptr += program * ENTRIES
    gradients_ptr += program * (C * BLOCK_T)
    offs_t = tl.arange(0, BLOCK_T)
    offs_c = tl.arange(0, BLOCK_C)
    in_group = offs_t[:, None] * BLOCK_C + offs_c[None, :]
    loss_sum = tl.load(loss_ptr + program)
    pairs = tl.load(counts_ptr + 2 * program)
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
            offset = tl.load(notes_ptr + 2 * CHUNK + tile * T)
            lr = learning_rate(schedule_ptr, epoch, first_rank + place, offset, n_tokens, CHUNK)
            tl.store(ids_ptr + C + offs_t, word)
            tl.store(weights_ptr + C + offs_t, n.to(tl.float32) * (1 + K))

            if GROUPS == 1:
                g, loss = _score_columns(
                    ids_ptr, weights_ptr, notes_ptr, w_in_ptr, w_out_ptr, noise_prob_ptr, noise_alias_ptr,
                    0, centre, word, left, right, tile, kept, chunk, epoch, seed, lr, V,
                    D, T, N, W, K, TARGET_MASK, BLOCK_T, BLOCK_C, BLOCK_D, PRECISION,
                )  # fmt: skip
            else:
                loss = tl.zeros((BLOCK_T,), tl.float32)
                for group in range(GROUPS):
                    part_g, part_loss = _score_columns(
                        ids_ptr, weights_ptr, notes_ptr, w_in_ptr, w_out_ptr, noise_prob_ptr, noise_alias_ptr,
                        group, centre, word, left, right, tile, kept, chunk, epoch, seed, lr, V,
                        D, T, N, W, K, TARGET_MASK, BLOCK_T, BLOCK_C, BLOCK_D, PRECISION,
                    )  # fmt: skip
                    loss += part_loss
                    tl.store(gradients_ptr + group * (BLOCK_T * BLOCK_C) + in_group, part_g)
            loss_sum += tl.sum(loss, 0).to(tl.float64)
            pairs += tl.sum(n, 0)

            tl.debug_barrier()
            note_scales(
                ids_ptr, weights_ptr, scales_ptr, out_weight_ptr, lr, cap, C, HAS_STATIC, BLOCK_C, BLOCK_E
            )
            note_scales(
                ids_ptr + C, weights_ptr + C, scales_ptr + C, in_weight_ptr, lr, cap, BLOCK_T, HAS_STATIC, BLOCK_T, BLOCK_E
            )
            tl.debug_barrier()
            scale_in = tl.load(scales_ptr + C + offs_t)
            if GROUPS == 1:
                rows = tl.load(ids_ptr + offs_c)
                scale_out = tl.load(scales_ptr + offs_c)
                rows = tl.where(scale_out > 0, rows, -1)

            for d in range(0, D, BLOCK_D):
                offs_d = d + tl.arange(0, BLOCK_D)
                v = gather(w_in_ptr, word, offs_d, D)
                if GROUPS == 1:
                    x = gather(w_out_ptr, rows, offs_d, D)
                    dv = tl.dot(g, x, input_precision=PRECISION)
                    dx = tl.dot(tl.trans(g), v, input_precision=PRECISION)
                    scatter(w_out_ptr, rows, scale_out, dx, offs_d, D)
                else:
                    dv = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
                    for group in range(GROUPS):
                        part_g = tl.load(gradients_ptr + group * (BLOCK_T * BLOCK_C) + in_group)
                        x = gather(w_out_ptr, tl.load(ids_ptr + group * BLOCK_C + offs_c), offs_d, D)
                        dv = tl.dot(part_g, x, dv, input_precision=PRECISION)
                    tl.debug_barrier()
                    for group in range(GROUPS):
                        part_g = tl.load(gradients_ptr + group * (BLOCK_T * BLOCK_C) + in_group)
                        dx = tl.dot(tl.trans(part_g), v, input_precision=PRECISION)
                        part_rows = tl.load(ids_ptr + group * BLOCK_C + offs_c)
                        part_scale = tl.load(scales_ptr + group * BLOCK_C + offs_c)
                        scatter(w_out_ptr, part_rows, part_scale, dx, offs_d, D)
                scatter(w_in_ptr, word, scale_in, dv, offs_d, D)
            tl.debug_barrier()  # the next tile writes to what is read here
        place = tl.atomic_add(next_ptr, 1, sem="relaxed")

    tl.store(loss_ptr + program, loss_sum)
    tl.store(counts_ptr + 2 * program, pairs)
    tl.store(counts_ptr + 2 * program + 1, trained)
