"""The command that converts vectors between formats, and exports them for TensorBoard's projector.

    python -m w2vfast.convert GoogleNews-vectors-negative300.bin.gz vectors.safetensors --top 200000
    python -m w2vfast.convert vectors.bin vectors.txt
    python -m w2vfast.convert vectors.kv projector/ --projector

The formats are those of w2vfast.formats. Rows are streamed, so that a file need not fit in memory (but for .kv output,
which gensim writes at once). Exit code 2 on bad input.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from w2vfast.command import Parser, exit_code
from w2vfast.errors import InputError
from w2vfast.files import explained_writes, replace_together
from w2vfast.formats import check_writable, open_vectors, shortest_decimals, write_stream

TENSORS, METADATA, PROJECTOR = "tensor.tsv", "metadata.tsv", "projector_config.pbtxt"


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], *, top: int | None = None) -> int:
    """Write the first `top` vectors (all unless told) of one file to another in the format of its suffix.

    Returns the number of vectors. Raises InputError as `load_vectors` and `save_vectors` do, and if both are one file.
    """
    check_writable(target)
    with open_vectors(source, limit=top) as stream:
        if os.path.exists(target) and os.path.samefile(source, target):
            raise InputError(f"{target} is the file to be read: give another name")
        write_stream(stream, target)
    return stream.rows


def export_projector(source: str | os.PathLike[str], folder: str | os.PathLike[str], *, top: int | None = None) -> int:
    """Write tensor.tsv, metadata.tsv and projector_config.pbtxt for TensorBoard's projector into a new or old folder.

    The metadata have a header line and a column of counts where the source holds counts, else words alone (the
    projector takes a header only with several columns). Returns the number of vectors. Raises InputError as `convert`
    does, and for a word that holds a tab or a newline.
    """
    folder = Path(folder)
    with open_vectors(source, limit=top) as stream, ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
        try:
            made = Path(tempfile.mkdtemp(prefix=".", dir=folder))
        except OSError as error:
            raise InputError(f"cannot write in {folder}: {error.strerror}; choose another folder") from error
        stack.callback(shutil.rmtree, made, ignore_errors=True)
        stack.enter_context(explained_writes(folder))
        names = (TENSORS, METADATA, PROJECTOR)
        with ExitStack() as files:
            tensors, metadata, config = (
                files.enter_context(open(made / name, "w", encoding="utf-8", newline="")) for name in names
            )
            if stream.counts is not None:
                metadata.write("word\tcount\n")
            row = 0
            for words, vectors in stream.blocks:
                tensors.writelines("\t".join(map(repr, line)) + "\n" for line in shortest_decimals(vectors).tolist())
                for i, word in enumerate(words, row):
                    if "\t" in word or "\n" in word:
                        raise InputError(f"the projector's files cannot hold the word {word!r}")
                    metadata.write(f"{word}\n" if stream.counts is None else f"{word}\t{stream.counts[i]}\n")
                row += len(words)
            config.write(f'embeddings {{\n  tensor_path: "{TENSORS}"\n  metadata_path: "{METADATA}"\n}}\n')
        replace_together({made / name: folder / name for name in names})
    return stream.rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return exit_code("w2vfast.convert", partial(_main, argv), interrupted="interrupted; nothing was written")


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m w2vfast.convert",
        description="Convert word vectors: the suffixes pick the formats (.bin, .txt, .vec, .kv, .safetensors; "
        ".bin.gz, .txt.gz and .vec.gz can be read).",
        allow_abbrev=False,
    )
    parser.add_argument("input", help="the vectors to read")
    parser.add_argument("output", help="the file to write, or with --projector the folder")
    parser.add_argument("--top", type=int, metavar="N", help="take the first N vectors: the most frequent words")
    parser.add_argument("--projector", action="store_true", help="write files for TensorBoard's projector")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    export = export_projector if options.projector else convert
    rows = export(options.input, options.output, top=options.top)
    if options.json:
        print(json.dumps({"input": options.input, "output": options.output, "vectors": rows}))
    else:
        print(f"{rows:,} vectors: {options.output}")


if __name__ == "__main__":
    sys.exit(main())
