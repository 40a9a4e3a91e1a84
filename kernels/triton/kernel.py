"""The kernel, in one launch: a persistent program plans, gathers, multiplies, caps and scatters, tile by tile.

A program takes the next chunk of the visit, plans it (plan.py) and trains its tiles, one after another. A tile is its
rows V [T, D] (inputs.py) against C columns, X = W_out[targets and shared words] [C, D]; the targets' columns are T + 2W
of the halo in skip-gram and T in CBOW, most of skip-gram's pairs with them weighing nothing:

    S  = V X^T                                          [T, C]   pass 1, D walked in steps of BLOCK_D
    G  = lr * weight * (label - prediction)             [T, C]   WEIGH, the objective's (objectives/)
    dV = s_in * (G X)      dX = s_out * (G^T V)                  pass 2, steps of BLOCK_U; added by relaxed atomics

s_in and s_out are the row cap's scales: the smaller of what the tile's exact count and the static count allow. Columns
are worked on in blocks: of BLOCK_S in pass 1, of which PER_GROUP stay in registers while D is walked, of BLOCK_C in the
rest. Where these are all (GROUPS == 1: what is shipped, but T = 64 on 8.0) each row is read twice and added to once:
three moves where two are distinct. Else V is read once more a group. S and G wait in the program's own memory, in the
caches, between the passes. A tile's entries are noted before pass 2 of the tile before, and with PREFETCH level 2 is
asked for their rows then. Pass 1 asks for a step's rows a step ahead; pass 2 holds G and s_out * G^T while D is
walked, where they are no more than HELD elements.

Input side and objective are constants: CBOW, and the function WEIGH. Both compile to what a kernel of their own did.

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

from w2vfast.kernels.triton.inputs import give_back, make_rows, note_inputs, windows
from w2vfast.kernels.triton.plan import learning_rate, plan_chunk
from w2vfast.kernels.triton.tile import add, gather, note_columns, note_scales, prefetch_rows, scatter


@triton.jit(noinline=True)
def _note_entries(
    ids_ptr,
    weights_ptr,
    w_in_ptr,
    w_out_ptr,
    notes_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    tile,
    kept,
    chunk,
    draw_epoch,
    seed,
    V,
    columns,
    halo_blocks,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    CBOW: tl.constexpr,
    WEIGHT_PER_PAIR: tl.constexpr,
    SHARED_AT: tl.constexpr,
    CHUNK: tl.constexpr,
    C: tl.constexpr,
    INPUTS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_E: tl.constexpr,
    D: tl.constexpr,
    PREFETCH: tl.constexpr,
):
    """Note the words of the columns, and the inputs' words and weights; returns the number of pairs.

    With PREFETCH level 2 is asked for all their rows.
    """
    note_columns(
        ids_ptr, notes_ptr, noise_prob_ptr, noise_alias_ptr, tile * T - (0 if CBOW else W), tile, kept, chunk,
        draw_epoch, seed, V, columns, T if CBOW else T + 2 * W, SHARED_AT, N,
    )  # fmt: skip
    pairs = note_inputs(
        ids_ptr + C, weights_ptr + C, notes_ptr, tile, kept, halo_blocks,
        T, W, CBOW, WEIGHT_PER_PAIR, CHUNK, BLOCK_T, BLOCK_H,
    )  # fmt: skip
    tl.debug_barrier()
    if PREFETCH:
        for start in range(0, columns + INPUTS, BLOCK_E):
            entry = start + tl.arange(0, BLOCK_E)
            word = tl.load(ids_ptr + entry, mask=entry < columns + INPUTS, other=-1)
            prefetch_rows(tl.where(entry < columns, w_out_ptr, w_in_ptr), word, D)
    return pairs


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
    CBOW: tl.constexpr,
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
    token, left, right = windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    word = tl.load(ids_ptr + C + offs_t)
    for group in range(groups):
        rows = ()
        score = ()
        for block in tl.static_range(PER_GROUP):
            rows = rows + (tl.load(ids_ptr + (group * PER_GROUP + block) * BLOCK_S + offs_s),)
            score = score + (tl.zeros((BLOCK_T, BLOCK_S), tl.float32),)
        # Rows of the next step are asked for before this one's products wait at their barriers. CBOW's own rows are
        # products themselves: they are made in their step.
        offs_d = tl.arange(0, BLOCK_D)
        columns = ()
        for block in tl.static_range(PER_GROUP):
            columns = columns + (gather(w_out_ptr, rows[block], offs_d, D),)
        v = gather(w_in_ptr, word, offs_d, D) if not CBOW else tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
        for _ in range(0, vector_size, BLOCK_D):
            following = ()
            for block in tl.static_range(PER_GROUP):
                following = following + (gather(w_out_ptr, rows[block], offs_d + BLOCK_D, D),)
            if CBOW:
                v = make_rows(
                    w_in_ptr, ids_ptr + C, word, tile * T - W, token, left, right, offs_d, halo_blocks,
                    D, CBOW, CBOW_MEAN, BLOCK_T, BLOCK_H, BLOCK_D, PRECISION,
                )  # fmt: skip
            offs_d += BLOCK_D
            v_following = v if CBOW else gather(w_in_ptr, word, offs_d, D)
            summed = ()
            for block in tl.static_range(PER_GROUP):
                x = tl.trans(columns[block])
                summed = summed + (tl.dot(v, x, score[block], input_precision=PRECISION),)
            score = summed
            columns = following
            v = v_following
        for block in tl.static_range(PER_GROUP):
            column = (group * PER_GROUP + block) * BLOCK_S + offs_s
            tl.store(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T, score[block])
    tl.debug_barrier()


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
    CBOW: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    CHUNK: tl.constexpr,
    C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_U: tl.constexpr,
    HELD: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Pass 2: add the scaled steps to both tables."""
    BLOCKS: tl.constexpr = C // BLOCK_C if C * BLOCK_T <= HELD else 0
    offs_t = tl.arange(0, BLOCK_T)
    offs_c = tl.arange(0, BLOCK_C)
    token, left, right = windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    word = tl.load(ids_ptr + C + offs_t)
    if BLOCKS > 0:  # G stays in registers while D is walked
        rows = ()
        scales = ()
        g = ()
        capped = ()
        for block in tl.static_range(BLOCKS):
            column = block * BLOCK_C + offs_c
            rows = rows + (tl.load(ids_ptr + column),)
            scales = scales + (tl.load(scales_ptr + column),)
            g = g + (tl.load(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T),)
            capped = capped + (tl.trans(g[block] * scales[block][None, :]),)
    for d in range(0, vector_size, BLOCK_U):
        offs_d = d + tl.arange(0, BLOCK_U)
        dv = tl.zeros((BLOCK_T, BLOCK_U), tl.float32)
        if BLOCKS > 0:
            columns = ()
            for block in tl.static_range(BLOCKS):
                columns = columns + (gather(w_out_ptr, rows[block], offs_d, D),)
        v = make_rows(
            w_in_ptr, ids_ptr + C, word, tile * T - W, token, left, right, offs_d, halo_blocks,
            D, CBOW, CBOW_MEAN, BLOCK_T, BLOCK_H, BLOCK_U, PRECISION,
        )  # fmt: skip
        if BLOCKS > 0:
            for block in tl.static_range(BLOCKS):
                dv = tl.dot(g[block], columns[block], dv, input_precision=PRECISION)
        else:
            for block in range(blocks):
                column = block * BLOCK_C + offs_c
                g_block = tl.load(scores_ptr + offs_t[:, None] + column[None, :] * BLOCK_T)
                x = gather(w_out_ptr, tl.load(ids_ptr + column), offs_d, D)
                dv = tl.dot(g_block, x, dv, input_precision=PRECISION)
        tl.debug_barrier()
        if BLOCKS > 0:
            for block in tl.static_range(BLOCKS):
                dx = tl.dot(capped[block], v, input_precision=PRECISION)
                add(w_out_ptr, rows[block], scales[block] > 0, dx, offs_d, D)
        else:
            for block in range(blocks):
                column = block * BLOCK_C + offs_c
                g_transposed = tl.load(scores_ptr + column[:, None] * BLOCK_T + offs_t[None, :])
                dx = tl.dot(g_transposed, v, input_precision=PRECISION)
                scatter(w_out_ptr, tl.load(ids_ptr + column), tl.load(scales_ptr + column), dx, offs_d, D)
        give_back(
            w_in_ptr, ids_ptr + C, scales_ptr + C, word, tile * T - W, token, left, right, dv, offs_d, halo_blocks,
            D, CBOW, CBOW_MEAN, BLOCK_T, BLOCK_H, PRECISION,
        )  # fmt: skip
    tl.debug_barrier()  # the next tile writes to what is read here


