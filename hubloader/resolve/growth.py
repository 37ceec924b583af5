"""Whether more connections would help a large content: pure, and asked at every look.

They help for as long as the last ones made it faster, and while something else than the processor
of this process is what it waits for: a near or a fast server is emptied by a few of them, and each
further one then only takes turns with the others.
"""

from __future__ import annotations

__all__ = ["Growth"]

_WORTH_IT = 1.1  # the rate has to grow by a tenth for still more connections
_BUSY = 0.8  # seconds of the processor in a second, from where on it is what there is too little of


class Growth:
    """What the connections brought from look to look.

    Args:
        now: the time in seconds.
        received: bytes that are there.
        processor: seconds that the processor has worked for this process.

    """

    def __init__(self, now: float, received: int, processor: float) -> None:
        self._now = now
        self._received = received
        self._processor = processor
        self._best = 0.0  # bytes per second

    def helps(self, now: float, received: int, processor: float) -> bool:
        """Whether to add as many connections again; the arguments are as at the beginning."""
        elapsed = max(now - self._now, 1e-9)
        busy = (processor - self._processor) / elapsed
        rate = (received - self._received) / elapsed
        waiting = not self._best and received == self._received
        self._now, self._received, self._processor = now, received, processor
        if waiting:  # for a first byte: that says nothing of the rate
            return False
        grew = rate > self._best * _WORTH_IT
        self._best = max(self._best, rate)
        return grew and busy < _BUSY
