"""What is optional: whether a package is there, and what needs gensim (new Pythons come before its wheels)."""

import importlib.util
from pathlib import Path

from w2vfast.errors import InputError


def is_installed(package: str) -> bool:
    """Return whether a package is installed; it is not imported."""
    return importlib.util.find_spec(package) is not None


def require(package: str, what: str, *, extra: str) -> None:
    """Raise InputError, with the command that installs it, if a package that `what` needs is missing."""
    if not is_installed(package):
        raise InputError(f"{what} needs {package}: pip install 'w2vfast[{extra}]'")


def require_gensim(what: str, *, instead: str = "") -> Path:
    """Return the folder of the installed gensim, which is not imported.

    Raises InputError if there is none: `what` needs it; `instead` is what can be done without, beside another Python.
    """
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        other = f", or {instead}" if instead else ""
        raise InputError(
            f"{what} needs gensim: pip install gensim (no wheel exists for Python 3.14 yet: use Python 3.13{other})"
        )
    return Path(spec.submodule_search_locations[0])
