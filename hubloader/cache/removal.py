"""Carry out a plan of deletions, hurting nobody.

For each repository, under its lock held alone (``leases.py``), after looking again:

1. refs of the revisions that go: a ref must never name a snapshot that is not there;
2. their snapshots, by one rename each out of ``snapshots``: no reader sees half of one;
3. the contents that no snapshot names any more, looked up anew: no pointer ever dangles;
4. listings, marks and stamps; and of a repository of which nothing stays, its folder.

Each step is on the disk before the next begins, so a kill or a power cut leaves a cache that is
sound, and something for the next run to delete. What stays, and is named in the result: snapshots
that a process uses (leases), repositories with a download under way, revisions that were loaded or
named by a new ref since the scan, contents that huggingface_hub has locked. Where no locks work,
what was used within the hour stays too, unless it was asked for by name.

huggingface_hub takes none of our leases. What it holds is its lock on a content while it downloads
and links; a process of it that read a path before is as safe as with its own ``hf cache rm``.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hubloader.cache import disk, stamps
from hubloader.cache.failures import guard, is_absence
from hubloader.cache.layout import CacheLayout
from hubloader.cache.leases import Grip, grip
from hubloader.cache.owner import Liveness, Owner, liveness, this_process
from hubloader.cache.planted import planted
from hubloader.cache.prune_plan import GRACE, PrunePlan, Reason, Removal
from hubloader.cache.reading import read_small
from hubloader.cache.repo_lock import RepoLock
from hubloader.cache.report import Leftover, RepoReport, scan_repo
from hubloader.names import is_etag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubloader.cache.layout import RepoLayout
    from hubloader.types import RepoId

__all__ = ["PruneResult", "Remover"]

_LOCKED_AT_ONCE = 128  # contents: one look at the repository for so many, and so many open files
_DOWNLOADING = "a download of the repository is under way"
_USED = "a process uses it"
_LOADED = "it was loaded meanwhile"
_NAMED = "it was given another name meanwhile"
_RECENT = "it was used within the hour, and no locks work here to tell whether it still is"
_STOPPED = "the deletion was stopped for too long: run it again"


@dataclass(frozen=True)
class PruneResult:
    """What went, and what stayed and why. ``freed`` is in bytes, ``leftovers`` a count."""

    removed: tuple[Removal, ...]
    kept: tuple[tuple[Removal, str], ...]
    freed: int
    leftovers: int


class Remover:
    """Carries one plan out.

    Args:
        plan: what goes.
        durable: have the disk keep each step before the next.
        progress: told of each revision that went.
        clock: seconds since the epoch.

    """

    def __init__(
        self,
        plan: PrunePlan,
        *,
        durable: bool = True,
        progress: Callable[[Removal], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._plan = plan
        self._layout = CacheLayout(plan.root)
        self._durable = durable
        self._progress = progress
        self._clock = clock
        self.removed: list[Removal] = []
        self.kept: list[tuple[Removal, str]] = []
        self.freed = 0
        self.leftovers = 0

    def run(self) -> PruneResult:
        """Delete, repository by repository.

        Raises:
            CacheReadOnly, CacheError: the disk refused; what was done is done, and sound.

        """
        removals: dict[RepoId, list[Removal]] = {}
        for removal in self._plan.removals:
            removals.setdefault(removal.repo, []).append(removal)
        leftovers: dict[RepoId, list[Leftover]] = {}
        for left in self._plan.leftovers:
            repo = self._repo_of(left.path)
            if repo is not None:
                leftovers.setdefault(repo, []).append(left)
        for repo in dict.fromkeys((*removals, *leftovers, *self._plan.whole)):
            layout = self._layout.repo(repo)
            with guard(layout.folder):
                self._repo(layout, removals.get(repo, []), leftovers.get(repo, []))
        return PruneResult(tuple(self.removed), tuple(self.kept), self.freed, self.leftovers)

    def _repo_of(self, path: str) -> RepoId | None:
        name = os.path.relpath(path, self._layout.root).split(os.sep)[0]
        return self._layout.parse_folder(name)

    def _repo(self, layout: RepoLayout, removals: list[Removal], leftovers: list[Leftover]) -> None:
        lock = RepoLock(layout)
        got = lock.take()
        if got is Grip.BUSY:
            self.kept += [(removal, _DOWNLOADING) for removal in removals]
            return
        try:
            link = planted(layout)
            if link is not None:  # what lies behind it is not ours to delete
                self.kept += [(removal, f"{link} is a link") for removal in removals]
                return
            work = _Work(self, layout, lock if got is Grip.HELD else None)
            work.clear(leftovers)  # first: a revision that goes changes hard links of its contents
            work.revisions(removals)
            if layout.repo in self._plan.whole:
                work.rest()
        finally:
            lock.release()

    # what the work on one repository reports

    def went(self, removal: Removal) -> None:
        """Count a revision that is gone."""
        self.removed.append(removal)
        if self._progress is not None:
            self._progress(removal)

    def sync(self, folders: Iterable[str]) -> None:
        """Have the disk keep what changed in ``folders``, as far as they exist."""
        if self._durable:
            disk.sync_folders(folder for folder in folders if os.path.isdir(folder))

    def refusal(self, removal: Removal, before: RepoReport, *, locked: bool) -> str | None:
        """Say why a revision has to stay, by what the repository is now; None if it may go."""
        now = next(r for r in before.revisions if r.commit == removal.commit)
        if set(now.refs) - set(removal.refs):
            return _NAMED
        asked = removal.reason is Reason.ASKED
        if not asked and (now.last_used or 0) > (removal.last_used or 0):
            return _LOADED
        recent = self._clock() - max(now.last_used or 0.0, now.last_changed) < GRACE
        return _RECENT if recent and not locked and not asked else None


class _Work:
    """The deletions from one repository, under its lock (None where there are no locks)."""

    def __init__(self, remover: Remover, layout: RepoLayout, lock: RepoLock | None) -> None:
        self._remover = remover
        self._layout = layout
        self._lock = lock
        self._before = scan_repo(layout)

    def _in_time(self) -> bool:
        return self._lock is None or self._lock.fresh

    # revisions

    def revisions(self, removals: list[Removal]) -> None:
        """Delete revisions, and the contents that only they had."""
        here = {revision.commit for revision in self._before.revisions}
        with contextlib.ExitStack() as alone:
            going = []
            for removal in removals:
                if removal.commit not in here:
                    continue  # somebody else was first
                why = self._remover.refusal(
                    removal, self._before, locked=self._lock is not None
                ) or self._claim(removal, alone)
                if why is None:
                    going.append(removal)
                else:
                    self._remover.kept.append((removal, why))
            if going:
                self._delete(going)

    def _claim(self, removal: Removal, alone: contextlib.ExitStack) -> str | None:
        """Have a snapshot to ourselves until ``alone`` ends; a reason if it is used."""
        try:
            descriptor = os.open(self._layout.snapshot(removal.commit), os.O_RDONLY)
        except OSError as error:
            if is_absence(error) or os.name == "nt":  # Windows opens no folder, and has no leases
                return None
            raise
        alone.callback(os.close, descriptor)
        return _USED if grip(descriptor, alone=True) is Grip.BUSY else None

    def _delete(self, going: list[Removal]) -> None:
        layout, remover = self._layout, self._remover
        if not self._in_time():
            remover.kept += [(removal, _STOPPED) for removal in going]
            return
        changed: set[str] = set()
        for removal in going:
            changed |= self._unname(removal)
        remover.sync(changed)
        drafts = []
        for removal in going:
            draft = os.path.join(layout.tmp, disk.draft_name())
            aside = partial(disk.rename, layout.snapshot(removal.commit), draft)
            disk.in_folder(layout.tmp, aside)
            drafts.append(draft)
            remover.went(removal)
        remover.sync([layout.tmp, layout.snapshots])
        gone = {removal.commit for removal in going}
        had = {key for r in self._before.revisions if r.commit in gone for key in r.contents}
        self._delete_contents(had)
        for removal, draft in zip(going, drafts, strict=True):
            remover.freed += disk.remove_tree(draft)
            self._forget(removal.commit)
        disk.remove_empty(layout.tmp)

    def _unname(self, removal: Removal) -> set[str]:
        """Delete the refs of a revision; returns the folders that changed."""
        layout, changed = self._layout, set()
        for revision in removal.refs:
            ref = layout.ref(revision)
            if read_small(ref) == removal.commit and disk.remove(ref):
                changed.add(os.path.dirname(ref))
            disk.remove(layout.confirmed(revision))
        for folder in sorted(changed, reverse=True):
            parts = os.path.relpath(folder, layout.refs).split(os.sep)
            nested = [parts[:count] for count in range(len(parts), 0, -1) if parts != ["."]]
            disk.remove_empty(*(os.path.join(layout.refs, *each) for each in nested))
        return changed | {layout.refs}

    def _delete_contents(self, etags: Iterable[str]) -> None:
        """Delete those of the contents that no snapshot names now."""
        etags = [etag for etag in etags if is_etag(etag)]
        for start in range(0, len(etags), _LOCKED_AT_ONCE):
            with contextlib.ExitStack() as locks:
                free = [
                    etag
                    for etag in etags[start : start + _LOCKED_AT_ONCE]
                    if locks.enter_context(_hub_lock(self._layout, etag))
                ]
                self._delete_unnamed(free)

    def _delete_unnamed(self, etags: Iterable[str]) -> None:
        """Look again, with the locks held: huggingface_hub names a content only under its lock."""
        now = scan_repo(self._layout).leftovers
        orphans = {left.path for left in now if left.is_orphan}
        for etag in etags:
            blob = self._layout.blob(etag)
            if blob in orphans and self._in_time():
                stamps.forget(self._layout.stamp(etag))
                self._remover.freed += disk.remove_tree(blob)

    def _forget(self, commit: str) -> None:
        layout = self._layout
        digest, told, used = layout.tree_digest(commit), layout.told(commit), layout.used(commit)
        for path in (layout.tree(commit), digest, told, used):
            disk.remove(path)
        disk.remove_tree(layout.absent_folder(commit))

    # leftovers

    def clear(self, leftovers: Iterable[Leftover]) -> None:
        """Delete leftovers that are still what they were, and nobody's."""
        now = {left.path: left for left in scan_repo(self._layout).leftovers}
        going = [left for left in leftovers if now.get(left.path) == left]
        self._delete_contents(os.path.basename(left.path) for left in going if left.is_orphan)
        for left in going:
            if not left.is_orphan and self._in_time():
                self._remover.freed += self._delete_leftover(left)
            self._remover.leftovers += not os.path.lexists(left.path)

    def _delete_leftover(self, left: Leftover) -> int:
        if left.kind == "incomplete":
            return self._delete_incomplete(left)
        return 0 if _is_written(left.path) else disk.remove_tree(left.path)

    def _delete_incomplete(self, left: Leftover) -> int:
        etag = os.path.basename(left.path).partition(".")[0]
        if not is_etag(etag):
            return disk.remove_tree(left.path)
        with _hub_lock(self._layout, etag) as free:
            return disk.remove_tree(left.path) if free else 0

    def rest(self) -> None:
        """Delete the repository's folder, if nothing of it is used or came meanwhile."""
        layout, left = self._layout, scan_repo(self._layout)
        if left.revisions or left.leftovers or self._is_locked() or not self._in_time():
            return
        for path in (layout.refs, layout.trees, layout.absences):
            disk.remove_tree(path)
        disk.remove_empty(layout.blobs)
        if not os.path.lexists(layout.blobs) and not scan_repo(layout).revisions:
            disk.remove_tree(layout.own)
            disk.remove_nested(layout.folder, layout.snapshots, tmp=layout.cache.tmp)
        self._remover.sync([layout.cache.root])

    def _is_locked(self) -> bool:
        """Whether anybody downloads into the repository, by huggingface_hub's locks."""
        folder = os.path.dirname(self._layout.lock("0" * 40))
        names = os.listdir(folder) if os.path.isdir(folder) else []
        etags = (name.removesuffix(".lock") for name in names)
        return any(is_etag(etag) and not _is_free(self._layout, etag) for etag in etags)


def _is_written(path: str) -> bool:
    """Whether a live process, or one that we cannot see, may write a partial or draft."""
    owners = [Owner.parse(part) for part in os.path.basename(path).split(".")]
    owner = next((owner for owner in owners if owner is not None), None)
    return owner is not None and liveness(owner, this_process()) is Liveness.ALIVE


def _is_free(layout: RepoLayout, etag: str) -> bool:
    with _hub_lock(layout, etag) as free:
        return free


@contextlib.contextmanager
def _hub_lock(layout: RepoLayout, etag: str) -> Iterator[bool]:
    """Hold huggingface_hub's lock of a content, if there is one; False if another has it."""
    try:
        descriptor = os.open(layout.lock(etag), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if not is_absence(error):
            raise
        yield True  # nobody ever downloaded it, or not with locks
        return
    try:
        yield grip(descriptor, alone=True) is not Grip.BUSY
    finally:
        os.close(descriptor)
