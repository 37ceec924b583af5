"""Bring the bytes of one content into its writer: one stream, or several ranges at once.

A small content is one GET. A large one is divided: a few connections begin, more are added as long
as the rate grows, and one that is done takes over half of what the slowest has left. Every stream
that breaks goes on where it stopped, with backoff; bytes received begin a new count of attempts, so
that a server which always cuts is outlasted and one that never sends is not.

An answer is checked before its bytes are taken: a 206 has to begin where it was asked to and be of
the announced whole; a server that ignores ranges is read as one stream from the beginning, where
what is on disk already is skipped.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubloader.errors import (
    HubError,
    IntegrityError,
    Interrupted,
    MalformedAnswer,
    ServerFailed,
    TransportError,
)
from hubloader.hub.headers import parse_content_range
from hubloader.resolve.progress import Step
from hubloader.transport.retry import Trouble, failing_origin, healthy_delay

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.cache.writer import BlobWriter
    from hubloader.errors import HubloaderError
    from hubloader.hub.client import HubClient
    from hubloader.resolve.progress import Tracker
    from hubloader.resolve.throttle import Throttle
    from hubloader.resolve.workers import Stop
    from hubloader.transport.base import Response
    from hubloader.transport.retry import RetryPolicy
    from hubloader.types import RepoId

__all__ = ["Line", "Transfer", "divide"]

DIVIDED_FROM = 32 * 2**20  # bytes: below, a second connection costs more than it brings
_FIRST_CONNECTIONS = 4
_MOST_CONNECTIONS = 16  # what aria2 uses at most to one host
_SMALLEST_SHARE = 2 * 2**20  # bytes worth a connection of their own
_LOOK_EVERY = 0.1  # seconds between two decisions about more connections
_WORTH_IT = 1.1  # the rate has to grow by a tenth for still more connections
_STEP = 0.25  # seconds of a wait between two looks at whether there is anything to wait for
_GRACE = 0.5  # seconds that connections get to end after an interrupt
_BUFFER = 2**20  # bytes
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416
_PROGRESS = 64 * 1024  # bytes that make an attempt count as having got somewhere


@dataclass(frozen=True)
class Line:
    """What all transfers of one call share.

    ``permits`` bounds the connections of the call, ``throttle`` their bytes; ``clock`` counts
    seconds.
    """

    client: HubClient
    policy: RetryPolicy
    permits: threading.BoundedSemaphore
    tracker: Tracker
    stop: Stop
    clock: Callable[[], float]
    most: int
    throttle: Throttle
    reached: threading.Event = field(default_factory=threading.Event)  # anything answered

    @property
    def patience(self) -> RetryPolicy:
        """The policy; with a server that was there a moment ago, patient as in other troubles."""
        if self.reached.is_set():
            return replace(self.policy, connect_budget=self.policy.budget)
        return self.policy


class _RangesRefused(Exception):
    """The server cannot be asked for a part of this content; or has ``changed`` it since."""

    def __init__(self, *, changed: bool = False) -> None:
        super().__init__()
        self.changed = changed


@dataclass
class _Share:
    """A range of bytes under way: ``position`` moves up, ``end`` may move down."""

    position: int
    end: int | None

    @property
    def left(self) -> int:
        return 0 if self.end is None else max(0, self.end - self.position)


def divide(start: int, end: int, count: int, smallest: int) -> list[tuple[int, int]]:
    """Cut ``[start, end)`` into at most ``count`` ranges, each of ``smallest`` bytes or more.

    A range smaller than that stays whole.
    """
    size = end - start
    parts = max(1, min(count, size // smallest))
    cuts = [start + size * number // parts for number in range(parts + 1)]
    return list(itertools.pairwise(cuts))


class Transfer:
    """One content on its way.

    Args:
        line: what it shares with the others.
        repo: where it comes from.
        commit: the commit it belongs to.
        filename: one of its names there.
        writer: where it goes.

    """

    def __init__(
        self, line: Line, repo: RepoId, commit: str, filename: str, writer: BlobWriter
    ) -> None:
        self.line = line
        self.writer = writer
        self.halted = False
        self._repo = repo
        self._commit = commit
        self._filename = filename
        self._validator: str | None = None

    def run(self, *, divided: bool = True) -> None:
        """Bring every byte that is missing, or as many as come before the line stops.

        Args:
            divided: whether a large content may come over several connections.

        Raises:
            HubloaderError: the bytes could not be had within the budget.
            IntegrityError: the server sends more than it announced.

        """
        size = self.writer.size
        missing: list[tuple[int, int | None]] = [(0, None)]
        if size is not None:
            missing = list(self.writer.missing())
        try:
            if divided and sum((end or 0) - start for start, end in missing) >= DIVIDED_FROM:
                _Crew(self).run()
            else:
                for start, end in missing:
                    self.bring(_Share(start, end))
        except _RangesRefused as refusal:
            self.halted = False
            if refusal.changed:
                self.writer.restart()
            self.bring(_Share(0, size), ranged=False)

    def bring(self, share: _Share, *, ranged: bool = True) -> None:
        """Bring one share, however often its stream breaks.

        With ``ranged`` a broken stream is gone on with where it stopped; without, each try begins
        at the file's beginning, and what is on disk already is not written again.
        """
        attempt, began = 1, self.line.clock()
        while not self._ended():
            before = self._reached(share, ranged=ranged)
            try:
                self._stream(share, ranged=ranged)
            except (TransportError, HubError) as error:
                if ranged and self._is_part(share) and _is_about_ranges(error):
                    raise _RangesRefused from error
                if self._reached(share, ranged=ranged) - before >= _PROGRESS:
                    attempt, began = 1, self.line.clock()
                elapsed = self.line.clock() - began
                delay = self._delay(error, attempt, elapsed)
                if delay is None:
                    raise
                self.line.tracker.note(Step.RETRY, self._filename, error.sentence())
                self._pause(delay)
                attempt += 1
            else:
                return

    def _delay(self, error: HubloaderError, attempt: int, elapsed: float) -> float | None:
        client, trouble = self.line.client, Trouble.of_error(error)
        origin = failing_origin(error, client.endpoint)
        return healthy_delay(self.line.patience, attempt, trouble, elapsed, client.health, origin)

    def _reached(self, share: _Share, *, ranged: bool) -> int:
        # what other connections brought says nothing of this one
        return share.position if ranged else self.writer.received

    def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self._ended():  # in steps: the others may have failed meanwhile
            self.line.stop.wait(min(_STEP, seconds))
            seconds -= _STEP

    def _ended(self) -> bool:
        return self.halted or bool(self.line.stop)

    def _stream(self, share: _Share, *, ranged: bool) -> None:
        with self.line.permits:
            if self._ended():
                return
            part = ranged and self._is_part(share)  # once: an end may move down meanwhile
            start, end = (share.position, share.end) if part else (0, None)
            response = self.line.client.open_file(
                self._repo,
                self._commit,
                self._filename,
                start=start,
                end=end,
                if_range=self._validator if start else None,
                repeat=False,  # ``bring`` does that, for broken bodies too
            )
            self.line.reached.set()
            with response:
                self._check(response, part=part)
                share.position = start
                self._pump(response, share)

    def _is_part(self, share: _Share) -> bool:
        return share.position > 0 or share.end != self.writer.size

    def _check(self, response: Response, *, part: bool) -> None:
        etag = response.headers.get("ETag", "")
        if part and response.status == _OK:
            raise _RangesRefused(changed=self._validator is not None and etag != self._validator)
        if self._validator is None and etag.startswith('"'):  # a weak one promises no bytes
            self._validator = etag
        size = self.writer.size
        if response.status == _PARTIAL and size is not None:
            total = parse_content_range(response.headers.get("Content-Range", "")).total
            if total is not None and total != size:
                raise MalformedAnswer(
                    f"{size} bytes were announced, the server has {total}",
                    filename=self._filename,
                )

    def _pump(self, response: Response, share: _Share) -> None:
        size = self.writer.size
        view = memoryview(bytearray(_BUFFER if size is None else min(_BUFFER, size + 1)))
        while not self._ended():
            # one byte more than a whole file has: to see its end, or that it does not end there
            room = len(view) if share.end is None else share.left + (share.end == size)
            if room == 0:
                return
            try:
                count = response.readinto(view[:room])
            except TransportError:
                if share.end is None or share.left:
                    raise
                return  # every byte is here; what was announced beyond them is not missed
            if count == 0:
                break
            self._refuse_more(share, count)
            self.writer.write_at(share.position, view[:count])
            share.position += count
            self.line.tracker.add(self._filename, count)
            pause = self.line.throttle.delay(count)
            if pause:
                self.line.stop.wait(pause)
        if share.left and not self._ended():
            raise Interrupted(
                f"the body ended after {share.position} of {share.end} bytes",
                received=share.position,
                expected=share.end,
                filename=self._filename,
            )

    def _refuse_more(self, share: _Share, count: int) -> None:
        # here and not by the writer, which would close its file under the other connections
        size, end = self.writer.size, share.position + count
        if size is not None and end > size:
            raise IntegrityError(
                f"the server sent more than the {size} bytes of {self.writer.etag}",
                expected=f"{size} bytes",
                actual=f"at least {end} bytes",
                filename=self._filename,
            )


def _is_about_ranges(error: HubloaderError) -> bool:
    """Whether asking for the whole instead could help: wrong bytes came, or "no such range"."""
    refused = isinstance(error, ServerFailed) and error.status == _NO_SUCH_RANGE
    return refused or isinstance(error, MalformedAnswer)


class _Crew:
    """The connections of one divided content: as many as help."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._most = max(1, min(_MOST_CONNECTIONS, transfer.line.most))
        self._waiting = [
            _Share(*part)
            for start, end in reversed(transfer.writer.missing())
            for part in reversed(divide(start, end, _FIRST_CONNECTIONS, _SMALLEST_SHARE))
        ]
        self._shares = list(self._waiting)
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
        """Add connections for as long as the last ones made it faster."""
        line, writer = self._transfer.line, self._transfer.writer
        best, seen, when = 0.0, writer.received, line.clock()
        while self._busy():
            now, received = line.clock(), writer.received
            rate = (received - seen) / max(now - when, 1e-9)
            if rate > best * _WORTH_IT:  # else the last ones brought nothing: no more
                self._add(self._working)
            best, seen, when = max(best, rate), received, now

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
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failures.append(error)
            self._transfer.halted = True
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _next(self) -> _Share | None:
        """A share nobody works on, or half of what the slowest has left."""
        with self._changed:
            if self._transfer.halted or self._transfer.line.stop:
                return None
            if self._waiting:
                return self._waiting.pop()
            slowest = max(self._shares, key=lambda share: share.left)
            if slowest.end is None or slowest.left < 2 * _SMALLEST_SHARE:
                return None
            middle = slowest.position + slowest.left // 2
            share = _Share(middle, slowest.end)
            slowest.end = middle
            self._shares.append(share)
            return share
