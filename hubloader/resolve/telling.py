"""Who is told of a download: the caller's function, the terminal, or the log, as configured."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.resolve.progress import Progress, Tracker
    from hubloader.settings import Settings

__all__ = ["tracker_for"]


def tracker_for(settings: Settings, progress: Callable[[Progress], Any] | None) -> Tracker:
    """Have ``progress`` told of everything, or else the terminal or the log."""
    from hubloader.resolve.progress import Tracker  # first use: a download

    return Tracker(_sinks_for(settings) if progress is None else [progress])


def _sinks_for(settings: Settings) -> list[Callable[[Progress], Any]]:
    """Have the terminal or the log told, as configured; maybe nobody."""
    stream = sys.stderr
    gone = stream is None or getattr(stream, "closed", False)  # a program without a console's
    if gone or not settings.progress:
        return []
    return [_WhileHeard(_sink_for(settings, stream))]


def _sink_for(settings: Settings, stream: TextIO) -> Callable[[Progress], Any]:
    from hubloader.resolve.progress import Bars, Lines  # first use: a download

    terminal = stream.isatty()
    if settings.log_format == "json" or settings.github_actions or settings.gitlab_ci:
        from hubloader.resolve.logs import Groups, JsonLines

        if settings.log_format == "json":
            return JsonLines(stream)
        if not terminal:
            return Groups(stream, "github" if settings.github_actions else "gitlab")
    return Bars(stream) if terminal else Lines(stream)


class _WhileHeard:
    """A sink whose stream may end: a pipe that nobody reads any more fails no download."""

    def __init__(self, sink: Callable[[Progress], Any]) -> None:
        self._sink: Callable[[Progress], Any] | None = sink

    def __call__(self, event: Progress) -> None:
        if self._sink is None:
            return
        try:
            self._sink(event)
        except (OSError, ValueError):  # ValueError: it was closed
            self._sink = None
