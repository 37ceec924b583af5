"""Bring the bytes of one content into its writer: one stream, or several ranges at once.

A small content is one GET. A large one is divided among several connections (``crew.py``). Every
stream that breaks goes on where it stopped, with backoff; bytes received begin a new count of
attempts, so that a server which always cuts is outlasted and one that never sends is not.

An answer is checked before its bytes are taken: a 206 has to begin where it was asked to and be of
the announced whole; a server that ignores ranges is read as one stream from the beginning, where
what is on disk already is skipped.
"""

from __future__ import annotations

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
from hubloader.resolve.crew import Crew
from hubloader.resolve.progress import Step
from hubloader.resolve.shares import Share
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

__all__ = ["Line", "Transfer"]

DIVIDED_FROM = 32 * 2**20  # bytes: below, a second connection costs more than it brings
_STEP = 0.25  # seconds of a wait between two looks at whether there is anything to wait for
_BUFFER = 2**18  # bytes: enough for few calls, few enough that a slow line shows its rate
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416
_PROGRESS = 64 * 1024  # bytes that make an attempt count as having got somewhere


@dataclass(frozen=True)
class Line:
    """What all transfers of one call share.

    ``permits`` bounds the connections of the call, ``throttle`` their bytes; ``clock`` counts
    seconds.
    """

    connect: Callable[[], HubClient]
    policy: RetryPolicy
    permits: threading.BoundedSemaphore
    tracker: Tracker
    stop: Stop
    clock: Callable[[], float]
    most: int
    throttle: Throttle
    reached: threading.Event = field(default_factory=threading.Event)  # anything answered

    @property
    def client(self) -> HubClient:
        """The endpoint's client, made when the first byte is asked for: who waits needs none."""
        return self.connect()

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
                Crew(self).run()
            else:
                for start, end in missing:
                    self.bring(Share(start, end))
        except _RangesRefused as refusal:
            self.halted = False
            if refusal.changed:
                self.writer.restart()
            self.bring(Share(0, size), ranged=False)

    def bring(self, share: Share, *, ranged: bool = True) -> None:
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

    def _reached(self, share: Share, *, ranged: bool) -> int:
        # what other connections brought says nothing of this one
        return share.position if ranged else self.writer.received

    def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self._ended():  # in steps: the others may have failed meanwhile
            self.line.stop.wait(min(_STEP, seconds))
            seconds -= _STEP

    def _ended(self) -> bool:
        return self.halted or bool(self.line.stop)

    def _stream(self, share: Share, *, ranged: bool) -> None:
        with self.line.permits:
            if self._ended():
                return
            part = ranged and self._is_part(share)  # once: an end may move down meanwhile
            start, end = (share.position, share.end) if part else (0, None)
            asked = self.line.clock()
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
                share.begin(asked, self.line.clock())
                self._pump(response, share)

    def _is_part(self, share: Share) -> bool:
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

    def _pump(self, response: Response, share: Share) -> None:
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

    def _refuse_more(self, share: Share, count: int) -> None:
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
