"""The plan on the device, in Triton: subsampling, compaction, sentence limits, windows, shared words, learning rate.

Everything random is Philox with the counters of contract.py, and every decision is made in integers: the plan is the
reference's, bit for bit.

A program owns a piece of `notes`, int32 [NOTES, CHUNK], in global memory that stays in the caches:

    words [kept]        word of each kept token
    places [kept]       its window radius << 16 | its sentence's ordinal in the chunk
    offsets [kept]      its position within the chunk
    first [sentences]   index of the sentence's first kept token, among the kept
    stop [sentences]    one past the index of its last

With these a token knows how far its window reaches to its left and right (`window_of`) without looking: lengths of
windows and the mask of who is in whose need no search. A program reads what its own threads wrote;
`tl.debug_barrier` (bar.sync) orders the two.
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels import contract, philox

_PURPOSE_TOKEN = tl.constexpr(philox.PURPOSE_TOKEN)
_PURPOSE_SHARED = tl.constexpr(philox.PURPOSE_SHARED)
_ID_MASK = tl.constexpr(int(contract.ID_MASK))


@triton.jit(noinline=True)  # what it keeps in registers does not live through a tile's passes
def plan_chunk(
    notes_ptr,
    tokens_ptr,
    keep_threshold_ptr,
    chunk,
    length,
    draw_epoch,
    seed,
    W: tl.constexpr,
    SHRINK: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """Write the notes of a chunk whose `length` tokens begin at `tokens_ptr`; returns how many are kept."""
    window = tl.full((BLOCK_P,), W, tl.uint32)
    seen = 0  # kept tokens | sentences begun before this block << 16
    for start in range(0, length, BLOCK_P):
        offset = start + tl.arange(0, BLOCK_P)
        inside = offset < length
        token = tl.load(tokens_ptr + offset, mask=inside, other=0)
        token_before = tl.load(tokens_ptr + offset - 1, mask=inside & (offset > 0), other=0)
        word = token & _ID_MASK
        position = chunk.to(tl.int64) * CHUNK + offset
        r0, r1, _, _ = tl.philox(
            seed,
            position.to(tl.uint32),
            (position >> 32).to(tl.uint32),
            (tl.zeros_like(offset) + draw_epoch).to(tl.uint32),
            tl.full((BLOCK_P,), _PURPOSE_TOKEN, tl.uint32),
        )
        threshold = tl.load(keep_threshold_ptr + word, mask=inside, other=0).to(tl.uint32, bitcast=True)
        keep = inside & (r0 <= threshold)
        begins = inside & (token_before < 0)
        ends = inside & ((token < 0) | (offset == length - 1))
        count = keep.to(tl.int32) + (begins.to(tl.int32) << 16)
        through = seen + tl.cumsum(count, 0)
        seen += tl.sum(count, 0)
        sentence = through >> 16
        kept_through = through & 0xFFFF
        index = kept_through - keep.to(tl.int32)
        radius = tl.full((BLOCK_P,), W, tl.int32)
        if SHRINK:
            radius = 1 + tl.umulhi(r1, window).to(tl.int32)
        tl.store(notes_ptr + index, word, mask=keep)
        tl.store(notes_ptr + CHUNK + index, (radius << 16) | sentence, mask=keep)
        tl.store(notes_ptr + 2 * CHUNK + index, offset, mask=keep)
        tl.store(notes_ptr + 3 * CHUNK + sentence, index, mask=begins | (inside & (offset == 0)))
        tl.store(notes_ptr + 4 * CHUNK + sentence, kept_through, mask=ends)
    tl.debug_barrier()
    return seen & 0xFFFF


@triton.jit
def window_of(notes_ptr, index, valid, CHUNK: tl.constexpr):
    """Return (left, right): how far the windows of the kept tokens `index` reach on each side; 0 where not `valid`."""
    place = tl.load(notes_ptr + CHUNK + index, mask=valid, other=0)
    sentence = place & 0xFFFF
    radius = place >> 16
    first = tl.load(notes_ptr + 3 * CHUNK + sentence, mask=valid, other=0)
    stop = tl.load(notes_ptr + 4 * CHUNK + sentence, mask=valid, other=0)
    left = tl.where(valid, tl.minimum(radius, index - first), 0)
    right = tl.where(valid, tl.minimum(radius, stop - 1 - index), 0)
    return left, right


@triton.jit
def in_window(index, left, right, other):
    """Return the mask of which kept tokens `other` are in the windows of the kept tokens `index`."""
    distance = other[None, :] - index[:, None]
    # From 0 to left + right, in one comparison: what is below 0 is large without a sign.
    from_left = (distance + left[:, None]).to(tl.uint32)
    return (from_left <= (left + right)[:, None].to(tl.uint32)) & (distance != 0)


@triton.jit
def draw_words(j, valid, noise_prob_ptr, noise_alias_ptr, tile, chunk, draw_epoch, seed, V):
    """Return the tile's shared words number `j`; undefined where not `valid`."""
    zero = tl.zeros_like(j)
    pair = tl.maximum(j, 0) >> 1
    a0, a1, b0, b1 = tl.philox(
        seed,
        (zero + tile).to(tl.uint32),
        (zero + chunk).to(tl.uint32),
        (zero + draw_epoch).to(tl.uint32),
        ((pair << 8) | _PURPOSE_SHARED).to(tl.uint32),
    )
    odd = (j & 1) == 1
    r0 = tl.where(odd, b0, a0)
    r1 = tl.where(odd, b1, a1)
    column = tl.umulhi(r0, (zero + V).to(tl.uint32)).to(tl.int32)
    accept = tl.load(noise_prob_ptr + column, mask=valid, other=0).to(tl.uint32, bitcast=True)
    alias = tl.load(noise_alias_ptr + column, mask=valid, other=0)
    return tl.where(r1 < accept, column, alias)


@triton.jit
def learning_rate(rates_ptr, done, offset):
    """Return the tile's learning rate; `rates` is float64 (start_rate, start_rate - end_rate, 1 / total)."""
    share = (done + offset).to(tl.float64) * tl.load(rates_ptr + 2)
    share = tl.where(share < 1.0, share, 1.0)
    return (tl.load(rates_ptr) - tl.load(rates_ptr + 1) * share).to(tl.float32)


@triton.jit(do_not_specialize=["chunk", "length", "draw_epoch", "seed", "V"])
def plan_kernel(
    notes_ptr,
    shared_ptr,
    kept_ptr,
    tokens_ptr,
    keep_threshold_ptr,
    noise_prob_ptr,
    noise_alias_ptr,
    chunk,
    length,
    draw_epoch,
    seed,
    V,
    T: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    SHRINK: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """One program writes the plan of a chunk, for `Step.plan`: its notes, shared words [tiles, N] and kept count."""
    kept = plan_chunk(
        notes_ptr, tokens_ptr, keep_threshold_ptr, chunk, length, draw_epoch, seed, W, SHRINK, CHUNK, BLOCK_P
    )
    tl.store(kept_ptr, kept)
    j = tl.arange(0, BLOCK_N)
    for tile in range(0, tl.cdiv(kept, T)):
        drawn = draw_words(j, j < N, noise_prob_ptr, noise_alias_ptr, tile, chunk, draw_epoch, seed, V)
        tl.store(shared_ptr + tile * N + j, drawn, mask=j < N)
