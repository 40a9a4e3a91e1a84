"""Imports run one way (the picture in DESIGN.md): kernels know no words or files, evaluation knows no training."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"w2vfast": ROOT / "w2vfast", "w2vfast.kernels": ROOT / "kernels", "w2vfast.eval": ROOT / "eval"}
# Lowest first: a module of w2vfast/ imports at import time only what stands before it (and kernels.contract).
LAYERS = [
    *(
        "errors",
        "config",
        "command",
        "files",
        "memory",
        "vocab",
        "inputs",
        "tokens",
        "interner",
        "corpus",
        "plan",
        "schedule",
        "backends",
    ),
    *("formats", "convert", "trainer", "train", "__init__"),
]


def module_files():
    for package, folder in FOLDERS.items():
        for path in sorted(folder.glob("*.py")):
            yield package, path


def imported(path):
    """Return the absolute names of w2vfast modules that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = {f"{package}.{path.stem}" for package, path in module_files()}
    return {name for name in names if name in modules}


def test_kernels_import_nothing_but_kernels():
    for path in FOLDERS["w2vfast.kernels"].glob("*.py"):
        outside = {name for name in imported(path) if not name.startswith("w2vfast.kernels.")}
        assert not outside, path.name


def test_the_reference_shares_only_the_contract():
    assert imported(FOLDERS["w2vfast.kernels"] / "reference.py") == {"w2vfast.kernels.contract"}


def test_backends_do_not_import_each_other():
    for path in FOLDERS["w2vfast.kernels"].glob("*_*.py"):
        family = path.stem.split("_")[0]
        for name in imported(path) - {"w2vfast.kernels.contract"}:
            assert name.startswith(f"w2vfast.kernels.{family}_"), path.name


@pytest.mark.parametrize("path", sorted(FOLDERS["w2vfast"].glob("*.py")), ids=lambda path: path.stem)
def test_layers_of_the_package(path):
    assert path.stem in LAYERS, f"give {path.stem} its place in LAYERS"
    below = LAYERS[: LAYERS.index(path.stem)]
    for name in imported(path):
        package, _, module = name.rpartition(".")
        if package == "w2vfast.kernels":
            assert module == "contract", f"{path.stem} imports {name}"
        elif package == "w2vfast":
            assert module in below, f"{path.stem} imports {name}"
        else:
            assert path.stem in ("trainer", "train"), f"{path.stem} imports {name}"


def test_evaluation_does_not_import_training():
    for path in FOLDERS["w2vfast.eval"].glob("*.py"):
        allowed = {f"w2vfast.{name}" for name in ("errors", "command", "files", "memory", "inputs", "formats")}
        for name in imported(path):
            assert name.startswith("w2vfast.eval.") or name in allowed, f"{path.name} imports {name}"


def test_every_module_imports_and_has_a_docstring():
    for package, path in module_files():
        assert ast.get_docstring(ast.parse(path.read_text())), path
        if path.stem not in ("__main__",) and not path.stem.startswith("triton_"):
            importlib.import_module(package if path.stem == "__init__" else f"{package}.{path.stem}")
