"""What a process knows of the servers it talks to: who asked for a pause, and who only fails.

One for the whole process, shared by its sessions and threads: 32 downloads that each find out by
themselves that a limit is used up are a storm of 429s, and 1,000 files that each outlast the same
dead storage take hours to say so.

An origin counts as failing when a request gave up on it after all its tries, and nothing was
answered there since that request began. While it does, each request is tried once; the first answer
ends it, and so does a minute.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.transport.auth import Origin

__all__ = ["OriginHealth", "SharedPauses"]

_FAILING = 60.0  # seconds after which a failing origin gets all tries again


class SharedPauses(Protocol):
    """Where processes tell each other that a server asked for a pause; it may fail silently."""

    def tell(self, origin: str, seconds: float) -> None:
        """Say that ``origin`` wants no request for so many seconds."""

    def left(self, origin: str) -> float:
        """Seconds until ``origin`` may be asked again, as far as another process said."""


class OriginHealth:
    """Pauses and failures, by origin; for any number of threads.

    Args:
        clock: seconds, monotonic; the one that its users count by.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paused: dict[Origin, float] = {}
        self._answered: dict[Origin, float] = {}
        self._failed: dict[Origin, float] = {}

    def pause(self, origin: Origin, until: float) -> None:
        """Note that the origin wants no request before ``until``."""
        self._paused[origin] = max(until, self._paused.get(origin, 0.0))

    def paused_until(self, origin: Origin) -> float:
        """When the origin may be asked again; a time in the past: now."""
        return self._paused.get(origin, 0.0) if self._paused else 0.0

    def answered(self, origin: Origin) -> None:
        """Note that the origin gave an answer that is no failure."""
        self._answered[origin] = self._clock()
        if self._failed:
            self._failed.pop(origin, None)

    def gave_up(self, origin: Origin, after: float) -> None:
        """Note that for ``after`` seconds a request had no answer there, try as it might."""
        now = self._clock()
        last = self._answered.get(origin)
        if last is None or last < now - after:
            self._failed[origin] = now

    def is_failing(self, origin: Origin) -> bool:
        """Whether more than one try is wasted there."""
        failed = self._failed.get(origin) if self._failed else None
        return failed is not None and self._clock() - failed < _FAILING
