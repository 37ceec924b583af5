"""Who is told of a download: the caller's function, the terminal, or the log, as configured."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.resolve.progress import Progress, Tracker
    from hubloader.settings import Settings

__all__ = ["sinks_for", "tracker_for"]


def tracker_for(settings: Settings, progress: Callable[[Progress], Any] | None) -> Tracker:
    """Have ``progress`` told of everything, or else the terminal or the log."""
    from hubloader.resolve.progress import Tracker  # first use: a download

    return Tracker(sinks_for(settings) if progress is None else [progress])


def sinks_for(settings: Settings) -> list[Callable[[Progress], Any]]:
    """Have the terminal or the log told, as configured; maybe nobody."""
    from hubloader.resolve.progress import Bars, Lines  # first use: a download

    if not settings.progress:
        return []
    if settings.log_format == "json" or settings.github_actions or settings.gitlab_ci:
        from hubloader.resolve.logs import Groups, JsonLines

        if settings.log_format == "json":
            return [JsonLines(sys.stderr)]
        if not sys.stderr.isatty():
            return [Groups(sys.stderr, "github" if settings.github_actions else "gitlab")]
    return [Bars(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)]
