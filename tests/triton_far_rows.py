"""A kernel for test_triton_parity.py: rows of a table so long that only its end exists."""

import triton
import triton.language as tl

from w2vfast.kernels.triton.tile import gather, row_pointers, scatter


@triton.jit
def far_rows_kernel(
    addresses_ptr,
    read_ptr,
    end_ptr,
    rows_ptr,
    first,
    TOUCH: tl.constexpr,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Write where rows are, in elements from `end_ptr`, a table's row `first`; TOUCH reads and doubles them."""
    offs_d = tl.arange(0, BLOCK_D)
    offs = tl.arange(0, ROWS)[:, None] * BLOCK_D + offs_d[None, :]
    table_ptr = end_ptr - first.to(tl.int64) * D
    rows = tl.load(rows_ptr + tl.arange(0, ROWS))
    pointers = row_pointers(table_ptr, rows, offs_d, D)
    tl.store(addresses_ptr + offs, (pointers.to(tl.int64) - end_ptr.to(tl.int64)) // 4)
    if TOUCH:
        x = gather(table_ptr, rows, offs_d, D)
        tl.store(read_ptr + offs, x)
        scatter(table_ptr, rows, tl.full((ROWS,), 1.0, tl.float32), x, offs_d, D)
