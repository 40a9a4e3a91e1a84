"""Draws the pictures of docs/design.md: the data path, and one tile.

python docs/draw_design.py                 writes docs/data-path.svg and docs/tile.svg
python docs/draw_design.py --suffix png    the same as PNG, to look at
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

HERE = Path(__file__).resolve().parent
INK, FAINT = "#1f2933", "#7b8794"
TEXT, HOST, KERNEL, TABLE = "#eef2f6", "#dceaf7", "#fbe3cf", "#dff0df"


def new(width: float, height: float) -> tuple[Any, Axes]:
    """Return a figure and its one axes, in inches, y upwards."""
    figure = pyplot.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, width: float, title: str, lines: str, colour: str, height: float = 1.0) -> None:
    """Draw a box with its lower left corner at (x, y): a title, and lines beneath it."""
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec=INK, lw=1)
    )
    middle = x + width / 2
    axes.text(middle, y + height - 0.12, title, ha="center", va="top", fontsize=10, weight="bold", color=INK)
    axes.text(middle, y + height - 0.40, lines, ha="center", va="top", fontsize=8, color=INK, linespacing=1.35)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], note: str = "", dx: float = 0.0) -> None:
    """Draw an arrow with a note beside its middle."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=INK, lw=1, shrinkA=0, shrinkB=0)
    )
    if note:
        x, y = (start[0] + end[0]) / 2 + dx, (start[1] + end[1]) / 2
        side = "center" if not dx else "left" if dx > 0 else "right"
        axes.text(
            x, y + (0.1 if not dx else 0), note, ha=side, va="bottom" if not dx else "center", fontsize=8, color=INK
        )


def draw_data_path() -> Any:
    """Return the picture of how text becomes vectors, and which file does what."""
    figure, axes = new(11.2, 4.3)
    top, middle = 2.75, 3.25
    box(axes, 0.15, top, 1.25, "text", "files, folders,\nstdin, lists\nof words", TEXT)
    box(axes, 1.95, top, 1.7, "scan", "corpus, inputs, blocks,\ninterner, tokens,\nvocab", HOST)
    box(axes, 4.35, top, 1.7, "prepare", "plan, tiles,\nobjectives, jobs", HOST)
    box(axes, 6.65, top, 1.9, "Step", "kernels/triton, native\nor torch: plan, tiles,\nrow cap", KERNEL)
    box(axes, 9.45, top, 1.6, "tables", "W_in [V, D]\nW_out [out_rows, D]", TABLE)
    arrow(axes, (1.4, middle), (1.95, middle))
    arrow(axes, (3.65, middle), (4.35, middle), "Vocab +\nEncoded\nCorpus")
    arrow(axes, (6.05, middle), (6.65, middle), "Job")
    arrow(axes, (8.55, middle), (9.45, middle))
    axes.text(9.08, middle + 0.1, "in place", ha="center", va="bottom", fontsize=8, color=INK)

    box(axes, 6.65, 1.1, 1.9, "Run", "run: visits in the plan's\norder; RunState", HOST, 0.9)
    arrow(axes, (7.25, 2.0), (7.25, top), "Visit", -0.08)
    arrow(axes, (7.95, top), (7.95, 2.0), "StepResult", 0.08)
    box(axes, 4.05, 1.1, 2.0, "followers", "scoring (scores, best,\npatience), screen (bars)", HOST, 0.9)
    arrow(axes, (6.65, 1.55), (6.05, 1.55), "Progress")
    box(axes, 9.45, 1.1, 1.6, "vectors", "vectors, formats/", HOST, 0.9)
    arrow(axes, (10.25, top), (10.25, 2.0))
    axes.add_patch(Rectangle((1.75, 0.78), 6.98, 3.35, fill=False, ec=FAINT, lw=1, ls=(0, (4, 3))))
    axes.text(1.87, 0.86, "trainer: the one conductor, for the command and for Python", fontsize=8.5, color=FAINT)
    box(axes, 0.15, 1.1, 1.25, "command", "train, command,\nconfig", HOST, 0.9)
    arrow(axes, (1.4, 1.55), (1.75, 1.55))
    axes.text(
        0.15, 0.3, "blue: w2vfast/, knows words, files and options    orange: kernels/, knows arrays and numbers only",
        fontsize=8.5, color=INK,
    )  # fmt: skip
    return figure


