"""A clock for code that is given its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Time that passes only while somebody sleeps; ``then`` is done at each step."""

    def __init__(self, then: Callable[[float], object] = lambda _now: None) -> None:
        self.now = 0.0
        self._then = then

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._then(self.now)
