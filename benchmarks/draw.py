"""Draws the README's results from benchmarks/results.csv: the table between its markers, and the plot.

    python benchmarks/draw.py            rewrite README.md's table and benchmarks/results.png
    python benchmarks/draw.py --check    exit 1 if README.md's table is not the CSV's

Of several rows for the same processor, trainer, mode and settings the last one counts, whatever T and N it had. Rows of
different processors stand apart: a speed says nothing beside one of another processor.
"""

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import machine

from w2vfast.eval.quality import MEASURES

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CSV = HERE / "results.csv"
PLOT = HERE / "results.png"
BEGIN, END = "<!-- results: drawn by benchmarks/draw.py -->", "<!-- end of results -->"
TRAINERS = {
    "gensim": "gensim",
    "torch": "w2vfast torch",
    "native": "w2vfast native",
    "native-fast": "w2vfast native --preset fast",
    "triton": "w2vfast triton",
}
COLOURS = {"gensim": "#8a8f98", "torch": "#5b9bd5", "native": "#d9572b", "native-fast": "#eb9a7c", "triton": "#4f9d5d"}
MODES = {"sg": "skip-gram", "cbow": "CBOW"}
PROCESSOR = (*machine.COLUMNS, "cpu_generation")
SETTINGS = (
    *PROCESSOR,
    *("device", "corpus", "trainer", "mode", "vector_size", "window", "negative", "alpha", "workers"),
)

Row = dict[str, str]


def read_rows() -> list[Row]:
    """Return the CSV's rows, the last of each setting."""
    with CSV.open(newline="") as file:
        latest = {tuple(row[name] for name in SETTINGS): row for row in csv.DictReader(file)}
    return list(latest.values())


def groups(rows: list[Row]) -> list[tuple[Row, list[Row]]]:
    """Return (gensim's row, all rows) for each processor, corpus, mode, vector size and number of workers.

    In reading order, the processors as they come in the CSV.
    """
    keys = ("mode", "vector_size", "workers", "corpus", *PROCESSOR)
    by_key: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_key.setdefault(tuple(row[key] for key in keys), []).append(row)
    processors = list(dict.fromkeys(key[4:] for key in by_key))
    order = sorted(
        by_key,
        key=lambda key: (processors.index(key[4:]), int(key[1]), int(key[2]), list(MODES).index(key[0])),
    )
    found = []
    for key in order:
        members = sorted(by_key[key], key=lambda row: list(TRAINERS).index(row["trainer"]))
        peer = next((row for row in members if row["trainer"] == "gensim"), None)
        if peer is not None and len(members) > 1:
            found.append((peer, members))
    return found


def score(row: Row, measure: str) -> str:
    """Return 'mean ± standard deviation' of a measure."""
    spread = row[f"{measure}_sd"]
    return f"{float(row[measure]):.1f}" + (f" ± {float(spread):.1f}" if spread else "")


def name_of(row: Row) -> str:
    """Return how a trainer is called in the table."""
    early, later = row["early_negatives"], row["shared_negatives"]
    negatives = later if early == later else f"{early}, then {later}"
    settings = f" (T={row['tile']}, N={negatives})" if row["tile"] else ""
    device = "" if row["device"] == "cpu" else f" on {row['device']}"
    return TRAINERS[row["trainer"]] + device + settings


def processor_of(row: Row) -> str:
    """Return how a row's processor is called: its generation where that is known, and its model."""
    name = row["cpu_generation"] or f"{row['cpu_vendor']} family {row['cpu_family']}".removesuffix(" family ")
    return f"{name} (model {row['cpu_model']})" if row["cpu_model"] else name


