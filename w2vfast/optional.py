"""Says what needs gensim where it is missing: training does not, and new versions of Python come before its wheels."""

import importlib.util
from pathlib import Path

from w2vfast.errors import InputError


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
