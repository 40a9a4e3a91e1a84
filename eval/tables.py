"""Plain text tables and the text of numbers, for the commands of w2vfast.eval."""

import math
from collections.abc import Sequence

MISSING = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns: the first to the left, the others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [cells[0], rule, *cells[1:]]
    )


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with its decimals, thousands parted, or a dash where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage with one decimal."""
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.1f} %"
