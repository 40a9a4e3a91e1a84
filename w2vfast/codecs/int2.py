"""int2: a row is D levels of 4, four a byte, and a scale: x is about scale * (code - 1.5).

As int4.py, with fewer levels: of normal values the largest of 100 is cut to about half. Rows trained with two bits hold
four values already, and come back as they are.
"""

from dataclasses import dataclass
from typing import ClassVar

from w2vfast.codecs import Passes, int4


@dataclass(frozen=True)
class Codec(int4.Codec):
    """`codes` uint8 [ceil(D / 4)], the first of four in the lowest bits; `scales` float32."""

    bits: ClassVar[int] = 2
    shares: ClassVar[tuple[float, ...]] = (1.0, 0.7, 0.55, 0.42)


def fit(passes: Passes) -> Codec:
    """Return the codec; nothing is learnt from the vectors."""
    with passes() as stream:
        return Codec(stream.vector_size)
