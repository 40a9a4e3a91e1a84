"""Builds the native parts: scanner, encoder and the builds of the CPU kernels. All else is in pyproject.toml.

Every extension is optional: without a C++ compiler the installation still succeeds, and the first run says what is
missing and what it costs (w2vfast/backends.py, w2vfast/corpus.py).
"""

import copy
import os
import platform
import sys
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup
from setuptools.command.build_ext import build_ext

NATIVE = "kernels/native"
COMMON = ["-O3", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-pthread"]

# One source, several builds; kernels/native/step.py picks at import from what the processor has.
X86_BUILDS = {
    "base": ["-march=x86-64-v2"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "avx512bf16": ["-march=x86-64-v4", "-mprefer-vector-width=512", "-mavx512bf16"],
}
ARM_BUILDS: dict[str, list[str]] = {"base": []}


class BuildEachApart(build_ext):
    """Builds on all processors, each extension with a folder of its own for objects: the kernels share one source."""

    def finalize_options(self):
        """Take as many processors as there are, unless told."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extension(self, ext):
        """Build one extension, as a copy of this command that other threads do not see."""
        apart = copy.copy(self)
        apart.build_temp = str(Path(self.build_temp) / ext.name)
        super(BuildEachApart, apart).build_extension(ext)


def extension(name: str, source: str, flags: list[str], macros: list[tuple[str, str]]) -> Pybind11Extension:
    """Return one optional extension module, built from one source file with its own flags."""
    return Pybind11Extension(
        name,
        [source],
        cxx_std=17,
        define_macros=macros,
        extra_compile_args=[*COMMON, *flags],
        extra_link_args=["-pthread"],
        depends=sorted(str(path) for path in Path(NATIVE).rglob("*.hpp")),
        optional=True,
    )


def extensions() -> list[Pybind11Extension]:
    """Return the extensions of this platform."""
    if sys.platform == "win32":  # Windows runs the torch backend and the Python scanner
        return []
    x86 = platform.machine() in ("x86_64", "AMD64")
    builds = X86_BUILDS if x86 else ARM_BUILDS
    kernels = [
        extension(f"w2vfast.kernels.native._{build}", f"{NATIVE}/module.cpp", flags, [("W2V_MODULE", f"_{build}")])
        for build, flags in builds.items()
    ]
    text = [extension(f"w2vfast._{name}", f"{NATIVE}/{name}.cpp", [], []) for name in ("scanner", "encoder")]
    return [*text, *kernels]


setup(ext_modules=[e for e in extensions() if Path(e.sources[0]).exists()], cmdclass={"build_ext": BuildEachApart})
