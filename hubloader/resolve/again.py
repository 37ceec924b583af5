"""The same load again: what a process found whole before, it knows to be so by one look a file.

A load that found everything in the cache is kept with what its files looked like (``Marks``). The
next one of the same revision and purpose still asks what the revision means; then, if the listing
and all files are as they were, there is nothing to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.cache.content import Marks
    from hubloader.cache.store import CacheStore
    from hubloader.resolve.cached import Resolved
    from hubloader.resolve.work import Work

__all__ = ["Loads"]

_MAX_LOADS = 1024
_MAX_FILES = 16384  # of all loads together


class _Load(NamedTuple):
    work: Work
    done: Mapping[str, str]
    marks: Marks


class Loads:
    """The loads of one session that found everything.

    Args:
        store: the cache.

    """

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._kept: dict[object, _Load] = {}

    def find(self, key: object, resolved: Resolved) -> tuple[Work, Mapping[str, str]] | None:
        """Return a load that still holds, and its files, leased; None if there is none.

        Args:
            key: what was asked for.
            resolved: what that means now.

        """
        load = self._kept.get(key)
        if load is None or resolved.failure is not None:
            return None
        now, then = resolved.manifest, load.work.manifest
        same = now is then or (now.entries is then.entries and now.commit == then.commit)
        # leased before it is looked at: what is seen stays
        if same and self._store.lease(now.repo, now.commit) and load.marks.hold():
            return load.work, load.done
        return None

    def keep(self, key: object, work: Work, done: Mapping[str, str]) -> None:
        """Remember a load, if its files can be known again at one look."""
        if work.resolved.failure is not None or work.resolved.piecemeal:
            return
        marks = self._store.marks(work.manifest, done) if 0 < len(done) <= _MAX_FILES else None
        if marks is None:
            return
        files = sum(len(load.done) for load in self._kept.values())
        if len(self._kept) >= _MAX_LOADS or files + len(done) > _MAX_FILES:
            self._kept.clear()
        self._kept[key] = _Load(work, done, marks)