def table(rows: list[Row]) -> str:
    """Return the Markdown table."""
    lines = [
        "| | processor, sgemm peak | trainer | workers | words / CPU s | of the peak | against gensim | words / s | "
        "whole command | peak memory | " + " | ".join(MEASURES.values()) + " |",
        "| --- " * (10 + len(MEASURES)) + "|",
    ]
    for peer, members in groups(rows):
        for row in members:
            rate = float(row["words_per_cpu_second"])
            cells = [
                f"{MODES[row['mode']]}, D={row['vector_size']}" if row is peer else "",
                processor_of(row) + (f", {float(row['sgemm_gflops']):.0f} GFLOP/s" if row["sgemm_gflops"] else ""),
                name_of(row),
                row["workers"],
                f"{rate / 1e6:.2f} M",
                f"{100 * float(row['share_of_sgemm']):.0f} %" if row["share_of_sgemm"] else "",
                f"{float(row['words_per_cpu_second_against_gensim']):.1f}x",
                f"{float(row['words_per_second']) / 1e6:.2f} M",
                f"{float(row['total_seconds']):.0f} s" + ("" if row["epochs"] == "5" else f" ({row['epochs']} epoch)"),
                f"{float(row['peak_rss_mb']):.0f} MB",
                *(score(row, measure) for measure in MEASURES),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_table(text: str, rows: list[Row]) -> str:
    """Return the README's text with the table put between the markers."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}"


def draw(rows: list[Row], path: Path) -> None:
    """Draw speed beside quality for D=100, one worker: a line of the figure for each processor."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    by_processor: dict[tuple[str, ...], list[list[Row]]] = {}
    for peer, members in groups(rows):
        if peer["vector_size"] == "100" and peer["workers"] == "1":
            by_processor.setdefault(tuple(peer[key] for key in PROCESSOR), []).append(members)
    figure, lines = plt.subplots(
        len(by_processor),
        2,
        figsize=(12, 4.4 * len(by_processor)),
        width_ratios=(1, 1.5),
        layout="constrained",
        squeeze=False,
    )
    for (left, right), shown in zip(lines, by_processor.values(), strict=True):
        draw_speed(left, shown)
        left.set_title(f"Speed on {processor_of(shown[0][0])}", loc="left", fontweight="bold")
        draw_quality(right, shown)
        right.set_title("Quality (3 seeds, standard deviation)", loc="left", fontweight="bold")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_speed(axes: Any, shown: list[list[Row]]) -> None:
    """Draw a bar for each row: words a CPU second."""
    bars, place = [], 0.0
    for members in shown:
        for row in members:
            rate = float(row["words_per_cpu_second"]) / 1e6
            axes.barh(place, rate, color=COLOURS[row["trainer"]], height=0.8)
            axes.text(rate, place, f" {rate:.2f} M", va="center", fontsize=9)
            bars.append((place, f"{TRAINERS[row['trainer']]}, {MODES[row['mode']]}"))
            place += 1
        place += 0.6
    axes.set_yticks([p for p, _ in bars], [label for _, label in bars], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlabel("million words trained per CPU second")
    axes.set_xlim(0, 1.2 * max(float(row["words_per_cpu_second"]) for members in shown for row in members) / 1e6)


def draw_quality(axes: Any, shown: list[list[Row]]) -> None:
    """Draw the measures of each row, trainers side by side."""
    ticks: list[str] = []
    labelled: set[str] = set()
    for members in shown:
        for measure, title in MEASURES.items():
            for i, row in enumerate(members):
                trainer = row["trainer"]
                axes.errorbar(
                    len(ticks) + 0.16 * (i - (len(members) - 1) / 2),
                    float(row[measure]),
                    yerr=float(row[f"{measure}_sd"] or 0),
                    fmt="s" if trainer == "gensim" else "o",
                    capsize=3,
                    color=COLOURS[trainer],
                    label=None if trainer in labelled else TRAINERS[trainer],
                )
                labelled.add(trainer)
            ticks.append(f"{title}\n{MODES[members[0]['mode']]}")
    axes.set_xticks(range(len(ticks)), ticks, fontsize=8)
    axes.set_ylim(0, 90)
    axes.set_ylabel("Spearman x 100, or % right")
    axes.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper right")


def main(argv: list[str] | None = None) -> int:
    """Draw, or check that what is drawn is the CSV's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(argv)
    rows, text = read_rows(), README.read_text()
    wanted = with_table(text, rows)
    if arguments.check:
        return int(wanted != text)
    README.write_text(wanted)
    draw(rows, PLOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
