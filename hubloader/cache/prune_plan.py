"""What a plan of deletions is: chosen by ``prune.py``, carried out by ``removal.py``."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.types import RepoId

if TYPE_CHECKING:
    from hubloader.cache.report import Leftover

__all__ = ["GRACE", "PIN_PREFIX", "Named", "PrunePlan", "Reason", "Removal"]

GRACE = 3600.0  # seconds: what just came may be about to be named
PIN_PREFIX = "hubloader/pin/"
Named = tuple[RepoId, "str | None"]  # a repository, and one commit of it (None: all of it)


class Reason(enum.Enum):
    """Why a revision goes."""

    ASKED = "it was named"
    DETACHED = "no branch or tag names it"
    OLD = "it was not loaded for so long"
    SIZE = "it was loaded least recently"


@dataclass(frozen=True)
class Removal:
    """A revision that goes. ``freed`` is in bytes, given that the removals before it happen."""

    repo: RepoId
    commit: str
    refs: tuple[str, ...]
    files: int
    freed: int
    last_used: float | None
    reason: Reason


@dataclass(frozen=True)
class PrunePlan:
    """What goes.

    ``whole`` are the repositories of which nothing stays. ``size`` are the bytes that go, ``left``
    those that stay.
    """

    root: str
    removals: tuple[Removal, ...]
    leftovers: tuple[Leftover, ...]
    whole: frozenset[RepoId]
    size: int
    left: int

    @property
    def idle(self) -> bool:
        """Whether nothing goes."""
        return not self.removals and not self.leftovers and not self.whole
