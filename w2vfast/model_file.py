"""A trained model as one safetensors file: both tables, the words, the settings, and the objective with its arrays.

Tensors `vectors` (W_in), `words`, `offsets` and `counts` are those of a file of vectors, so that all that reads vectors
reads a model too. Beside them are `w_out` and, as `objective.FIELD`, the arrays of the objective's value; a field of a
value inside it is `objective.OUTER.FIELD`. Fields that are no arrays, the settings and the versions are JSON in the
file's metadata. Nothing in a file is ever run.
"""

import dataclasses
import itertools
import json
import os
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.errors import InputError
from w2vfast.files import PathLike, atomic_path
from w2vfast.formats import check_writable, format_of
from w2vfast.formats.safetensors import pieces
from w2vfast.formats.words import encode
from w2vfast.kernels.contract import Objective
from w2vfast.predictions import file_of

FORMAT = "w2vfast model"
VERSION = 1
PREFIX = "objective"
KIND = "type"  # the metadata's name for which of several classes a value inside is


@dataclasses.dataclass(frozen=True, eq=False)
class Contents:
    """What a model file holds; arrays are C-contiguous."""

    words: list[str]
    counts: NDArray[np.int64]  # [V]
    w_in: NDArray[np.float32]  # [V, D]
    w_out: NDArray[np.float32]  # [out_rows, D]
    objective: Objective
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        """Raise ValueError, in one line, if the parts do not fit each other."""
        V = len(self.words)
        arrays: dict[str, NDArray[Any]] = {"vectors": self.w_in, "w_out": self.w_out, "counts": self.counts}
        for name, array in arrays.items():
            dtype, axes = (np.int64, 1) if name == "counts" else (np.float32, 2)
            if array.dtype != dtype or array.ndim != axes:
                raise ValueError(f"{name} is {array.dtype} of {array.ndim} axes, not {np.dtype(dtype)} of {axes}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds NaN or infinity")
        if len(set(self.words)) != V:
            raise ValueError("a word stands twice")
        self.objective.check(V)
        D = self.w_in.shape[1]
        shapes = {"vectors": (V, D), "w_out": (self.objective.out_rows(V), D), "counts": (V,)}
        for name, array in arrays.items():
            if array.shape != shapes[name]:
                raise ValueError(
                    f"{name} is {list(array.shape)}, which for {V} words and {self.objective.name} must be "
                    f"{list(shapes[name])}"
                )


def check_path(path: PathLike) -> None:
    """Raise InputError, before the work, if no model can be written to `path`."""
    if format_of(path) != "safetensors":
        raise InputError(f"{path}: a model is saved as .safetensors; give it that suffix")
    check_writable(path)


def save(contents: Contents, path: PathLike) -> None:
    """Write a model file, whole or not at all. Raises InputError if it cannot be written."""
    check_path(path)
    encoded = encode(contents.words)
    arrays, rest = take_apart(contents.objective)
    tensors: dict[str, NDArray[Any]] = {f"{PREFIX}.{name}": array for name, array in arrays.items()}
    tensors |= {
        "offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        "counts": contents.counts,
        "vectors": contents.w_in,
        "w_out": contents.w_out,
        "words": np.frombuffer(b"".join(encoded), np.uint8),
    }
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "objective": contents.objective.name,
        "fields": json.dumps(rest),
        "settings": json.dumps(contents.settings),
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(pieces(tensors, metadata))


def about(path: PathLike) -> tuple[str, dict[str, Any]]:
    """Return a model's objective and settings, its arrays unread. Raises InputError as `load` does."""
    metadata, _ = _read(path, arrays=False)
    with _fitting(path):
        return metadata["objective"], _settings(metadata)


