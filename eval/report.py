"""Writes one HTML file, readable offline, that shows how good vectors are: tables, charts, neighbours and a map.

python -m w2vfast.eval report vectors.bin -o report.html --words king paris
python -m w2vfast.eval report vectors.bin --compare compare.json -o report.html
"""

import html
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.command import Parser
from w2vfast.errors import InputError
from w2vfast.eval.datasets import RESTRICT_VOCAB, add_data_options, unit_rows
from w2vfast.eval.measure import category_rows, measure, similarity_rows, tally_rows
from w2vfast.eval.neighbours import nearest, rows_of
from w2vfast.eval.summary import comparison_rows
from w2vfast.eval.tables import percent
from w2vfast.files import atomic_path
from w2vfast.formats import Vectors, check_writable, load_vectors

MAP_WORDS = 1500
MAP_NEIGHBOURS = 8
UMAP_WORDS = 20  # with fewer its neighbourhoods of 15 are the whole map
SHOWN_WORDS = 8  # whose neighbours are listed where the user names none
SKIPPED_WORDS = 100  # most of the most frequent words say little


def run(argv: Sequence[str]) -> None:
    """Run the command `report`. Raises InputError for bad input."""
    parser = Parser(
        prog="python -m w2vfast.eval report", description="Write one HTML file that opens offline.", allow_abbrev=False
    )
    parser.add_argument("vectors", help="a file of vectors")
    parser.add_argument("-o", "--output", default="report.html", metavar="FILE", help="default: report.html")
    parser.add_argument("--words", nargs="+", default=[], metavar="WORD", help="show the neighbours of these words")
    parser.add_argument(
        "--map-words", type=int, default=MAP_WORDS, metavar="N", help=f"words on the map (default: {MAP_WORDS})"
    )
    parser.add_argument("--compare", metavar="FILE", help="show this result of `compare --json` too")
    add_data_options(parser)
    options = parser.parse_args(argv)
    check_writable(options.output, "text")
    if options.map_words < 3:
        raise InputError(f"--map-words must be at least 3, not {options.map_words}")
    comparison = None if options.compare is None else read_comparison(options.compare)
    vectors = load_vectors(options.vectors)
    write_report(
        options.output,
        vectors,
        title=f"Word vectors: {Path(options.vectors).name}",
        words=options.words,
        map_words=options.map_words,
        comparison=comparison,
        measured=measure(
            vectors,
            similarity=options.similarity,
            analogies=options.analogies,
            categories=options.categories,
            restrict_vocab=options.restrict_vocab,
        ),
    )
    print(f"{len(vectors.words):,} vectors: {options.output}")


def read_comparison(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `compare --json` wrote to a file. Raises InputError for anything else."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); write it with `compare --json`") from error
    if not isinstance(found, dict) or not {"trainers", "measures", "summary", "runs"} <= set(found):
        raise InputError(f"{path} is no result of `compare --json`")
    return found


