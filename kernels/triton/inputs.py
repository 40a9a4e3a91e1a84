"""The input sides of a tile on the device: rows from W_in, and the way back of their gradients.

CBOW is a constant of the kernel: False for words (skip-gram: a row is W_in of a token, its targets are the words of the
token's window), True for windows (a row is the sum or mean of W_in over the window, by the mask M [T, H] of zeros and
ones as a dense product over the halo, BLOCK_H tokens at a time; its target is the token).
"""

# Triton compiles these bodies itself: they have no Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl

from w2vfast.kernels.triton.plan import in_window, window_of
from w2vfast.kernels.triton.tile import gather, scatter


@triton.jit
def windows(notes_ptr, tile, kept, T: tl.constexpr, CHUNK: tl.constexpr, BLOCK_T: tl.constexpr):
    """Return (token, left, right) [T] of a tile."""
    offs_t = tl.arange(0, BLOCK_T)
    token = tile * T + offs_t
    left, right = window_of(notes_ptr, token, (offs_t < T) & (token < kept), CHUNK)
    return token, left, right


@triton.jit
def _one_nth(left, right):
    return 1.0 / tl.maximum(left + right, 1).to(tl.float32)


@triton.jit
def note_inputs(
    ids_ptr,
    weights_ptr,
    notes_ptr,
    tile,
    kept,
    halo_blocks,
    T: tl.constexpr,
    W: tl.constexpr,
    CBOW: tl.constexpr,
    WEIGHT_PER_PAIR: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """Note the words of W_in that a tile changes, with their weights; returns the number of pairs."""
    token, left, right = windows(notes_ptr, tile, kept, T, CHUNK, BLOCK_T)
    if CBOW:
        for block in range(halo_blocks):
            place = block * BLOCK_H + tl.arange(0, BLOCK_H)
            other = tile * T - W + place
            in_halo = (place < T + 2 * W) & (other >= 0) & (other < kept)
            m = in_window(token, left, right, other).to(tl.float32)
            tl.store(ids_ptr + place, tl.load(notes_ptr + other, mask=in_halo, other=-1))
            tl.store(weights_ptr + place, tl.sum(m, 0) * WEIGHT_PER_PAIR)
        pairs = tl.sum((left + right > 0).to(tl.int32), 0)
    else:
        offs_t = tl.arange(0, BLOCK_T)
        in_tile = (offs_t < T) & (token < kept)
        tl.store(ids_ptr + offs_t, tl.load(notes_ptr + token, mask=in_tile, other=-1))
        tl.store(weights_ptr + offs_t, (left + right).to(tl.float32) * WEIGHT_PER_PAIR)
        pairs = tl.sum(left + right, 0)
    return pairs


@triton.jit
def make_rows(
    w_in_ptr,
    input_ids_ptr,
    word,
    first,
    token,
    left,
    right,
    offs_d,
    halo_blocks,
    D: tl.constexpr,
    CBOW: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return the columns `offs_d` of the rows, [T, BLOCK_D]; `word` [T] are skip-gram's, `first` the halo's token."""
    if CBOW:
        rows = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
        for block in range(halo_blocks):
            place = block * BLOCK_H + tl.arange(0, BLOCK_H)
            u = gather(w_in_ptr, tl.load(input_ids_ptr + place), offs_d, D)
            m = in_window(token, left, right, first + place).to(tl.float32)
            rows = tl.dot(m, u, rows, input_precision=PRECISION)
        if CBOW_MEAN:
            rows *= _one_nth(left, right)[:, None]
    else:
        rows = gather(w_in_ptr, word, offs_d, D)
    return rows


@triton.jit
def give_back(
    w_in_ptr,
    input_ids_ptr,
    input_scales_ptr,
    word,
    first,
    token,
    left,
    right,
    d_rows,
    offs_d,
    halo_blocks,
    D: tl.constexpr,
    CBOW: tl.constexpr,
    CBOW_MEAN: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Add the scaled steps of the rows' inputs to W_in; gensim's convention, not the true gradient (contract.py)."""
    if CBOW:
        if not CBOW_MEAN:
            d_rows *= _one_nth(left, right)[:, None]
        for block in range(halo_blocks):
            place = block * BLOCK_H + tl.arange(0, BLOCK_H)
            m = in_window(token, left, right, first + place).to(tl.float32)
            du = tl.dot(tl.trans(m), d_rows, input_precision=PRECISION)
            scatter(w_in_ptr, tl.load(input_ids_ptr + place), tl.load(input_scales_ptr + place), du, offs_d, D)
    else:
        scatter(w_in_ptr, word, tl.load(input_scales_ptr + tl.arange(0, BLOCK_T)), d_rows, offs_d, D)
