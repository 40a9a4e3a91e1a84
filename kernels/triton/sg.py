"""Skip-gram tiles in one launch: a persistent Triton kernel that plans, gathers, multiplies, caps and scatters.

A program takes the next chunk of the visiting order, plans it (triton_plan.py) and trains its tiles, one after another.
A tile is T centres, V = W_in[centres] [T, D], against C = (T + 2W) + N columns, X = W_out[halo and negatives] [C, D]:

    S  = V X^T                                          [T, C]   pass 1, D walked in steps of BLOCK_D
    G  = lr * weight * (label - sigmoid(S))             [T, C]
    dV = s_in * (G X)      dX = s_out * (G^T V)                  pass 2, the same steps; added by relaxed atomics

s_in and s_out are the row cap's scales: the smaller of what the tile's exact count and the static count allow. Columns
are worked on in blocks: of BLOCK_S in pass 1, of which PER_GROUP stay in registers while D is walked, of BLOCK_C in the
rest. Where these are all (GROUPS == 1: every shipped configuration) each row is read twice and added to once: three
moves where two are distinct. Else V is read once more a group. S and G wait in the program's own memory, in the caches,
between the passes.

Races tolerated. Programs do not wait for each other, so:
- a row may be read while others add to it: a read may hold some of their additions, element by element;
- the second read of a row may see more of them than the first: G comes from slightly older rows than dV and dX;
- additions are atomic: none is lost. Within a tile all reads of a step come before its additions (a barrier stands
  between), so a tile does not see its own; the next tile of the program may miss the last ones of this;
- W_in and W_out are read through L1, which other processors' additions do not refresh. A row that a program reads and
  has a gradient for it also adds to, which drops the line: what it reads is no older than its last tile with the row.
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels.triton_plan import in_window, learning_rate, plan_chunk, window_of
from w2vfast.kernels.triton_tile import gather, note_columns, note_scales, scatter, score_gradient


@triton.jit
def _targets_equal(e, drawn, notes_ptr, centre, left, right, W: tl.constexpr):
    """Add to e [T, C] how many of each centre's targets are the words `drawn` [C]."""
    for distance in range(-W, W + 1):
        is_target = (distance >= -left) & (distance <= right) & (distance != 0)
        word = tl.load(notes_ptr + centre + distance, mask=is_target, other=-2)
        e += tl.where(is_target[:, None] & (word[:, None] == drawn[None, :]), 1.0, 0.0)
    return e


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
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    CHUNK: tl.constexpr,
    C: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Note the words of the columns, and the centres' words and weights; returns the number of pairs."""
    note_columns(
        ids_ptr, notes_ptr, noise_prob_ptr, noise_alias_ptr, tile * T - W, tile, kept, chunk, epoch, seed, V,
        columns, T + 2 * W, N,
    )  # fmt: skip
    offs_t = tl.arange(0, BLOCK_T)
    centre = tile * T + offs_t
    valid = (offs_t < T) & (centre < kept)
    left, right = window_of(notes_ptr, centre, valid, CHUNK)
    tl.store(ids_ptr + C + offs_t, tl.load(notes_ptr + centre, mask=valid, other=-1))
    tl.store(weights_ptr + C + offs_t, (left + right).to(tl.float32) * (1 + K))
    tl.debug_barrier()
    return tl.sum(left + right, 0)


