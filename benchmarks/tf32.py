"""What tf32 costs, without a GPU: the interpreter with products that truncate their operands, against the reference.

    python benchmarks/tf32.py                 the shapes that benchmarks/gpu.py holds against the reference; minutes
    python benchmarks/tf32.py --tiles 32 --sizes 100

Triton's interpreter computes tf32 products exactly, which hides what tensor cores round: they keep ten bits of each
operand's fraction and sum in float32. Here the other thirteen bits are dropped first, as the compiled kernels have it
done. The limit of benchmarks/parity.py stands on the largest error of these.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import parity
from numpy.typing import NDArray

TRUNCATED = np.uint32(0xFFFFE000)  # sign, exponent and ten bits


def truncate(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 with the fraction's thirteen last bits zero."""
    return (np.ascontiguousarray(values).view(np.uint32) & TRUNCATED).view(np.float32)


@contextmanager
def truncated_products() -> Iterator[None]:
    """Have the interpreter's products of float32 truncate their operands while this lasts."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    exact = InterpreterBuilder.create_dot

    def dot(self: Any, a: Any, b: Any, *others: Any) -> Any:
        cut = [TensorHandle(truncate(operand.data), operand.dtype) for operand in (a, b)]
        return exact(self, *cut, *others)

    InterpreterBuilder.create_dot = dot
    try:
        yield
    finally:
        InterpreterBuilder.create_dot = exact


def main(argv: list[str] | None = None) -> int:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=("sg", "cbow"), default=["sg", "cbow"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 128, 300])
    parser.add_argument("--tiles", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--length", type=int, default=2000, metavar="TOKENS")
    arguments = parser.parse_args(argv)
    os.environ["TRITON_INTERPRET"] = "1"
    with truncated_products():
        for mode in arguments.modes:
            for tile in arguments.tiles:
                for size in arguments.sizes:
                    for static in (False, True):
                        error = parity.largest_error(
                            "triton", "interpreter", mode, size, arguments.length,
                            precision="tf32", tile=tile, static=static,
                        )  # fmt: skip
                        print(
                            f"{mode:4} T={tile} D={size} static={static}: {error:.1e} of the largest step", flush=True
                        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