@triton.jit(
    do_not_specialize=[
        "chunks",
        "draw_epoch",
        "seed",
        "n_tokens",
        "V",
        "vector_size",
        "groups",
        "halo_blocks",
        "cap",
    ]
)
def train_kernel(
    w_in_ptr,
    w_out_ptr,
    tokens_ptr,
    order_ptr,
    slots_ptr,
    done_ptr,
    keep_threshold_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    in_weight_ptr,
    out_weight_ptr,
    objective_ptr,
    rates_ptr,
    next_ptr,
    loss_ptr,
    counts_ptr,
    notes_ptr,
    ids_ptr,
    weights_ptr,
    scales_ptr,
    scores_ptr,
    chunks,
    draw_epoch,
    seed: tl.int64,
    n_tokens: tl.int64,
    V,
    vector_size,
    groups,
    halo_blocks,
    cap: tl.float32,
    WEIGH: tl.constexpr,
    WEIGHT_PER_PAIR: tl.constexpr,
    D: tl.constexpr,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    SHRINK: tl.constexpr,
    CBOW: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    MASK: tl.constexpr,
    SHARED_AT: tl.constexpr,
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
    BLOCK_U: tl.constexpr,
    HELD: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PREFETCH: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Train on `chunks` chunks; see the module's docstring, and step.py for the arguments."""
    program = tl.program_id(0).to(tl.int64)
    C: tl.constexpr = GROUPS * PER_GROUP * BLOCK_S
    INPUTS: tl.constexpr = HALO_BLOCKS * BLOCK_H
    notes_ptr += program * (NOTES * CHUNK)
    ids_ptr += program * (2 * (C + INPUTS))
    weights_ptr += program * (C + INPUTS)
    scales_ptr += program * (C + INPUTS)
    scores_ptr += program * (C * BLOCK_T)
    columns = groups * (PER_GROUP * BLOCK_S)

    place = tl.atomic_add(next_ptr, 1, sem="relaxed")
    while place < chunks:
        chunk = tl.load(order_ptr + place)
        done = tl.load(done_ptr + place)
        length = tl.minimum(n_tokens - chunk * CHUNK, CHUNK).to(tl.int32)
        chunk_tokens_ptr = tokens_ptr + tl.load(slots_ptr + place) * CHUNK
        kept = plan_chunk(
            notes_ptr, chunk_tokens_ptr, keep_threshold_ptr, chunk, length, draw_epoch, seed, W, SHRINK, CHUNK, BLOCK_P
        )
        tl.atomic_add(counts_ptr + 2 * program + 1, kept.to(tl.int64), sem="relaxed")
        first = tl.zeros((), tl.int32)  # a number would make the function another one
        pairs = _note_entries(
            ids_ptr, weights_ptr, w_in_ptr, w_out_ptr, notes_ptr, noise_prob_ptr, noise_alias_ptr, first, kept,
            chunk.to(tl.int32), draw_epoch, seed, V, columns, halo_blocks,
            T, N, W, CBOW, WEIGHT_PER_PAIR, SHARED_AT, CHUNK, C, INPUTS, BLOCK_T, BLOCK_H, BLOCK_E, D, PREFETCH,
        )  # fmt: skip
        tl.atomic_add(counts_ptr + 2 * program, pairs.to(tl.int64), sem="relaxed")
        for tile in range(0, tl.cdiv(kept, T)):
            tile_ids_ptr = ids_ptr + tile % 2 * (C + INPUTS)
            _score(
                scores_ptr, w_in_ptr, w_out_ptr, tile_ids_ptr, notes_ptr, tile, kept, vector_size, groups, halo_blocks,
                D, T, W, CBOW, CBOW_MEAN, CHUNK, C, PER_GROUP, BLOCK_T, BLOCK_S, BLOCK_H, BLOCK_D, PRECISION,
            )  # fmt: skip
            # Only now: pass 1 takes the most registers, and what lives through it comes on top.
            lr = learning_rate(rates_ptr, done, tl.load(notes_ptr + 2 * CHUNK + tile * T))
            loss = WEIGH(
                scores_ptr, weights_ptr, tile_ids_ptr, notes_ptr, objective_ptr, tile, kept, lr, columns // BLOCK_C,
                T, N, W, K, CBOW, MASK, SHARED_AT, CHUNK, BLOCK_T, BLOCK_C,
            )  # fmt: skip
            tl.atomic_add(loss_ptr + program, loss.to(tl.float64), sem="relaxed")
            note_scales(
                tile_ids_ptr, weights_ptr, scales_ptr, out_weight_ptr, in_weight_ptr, columns, lr, cap,
                INPUTS, HAS_STATIC, BLOCK_C, BLOCK_E,
            )  # fmt: skip
            # The next tile's, so that its rows come while this one's are added to.
            pairs = _note_entries(
                ids_ptr + (tile + 1) % 2 * (C + INPUTS), weights_ptr, w_in_ptr, w_out_ptr, notes_ptr, noise_prob_ptr,
                noise_alias_ptr, tile + 1, kept, chunk.to(tl.int32), draw_epoch, seed, V, columns, halo_blocks,
                T, N, W, CBOW, WEIGHT_PER_PAIR, SHARED_AT, CHUNK, C, INPUTS, BLOCK_T, BLOCK_H, BLOCK_E, D, PREFETCH,
            )  # fmt: skip
            tl.atomic_add(counts_ptr + 2 * program, pairs.to(tl.int64), sem="relaxed")
            _update(
                w_in_ptr, w_out_ptr, tile_ids_ptr, scales_ptr, scores_ptr, notes_ptr, tile, kept, vector_size,
                columns // BLOCK_C, halo_blocks,
                D, T, W, CBOW, CBOW_MEAN, CHUNK, C, BLOCK_T, BLOCK_C, BLOCK_H, BLOCK_U, HELD, PRECISION,
            )  # fmt: skip
        place = tl.atomic_add(next_ptr, 1, sem="relaxed")