def write_report(
    path: str | os.PathLike[str],
    vectors: Vectors,
    *,
    title: str = "Word vectors",
    words: Sequence[str] = (),
    map_words: int = MAP_WORDS,
    comparison: dict[str, Any] | None = None,
    measured: dict[str, Any] | None = None,
) -> None:
    """Write the page; `comparison` is what `compare` returns and `measured` what `measure` returns (made if missing).

    Raises InputError for an unknown word among `words`, vectors that nothing can be measured on or without a
    direction, and a file that cannot be written.
    """
    measured = measured or measure(vectors, restrict_vocab=RESTRICT_VOCAB)
    sections = [_similarity(measured), *_analogies(measured), _categories(measured), *_comparison(comparison)]
    sections += [_neighbours(vectors, words), _map_section(min(map_words, len(vectors.words)))]
    data = {"comparison": comparison and _for_charts(comparison), "map": word_map(vectors, map_words)}
    page = _part("report.html").format(
        title=html.escape(title),
        subtitle=f"{len(vectors.words):,} words, {vectors.vectors.shape[1]} dimensions; data sets' words looked for "
        f"among the first {measured['restrict_vocab']:,}",
        style=_part("report.css"),
        sections="\n".join(section for section in sections if section),
        # no "<" at all, so that no word can end the script element
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=_part("report.js"),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _part(name: str) -> str:
    """Return a file of the page: its frame, style or script, with no resource from elsewhere."""
    return (resources.files("w2vfast.eval") / "page" / name).read_text(encoding="utf-8")


def word_map(vectors: Vectors, count: int) -> dict[str, Any]:
    """Return the first `count` words, their nearest neighbours among themselves, and one 2-D layout or two.

    The first layout is PCA, the projection on the two directions of largest variance; UMAP's (McInnes et al. 2018)
    comes second where umap-learn is installed.
    """
    unit = unit_rows(vectors, slice(count))
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argsort(-cosines, axis=1)[:, : min(MAP_NEIGHBOURS, len(unit) - 1)]
    layouts = [("PCA", pca(unit))]
    with suppress(ImportError):
        import umap

        if len(unit) >= UMAP_WORDS:
            layouts.append(("UMAP", umap.UMAP(metric="cosine", random_state=1, n_jobs=1).fit_transform(unit)))
    return {
        "words": vectors.words[:count],
        "near": near.tolist(),
        "layouts": [{"name": name, "points": _rounded(points)} for name, points in layouts],
    }


def pca(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the coordinates of rows, [n, D], on their two directions of largest variance, float64 [n, 2]."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, ::-1][:, :2]
    # an eigenvector's sign is arbitrary: make the largest coordinate positive, so that a map can be drawn again
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = centred @ axes
    return points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])


def _rounded(points: NDArray[Any]) -> list[list[float]]:
    spread = float(np.abs(points).max()) or 1.0
    return (points.astype(np.float64) / spread * 1000).round(1).tolist()  # type: ignore[no-any-return]


def _section(heading: str, note: str, body: str) -> str:
    lead = f"<p>{html.escape(note)}</p>" if note else ""
    return f"<section><h2>{html.escape(heading)}</h2>{lead}{body}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        marks = [f' class="{cell}"' if cell in ("better", "worse") else "" for cell in row]
        return "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'


def _similarity(measured: dict[str, Any]) -> str:
    if not measured["similarity"]:
        return ""
    note = "Agreement of cosines with people's scores, -1 to 1; pairs with an unknown word are left out."
    head = ["data set", "Spearman", "95 % interval", "Pearson", "pairs used"]
    return _section("Word similarity", note, _table(head, similarity_rows(measured, "of")))


def _analogies(measured: dict[str, Any]) -> list[str]:
    sections = []
    for result in measured["analogies"]:
        rows = tally_rows([*result["kinds"], result["total"]], "of")
        head = ["questions", "3CosAdd", "of all", "3CosMul", "of all", "used"]
        bars = [
            (tally["name"], f"{tally['used']:,} of {tally['total']:,} used", [tally["3cosadd"]["accuracy"]])
            for tally in result["sections"]
        ]
        note = "Share right of the questions used, and of all questions (those with an unknown word count as wrong)."
        body = _table(head, rows) + "<p>By section, 3CosAdd, of the questions used:</p>" + _bars(bars)
        sections.append(_section(f"Analogies: {result['dataset']}", note, body))
    return sections


def _bars(rows: Sequence[tuple[str, str, Sequence[float | None]]]) -> str:
    """Return horizontal bars, several a row for several trainers; shares are 0 to 1."""
    parts = []
    for name, note, shares in rows:
        bars = "".join(
            f'<div class="bar"><div class="track" style="width:calc((100% - 64px)*{share or 0:.4f})">'
            f'<i style="background:var(--s{i % 4})"></i></div><span>{percent(share)}</span></div>'
            for i, share in enumerate(shares)
        )
        parts.append(f'<div class="name">{html.escape(name)}<small>{html.escape(note)}</small></div><div>{bars}</div>')
    return f'<div class="bars">{"".join(parts)}</div>'


