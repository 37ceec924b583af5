"""Sets of byte ranges: what of a file is here, what is missing. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Ranges"]


class Ranges:
    """Disjoint half-open ranges ``[start, end)`` of bytes, kept merged and in order.

    Args:
        pairs: ranges to begin with, in any order, overlapping or not.

    """

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in pairs:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)})"

    @property
    def total(self) -> int:
        """Number of bytes in all ranges."""
        return sum(self._ends) - sum(self._starts)

    @property
    def prefix(self) -> int:
        """Where the range that begins at 0 ends; 0 if none does."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def end(self) -> int:
        """Where the last range ends."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> None:
        """Put ``[start, end)`` in."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)  # touching ranges merge
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Take ``[start, end)`` out."""
        kept = [
            piece
            for have_start, have_end in self
            for piece in ((have_start, min(have_end, start)), (max(have_start, end), have_end))
            if piece[0] < piece[1]
        ]
        self._starts = [piece[0] for piece in kept]
        self._ends = [piece[1] for piece in kept]

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of ``[start, end)`` that are not in."""
        gaps = []
        index = bisect_right(self._ends, start)
        while start < end:
            have_start = self._starts[index] if index < len(self._starts) else end
            if start < have_start:
                gaps.append((start, min(have_start, end)))
            start = self._ends[index] if index < len(self._ends) else end
            index += 1
        return gaps
