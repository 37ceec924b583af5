"""Give finished contents, pointers and refs their names, in an order that survives a power cut.

The order is: content to the disk, its name, the folder of names to the disk, pointers, their
folders, and the ref last. ``durability`` says when the disk is asked:

- ``full``: for each file, at once.
- ``batch``: contents of 8 MiB and more at once; smaller ones together when the batch ends: one
  sync, then their names, then the pointers. A batch also ends in between when it holds 256
  contents, 64 MiB, or one that has waited for 10 s (a download asks for it after 2 s,
  ``flush_old``), because others may be waiting for them.
- ``none``: never; names are still given in one step, to contents whose hash matched.

Outside a batch, ``batch`` is ``full``. Locks of contents without a name are released once they have
it, so that nobody who waited for them finds nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hubloader.cache import disk, stamps
from hubloader.cache.failures import guard
from hubloader.cache.living import shown, touch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubloader.cache.layout import RepoLayout
    from hubloader.cache.partial import Partial
    from hubloader.cache.stamps import Stamp

__all__ = ["Durability", "Publisher"]

Durability = Literal["full", "batch", "none"]
_MAX_COUNT = 256
_MAX_BYTES = 64 * 1024 * 1024
_MAX_WAIT = 10.0  # seconds; below the 30 s after which a waiter goes on alone
_TO_SYNC = os.O_RDWR if os.name == "nt" else os.O_RDONLY  # contents are read-only by now
_SYNC_ALL = 4  # contents from which one syncfs is less work than an fsync for each


@dataclass
class _Pending:
    """A content that is right and has no name yet.

    ``pointers`` are made once it has: each returns the folders it changed. ``locks`` are let go
    after that, or when it failed.
    """

    layout: RepoLayout
    etag: str
    draft: str
    stamp: Stamp
    pointers: list[Callable[[], Iterable[str]]] = field(default_factory=list)
    locks: list[Callable[[], None]] = field(default_factory=list)


class Publisher:
    """Names contents, pointers and refs, durably.

    Args:
        durability: when the disk is asked to keep what it was given.

    """

    def __init__(self, durability: Durability = "batch") -> None:
        self.durability: Durability = durability
        self._guard = threading.Lock()  # guards the four fields below
        self._depth = 0
        self._pending: dict[str, _Pending] = {}
        self._changed: set[str] = set()
        self._oldest = 0.0
        self._flushing = threading.Lock()  # held by the one thread that flushes

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Gather small contents; when this returns, they and everything else have their names.

        Batches of several threads join; each returns when its own contents are safe.
        """
        with self._guard:
            self._depth += 1
        try:
            yield
        finally:
            with self._guard:
                self._depth -= 1
            self.flush()

    def is_pending(self, blob: str) -> bool:
        """Whether the content that will be named ``blob`` is here and right, without its name."""
        with self._guard:
            return blob in self._pending

    def point(self, blob: str, make: Callable[[], Iterable[str]]) -> None:
        """Have a pointer made, once ``blob`` has its name; ``make`` returns the changed folders."""
        with self._guard:
            pending = self._pending.get(blob)
            if pending is not None:
                pending.pointers.append(make)
                return
        self.changed(make())

    def release_later(self, blob: str, release: Callable[[], None]) -> bool:
        """Let a lock go once ``blob`` has its name; False if the caller has to do it, now."""
        with self._guard:
            pending = self._pending.get(blob)
            if pending is not None:
                pending.locks.append(release)
            return pending is not None

    def changed(self, folders: Iterable[str]) -> None:
        """Make the names in ``folders`` safe: when the batch ends, or now if there is none."""
        with self._guard:
            gathers = self.durability == "batch" and self._depth > 0
            if gathers:
                self._changed.update(folders)
        if not gathers:
            self._sync(folders)

    # contents

    def name_blob(self, layout: RepoLayout, etag: str, draft: Partial, stamp: Stamp) -> str:
        """Name a finished, verified content, now or when the batch ends; closes it.

        Returns:
            The blob's path.

        """
        blob = layout.blob(etag)
        if self._gathers(draft):
            draft.close()
            self._gather(blob, _Pending(layout, etag, draft.path, stamp))
            return blob
        durable = self.durability != "none"
        with shown(draft.touch, stamp.size) if durable else contextlib.nullcontext():
            if durable:
                disk.sync_file(draft.data)
            changed = disk.make_folders(layout.blobs)
            disk.rename_over(draft.data_path, blob, aside=layout.quarantine)
            self._sync([*changed, layout.blobs])
        draft.remove()
        _stamp(layout, etag, stamp)
        return blob

    def _gathers(self, partial: Partial) -> bool:
        with self._guard:
            return self.durability == "batch" and self._depth > 0 and not partial.large

    def _gather(self, blob: str, pending: _Pending) -> None:
        with self._guard:
            before = self._pending.get(blob)
            if before is None:
                self._pending[blob] = pending
            if len(self._pending) == 1:
                self._oldest = time.monotonic()
            full = self._is_full()
        if before is not None:  # two writers of one content, both right: one is enough
            disk.remove(pending.draft)
        if full:
            self.flush()

    def _is_full(self) -> bool:
        return (
            len(self._pending) >= _MAX_COUNT
            or sum(pending.stamp.size for pending in self._pending.values()) >= _MAX_BYTES
            or time.monotonic() - self._oldest >= _MAX_WAIT
        )

    # the end of a batch

    def flush_old(self, seconds: float) -> None:
        """Name what was gathered, if any of it waits since ``seconds``.

        Raises:
            DiskFull, CacheReadOnly, CacheError: as ``flush``.

        """
        with self._guard:
            old = bool(self._pending) and time.monotonic() - self._oldest >= seconds
        if old:
            self.flush()

    def flush(self) -> None:
        """Make everything gathered safe, then name it, then make the pointers that waited.

        Raises:
            DiskFull, CacheReadOnly, CacheError: the disk failed; contents without a name are gone.

        """
        with self._flushing:
            with self._guard:
                batch = dict(self._pending)
            try:
                if batch:
                    self._flush(batch)
                self._sync_changed()
            finally:
                for pending in batch.values():
                    for release in pending.locks:
                        release()

    def _flush(self, batch: dict[str, _Pending]) -> None:
        named = False
        try:
            with guard(next(iter(batch))):
                self._name_all(batch)
            named = True
        finally:
            with self._guard:
                for blob in batch:
                    del self._pending[blob]
                self._oldest = time.monotonic()
            if not named:
                for pending in batch.values():
                    # The first failure is the one to tell; a draft that stays is swept later.
                    with contextlib.suppress(OSError):
                        disk.remove(pending.draft)
        for pending in batch.values():
            for make in pending.pointers:
                self.changed(make())

    def _name_all(self, batch: dict[str, _Pending]) -> None:
        drafts = [pending.draft for pending in batch.values()]
        with shown(self._touch_pending, sum(each.stamp.size for each in batch.values())):
            _sync_contents(drafts)
        changed: list[str] = []
        for blob, pending in batch.items():
            changed += disk.make_folders(pending.layout.blobs)
            disk.rename_over(pending.draft, blob, aside=pending.layout.quarantine)
            changed.append(pending.layout.blobs)
        self._sync(changed)
        disk.remove_empty(*{pending.layout.partials for pending in batch.values()})
        for pending in batch.values():
            _stamp(pending.layout, pending.etag, pending.stamp)

    def _touch_pending(self) -> None:
        """Show that all that was gathered will have its name, also what comes in the next batch."""
        with self._guard:
            drafts = [pending.draft for pending in self._pending.values()]
        for draft in drafts:
            with contextlib.suppress(OSError):  # it has its name by now
                touch(draft, keep_time=True)

    def _sync_changed(self) -> None:
        with self._guard:
            changed, self._changed = self._changed, set()
        self._sync(changed)

    def _sync(self, folders: Iterable[str]) -> None:
        changed = list(folders)
        if changed and self.durability != "none":
            with guard(min(changed)):
                disk.sync_folders(changed)


def _stamp(layout: RepoLayout, etag: str, stamp: Stamp) -> None:
    stamps.add(layout.stamp(etag), stamp)


def _sync_contents(paths: list[str]) -> None:
    """Force files to the disk: one call for each file system with many, an fsync for the rest."""
    systems: dict[int, list[str]] = {}
    for path in paths:
        systems.setdefault(os.lstat(path).st_dev, []).append(path)
    for group in systems.values():
        descriptor = os.open(group[0], _TO_SYNC)
        try:
            if len(group) >= _SYNC_ALL and disk.sync_filesystem(descriptor):
                continue
        finally:
            os.close(descriptor)
        for path in group:
            _sync_path(path)


def _sync_path(path: str) -> None:
    descriptor = os.open(path, _TO_SYNC)
    try:
        disk.sync_file(descriptor)
    finally:
        os.close(descriptor)
