"""w2vfast: word vectors (word2vec skip-gram and CBOW) trained in dense tiles.

The command line is ``python -m w2vfast.train``; from Python:

    from w2vfast import Config
    from w2vfast.trainer import train_files
    vectors = train_files(["corpus.txt"], Config(vector_size=200)).vectors

Importing this package loads none of torch, triton or gensim: they are imported where they are used.
"""

from pathlib import Path

# In a checkout `kernels/` and `eval/` stand beside this folder, while they are imported as `w2vfast.kernels` and
# `w2vfast.eval` (in a wheel they are inside it): let a checkout resolve the same names.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "kernels" / "__init__.py").is_file() and (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))

from w2vfast.config import Config  # noqa: E402
from w2vfast.errors import DivergenceError, InputError  # noqa: E402

__version__ = "0.1.0"
__all__ = ["Config", "DivergenceError", "InputError", "__version__"]
