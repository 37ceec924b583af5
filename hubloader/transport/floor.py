"""A floor under the rate of a body: a server that drips is as dead as one that is silent.

Only time spent waiting for the server counts, not what the caller does between two reads.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hubloader.errors import TimedOut
from hubloader.transport.base import read_decoded, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from hubloader.transport.base import Response

__all__ = ["FlooredResponse"]


class FlooredResponse:
    """A response that raises ``TimedOut`` when its body comes too slowly.

    Args:
        response: the one that is read.
        min_rate: bytes per second.
        window: seconds of waiting over which the rate is taken.
        clock: counts seconds.

    """

    def __init__(
        self,
        response: Response,
        min_rate: float,
        window: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._response = response
        self._min_rate = min_rate
        self._window = window
        self._clock = clock
        self._waited = 0.0
        self._received = 0

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def url(self) -> str:
        """What answered, after redirects."""
        return self._response.url

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields."""
        return self._response.headers

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Receive some bytes of the body; see ``Response.readinto``."""
        before = self._clock()
        count = self._response.readinto(buffer)
        self._waited += self._clock() - before
        self._received += count
        if self._waited >= self._window:
            if count and self._received < self._min_rate * self._waited:
                raise TimedOut(
                    f"{self._received} bytes came in {self._waited:.0f} s, "
                    f"slower than {self._min_rate:g} bytes per second",
                    url=shown(self.url),
                )
            self._waited, self._received = 0.0, 0
        return count

    def read(self, limit: int) -> bytes:
        """Receive the rest of the body, decoded; see ``Response.read``."""
        return read_decoded(self, limit)

    def close(self) -> None:
        """Close the response underneath."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
