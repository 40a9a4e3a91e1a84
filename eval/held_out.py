"""Parts of a text, cut at line ends: what is trained on, and what is held out from training."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from w2vfast.errors import InputError


def count_words(text: Path) -> int:
    """Return the number of words of a plain text file."""
    with text.open("rb") as file:
        return sum(len(line.split()) for line in file)


def cut(text: Path, folder: Path, bounds: Mapping[str, tuple[int, int]]) -> dict[str, Path]:
    """Write each part, the lines whose first word is one of the words begin .. end - 1, to a file in `folder`.

    Returns the files by the parts' names. Raises InputError for a part that has no line.
    """
    paths = {name: folder / f"{name}.txt" for name in bounds}
    with ExitStack() as stack, text.open("rb") as source:
        files = {name: stack.enter_context(path.open("wb")) for name, path in paths.items()}
        place = 0
        for line in source:
            for name, (begin, end) in bounds.items():
                if begin <= place < end:
                    files[name].write(line)
            place += len(line.split())
    for name, path in paths.items():
        if not path.stat().st_size:
            raise InputError(f"{text} is too short to hold a part out ({name} has no line): give more text, in lines")
    return paths
