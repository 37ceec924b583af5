"""Who is told of a download: the caller's function, the terminal, or the log, as configured."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.resolve.progress import Progress, Tracker
    from hubloader.settings import Settings

__all__ = ["tracker_for"]


def tracker_for(settings: Settings, progress: Callable[[Progress], Any] | None) -> Tracker:
    """Have ``progress`` told of everything, or else the terminal or the log."""
    from hubloader.resolve.progress import Bars, Lines, Tracker  # first use: a download

    if progress is not None:
        return Tracker([progress])
    if not settings.progress:
        return Tracker()
    if settings.log_format == "json" or settings.github_actions or settings.gitlab_ci:
        from hubloader.resolve.logs import Groups, JsonLines

        if settings.log_format == "json":
            return Tracker([JsonLines(sys.stderr)])
        if not sys.stderr.isatty():
            return Tracker([Groups(sys.stderr, "github" if settings.github_actions else "gitlab")])
    return Tracker([Bars(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)])
