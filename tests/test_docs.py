"""What documents and comments name exists: files, folders, links, headings, modules, tuned constants."""

import ast
import re
import runpy
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.test_imports import LAYERS
from w2vfast import tiles

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("w2vfast", "kernels", "eval", "benchmarks", "docs", "examples", "tests")
FILES = sorted(
    path
    for path in (*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
    if path.is_file() and "__pycache__" not in path.parts
)
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]
DOCUMENTS = [name for name in NAMES if name.endswith(".md")]
SOURCES = [
    name for name in NAMES if name.endswith((".py", ".hpp", ".cpp", ".cu", ".sh", ".toml", ".js")) or name == "Makefile"
]
MENTION = re.compile(r"(?<![\w./*-])((?:[\w*-]+/)*[\w*-]+\.(?:py|hpp|cpp|cu|md|csv|sh|toml|svg|png|js))(?![\w.]*\w)")
FOLDER = re.compile(r"`((?:[\w-]+/)+)`")
MADE = {"gpu.md"}  # documents that scripts write elsewhere
# Earlier names in the comments of kernels/triton/; to go when they do.


def text_of(name):
    return (ROOT / name).read_text()


def exists(mention):
    """Return whether a file is called so, by its path or the end of it; NAME and * stand for any."""
    pattern = mention.replace("NAME", "*")
    return any(fnmatch(name, pattern) or fnmatch(name, f"*/{pattern}") for name in NAMES)


def inside(path):
    """Return whether a path leads to something in the project."""
    return path.resolve().is_relative_to(ROOT) and path.exists()


def headings(text):
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchor(heading):
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = unquote(target).partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert inside(file), target
        if fragment:
            assert fragment in map(anchor, headings(file.read_text())), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_what_exists(name):
    missing = [mention for mention in MENTION.findall(text_of(name)) if not exists(mention)]
    missing += [folder for folder in FOLDER.findall(text_of(name)) if not exists(f"{folder}*")]
    assert not missing


@pytest.mark.parametrize("name", SOURCES)
def test_sources_name_code_and_documents_that_exist(name):
    """Tests make files up, with names of one part: of theirs only paths and documents are looked for."""
    code = (".md",) if name.startswith("tests/") else (".md", ".py", ".hpp", ".cpp")
    mentions = {m for m in MENTION.findall(text_of(name)) if m.endswith(code) or m.split("/")[0] in FOLDERS}
    assert not [mention for mention in mentions - MADE if not exists(mention)]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS + SOURCES if not name.endswith(".sh")])
def test_nothing_points_outside_the_project(name):
    for path in re.findall(r"(?:\.\./)+\w[\w./-]*", text_of(name)):
        assert inside((ROOT / name).parent / path), path


@pytest.mark.parametrize("name", SOURCES)
def test_sections_that_sources_point_to_exist(name):
    for document, section in re.findall(r'(docs/[\w-]+\.md), "([^"]+)"', unwrapped(text_of(name))):
        assert section in headings(text_of(document)), f"{document}: {section}"


def unwrapped(text):
    """Return a text whose comments are one line each."""
    return re.sub(r"\n\s*(?:#|//) ", " ", text)


def test_every_constant_of_tiles_has_its_measurement():
    text = text_of("docs/experiments.md")
    table = text[: text.index("## How it was measured")]
    found = set(re.findall(r"`([A-Z][A-Z_]+)`", table))
    constants = {
        target.id
        for node in ast.parse(text_of("w2vfast/tiles.py")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    # Which multiple of a vector N is rounded up to is not a question of quality.
    assert constants - {"NEGATIVES_STEP"} <= found
    for name in constants & found:
        assert hasattr(tiles, name)
    comments = unwrapped(text_of("w2vfast/tiles.py"))
    for section in re.findall(r'"([A-Z][a-z][^"]*)"', " ".join(re.findall(r"# .*", comments))):
        assert section in headings(text), section


def test_the_table_of_imports_is_the_tests_list():
    text = text_of("docs/design.md")
    section = text[text.index("## Imports") : text.index("## What stays fixed")]
    rows = re.findall(r"^\| [a-z]+ \| (.+) \|$", section, re.MULTILINE)
    assert [module for row in rows for module in re.findall(r"`([\w.]+)`", row)] == LAYERS


def test_pictures_are_drawn_as_committed(tmp_path):
    """All but the bytes, which depend on matplotlib's version: which pictures there are, and that the script runs."""
    script = runpy.run_path(str(ROOT / "docs" / "draw_design.py"))
    assert script["main"](["--out", str(tmp_path)]) == 0
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == sorted(path.name for path in (ROOT / "docs").glob("*.svg"))
    for picture in drawn:
        assert f"]({picture})" in text_of("docs/design.md")
