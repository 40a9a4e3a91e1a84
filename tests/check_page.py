"""Checks the files of the report page, each by a strict parser of its language: HTML, CSS and JavaScript.

    python tests/check_page.py            part of `make check`; exit code 1 and a line for each fault

html5lib, tinycss2 and esprima are Python, so that nothing else need be installed. esprima knows JavaScript up to 2017.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "eval" / "page"


def html_faults(text: str) -> Iterator[str]:
    """Yield what html5lib finds wrong: unclosed or stray tags, a missing doctype, twice the same attribute."""
    import html5lib

    parser = html5lib.HTMLParser()
    parser.parse(text)
    for (line, _), code, values in parser.errors:
        yield f"line {line}: {html5lib.constants.E[code] % values}"


def css_faults(text: str) -> Iterator[str]:
    """Yield broken rules and declarations, and custom properties that are used but set nowhere."""
    import tinycss2

    def walk(nodes: list) -> Iterator[str]:
        for node in nodes:
            if node.type == "error":
                yield f"line {node.source_line}: {node.message}"
            elif node.type in ("qualified-rule", "at-rule") and node.content is not None:
                yield from walk(tinycss2.parse_blocks_contents(node.content, skip_comments=True, skip_whitespace=True))

    yield from walk(tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True))
    # the language itself closes what is open at the end
    if text.count("{") != text.count("}"):
        yield f"{text.count('{')} braces open and {text.count('}')} close"
    for name in sorted(set(re.findall(r"var\((--[\w-]+)", text)) - set(re.findall(r"(--[\w-]+)\s*:", text))):
        yield f"{name} is used but set nowhere"


def js_faults(text: str) -> Iterator[str]:
    """Yield the first syntax error."""
    import esprima

    try:
        esprima.parseScript(text)
    except esprima.Error as error:
        yield str(error)


CHECKS = {".html": html_faults, ".css": css_faults, ".js": js_faults}


def main() -> int:
    """Check every file of the page; returns 1 if there is a fault."""
    faults = [
        f"{path.name}: {fault}" for path in sorted(PAGE.iterdir()) for fault in CHECKS[path.suffix](path.read_text())
    ]
    print("\n".join(faults) or f"{PAGE.name}: {len(list(PAGE.iterdir()))} files, no faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
