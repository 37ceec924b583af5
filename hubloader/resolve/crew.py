"""The connections of one large content: as many as help.

A few begin, and more are added for as long as they help (``growth.py``). What each of them brings
is decided in ``shares.py``, how it is brought in ``transfer.py``.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hubloader.resolve.growth import Growth
from hubloader.resolve.shares import Shares

if TYPE_CHECKING:
    from hubloader.resolve.shares import Share
    from hubloader.resolve.transfer import Transfer

__all__ = ["Crew"]

_FIRST_CONNECTIONS = 4
_MOST_CONNECTIONS = 16  # what aria2 uses at most to one host
_LOOK_EVERY = 0.05  # seconds between two decisions about more connections
_GRACE = 0.5  # seconds that connections get to end after an interrupt


class Crew:
    """The connections of one divided content: as many as help."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._most = max(1, min(_MOST_CONNECTIONS, transfer.line.most))
        self._shares = Shares(transfer.writer.missing())
        self._changed = threading.Condition()
        self._working = 0
        self._failures: list[BaseException] = []

    def run(self) -> None:
        """Bring everything; raises the first failure, when every connection has ended."""
        try:
            self._add(_FIRST_CONNECTIONS)
            self._watch()
        except BaseException:  # KeyboardInterrupt above all
            # the writer is put down next: nobody may still be writing then
            self._transfer.halted = True
            with self._changed:
                self._changed.wait_for(lambda: self._working == 0, _GRACE)
            raise
        if self._failures:
            raise self._failures[0]

    def _watch(self) -> None:
        """Add connections for as long as they help."""
        line, writer = self._transfer.line, self._transfer.writer
        growth = Growth(line.clock(), writer.received, time.process_time())
        while self._busy():
            if growth.helps(line.clock(), writer.received, time.process_time()):
                self._add(self._working)

    def _add(self, count: int) -> None:
        with self._changed:
            count = min(count, self._most - self._working)
            self._working += max(0, count)
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True, name="hubloader-range").start()

    def _busy(self) -> bool:
        """Wait for the next look; returns whether anyone is still at work."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._working == 0, _LOOK_EVERY)

    def _work(self) -> None:
        try:
            while (share := self._next()) is not None:
                self._transfer.bring(share)
                self._done(share)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failures.append(error)
            self._transfer.halted = True
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _next(self) -> Share | None:
        with self._changed:
            if self._transfer.halted or self._transfer.line.stop:
                return None
            return self._shares.take(self._transfer.line.clock(), self._working)

    def _done(self, share: Share) -> None:
        with self._changed:
            self._shares.done(share, self._transfer.line.clock())