def cells(axes: Axes, x: float, y: float, rows: int, columns: int, size: float, filled: Any, colour: str) -> None:
    """Draw a grid whose upper left corner is (x, y); `filled(row, column)` says which cells are coloured."""
    for row in range(rows):
        for column in range(columns):
            corner = (x + column * size, y - (row + 1) * size)
            fill = colour if filled(row, column) else "white"
            axes.add_patch(Rectangle(corner, size, size, fc=fill, ec=FAINT, lw=0.5))


def draw_tile() -> Any:
    """Return the picture of a tile: rows of the input side against own and shared columns."""
    figure, axes = new(11.2, 4.5)
    size, rows, halo, shared = 0.22, 8, 12, 6
    top, left = 3.15, 3.6
    radius = (2, 1, 2, 2, 1, 2, 1, 2)
    own_x, shared_x = left, left + halo * size + 0.35

    def note(x: float, y: float, text: str, size: float = 8.5, **kinds: Any) -> None:
        axes.text(
            x, y, text, fontsize=size, color=INK, **({"ha": "center", "va": "bottom", "linespacing": 1.3} | kinds)
        )

    cells(axes, 2.45, top, rows, 3, size, lambda r, c: True, HOST)
    note(2.45 + 1.5 * size, top + 0.1, "rows V [R, D]")
    cells(axes, own_x, top, rows, halo, size, lambda r, c: 0 < abs(c - r - 2) <= radius[r], KERNEL)
    note(own_x + halo * size / 2, top + 0.1, "own pairs: each row's targets")
    cells(axes, shared_x, top, rows, shared, size, lambda r, c: True, KERNEL)
    note(shared_x + shared * size / 2, top + 0.1, "shared columns")
    cells(axes, own_x, top + 0.95, 2, halo, size, lambda r, c: True, TABLE)
    cells(axes, shared_x, top + 0.95, 2, shared, size, lambda r, c: True, TABLE)
    note(
        shared_x + shared * size + 0.15,
        top + 0.73,
        "columns U: rows of W_out,\ngathered once a tile",
        ha="left",
        va="center",
    )
    note(
        shared_x + shared * size + 0.15,
        top - 4 * size,
        "scores S = V U\u1d40, then\nG = weight \u00b7 (label \u2212 prediction)",
        ha="left",
        va="center",
    )
    note(1.15, top - 4 * size, "input side\nword: W_in[t]\nwindow: sum of W_in\nover t's window", va="center")
    arrow(axes, (2.05, top - 4 * size), (2.4, top - 4 * size))

    bottom = top - rows * size
    arrow(axes, (own_x + halo * size / 2, bottom - 0.06), (own_x + halo * size / 2, bottom - 0.5))
    arrow(axes, (shared_x + shared * size / 2, bottom - 0.06), (shared_x + shared * size / 2, bottom - 0.5))
    note((own_x + shared_x + shared * size) / 2, bottom - 0.53,
         "dU = lr G\u1d40 V, each row scaled by min(1, cap / x), added to W_out once", va="top")  # fmt: skip
    arrow(axes, (2.45 + 1.5 * size, bottom - 0.06), (2.45 + 1.5 * size, bottom - 0.5))
    note(
        2.45 + 1.5 * size,
        bottom - 0.53,
        "dV = lr (G U + factor V),\nback to W_in by the\ninput side, scaled too",
        va="top",
    )
    note(
        0.15,
        0.1,
        "The own block is sparse: a row has 1 to 2W targets of the T + 2W tokens in reach. "
        "The shared block is dense: one matrix product.",
        ha="left",
    )
    return figure


def main(argv: list[str] | None = None) -> int:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suffix", choices=("svg", "png"), default="svg")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args(argv)
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "w2vfast"  # the same bytes on every run
    for name, draw in (("data-path", draw_data_path), ("tile", draw_tile)):
        figure = draw()
        metadata = {"Date": None} if arguments.suffix == "svg" else None
        figure.savefig(arguments.out / f"{name}.{arguments.suffix}", dpi=110, facecolor="white", metadata=metadata)
        pyplot.close(figure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
