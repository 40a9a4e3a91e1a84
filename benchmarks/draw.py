"""Draws the README's results from benchmarks/results.csv: the table between its markers, and the plot.

    python benchmarks/draw.py            rewrite README.md's table and benchmarks/results.png
    python benchmarks/draw.py --check    exit 1 if README.md's table is not the CSV's

Of several rows for the same trainer, mode and settings the last one counts.
"""

import argparse
import csv
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CSV = HERE / "results.csv"
PLOT = HERE / "results.png"
BEGIN, END = "<!-- results: drawn by benchmarks/draw.py -->", "<!-- end of results -->"
TRAINERS = {"gensim": "gensim", "torch": "w2vfast, torch", "native": "w2vfast, native", "triton": "w2vfast, triton"}
MODES = {"sg": "skip-gram", "cbow": "CBOW"}
MEASURES = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999", "analogy_30k": "analogies"}
SETTINGS = (
    "corpus",
    "trainer",
    "mode",
    "vector_size",
    "window",
    "negative",
    "alpha",
    "workers",
    "tile",
    "shared_negatives",
)

Row = dict[str, str]


def read_rows() -> list[Row]:
    """Return the CSV's rows, the last of each setting."""
    with CSV.open(newline="") as file:
        latest = {tuple(row[name] for name in SETTINGS): row for row in csv.DictReader(file)}
    return list(latest.values())


def groups(rows: list[Row]) -> list[tuple[Row, list[Row]]]:
    """Return (gensim's row, all rows) for each corpus, mode, vector size and number of workers, in reading order."""
    keys = ("corpus", "mode", "vector_size", "workers")
    by_key: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_key.setdefault(tuple(row[key] for key in keys), []).append(row)
    order = sorted(by_key, key=lambda key: (int(key[2]), key[3], list(MODES).index(key[1])))
    found = []
    for key in order:
        members = sorted(by_key[key], key=lambda row: (list(TRAINERS).index(row["trainer"]), row["tile"] != "32"))
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
    settings = f" (T={row['tile']}, N={row['shared_negatives']})" if row["tile"] else ""
    return TRAINERS[row["trainer"]] + settings


def table(rows: list[Row]) -> str:
    """Return the Markdown table."""
    lines = [
        "| | trainer | workers | words / CPU s | against gensim | words / s | whole command | peak memory | "
        + " | ".join(MEASURES.values())
        + " |",
        "| --- " * (8 + len(MEASURES)) + "|",
    ]
    for peer, members in groups(rows):
        for row in members:
            rate = float(row["words_per_cpu_second"])
            cells = [
                f"{MODES[row['mode']]}, D={row['vector_size']}" if row is peer else "",
                name_of(row),
                row["workers"],
                f"{rate / 1e6:.2f} M",
                f"{rate / float(peer['words_per_cpu_second']):.1f}x",
                f"{float(row['words_per_second']) / 1e6:.2f} M",
                f"{float(row['total_seconds']):.0f} s" + ("" if row["epochs"] == "5" else f" ({row['epochs']} epochs)"),
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
    """Draw speed beside quality for D=100, one worker."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [group for group in groups(rows) if group[0]["vector_size"] == "100" and group[0]["workers"] == "1"]
    colours = {"gensim": "#8a8f98", "torch": "#5b9bd5", "native": "#d9572b", "triton": "#4f9d5d"}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 1.35), layout="constrained")
    labels, place = [], 0.0
    for _, members in shown:
        for row in members:
            rate = float(row["words_per_cpu_second"]) / 1e6
            left.barh(place, rate, color=colours[row["trainer"]], height=0.8)
            left.text(rate, place, f" {rate:.2f} M", va="center", fontsize=9)
            labels.append((place, f"{name_of(row)} {MODES[row['mode']]}"))
            place += 1
        place += 0.6
    left.set_yticks([p for p, _ in labels], [label for _, label in labels], fontsize=8.5)
    left.invert_yaxis()
    left.set_xlabel("million words trained per CPU second")
    left.set_xlim(0, 1.18 * max(float(row["words_per_cpu_second"]) for _, members in shown for row in members) / 1e6)
    left.set_title("Speed", loc="left", fontweight="bold")
    position, ticks = 0.0, []
    seen = set()
    for _, members in shown:
        for measure, title in MEASURES.items():
            for i, row in enumerate(members):
                x = position + 0.16 * (i - (len(members) - 1) / 2)
                spread = float(row[f"{measure}_sd"] or 0)
                label = TRAINERS[row["trainer"]]
                shape = "s" if row["trainer"] == "gensim" else "o"
                face = colours[row["trainer"]] if row["tile"] in ("", "32") else "white"
                right.errorbar(
                    x, float(row[measure]), yerr=spread, fmt=shape, capsize=3, color=colours[row["trainer"]],
                    markerfacecolor=face, label=None if label in seen else label,
                )  # fmt: skip
                seen.add(label)
            ticks.append((position, f"{title}\n{MODES[members[0]['mode']]}"))
            position += 1
    right.set_xticks([p for p, _ in ticks], [label for _, label in ticks], fontsize=8.5)
    right.set_ylim(bottom=0)
    right.set_ylabel("Spearman x 100, or % right")
    right.set_title("Quality: mean and standard deviation of 3 seeds", loc="left", fontweight="bold")
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


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
