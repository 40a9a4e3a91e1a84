"""The command that makes trained vectors better or shorter without training, and shows what each step did.

    python -m w2vfast.postprocess vectors.bin -o better.bin --all-but-the-top
    python -m w2vfast.postprocess vectors.bin -o shorter.bin --pca 100 --unit

--all-but-the-top takes the mean and the directions of largest variance off (D / 100 unless told; Mu & Viswanath,
"All-but-the-top: simple and effective postprocessing for word representations", ICLR 2018), --pca keeps the directions
of largest variance, --unit makes every row 1 long; in this order. The covariance is summed in float64 while the rows
stream by, once, and a second pass writes: neither file need fit in memory. Exit code 2 on bad input.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.command import Parser, exit_code
from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.formats import check_writable, load_vectors, open_vectors, write_stream
from w2vfast.moments import Moments, moments
from w2vfast.vectors import Block, Vectors, VectorStream, stream_of

EVALUATED = 300_000  # rows that the evaluation looks at


@dataclass(frozen=True)
class Step:
    """One step: rows become (rows - mean) @ matrix, and 1 long if `unit`."""

    name: str
    mean: NDArray[np.float64] | None = None  # [D]
    matrix: NDArray[np.float64] | None = None  # [D, new D]
    unit: bool = False

    def apply(self, rows: NDArray[np.float64], words: Sequence[str]) -> NDArray[np.float64]:
        """Return the rows after it. Raises InputError for a row of zeros that would have to be 1 long."""
        if self.mean is not None and self.matrix is not None:
            rows = (rows - self.mean) @ self.matrix
        if not self.unit:
            return rows
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        if not norms.all():
            word = words[int(np.argmin(norms))]
            raise InputError(f"the vector of {word!r} is all zeros: it has no direction; leave the word out")
        scaled: NDArray[np.float64] = rows / norms[:, None]
        return scaled


def steps(found: Moments, *, remove: int | None = None, pca: int | None = None, unit: bool = False) -> list[Step]:
    """Return the steps for vectors of these moments: `remove` directions and the mean off, `pca` dimensions, length 1.

    Raises InputError for more directions or dimensions than there are, and if there is nothing to do.
    """
    D = len(found.mean)
    made: list[Step] = []
    axes = np.linalg.eigh(found.covariance)[1][:, ::-1]
    # An eigenvector's sign is arbitrary: its largest component is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(D)])
    mean = found.mean
    if remove is not None:
        if not 0 <= remove < D:
            raise InputError(f"0 to {D - 1} of {D} directions can be removed, not {remove}")
        top = axes[:, :remove]
        made.append(Step(f"all-but-the-top {remove}", mean, np.eye(D) - top @ top.T))
        mean, axes = np.zeros(D), axes[:, remove:]  # the rest is the covariance's own: its axes stay
    if pca is not None:
        if not 1 <= pca <= axes.shape[1]:
            raise InputError(f"PCA keeps 1 to {axes.shape[1]} dimensions of these vectors, not {pca}")
        made.append(Step(f"pca {pca}", mean, axes[:, :pca]))
    if unit:
        made.append(Step("unit", unit=True))
    if not made:
        raise InputError("nothing to do: give --all-but-the-top, --pca or --unit")
    return made


def _after(stream: VectorStream, done: Sequence[Step]) -> VectorStream:
    """Return a stream of what rows are after steps, computed in float64."""

    def blocks() -> Iterator[Block]:
        for words, rows in stream.blocks:
            changed = rows.astype(np.float64)
            for step in done:
                changed = step.apply(changed, words)
            yield words, np.ascontiguousarray(changed, dtype=np.float32)

    sizes = [step.matrix.shape[1] for step in done if step.matrix is not None]
    return replace(stream, vector_size=(sizes or [stream.vector_size])[-1], blocks=blocks())


def postprocess(
    source: PathLike, target: PathLike, *, remove: int | None = None, pca: int | None = None, unit: bool = False
) -> list[Step]:
    """Write the vectors of one file, after `steps`, to another in the format of its suffix; returns the steps.

    Raises InputError as `steps`, `load_vectors` and `save_vectors` do, and if both are one file.
    """
    check_writable(target)
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise InputError(f"{target} is the file to be read: give another name")
    with open_vectors(source) as stream:
        done = steps(
            moments((rows for _, rows in stream.blocks), stream.vector_size), remove=remove, pca=pca, unit=unit
        )
    with open_vectors(source) as stream:
        write_stream(_after(stream, done), target)
    return done


def effects(source: PathLike, done: Sequence[Step]) -> list[tuple[str, dict[str, float | None]]]:
    """Return the built-in measures (`w2vfast.eval.quality`) before and after each step, of the first 300,000 words.

    Raises InputError where nothing can be measured.
    """
    from w2vfast.eval.quality import quality
    from w2vfast.vectors import collect

    vectors = load_vectors(source, limit=EVALUATED)
    measured = [("before", quality(vectors))]
    for i, step in enumerate(done, 1):
        after: Vectors = collect(_after(stream_of(vectors), done[:i]))
        measured.append((step.name, quality(after)))
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return exit_code("w2vfast.postprocess", partial(_main, argv), interrupted="interrupted; nothing was written")


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m w2vfast.postprocess",
        description="Change trained word vectors, in the order of these options, and measure what each step did.",
        allow_abbrev=False,
    )
    parser.add_argument("input", help="the vectors to read: .bin, .txt, .vec (or these .gz), .kv, .safetensors")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write; its suffix says how")
    parser.add_argument(
        "--all-but-the-top",
        type=int,
        nargs="?",
        const=-1,
        metavar="N",
        help="take the mean and the N directions of largest variance off (default: D / 100)",
    )
    parser.add_argument("--pca", type=int, metavar="R", help="keep the R dimensions of largest variance")
    parser.add_argument("--unit", action="store_true", help="make every vector 1 long")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    remove = options.all_but_the_top
    if remove == -1:
        with open_vectors(options.input) as stream:
            remove = stream.vector_size // 100
    done = postprocess(options.input, options.output, remove=remove, pca=options.pca, unit=options.unit)
    try:
        measured, fault = effects(options.input, done), ""
    except InputError as error:
        measured, fault = [], str(error)
    if options.json:
        shown: list[dict[str, Any]] = [{"step": name, **values} for name, values in measured]
        names = [step.name for step in done]
        print(json.dumps({"input": options.input, "output": options.output, "steps": names, "quality": shown}))
        return
    from w2vfast.eval.quality import MEASURES
    from w2vfast.eval.tables import number, table

    if measured:
        rows = [[name, *(number(values[key], 1) for key in MEASURES)] for name, values in measured]
        print(table(["after", *MEASURES.values()], rows))
    else:
        print(f"not measured: {fault}")
    print(f"{options.output}: {', '.join(step.name for step in done)}")


if __name__ == "__main__":
    sys.exit(main())