def _categories(measured: dict[str, Any]) -> str:
    if not measured["categories"]:
        return ""
    note = "Share of words whose cluster's most common category is their own."
    return _section(
        "Categories", note, _table(["data set", "purity", "clusters", "words used"], category_rows(measured, "of"))
    )


def _comparison(comparison: dict[str, Any] | None) -> list[str]:
    if comparison is None:
        return []
    trainers = comparison["trainers"]
    head = ["", trainers[0]]
    for trainer in trainers[1:]:
        head += [trainer, "difference", "p", ""]
    note = (
        f"{comparison['corpus']}, {comparison['raw_words']:,} words, {comparison['seeds']} seed(s) each; mean ± half "
        "of the 95 % t interval; p by Welch's test; each run in a process of its own."
    )
    keys = '<ul class="keys trainers"></ul>'
    sections = [_section("Side by side", note, _table(head, comparison_rows(comparison)))]
    names = list(dict.fromkeys(name for one in comparison["runs"] for name in one["sections"]))
    if names:
        bars = [
            (name, "", [_section_mean(comparison["runs"], trainer, name) for trainer in trainers]) for name in names
        ]
        sections.append(_section("Analogies by section, side by side", "Mean over seeds.", keys + _bars(bars)))
    select = '<div class="tools"><label for="measure">Measure</label><select id="measure"></select></div>'
    body = f'{select}{keys}<div class="chart" id="time"></div>'
    sections.append(_section("Quality against time", "One dot a run; up and to the left is better.", body))
    if any(one["loss_per_epoch"] for one in comparison["runs"]):
        body = f'{keys}<div class="chart" id="loss"></div>'
        sections.append(_section("Loss by epoch", "gensim does not report a loss per pair.", body))
    return sections


def _section_mean(runs: Sequence[dict[str, Any]], trainer: str, name: str) -> float | None:
    found = [run["sections"].get(name) for run in runs if run["trainer"] == trainer]
    shares = [share / 100 for share in found if share is not None]
    return sum(shares) / len(shares) if shares else None


def _for_charts(comparison: dict[str, Any]) -> dict[str, Any]:
    keep = ("trainer", "seed", "quality", "speed", "loss_per_epoch")
    runs = [{name: run[name] for name in keep} for run in comparison["runs"]]
    return {"trainers": comparison["trainers"], "measures": comparison["measures"], "runs": runs}


def _neighbours(vectors: Vectors, words: Sequence[str]) -> str:
    rows_of(vectors, words)
    shown = list(dict.fromkeys(words)) or _telling_words(vectors.words)
    cards = []
    for word, near in nearest(vectors, shown, topn=8).items():
        items = "".join(f"<li><span>{html.escape(w)}</span><span>{cosine:.2f}</span></li>" for w, cosine in near)
        cards.append(f"<div><h3>{html.escape(word)}</h3><ol>{items}</ol></div>")
    return _section("Neighbours", "Nearest words by cosine.", f'<div class="words">{"".join(cards)}</div>')


def _telling_words(words: Sequence[str]) -> list[str]:
    """Return some frequent words that are long enough to mean something."""
    start = SKIPPED_WORDS if len(words) > 10 * SKIPPED_WORDS else 0
    found = [word for word in words[start:] if len(word) > 4] or list(words)
    return found[: SHOWN_WORDS * 8 : 8] if len(found) >= SHOWN_WORDS * 8 else found[:SHOWN_WORDS]


def _map_section(count: int) -> str:
    body = (
        '<div class="tools"><input id="search" type="search" placeholder="Find a word" aria-label="Find a word on the '
        'map"><button id="in" aria-label="Zoom in">+</button><button id="out" aria-label="Zoom out">−</button>'
        '<button id="all">Reset</button><select id="kind" aria-label="Kind of map"></select></div>'
        '<canvas id="map" role="img" aria-label="Map of the most frequent words"></canvas>'
        '<p id="said" role="status"></p>'
    )
    note = (
        "Scroll or pinch to zoom, drag to move, click a word for its nearest neighbours. Two dimensions show little of "
        "what the vectors hold."
    )
    return _section(f"Map of the {count:,} most frequent words", note, body)
