"""What changes the cache: ``CacheStore`` has the words for each, and makes this when it must.

Apart, so that a load that changes nothing imports nothing of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from hubloader import notices
from hubloader.cache import disk, kept, trees
from hubloader.cache.failures import check_writable, guard
from hubloader.cache.home import make_home, make_root
from hubloader.cache.links import Linker
from hubloader.cache.lock import BlobLock
from hubloader.cache.lookup import not_cached
from hubloader.cache.planted import refuse_links, refuse_planted
from hubloader.cache.publish import Publisher
from hubloader.cache.reading import read_small
from hubloader.cache.repo_lock import Use
from hubloader.cache.sweep import sweep
from hubloader.cache.told import Told, format_told
from hubloader.cache.writer import BlobWriter
from hubloader.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from hubloader.cache.layout import RepoLayout
    from hubloader.cache.links import LinkMode
    from hubloader.cache.lock import LockOutcome
    from hubloader.cache.lookup import Lookup
    from hubloader.cache.publish import Durability
    from hubloader.types import CommitHash, Entry, Manifest, RepoId

__all__ = ["Changes"]

_OWN_REFS = "hubloader"  # refs below it are given here, not by the Hub


class Changes:
    """Changes to the first of a store's caches.

    Args:
        lookup: looks into it, and those behind it.
        durability: when the disk is asked to keep what it was given.
        link_mode: how a snapshot names a blob.

    """

    def __init__(self, lookup: Lookup, durability: Durability, link_mode: LinkMode) -> None:
        self.layout = lookup.top
        self._lookup = lookup
        self._publisher = Publisher(durability)
        self._linker = Linker(link_mode)
        self._guard = threading.Lock()  # guards the uses
        self._uses: dict[str, Use] = {}  # repositories that are downloaded to
        self._lock_folders: set[str] = set()  # made for locks, deleted again when nothing comes
        self._swept: set[str] = set()  # folders already rid of what dead processes left

    def is_pending(self, blob: str) -> bool:
        """Whether the content that will be named ``blob`` is here and right, without its name."""
        return self._publisher.is_pending(blob)

    @contextlib.contextmanager
    def using(self, repo: RepoId, manifest: Manifest | None = None) -> Iterator[None]:
        """Keep deletions out meanwhile."""
        folder = self.layout.repo(repo).folder
        refuse_planted(self.layout.repo(repo))
        with self._guard:
            use = self._uses.setdefault(folder, Use(self.layout.repo(repo)))
            use.count += 1
            use.manifest = use.manifest or manifest
        try:
            use.begin()
            # also where only names are missing: a kill may have come just before them
            self._sweep_once(self.layout.repo(repo))
            yield
        finally:
            with self._guard:
                use.count -= 1
                if not use.count:
                    del self._uses[folder]
                    use.end()

    def batch(self) -> AbstractContextManager[None]:
        """Gather small contents and sync once."""
        return self._publisher.batch()

    def name_old(self, seconds: float) -> None:
        """Name what was gathered in a batch, if any of it waits since ``seconds``."""
        self._publisher.flush_old(seconds)

    def writer(self, repo: RepoId, entry: Entry, *, resume: bool = True) -> BlobWriter:
        """Begin, or go on with, the download of a content."""
        home = self.layout.repo(repo)
        check_writable(home.partials)
        refuse_planted(home)
        self._sweep_once(home)
        return BlobWriter(
            home,
            entry.etag,
            entry.size,
            self._publisher,
            resume=resume,
            prepare=lambda: self._home(repo),
        )

    def _sweep_once(self, home: RepoLayout) -> None:
        if home.folder in self._swept or not os.access(home.folder, os.W_OK):
            return
        self._swept.add(home.folder)
        with guard(home.own):
            sweep(home)

    @contextlib.contextmanager
    def blob_lock(
        self,
        repo: RepoId,
        etag: str,
        *,
        stall: float = 30.0,
        limit: float | None = None,
        on_wait: Callable[[str, float, int], None] | None = None,
    ) -> Iterator[LockOutcome]:
        """Ask that nobody else downloads the same content meanwhile."""
        layout = self.layout.repo(repo)
        blob = layout.blob(etag)

        def ready() -> bool:
            return self._publisher.is_pending(blob)

        lock = BlobLock(layout, etag, ready=ready, made=self._lock_folders)
        with guard(self.layout.locks):
            outcome = lock.acquire(stall=stall, limit=limit, on_wait=on_wait)
        try:
            yield outcome
        finally:
            if not self._publisher.release_later(blob, lock.release):
                lock.release(forget=not os.path.isdir(layout.folder))

    def link(self, manifest: Manifest, filename: str) -> str:
        """Let the snapshot name a file whose content is here."""
        layout = self.layout.repo(manifest.repo)
        pointer = layout.pointer(manifest.commit, filename)
        blob = self._blob_for(manifest, filename)
        if blob is not None:
            self._home(manifest.repo)

            def make() -> list[str]:
                with guard(pointer):
                    return self._linker.make(layout, blob, pointer)

            self._publisher.point(blob, make)
        return pointer

    def _blob_for(self, manifest: Manifest, filename: str) -> str | None:
        """Return the blob that the pointer has to name; None if the pointer holds the content."""
        entry = manifest.entries.get(filename)
        if entry is None:
            raise not_cached(manifest, filename)
        etag = entry.sha256 or entry.git_sha1
        top = self.layout.repo(manifest.repo)
        if etag is not None and self._publisher.is_pending(top.blob(etag)):
            return top.blob(etag)
        found = self._lookup.find(manifest, filename)
        if found is None:
            raise not_cached(manifest, filename)
        if found.path == found.pointer or etag is None:
            return None
        return found.layout.blob(etag)

    def write_manifest(self, manifest: Manifest) -> None:
        """Keep a listing."""
        data = trees.format_tree(manifest.entries) if manifest.complete else None
        if data is None:
            return
        layout = self._lookup.layers(manifest.repo)[0]
        if trees.is_kept(layout, manifest.commit, manifest.entries, data):
            return
        with guard(layout.trees):
            home = self._home(manifest.repo)
            now = time.time_ns()
            seal = trees.format_seal(manifest.entries, len(data), now)
            # the seal first: a listing of ours is never without one
            self._write(home, home.tree_digest(manifest.commit), seal, durable=True)
            self._write(home, home.tree(manifest.commit), data, durable=True, mtime_ns=now)

    def write_told(self, manifest: Manifest, endpoint: str) -> None:
        """Keep what an endpoint told file by file."""
        before = self._lookup.read_told(manifest.repo, manifest.commit, endpoint)
        absent = dict.fromkeys(manifest.absent, time.time())
        now = Told(endpoint, manifest.entries, absent, manifest.complete)
        now = now if before is None else now.merged(before)
        if now == before:
            return
        path = self.layout.repo(manifest.repo).told(manifest.commit)
        with guard(path):
            self._write(self._home(manifest.repo), path, format_told(now))

    def mark_absent(self, manifest: Manifest, filenames: Iterable[str]) -> None:
        """Keep that a commit has not got these files."""
        layout = self.layout.repo(manifest.repo)
        for filename in filenames:
            proven = manifest.complete or filename in manifest.absent
            mark = layout.absent_mark(manifest.commit, filename)
            if proven and filename not in manifest.entries and not os.path.isfile(mark):
                with guard(mark):
                    self._home(manifest.repo)
                    refuse_links(layout, mark)
                    disk.make_folders(os.path.dirname(mark))
                    disk.append(mark, b"")

    def set_ref(self, repo: RepoId, revision: str, commit: CommitHash) -> None:
        """Say that ``revision`` is ``commit``."""
        self._publisher.flush()
        if revision == commit or self._lookup.read_ref(repo, revision) == commit:
            return
        layout = self.layout.repo(repo)
        with guard(layout.refs):
            home = self._home(repo)
            snapshot = home.snapshot(commit)
            self._publisher.changed(disk.make_folders(snapshot))
            refuse_links(home, home.ref(revision))
            _clear_way(home, revision)
            if os.path.isdir(home.ref(revision)):
                notices.warn(
                    f"{repo} has a branch {revision!r}, which the cache cannot keep by that name: "
                    f"refs/{revision}/ is where it keeps what locks name; offline, give its commit"
                )
                return
            self._write(home, home.ref(revision), commit.encode("ascii"), durable=True)
        self.confirm_ref(repo, revision)

    def confirm_ref(self, repo: RepoId, revision: str) -> None:
        """Note that the Hub just said where ``revision`` is; as ``mark_used``, if it can be."""
        commit = self._lookup.read_ref(repo, revision)
        home = self.layout.repo(repo)
        if commit is None or not os.path.isdir(home.folder):
            return
        with contextlib.suppress(CacheError), guard(home.own):
            self._write(home, home.confirmed(revision), commit.encode("ascii"), loose=True)

    def remember_alias(self, repo: RepoId, canonical: RepoId) -> None:
        """Keep that the Hub calls ``repo`` by another name."""
        path, data = self.layout.alias(repo), str(canonical).encode("ascii")
        if read_small(path) == str(canonical):
            return
        with guard(path):
            make_root(self.layout)
            disk.write_atomically(path, data, tmp=self.layout.tmp)

    def mark_used(self, repo: RepoId, commit: str) -> None:
        """Note that a commit was loaded; no load fails for it, whatever the disk says."""
        home = self.layout.repo(repo)
        if os.path.isdir(home.snapshot(commit)):
            with contextlib.suppress(CacheError), guard(home.own):
                self._write(home, home.used(commit), b"", loose=True)

    def keep(self, repo: RepoId, name: str, content: bytes) -> None:
        """Keep what was worked out from a repository's files."""
        kept.keep(self.layout.repo(repo), name, content)

    def _write(
        self,
        home: RepoLayout,
        path: str,
        data: bytes,
        *,
        durable: bool = False,
        loose: bool = False,
        mtime_ns: int | None = None,
    ) -> None:
        """Write a small file; ``durable`` before its name, ``loose`` if it may be lost again."""
        refuse_links(home, path)
        durable = durable and self._publisher.durability != "none"
        changed = disk.write_atomically(
            path, data, tmp=home.tmp, durable=durable, mtime_ns=mtime_ns
        )
        if not loose:
            self._publisher.changed(changed)

    def _home(self, repo: RepoId) -> RepoLayout:
        """Return the repository's paths, with its folder made as huggingface_hub expects it."""
        layout = self.layout.repo(repo)
        with guard(layout.folder):
            use = self._uses.get(layout.folder)
            if use is None:
                refuse_planted(layout)  # else it was, when the use began, and for each writer
            else:
                use.begin()
            if not os.path.isdir(layout.snapshots):
                self._publisher.changed(make_home(layout))
        if use is not None and use.manifest is not None:
            listing = use.manifest
            use.announce(lambda: self.write_manifest(listing))
        return layout


def _clear_way(layout: RepoLayout, revision: str) -> None:
    """Take away refs that cannot be beside ``revision``'s, as git would not have both either.

    ``feature`` and ``feature/x`` are a file and a folder of one name: where the Hub has the one
    now, the other, of an earlier day, is gone there. What it named stays, as a revision without a
    ref; names that hubloader itself gave stay.
    """
    parts = layout.revision_of(layout.ref(revision)).split("/")
    for end in range(1, len(parts)):
        above = os.path.join(layout.refs, *parts[:end])
        if os.path.lexists(above) and not os.path.isdir(above):
            disk.remove(above)
    below = layout.ref(revision)
    if os.path.isdir(below) and parts[0] != _OWN_REFS:
        disk.make_folders(layout.quarantine)
        disk.rename(below, os.path.join(layout.quarantine, f"refs.{disk.random_name()}"))
