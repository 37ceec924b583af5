"""Numbers and tables as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["size_of", "table"]

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000.0


def size_of(count: int) -> str:
    """``count`` bytes in decimal units, as the Hub shows them: ``267.8 MB``."""
    value, unit = float(count), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines with the columns of ``rows`` under each other, two spaces apart."""
    cells = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
