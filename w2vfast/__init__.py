"""w2vfast: word vectors (word2vec skip-gram and CBOW) trained in dense tiles.

The command line is ``python -m w2vfast.train``; from Python:

    from w2vfast import Config
    from w2vfast.trainer import train_files
    vectors = train_files(["corpus.txt"], Config(vector_size=200)).vectors

A model that was saved whole (`--save-model`, `TrainResult.save_model`) predicts words:

    from w2vfast import load_model
    load_model("model.safetensors").predict(["king", "of"])

and, in place of gensim's class, which behaves the same and is many times slower:

    from w2vfast import Word2Vec

whose checkpoints a callback writes, `w2vfast.Checkpoints("folder")`.

Importing this package loads none of torch, triton or gensim: they are imported where they are used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

# In a checkout `kernels/` and `eval/` stand beside this folder, while they are imported as `w2vfast.kernels` and
# `w2vfast.eval` (in a wheel they are inside it): let a checkout resolve the same names.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "kernels" / "__init__.py").is_file() and (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))

from w2vfast.config import Config  # noqa: E402
from w2vfast.errors import DivergenceError, InputError  # noqa: E402

if TYPE_CHECKING:
    from w2vfast.gensim_checkpoints import Checkpoints as Checkpoints
    from w2vfast.model import Word2Vec as Word2Vec
    from w2vfast.prediction import load_model as load_model

__version__ = "0.1.0"
__all__ = ["Config", "DivergenceError", "InputError", "__version__"]


def __getattr__(name: str) -> Any:
    """Return what is loaded when asked for; `Word2Vec` and `Checkpoints` raise ImportError where gensim is missing."""
    if name == "load_model":
        from w2vfast.prediction import load_model

        return load_model
    if name not in ("Word2Vec", "Checkpoints"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from w2vfast.optional import require_gensim

    try:
        require_gensim(f"w2vfast.{name}", instead="w2vfast.trainer, which trains without it,")
    except InputError as error:
        raise ImportError(str(error)) from error
    if name == "Checkpoints":
        from w2vfast.gensim_checkpoints import Checkpoints

        return Checkpoints
    from w2vfast.model import Word2Vec

    return Word2Vec