@triton.jit(noinline=True)
def _score(
    scores_ptr,
    w_in_ptr,
    w_out_ptr,
    ids_ptr,
    vector_size,
    groups,
    D: tl.constexpr,
    C: tl.constexpr,
    PER_GROUP: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Pass 1: write S."""
    offs_t = tl.arange(0, BLOCK_T)
    offs_s = tl.arange(0, BLOCK_S)
    word = tl.load(ids_ptr + C + offs_t)
    for group in range(groups):
        rows = ()
        score = ()
        for block in tl.static_range(PER_GROUP):
            rows = rows + (tl.load(ids_ptr + (group * PER_GROUP + block) * BLOCK_S + offs_s),)
            score = score + (tl.zeros((BLOCK_T, BLOCK_S), tl.float32),)
        for d in range(0, vector_size, BLOCK_D):
            offs_d = d + tl.arange(0, BLOCK_D)
            v = gather(w_in_ptr, word, offs_d, D)
            summed = ()
            for block in tl.static_range(PER_GROUP):
                x = gather(w_out_ptr, rows[block], offs_d, D)
                summed = summed + (tl.dot(v, tl.trans(x), score[block], input_precision=PRECISION),)
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
    W: tl.constexpr,
    K: tl.constexpr,
    TARGET_MASK: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Turn S into G, note the columns' weights; returns the loss."""
    offs_t = tl.arange(0, BLOCK_T)
    centre = tile * T + offs_t
    left, right = window_of(notes_ptr, centre, (offs_t < T) & (centre < kept), CHUNK)
    n = (left + right).to(tl.float32)
    loss = tl.zeros((BLOCK_T,), tl.float32)
    for block in range(blocks):
        column = block * BLOCK_C + tl.arange(0, BLOCK_C)
        element = scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T
        score = tl.load(element)
        is_negative = (column >= T + 2 * W)[None, :]
        count = n[:, None] + tl.zeros_like(score)
        if TARGET_MASK:
            drawn = tl.load(ids_ptr + column)
            count -= _targets_equal(tl.zeros_like(score), drawn, notes_ptr, centre, left, right, W)
        negative_weight = tl.where((column < T + 2 * W + N)[None, :], count * (K / N), 0.0)
        positive = in_window(centre, left, right, tile * T - W + column)
        weight = tl.where(is_negative, negative_weight, tl.where(positive, 1.0, 0.0))
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
    vector_size,
    blocks,
    D: tl.constexpr,
    C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Pass 2: add the scaled steps to both tables."""
    offs_t = tl.arange(0, BLOCK_T)
    offs_c = tl.arange(0, BLOCK_C)
    word = tl.load(ids_ptr + C + offs_t)
    for d in range(0, vector_size, BLOCK_D):
        offs_d = d + tl.arange(0, BLOCK_D)
        v = gather(w_in_ptr, word, offs_d, D)
        dv = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
        for block in range(blocks):
            column = block * BLOCK_C + offs_c
            g = tl.load(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T)
            x = gather(w_out_ptr, tl.load(ids_ptr + column), offs_d, D)
            dv = tl.dot(g, x, dv, input_precision=PRECISION)
        tl.debug_barrier()
        for block in range(blocks):
            column = block * BLOCK_C + offs_c
            g_transposed = tl.load(scores_ptr + column[:, None] * BLOCK_T + offs_t[None, :])
            dx = tl.dot(g_transposed, v, input_precision=PRECISION)
            scatter(w_out_ptr, tl.load(ids_ptr + column), tl.load(scales_ptr + column), dx, offs_d, D)
        scatter(w_in_ptr, word, tl.load(scales_ptr + C + offs_t), dv, offs_d, D)
    tl.debug_barrier()  # the next tile writes to what is read here


@triton.jit(
    do_not_specialize=["chunks", "first_rank", "epoch", "seed", "n_tokens", "V", "vector_size", "groups", "cap"]
)
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
    scores_ptr,
    chunks,
    first_rank,
    epoch,
    seed: tl.int64,
    n_tokens: tl.int64,
    V,
    vector_size,
    groups,
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
    PER_GROUP: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Train skip-gram on `chunks` chunks; see the module's docstring, and triton_step.py for the arguments."""
    program = tl.program_id(0).to(tl.int64)
    C: tl.constexpr = GROUPS * PER_GROUP * BLOCK_S
    notes_ptr += program * (NOTES * CHUNK)
    ids_ptr += program * (C + BLOCK_T)
    weights_ptr += program * (C + BLOCK_T)
    scales_ptr += program * (C + BLOCK_T)
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
            pairs = _note_entries(
                ids_ptr, weights_ptr, notes_ptr, noise_prob_ptr, noise_alias_ptr, tile, kept, chunk, epoch, seed, V,
                columns, T, N, W, K, CHUNK, C, BLOCK_T,
            )  # fmt: skip
            _score(
                scores_ptr, w_in_ptr, w_out_ptr, ids_ptr, vector_size, groups,
                D, C, PER_GROUP, BLOCK_T, BLOCK_S, BLOCK_D, PRECISION,
            )  # fmt: skip
            loss = _weigh(
                scores_ptr, weights_ptr, ids_ptr, notes_ptr, tile, kept, lr, columns // BLOCK_C,
                T, N, W, K, TARGET_MASK, CHUNK, BLOCK_T, BLOCK_C,
            )  # fmt: skip
            tl.atomic_add(loss_ptr + program, loss.to(tl.float64), sem="relaxed")
            tl.atomic_add(counts_ptr + 2 * program, pairs.to(tl.int64), sem="relaxed")
            note_scales(
                ids_ptr, weights_ptr, scales_ptr, out_weight_ptr, in_weight_ptr, columns,
                BLOCK_T, lr, cap, HAS_STATIC, BLOCK_C,
            )  # fmt: skip
            _update(
                w_in_ptr, w_out_ptr, ids_ptr, scales_ptr, scores_ptr, vector_size, columns // BLOCK_C,
                D, C, BLOCK_T, BLOCK_C, BLOCK_D, PRECISION,
            )  # fmt: skip
        place = tl.atomic_add(next_ptr, 1, sem="relaxed")
