"""Keep a call's downloads below a rate: how long each thread waits after the bytes it took."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Throttle"]


class Throttle:
    """Shares one rate among threads.

    Args:
        rate: bytes per second; 0 for no limit.
        clock: seconds, monotonic.

    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0  # when the bytes taken so far are within the rate

    def delay(self, count: int) -> float:
        """Take ``count`` bytes; return the seconds to wait before taking more."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now
