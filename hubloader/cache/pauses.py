"""When a server asked for a pause: told to the other processes that use this cache.

One small file for each origin holds the time, in seconds since the epoch, until which it wants no
request. It is advice and nothing more: who cannot write or read it, or finds it passed, goes on as
if it were not there, and finds out from the server; nobody waits longer than its own budget for
what it says. A cache that is not there yet is not made for it.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.failures import guard
from hubloader.cache.reading import read_small
from hubloader.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.cache.layout import CacheLayout

__all__ = ["Pauses"]

_WORTH_TELLING = 1.0  # seconds: a shorter pause is over before anyone has read of it
_LONGEST = 3600.0  # seconds; what says more was written by a wrong clock, or is no pause


class Pauses:
    """What the processes of one cache tell each other about servers.

    Args:
        layout: the cache.
        clock: seconds since the epoch.

    """

    def __init__(self, layout: CacheLayout, clock: Callable[[], float] = time.time) -> None:
        self._layout = layout
        self._clock = clock

    def tell(self, origin: str, seconds: float) -> None:
        """Say that ``origin`` wants no request for so many seconds; a longer pause stays."""
        if not _WORTH_TELLING <= seconds <= _LONGEST or not os.path.isdir(self._layout.root):
            return
        if self.left(origin) >= seconds - _WORTH_TELLING:  # 32 threads were told the same
            return
        # rounded up: a process that comes a moment too early is refused, and waits once more
        until = f"{math.ceil(10 * (self._clock() + seconds)) / 10:.1f}\n"
        path = self._layout.pause(origin)
        with contextlib.suppress(CacheError), guard(path):
            disk.write_atomically(path, until.encode("ascii"), tmp=self._layout.tmp)

    def left(self, origin: str) -> float:
        """Seconds until ``origin`` may be asked again; 0 if nobody said otherwise."""
        path = self._layout.pause(origin)
        try:
            told = read_small(path)
            left = float(told) - self._clock() if told else 0.0
        except (OSError, ValueError):
            return 0.0
        if told and not 0 < left <= _LONGEST:  # also what is no number
            with contextlib.suppress(OSError):
                disk.remove(path)
                disk.remove_empty(os.path.dirname(path))
            return 0.0
        return left
