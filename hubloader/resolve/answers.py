"""What an answer of the Hub means: the lower rows of the table in ``resolver.py``, pure."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.errors import (
    AccessDenied,
    HubError,
    HubloaderError,
    NotFound,
    RateLimited,
    RedirectRefused,
    RevisionNotFound,
    ServerFailed,
    TransportError,
)
from hubloader.types import Manifest, Mode, Refresh

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Answer",
    "Denied",
    "Listed",
    "Reachability",
    "RevisionMissing",
    "Unchanged",
    "Unreachable",
    "Verdict",
    "classify",
    "is_of_the_endpoint",
    "judge",
]

_TIMED_OUT, _BAD_GATEWAY = 408, 502
_LEFT_ALONE = 300.0  # seconds an unreachable endpoint is not asked again while something is cached


@dataclass(frozen=True)
class Listed:
    """The Hub told what the revision holds now."""

    manifest: Manifest


@dataclass(frozen=True)
class Unchanged:
    """The revision is still the commit that is cached."""


@dataclass(frozen=True)
class RevisionMissing:
    """The repository is there, the revision is not."""

    error: HubloaderError


@dataclass(frozen=True)
class Denied:
    """The repository is gone, or not for this token."""

    error: HubloaderError


@dataclass(frozen=True)
class Unreachable:
    """No usable answer came."""

    error: HubloaderError


Answer = Listed | Unchanged | RevisionMissing | Denied | Unreachable


class Verdict(enum.Enum):
    """Which manifest is used, or which error is raised."""

    NEW = "what the Hub listed"
    CACHED = "what is cached, as the Hub confirmed"
    STALE = "what is cached, with a warning"
    RAISE = "raise the Hub's error"
    MISS = "raise CacheMiss from the network's error"


def judge(answer: Answer, mode: Mode, refresh: Refresh | float, *, cached: bool) -> Verdict:
    """Decide what an answer of the Hub means; the lower rows of the resolver's table."""
    if isinstance(answer, Listed):
        return Verdict.NEW
    if isinstance(answer, Unchanged):
        return Verdict.CACHED
    if isinstance(answer, RevisionMissing) or mode is Mode.FORCE:
        return Verdict.RAISE
    if isinstance(answer, Denied):
        keep = cached and refresh is not Refresh.ALWAYS
        return Verdict.STALE if keep else Verdict.RAISE
    return Verdict.STALE if cached else Verdict.MISS


def classify(error: HubloaderError) -> RevisionMissing | Denied | Unreachable:
    """Say which answer an error of the client is; raises it when it is none."""
    if isinstance(error, RevisionNotFound):
        return RevisionMissing(error)
    if isinstance(error, (AccessDenied, NotFound)):
        return Denied(error)
    if isinstance(error, (TransportError, HubError)):
        return Unreachable(error)
    raise error


def is_of_the_endpoint(error: HubloaderError) -> bool:
    """Say whether a failure is the endpoint's, and not only of what it was asked.

    A 404, a 400 or a listing that cannot be true is of one repository, and a 500 may be; the others
    are still worth asking about.
    """
    if isinstance(error, ServerFailed):
        return error.status == _TIMED_OUT or error.status >= _BAD_GATEWAY
    if isinstance(error, RedirectRefused):
        return False
    return isinstance(error, (TransportError, RateLimited))


@dataclass
class Reachability:
    """What a process knows of one endpoint, shared by its sessions: when it last did not answer."""

    clock: Callable[[], float] = time.monotonic
    _failed: tuple[float, HubloaderError] | None = None
    _warned: bool = False

    def recent_failure(self) -> HubloaderError | None:
        """Why the endpoint is to be left alone for now, or None."""
        if self._failed is None or self.clock() - self._failed[0] > _LEFT_ALONE:
            return None
        return self._failed[1]

    def failed(self, error: HubloaderError) -> None:
        """Note that it did not answer."""
        self._failed = (self.clock(), error)

    def to_be_told(self) -> bool:
        """Whether the user has not been warned yet; asked once, the answer is no from then on."""
        first, self._warned = not self._warned, True
        return first

    def answered(self) -> None:
        """Note that it answered."""
        self._failed = None
