"""Progress for the logs of a CI: one JSON object a line, or lines folded into a group.

An event is ``{"event": "bytes", "filename": …, "done": …, "size": …, "total_done": …, "total": …,
"files_done": …, "files": …, "detail": …, "time": …}``; bytes and waits are told every ten
seconds, ``time`` is in seconds since the call began. The events are those of ``progress.Step``.

Source: GitHub Actions "Workflow commands" (``::group::``); GitLab CI "Custom collapsible sections".
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TextIO

from hubloader.resolve.progress import Lines, Step, format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.resolve.progress import Progress

__all__ = ["Groups", "JsonLines", "Summary"]

_EVERY = 10.0  # seconds between two events about bytes, or about waits


class JsonLines:
    """Writes each event as one JSON object on a line.

    Args:
        stream: the log.
        clock: seconds, monotonic.

    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._last = {Step.BYTES: self._began, Step.WAITING: float("-inf")}

    def __call__(self, event: Progress) -> None:
        """Write the event."""
        now = self._clock()
        if event.step in self._last:
            if now - self._last[event.step] < _EVERY:
                return
            self._last[event.step] = now
        told: dict[str, Any] = {"event": event.step.value, "time": round(now - self._began, 3)}
        rest = {key: value for key, value in asdict(event).items() if key != "step"}
        self._stream.write(f"{json.dumps({**told, **rest}, ensure_ascii=False)}\n")
        self._stream.flush()


class Summary:
    """Writes one line at the end: how much came, how fast.

    Args:
        stream: the log.
        clock: seconds, monotonic.

    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._fetched = False  # whether anything was, and not all by others

    def __call__(self, event: Progress) -> None:
        """Write the line when the event is the last."""
        self._fetched |= event.step is Step.FILE
        if event.step is not Step.END:
            return
        verb = "fetched" if self._fetched or not event.files_done else "waited for"
        seconds = self._clock() - self._began
        rate = f" ({format_bytes(int(event.total_done / seconds))}/s)" if seconds > 0 else ""
        files = f"{event.files_done} of {event.files} files"
        pace = f"{format_bytes(event.total_done)} in {format_seconds(seconds)}{rate}"
        self._stream.write(f"{verb} {files}, {pace}\n")
        self._stream.flush()


class Groups:
    """Writes plain lines between the marks with which a CI folds them, and the summary below.

    Args:
        stream: the log.
        kind: whose marks.
        clock: seconds, monotonic.
        now: seconds since the epoch: GitLab shows how long a section took.

    """

    def __init__(
        self,
        stream: TextIO,
        kind: Literal["github", "gitlab"],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._kind = kind
        self._now = now
        self._lines = Lines(stream, clock)
        self._summary = Summary(stream, clock)
        self._section = f"hubloader_{int(now() * 1000)}"

    def __call__(self, event: Progress) -> None:
        """Write the event's line, and the marks around all of them."""
        if event.step is Step.BEGIN:
            total = "" if event.total is None else f", {format_bytes(event.total)}"
            self._write(self._opening(f"hubloader: {event.files} files{total}"))
        self._lines(event)
        if event.step is Step.END:
            self._write(self._closing())
        self._summary(event)

    def _opening(self, title: str) -> str:
        if self._kind == "github":
            return f"::group::{title}\n"
        start = f"section_start:{int(self._now())}:{self._section}[collapsed=true]"
        return f"\x1b[0K{start}\r\x1b[0K{title}\n"

    def _closing(self) -> str:
        if self._kind == "github":
            return "::endgroup::\n"
        return f"\x1b[0Ksection_end:{int(self._now())}:{self._section}\r\x1b[0K\n"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
