"""The report: one file that needs nothing else, words that cannot break it, and a real browser that draws it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eval_vectors import eval_vectors
from w2vfast.eval.__main__ import main
from w2vfast.eval.report import pca, word_map, write_report
from w2vfast.formats import Vectors, save_vectors

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = ["</script><script>document.title='broken'</script>", "<img src=x onerror=alert(1)>", "a&b", '"', "{title}"]


def comparison() -> dict[str, Any]:
    runs = [
        {
            "trainer": trainer,
            "seed": seed,
            "quality": {"wordsim353": 60.0 + seed, "analogy_30k": None},
            "speed": {"total_seconds": 10.0 * seed},
            "sections": {"family": 50.0, "currency": None},
            "loss_per_epoch": [] if trainer == "gensim" else [3.5, 2.75, 2.5],
        }
        for seed in (1, 2)
        for trainer in ("gensim", "w2vfast native")
    ]
    told = {"n": 2, "mean": 61.5, "sd": 0.7, "interval": [55.0, 68.0]}
    apart = {"difference": 0.0, "ratio": 1.0, "interval": [-1, 1], "p": 1.0, "significant": False}
    label = {"name": "wordsim353", "label": "WordSim-353, Spearman x 100", "digits": 1, "higher_is_better": True}
    summary = [
        {
            "measure": "wordsim353",
            "trainers": {"gensim": told, "w2vfast native": told},
            "differences": {"w2vfast native": apart},
        }
    ]
    return {
        "corpus": "c.txt",
        "raw_words": 1000,
        "seeds": 2,
        "trainers": ["gensim", "w2vfast native"],
        "measures": [label],
        "summary": summary,
        "runs": runs,
    }


def report(folder: Path, name: str = "r.html") -> Path:
    plain = eval_vectors()
    vectors = Vectors([*HOSTILE, *plain.words[len(HOSTILE) :]], plain.vectors)
    write_report(folder / name, vectors, words=HOSTILE[:2], map_words=300, comparison=comparison())
    return folder / name


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_the_page_needs_nothing_else_and_words_cannot_break_it(tmp_path: Path) -> None:
    page = report(tmp_path).read_text(encoding="utf-8")
    found = _References()
    found.feed(page)
    assert found.addresses == ["data:,"]
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert set(re.findall(r"https?://[^\"'\s]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in page
    assert "@import" not in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["map"]["words"][: len(HOSTILE)] == HOSTILE
    assert len(data["map"]["layouts"][0]["points"]) == 300
    for heading in ("Word similarity", "Analogies", "Side by side", "Quality against time", "Loss by epoch", "Map of"):
        assert heading in page
    assert "prefers-color-scheme: dark" in page
    assert data["comparison"]["runs"][1]["loss_per_epoch"] == [3.5, 2.75, 2.5]


def test_pca_is_the_two_directions_of_largest_variance() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 7)).astype(np.float32) * np.arange(1, 8, dtype=np.float32)
    points = pca(rows)
    centred = rows - rows.mean(axis=0)
    singular = np.linalg.svd(centred.astype(np.float64), compute_uv=False)
    assert np.allclose(np.linalg.norm(points, axis=0), singular[:2])
    assert abs(float(points[:, 0] @ points[:, 1])) < 1e-6 * singular[0] ** 2
    assert pca(np.ones((3, 1), np.float32)).shape == (3, 2)


def test_neighbours_on_the_map_are_the_nearest() -> None:
    vectors = eval_vectors()
    near = word_map(vectors, 50)["near"]
    unit = vectors.vectors[:50] / np.linalg.norm(vectors.vectors[:50], axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit[7])).tolist()
    assert near[7] == [i for i in order if i != 7][:8]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vectors(eval_vectors(), tmp_path / "v.bin")
    (tmp_path / "c.json").write_text(json.dumps(comparison()))
    out = tmp_path / "r.html"
    base = ["report", str(tmp_path / "v.bin"), "-o", str(out), "--restrict-vocab", "3000"]
    assert main([*base, "--words", "filler7", "--map-words", "50", "--compare", str(tmp_path / "c.json")]) == 0
    assert "<h3>filler7</h3>" in out.read_text(encoding="utf-8")
    before = out.read_bytes()
    (tmp_path / "bad.json").write_text("{}")
    for more, message in [
        (["--words", "filer7"], "did you mean"),
        (["--compare", str(tmp_path / "bad.json")], "is no result of `compare --json`"),
        (["--compare", str(tmp_path / "v.bin")], "is not JSON"),
        (["--map-words", "2"], "--map-words must be at least 3"),
        (["-o", str(tmp_path)], "it is a folder"),
    ]:
        assert main([*base, *more]) == 2
        assert message in capsys.readouterr().err
    assert out.read_bytes() == before


def browse(page: Path, profile: Path, *arguments: str, width: int, dark: bool, found: str = "") -> str:
    assert BROWSER is not None
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=2000"
    flags += " --enable-logging=stderr"
    command = [BROWSER, *flags.split(), f"--user-data-dir={profile}", f"--window-size={width},900"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", *arguments, page.as_uri() + found]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    spoken = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert spoken == [], spoken
    return run.stdout


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path to draw the report with")
@pytest.mark.parametrize("width", [500, 1300])
@pytest.mark.parametrize("dark", [False, True])
def test_a_real_browser_draws_it(tmp_path: Path, width: int, dark: bool) -> None:
    from matplotlib.image import imread

    page = report(tmp_path)
    dom = browse(page, tmp_path / "p1", "--dump-dom", width=width, dark=dark)
    assert 'data-ready="yes"' in dom
    assert "<title>Word vectors</title>" in dom
    assert int(re.findall(r'data-labels="(\d+)"', dom)[0]) > 20
    assert dom.count("<circle") == 4 + 6
    assert dom.count("<polyline") == 2
    word = eval_vectors().words[40]
    dom = browse(page, tmp_path / "p2", "--dump-dom", width=width, dark=dark, found=f"#{word}")
    assert f"{word}: nearest on the map by cosine: " in dom
    shot = tmp_path / "shot.png"
    browse(page, tmp_path / "p3", f"--screenshot={shot}", width=width, dark=dark)
    picture = imread(shot)
    assert picture.shape[1] == width
    assert bool(picture[2, 2, :3].mean() < 0.3) is dark
    assert picture[..., :3].std() > 0.03


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path to draw the report with")
def test_zoom_search_and_no_sideways_scrolling_in_a_real_browser(tmp_path: Path) -> None:
    page = report(tmp_path)
    script = """<script>
      const canvas = document.getElementById("map"), note = document.body.dataset, start = Number(canvas.dataset.scale);
      document.getElementById("in").click();
      note.zoomed = Number(canvas.dataset.scale) / start;
      canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: 200, cancelable: true}));
      note.wheeled = Number(canvas.dataset.scale) < start * 1.5;
      const search = document.getElementById("search");
      search.value = "no such word"; search.dispatchEvent(new Event("input"));
      note.said = document.getElementById("said").textContent;
      document.getElementById("all").click();
      note.reset = Number(canvas.dataset.scale) === start;
      note.sideways = document.documentElement.scrollWidth > window.innerWidth;
    </script></body>"""
    # the page's own policy lets inline scripts run
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    dom = browse(page, tmp_path / "p", "--dump-dom", width=500, dark=False)
    noted = dict(re.findall(r'data-(\w+)="([^"]*)"', dom.split("<body")[1].split(">")[0]))
    assert float(noted["zoomed"]) == pytest.approx(1.5)
    assert noted["wheeled"] == "true"
    assert noted["reset"] == "true"
    assert noted["sideways"] == "false"
    assert "is not among the 300 words of the map" in noted["said"]
