"""How one large content is divided among its connections: pure, and asked under a lock.

Shares are taken from the front, so that the beginning of the file grows and can be hashed while the
rest still comes. A share is as large as makes its request worth while: asking takes a redirect and
a first byte, and may cost a tenth of the time that the bytes take. A server that answers at once
gets many small requests, a distant or a fast one few large ones. No share is larger than what each
connection would still bring if all ended together, so the last ones are small. When all is taken, a
connection that is done takes over half of what the slowest has left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Share", "Shares"]

_FIRST_SHARE = 8 * 2**20  # bytes of a share while nothing is known
_SMALLEST_SHARE = 16 * 2**20  # bytes worth a request
_LAST_SHARE = 2 * 2**20  # bytes worth one where they make all connections end together
_STRETCHED = 1.5  # times its size that a share may have if it is a connection's last one then
_HALVED_FROM = 16 * 2**20  # bytes left: what is on its way when half is taken over comes twice
_LARGEST_SHARE = 64 * 2**20  # bytes: with 16 connections a gigabyte is under way
_OUTWEIGH = 10  # how many times longer than the wait for its first byte a share's bytes take
_WORTH_A_REQUEST = 0.5  # seconds that a share still takes: below, it is left to who has it


@dataclass(eq=False)
class Share:
    """A range of bytes under way: ``position`` moves up, ``end`` may move down.

    ``waited`` is the time from asking to the first byte of its last stream, which began at
    ``start`` and at the time ``began``; -1: none has. Times are in seconds.
    """

    position: int
    end: int | None
    start: int = -1
    began: float = 0.0
    waited: float = 0.0

    @property
    def left(self) -> int:
        """Bytes that have to come yet; 0 where nobody knows."""
        return 0 if self.end is None else max(0, self.end - self.position)

    def begin(self, asked: float, now: float) -> None:
        """Note that a stream of it begins, which was asked for at ``asked``."""
        self.start, self.began, self.waited = self.position, now, now - asked

    def rate(self, now: float) -> float:
        """Bytes per second of its last stream; 0 while nothing came."""
        come = self.position - self.start if self.start >= 0 else 0
        return come / max(now - self.began, 1e-6)


class Shares:
    """What of one content is not taken yet, and who has what.

    Args:
        missing: half-open ranges of bytes, in order.

    """

    def __init__(self, missing: Iterable[tuple[int, int]]) -> None:
        self._untaken = [[start, end] for start, end in missing][::-1]
        self._left = sum(end - start for start, end in self._untaken)
        self._under_way: list[Share] = []
        self._size = _FIRST_SHARE

    def take(self, now: float, working: int) -> Share | None:
        """A share nobody works on, or half of what the slowest has left; None: nothing is left.

        Args:
            now: the time in seconds.
            working: connections at work, the one that asks included.

        """
        share = self._cut(working) or self._half_of_slowest(now)
        if share is not None:
            self._under_way.append(share)
        return share

    def done(self, share: Share, now: float) -> None:
        """Learn from a share that has come how large the next ones should be."""
        self._under_way.remove(share)
        worth_while = int(_OUTWEIGH * share.waited * share.rate(now))
        wanted = min(_LARGEST_SHARE, max(_SMALLEST_SHARE, worth_while))
        self._size = (self._size + wanted) // 2  # one odd answer says little

    def _cut(self, working: int) -> Share | None:
        if not self._untaken:
            return None
        region = self._untaken[-1]
        start, end = region
        under_way = sum(share.left for share in self._under_way)
        fair = (self._left + under_way) // working  # that all end together
        last = fair < _STRETCHED * self._size
        size = max(_LAST_SHARE, fair) if last else self._size
        stop = end if end - start < size + _LAST_SHARE else start + size
        region[0] = stop
        if stop == end:
            self._untaken.pop()
        self._left -= stop - start
        return Share(start, stop)

    def _half_of_slowest(self, now: float) -> Share | None:
        slowest = max(self._under_way, key=lambda share: share.left, default=None)
        if slowest is None or slowest.end is None or slowest.left < _HALVED_FROM:
            return None
        rate = slowest.rate(now)
        if (slowest.left / rate if rate else math.inf) < _WORTH_A_REQUEST:
            return None
        middle = slowest.position + slowest.left // 2
        share = Share(middle, slowest.end)
        slowest.end = middle
        return share
