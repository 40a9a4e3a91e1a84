"""Words as bytes in a file, and how a message shows what stands there."""

from collections.abc import Sequence

from w2vfast.errors import InputError
from w2vfast.files import PathLike

LONGEST_WORD = 1 << 16  # bytes; a longer one means that the file is not what its suffix says
ASCII_SPACE = frozenset(" \t\n\r\v\f")


def decode(word: bytes) -> str:
    """Return a word; bytes that are no UTF-8 come as backslash escapes, so that different words stay different."""
    return word.decode("utf-8", "backslashreplace")


def encode(words: Sequence[str]) -> list[bytes]:
    """Return words in UTF-8. Raises InputError for one that is no valid Unicode text."""
    try:
        return [word.encode() for word in words]
    except UnicodeEncodeError as error:
        raise InputError(f"cannot write the word {error.object!r}: it is no valid Unicode text") from error


def encode_unspaced(words: Sequence[str], path: PathLike) -> list[bytes]:
    """Do as `encode` for a format whose readers split at white space: raise InputError for a word that holds some."""
    for word in words:
        if not word or not ASCII_SPACE.isdisjoint(word):
            fault = "holds white space" if word else "is empty"
            raise InputError(f"cannot write {path}: the word {word!r} {fault}; .kv and .safetensors can hold it")
    return encode(words)


def show(text: bytes) -> str:
    """Return the beginning of `text` in quotes, for a message."""
    shown = text[:60].decode("utf-8", "backslashreplace").rstrip()
    return repr(shown) + ("..." if len(text) > 60 else "")
