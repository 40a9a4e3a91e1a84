"""Ways to hold a vector in fewer bytes: int8, int4, int2, binary, pq, prune and svd, one file each.

A codec is a frozen value whose fields are what all rows share: numbers, and arrays of float32. Its module is found by
its name and has

    Codec(vector_size, ...)   the value; raises ValueError, in one line, for fields that do not fit each other
    fit(passes, ...)          a codec for the vectors that `passes` streams, once each time it is called; its options
                              are the keyword arguments

Lengths are kept by int8, int4, int2, prune and svd; binary and pq keep directions only and give rows of length 1.
"""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from w2vfast.vectors import VectorStream

METHODS = ("int8", "int4", "int2", "binary", "pq", "prune", "svd")
# What codecs call their arrays.
TRAINED = ("buckets",)  # made by training alone
SHARED = {"table", "mean", "rotation", "length", "directions", "codebooks", "turn", "finer_codebooks", "finer_turn"}
Arrays = dict[str, NDArray[Any]]
Layout = dict[str, tuple[type[np.generic], tuple[int, ...]]]
Passes = Callable[[], AbstractContextManager[VectorStream]]


class Codec(Protocol):
    """What the modules' values have."""

    @property
    def vector_size(self) -> int:
        """D."""

    def layout(self, rows: int) -> Layout:
        """Return the dtypes and shapes, by name, of the arrays that `rows` rows become.

        An array that holds something of the first rows only is shorter than the others.
        """

    def encode(self, rows: NDArray[np.float32], start: int = 0) -> Arrays:
        """Return what rows, float32 [n, D], become, which are those from row `start` on."""

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the rows, float32 [n, D], C-contiguous, that arrays stand for."""


def fit(method: str, passes: Passes, options: Mapping[str, Any]) -> Codec:
    """Return the codec of a method for vectors. Raises InputError for options that the vectors cannot have."""
    codec: Codec = import_module(f"{__name__}.{method}").fit(passes, **options)
    return codec


def method_of(codec: Codec) -> str:
    """Return the name of a codec's method."""
    return type(codec).__module__.rpartition(".")[2]


def numbers(codec: Codec) -> dict[str, int]:
    """Return the fields of a codec that are no arrays."""
    return {name: value for name, value in _fields(codec).items() if isinstance(value, int)}


def shared(codec: Codec) -> dict[str, NDArray[np.float32]]:
    """Return the fields of a codec that are arrays."""
    return {name: value for name, value in _fields(codec).items() if isinstance(value, np.ndarray)}


def _fields(codec: Codec) -> dict[str, Any]:
    return {field.name: getattr(codec, field.name) for field in dataclasses.fields(codec)}  # type: ignore[arg-type]


def restore(method: str, held: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> Codec:
    """Return the codec of a file that holds these numbers, as text, and these shared arrays. Raises ValueError."""
    if method not in (*METHODS, *TRAINED):
        raise ValueError(f"compressed by {method!r}, which this version of w2vfast does not know")
    kind = import_module(f"{__name__}.{method}").Codec
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.type is int:
            if not held.get(field.name, "").isdecimal():
                raise ValueError(f"no number {field.name!r} in its metadata")
            values[field.name] = int(held[field.name])
        elif field.name in tensors:
            values[field.name] = tensors[field.name].astype(np.float32, copy=False)
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"no tensor {field.name!r}")
    codec: Codec = kind(**values)
    return codec
