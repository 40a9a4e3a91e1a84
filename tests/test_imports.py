"""Imports run one way (docs/design.md has the picture): kernels know no words or files, evaluation no training."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "w2vfast": ROOT / "w2vfast",
    "w2vfast.formats": ROOT / "w2vfast" / "formats",
    "w2vfast.codecs": ROOT / "w2vfast" / "codecs",
    "w2vfast.predictions": ROOT / "w2vfast" / "predictions",
    "w2vfast.kernels": ROOT / "kernels",
    "w2vfast.eval": ROOT / "eval",
}
BACKENDS = ("torch", "native", "triton")
# What every part of kernels/ may know.
CONTRACT = {
    f"w2vfast.kernels.{module}" for module in ("contract", "huffman", "levels", "mapped", "noise", "philox", "teacher")
}
# Lowest first: a module of w2vfast/ and its formats/ imports only what stands before it, and the kernels' contract and
# objectives.
LAYERS = [
    *("errors", "optional", "stopwatch", "config", "command", "files", "memory", "ranks"),
    *("vocab", "no_text", "inputs", "blocks", "tokens", "encoder", "interner", "shared_scan", "corpus"),
    *("vectors", "moments", "codecs", "compressed"),
    *("formats.words", "formats.binary", "formats.text", "formats.word2vec"),
    *("formats.keyed_vectors", "formats.safetensors", "formats", "convert", "compress", "postprocess"),
    *("predictions", "model_file", "teachers"),
    *("plan", "tiles", "backends", "classes", "targets", "objectives", "jobs", "room", "prediction"),
    *(
        "kept_scan",
        "run",
        "exchange",
        "dimension",
        "scoring",
        "checkpoint",
        "trainer",
        "account",
        "screen",
        "demo",
        "train",
    ),
    *("gensim_corpus", "gensim_vectors", "gensim_epoch", "gensim_bridge", "gensim_checkpoints", "model", "__init__"),
]


def module_files():
    for package, folder in FOLDERS.items():
        # Kernels have packages of their own, the others none that is not listed.
        for path in sorted(folder.rglob("*.py") if package == "w2vfast.kernels" else folder.glob("*.py")):
            below = path.parent.relative_to(folder).parts
            yield ".".join([package, *below]), path


def module_name(package, path):
    """Return what a file is imported as; the root's __init__ keeps its name, since every import imports it."""
    return package if path.stem == "__init__" and package != "w2vfast" else f"{package}.{path.stem}"


def imported(path):
    """Return the absolute names of w2vfast modules that a file imports anywhere."""
    modules = {module_name(package, path) for package, path in module_files()}
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inside if inside <= modules else inside | {node.module}
    return {name for name in names if name in modules}


def kernel_files(package=""):
    """Return the files of kernels/, or of one package of it."""
    return sorted((FOLDERS["w2vfast.kernels"] / package).rglob("*.py"))


def test_kernels_import_nothing_but_kernels():
    for path in kernel_files():
        outside = {name for name in imported(path) if not name.startswith("w2vfast.kernels.")}
        assert not outside, path.name


def test_the_reference_shares_only_the_contract():
    assert imported(FOLDERS["w2vfast.kernels"] / "reference.py") <= CONTRACT


def test_objectives_know_the_contract_and_no_backend():
    for path in kernel_files("objectives"):
        own = {name for name in imported(path) if name.startswith("w2vfast.kernels.objectives")}
        assert imported(path) - own <= CONTRACT, path


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_do_not_import_each_other(backend):
    """A backend sees the values of objectives, not their mathematics, and nothing of another backend."""
    for path in kernel_files(backend):
        for name in imported(path) - CONTRACT:
            own = name.startswith(f"w2vfast.kernels.{backend}")
            assert own or name in {f"w2vfast.kernels.objectives.{path.stem}"}, f"{path} imports {name}"


@pytest.mark.parametrize(
    ("layer", "path"),
    [
        pytest.param(name := module_name(package, path).removeprefix("w2vfast."), path, id=name)
        for package, path in module_files()
        if package in ("w2vfast", "w2vfast.formats")
    ],
)
def test_layers_of_the_package(layer, path):
    assert layer in LAYERS, f"give {layer} its place in LAYERS"
    below = LAYERS[: LAYERS.index(layer)]
    for name in imported(path):
        if name.startswith("w2vfast.kernels"):
            known = name in CONTRACT or (layer == "objectives" and name.startswith("w2vfast.kernels.objectives."))
            assert known, f"{layer} imports {name}"
        elif name.startswith("w2vfast.eval"):
            assert layer in ("postprocess", "scoring", "demo"), f"{layer} imports {name}"
        else:
            assert name.removeprefix("w2vfast.") in below, f"{layer} imports {name}"


def test_evaluation_does_not_import_training():
    for path in FOLDERS["w2vfast.eval"].glob("*.py"):
        modules = ("errors", "optional", "config", "command", "files", "memory", "inputs", "vectors", "formats")
        modules += ("vocab", "tokens", "corpus", "plan", "prediction")
        allowed = {f"w2vfast.{module}" for module in modules}
        for name in imported(path):
            assert name.startswith("w2vfast.eval.") or name in allowed, f"{path.name} imports {name}"


def test_every_module_imports_and_has_a_docstring():
    for package, path in module_files():
        assert ast.get_docstring(ast.parse(path.read_text())), path
        # Triton's kernels are imported where triton is: tests/test_triton_parity.py.
        if path.stem != "__main__" and "triton" not in path.parts[:-1]:
            importlib.import_module(module_name(package, path).removesuffix(".__init__"))
