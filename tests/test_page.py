"""The report page's files pass their check, and the check finds what is broken in each language."""

import re

import pytest

from tests import check_page

FRAME = "<!doctype html><html><head><title>x</title></head><body>{}</body></html>"


def test_the_page_has_no_fault(capsys):
    assert check_page.main() == 0
    assert "3 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("faults", "broken", "said"),
    [
        (check_page.html_faults, FRAME.format("<p><b>x</p>"), r"Unexpected end tag \(p\)"),
        (check_page.html_faults, FRAME.format("<div>"), r"Missing end tag \(div\)"),
        (check_page.html_faults, "<html></html>", "Expected DOCTYPE"),
        (check_page.html_faults, FRAME.format('<p id="a" id="b">x</p>'), "duplicate attribute"),
        (check_page.css_faults, "p { color: red", "1 braces open and 0 close"),
        (check_page.css_faults, "p { color red; }", "line 1: "),
        (check_page.css_faults, "@media print {\n p { color red; } }", "line 2: "),
        (check_page.css_faults, "p { color: red; }\n}", "line 2: "),
        (check_page.css_faults, "p { color: var(--tone); }", "--tone is used but set nowhere"),
        (check_page.js_faults, "const a = [1, 2;", "Line 1: Unexpected token ;"),
        (check_page.js_faults, "let a = 1; let b = `${a`;", "Line 1"),
    ],
)
def test_a_fault_is_found(faults, broken, said):
    assert re.search(said, "\n".join(faults(broken)))