def load(path: PathLike) -> Contents:
    """Read a model file. Raises InputError if it is none, truncated, of another version, or its parts do not fit."""
    metadata, tensors = _read(path)
    with _fitting(path):
        arrays = {name.removeprefix(f"{PREFIX}."): a for name, a in tensors.items() if name.startswith(f"{PREFIX}.")}
        objective = _put_together(_class_of(metadata["objective"]), arrays, json.loads(metadata["fields"]))
        words = _words(tensors["words"], tensors["offsets"])
        settings = _settings(metadata)
        return Contents(words, tensors["counts"], tensors["vectors"], tensors["w_out"], objective, settings)


def _read(path: PathLike, *, arrays: bool = True) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_version(path, metadata)
            names = file.keys() if arrays else ()
            return metadata, {name: np.ascontiguousarray(file.get_tensor(name)) for name in names}
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: a dtype that numpy lacks
        raise InputError(f"{path}: truncated or broken ({error}); save or fetch it again") from error


def _settings(metadata: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(metadata["settings"])
    if settings["mode"] not in ("sg", "cbow") or not isinstance(settings["cbow_mean"], bool):
        raise ValueError("the settings are of no training")
    return settings


@contextmanager
def _fitting(path: PathLike) -> Iterator[None]:
    """Turn what goes wrong with a file's parts into an InputError of one line."""
    try:
        yield
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]!r} is missing; save the model again") from error
    except (ValueError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: its parts do not fit each other: {error}; save the model again") from error


def _check_version(path: PathLike, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} holds no model: train it with --save-model (vectors alone cannot predict)")
    if metadata.get("version") != str(VERSION):
        raise InputError(
            f"{path} is of version {metadata.get('version')}, and this w2vfast reads version {VERSION}: train it "
            "again, or read it with the w2vfast that wrote it"
        )


def _words(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    raw, bounds = text.tobytes(), offsets.tolist()
    if not bounds or bounds[0] != 0 or bounds[-1] != len(raw) or (np.diff(offsets) < 0).any():
        raise ValueError("offsets do not go with words")
    return [raw[a:b].decode() for a, b in itertools.pairwise(bounds)]


def _class_of(name: str) -> type:
    """Return the class of an objective, the one in its module that has its name."""
    try:
        module = import_module(f"w2vfast.kernels.objectives.{file_of(name)}")
    except ImportError as error:
        raise ValueError(f"this w2vfast has no objective {name!r}") from error
    for value in vars(module).values():
        if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__dict__.get("name") == name:
            return value
    raise ValueError(f"this w2vfast has no objective {name!r}")


def take_apart(value: Any, path: str = "") -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays of a value's fields, and its other fields, by their paths; those that are computed stay out."""
    arrays: dict[str, NDArray[Any]] = {}
    rest: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        if not field.init:
            continue
        item, name = getattr(value, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(item):
            rest[f"{name}.{KIND}"] = type(item).__name__
            below = take_apart(item, f"{name}.")
            arrays |= below[0]
            rest |= below[1]
        elif isinstance(item, np.ndarray):
            arrays[name] = item
        elif item is None or isinstance(item, bool | int | float | str):
            rest[name] = item
        else:
            raise TypeError(f"{name} is a {type(item).__name__}, which no model file can hold")
    return arrays, rest


def _put_together(kind: type, arrays: dict[str, NDArray[Any]], rest: dict[str, Any], path: str = "") -> Any:
    """Return the value that `take_apart` made these of. Raises KeyError for a field that is missing."""
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        name = f"{path}{field.name}"
        if name in arrays:
            given[field.name] = arrays[name]
        elif f"{name}.{KIND}" in rest:
            given[field.name] = _put_together(
                _one_of(hints[field.name], rest[f"{name}.{KIND}"]), arrays, rest, f"{name}."
            )
        else:
            given[field.name] = rest[name]
    return kind(**given)


def _one_of(hint: Any, name: str) -> type:
    """Return the class of this name among those that a field's type hint allows."""
    for kind in (hint, *typing.get_args(hint)):
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__name__ == name:
            return kind
    raise ValueError(f"{name} is not what the objective holds")
