"""``CacheStore``: everything the rest of hubloader does with the disk.

Looking (``inspect``, ``read_*``, ``known_commit``, …) writes nothing and works on a read-only file
system. Changing (``writer``, ``link``, ``set_ref``, …) raises CacheReadOnly there, DiskFull where
there is no room, and CacheError for the rest; the table is in ``failures.py``.

The order of a download, which keeps every promise whatever is killed or unplugged on the way::

    with store.batch():
        for each file:
            with store.blob_lock(repo, etag) as outcome:
                look again: store.inspect(...)
                with store.writer(repo, entry) as writer:
                    writer.write(...)
                    writer.commit()
                store.link(manifest, filename)
        store.write_manifest(manifest)
        store.set_ref(repo, revision, commit)          # last
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.cache import stamps
from hubloader.cache.failures import check_room, free_space, guard, is_absence
from hubloader.cache.layout import CacheLayout
from hubloader.cache.leases import LEASES
from hubloader.cache.lookup import Lookup, Verify, not_cached
from hubloader.cache.ownership import Ownership
from hubloader.errors import CacheReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from hubloader.cache.asking import Question
    from hubloader.cache.changes import Changes
    from hubloader.cache.content import Found, Marks
    from hubloader.cache.layout import RepoLayout
    from hubloader.cache.links import LinkMode
    from hubloader.cache.lock import LockOutcome
    from hubloader.cache.publish import Durability
    from hubloader.cache.told import Told
    from hubloader.cache.writer import BlobWriter
    from hubloader.types import CommitHash, Entry, Manifest, OnDisk, RepoId

__all__ = ["CacheStore"]

_DAY = 24 * 3600.0  # seconds


class CacheStore:
    """One writable cache, and read-only ones behind it.

    Args:
        root: the Hub cache; made when something is first written.
        base_caches: caches to look into when the first has not got it; never written.
        durability: when the disk is asked to keep what it was given (``publish.py``).
        verify: ``size`` trusts a content once hashed while its stamp stays; ``always`` trusts none.
        link_mode: how a snapshot names a blob (``links.py``).
        shared: whose files are believed (``ownership.py``).

    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        base_caches: Iterable[str | os.PathLike[str]] = (),
        durability: Durability = "batch",
        verify: Verify = "size",
        link_mode: LinkMode = "auto",
        shared: str = "off",
    ) -> None:
        self.layout = CacheLayout(root)
        caches = (self.layout, *(CacheLayout(base) for base in base_caches))
        self._lookup = Lookup(caches, verify, Ownership(shared))
        self._durability: Durability = durability
        self._link_mode: LinkMode = link_mode
        self._guard = threading.Lock()  # guards the making of what changes the cache
        self._made: Changes | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.layout.root!r})"

    def after_fork(self) -> None:
        """Begin anew in a forked child: what other threads had under way is the parent's."""
        self._guard = threading.Lock()
        self._made = None

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of the writable cache, and of those behind it."""
        return self._lookup.roots

    @property
    def _changes(self) -> Changes:
        """What changes the cache, made at the first change."""
        with self._guard:
            if self._made is None:
                from hubloader.cache.changes import Changes  # first use: a warm load has none

                self._made = Changes(self._lookup, self._durability, self._link_mode)
            return self._made

    def _is_waiting(self, blob: str) -> bool:
        """Whether a content is here and right, and only waits for its name."""
        return self._made is not None and self._made.is_pending(blob)

    # looking

    def read_ref(self, repo: RepoId, revision: str) -> CommitHash | None:
        """Return the commit that ``revision`` last was, None if the cache does not know."""
        return self._lookup.read_ref(repo, revision)

    def known_commit(self, repo: RepoId, revision: str) -> CommitHash | None:
        """Return the commit of a branch, tag, full commit or short commit that the cache knows."""
        return self._lookup.known_commit(repo, revision)

    def canonical(self, repo: RepoId, *, guess: bool = True) -> RepoId:
        """Return the name under which the cache has ``repo``; ``repo`` itself if it has not.

        Finds a renamed repository under its other name; with ``guess``, a one-part name under the
        one repository of that name, which may be another namespace's than the Hub would say.
        """
        return self._lookup.canonical(repo, guess=guess)

    def ref_age(self, repo: RepoId, revision: str) -> float | None:
        """Return the seconds since the Hub said where ``revision`` is; None if unknown."""
        commit = self.read_ref(repo, revision)
        path = self.layout.repo(repo).confirmed(revision)
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                said = file.read(64).strip()
                age = time.time() - os.fstat(file.fileno()).st_mtime
        except OSError as error:
            if is_absence(error):
                return None
            raise
        return age if said == commit and age >= 0 else None  # a future time is a wrong clock

    def read_manifest(self, repo: RepoId, revision: str, commit: CommitHash) -> Manifest | None:
        """Return what the cache knows of a commit's files.

        The kept listing, with ``complete`` set; else what the snapshot and the absence marks show,
        with ``complete`` unset; None if there is nothing.
        """
        return self._lookup.read_manifest(repo, revision, commit)

    def is_absent(self, repo: RepoId, commit: str, filename: str) -> bool:
        """Whether the commit is known not to have ``filename``."""
        return self._lookup.is_absent(repo, commit, filename)

    def inspect(self, manifest: Manifest, filenames: Iterable[str]) -> dict[str, OnDisk]:
        """Return what the disk holds of each file; stats and stamps only, no content is read."""
        look = self._lookup.inspect
        return {name: look(manifest, name, pending=self._is_waiting) for name in filenames}

    def find(self, manifest: Manifest, filename: str) -> Found | None:
        """Return where the content of a file is, with the right size; None if nowhere."""
        return self._lookup.find(manifest, filename)

    def marks(self, manifest: Manifest, filenames: Iterable[str]) -> Marks | None:
        """Return by what to know at one look that files are as ``inspect`` saw them.

        None where a file was not found and trusted, or a look cannot tell.
        """
        return self._lookup.marks(manifest, filenames)

    def path(self, manifest: Manifest, filename: str) -> Path:
        """Return the pointer of a file whose content is there, in whichever cache it is.

        Raises:
            CacheMiss: no cache has it, whole and under this commit.

        """
        found = self._lookup.find(manifest, filename)
        if found is None or found.pointer is None:
            raise not_cached(manifest, filename)
        return Path(found.pointer)

    def pointer_path(self, repo: RepoId, commit: str, filename: str) -> Path:
        """Return where the snapshot names ``filename``: the first cache that has it, or the top.

        Nothing is checked but that something is there.
        """
        pointers = [layer.pointer(commit, filename) for layer in self._lookup.layers(repo)]
        behind = len(pointers) > 1  # else there is nothing to choose from
        found = next((p for p in pointers if os.path.exists(p)), None) if behind else None
        return Path(found or pointers[0])

    def layers(self, repo: RepoId) -> tuple[RepoLayout, ...]:
        """Return the repository's paths in the writable cache, and in those behind it."""
        return self._lookup.layers(repo)

    def snapshot_path(self, repo: RepoId, commit: str) -> Path:
        """Return the folder of the commit's pointers: the first cache that has one, or the top."""
        folders = [layer.snapshot(commit) for layer in self._lookup.layers(repo)]
        behind = len(folders) > 1  # else there is nothing to choose from
        found = next((f for f in folders if os.path.isdir(f)), None) if behind else None
        return Path(found or folders[0])

    def digest(self, repo: RepoId, etag: str) -> str | None:
        """Return the sha256 of a content that was hashed here, None if it never was."""
        if len(etag) == 64:
            return etag
        found = (stamps.newest(layer.stamp(etag)) for layer in self._lookup.layers(repo))
        return next((stamp.sha256 for stamp in found if stamp is not None), None)

    def free_bytes(self) -> int | None:
        """Return the bytes that can still be written, None if the system does not tell."""
        return free_space(self.layout.root)[0]

    def check_room(self, needed: int, files: int, what: str = "") -> None:
        """Refuse, before the first byte, a download for which there is no room.

        Args:
            needed: bytes that are to come.
            files: how many contents they are.
            what: of what, for the message: `` for 3 models``.

        Raises:
            DiskFull: too few bytes, or too few inodes, are free.

        """
        check_room(self.layout.root, needed=needed, files=files, what=what)

    # trusting

    def verify_blob(
        self,
        manifest: Manifest,
        filename: str,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """Hash a file's content: remember it as good, or set it aside.

        A bad content goes to ``.hubloader/quarantine`` with every pointer to it taken away, and is
        to be fetched again; where the cache cannot be written it stays and is not used.

        Args:
            manifest: says what it should be.
            filename: in the repository.
            progress: told the number of bytes of each step.

        Returns:
            Whether the content is there and right; without a known hash, its size decides.

        """
        found = self._lookup.find(manifest, filename)
        entry = manifest.entries.get(filename)
        if found is None or entry is None:
            return self._is_pending(manifest, filename)
        etag = entry.sha256 or entry.git_sha1
        if etag is None:
            return True
        from hubloader.cache.verify import hash_found, set_aside  # first use: most are trusted

        if hash_found(found, etag, self.layout.repo(manifest.repo), progress=progress):
            return True
        if found.layout.cache.root == self.layout.root:  # a base cache is not ours to change
            with contextlib.suppress(CacheReadOnly), guard(found.layout.folder):
                set_aside(found, etag)
        return False

    def _is_pending(self, manifest: Manifest, filename: str) -> bool:
        entry = manifest.entries.get(filename)
        etag = None if entry is None else entry.sha256 or entry.git_sha1
        top = self.layout.repo(manifest.repo)
        return etag is not None and self._is_waiting(top.blob(etag))

    # asking

    def question(self, repo: RepoId, revision: str, asker: str) -> Question:
        """Have one process at a time ask what a revision holds, and the others told: asking.py.

        Args:
            repo: the repository.
            revision: the revision.
            asker: a digest of all that the answer may depend on: endpoint, token, headers.

        """
        from hubloader.cache.asking import Question  # first use: a listing is asked for

        return Question(self.layout.ask(repo, revision), asker, repo, revision)

    # keeping others from deleting

    def lease(self, repo: RepoId, commit: str) -> bool:
        """Keep a commit's files where they are, from now until this process ends.

        Writes nothing. Whoever returns a path takes a lease first, and looks again after it.

        Returns:
            Whether some cache has the commit, and it is ours to use; False where there are no
            locks.

        """
        held = False
        for layer in self._lookup.layers(repo):  # each: its files may come from several caches
            held |= LEASES.take(layer.snapshot(commit))
        return held

    def using(self, repo: RepoId, manifest: Manifest | None = None) -> AbstractContextManager[None]:
        """Keep deletions out of a repository while something is downloaded to it.

        Waits for a deletion that runs, at most 30 s. What was seen before may be gone: look again.
        Of a repository that is not in the cache nothing is left if nothing comes.

        Args:
            repo: the repository.
            manifest: its listing is kept before the first file is named, so that nobody takes a
                snapshot that is being made for a whole one.

        """
        return self._changes.using(repo, manifest)

    # changing

    def check_names(self, manifest: Manifest, filenames: Iterable[str]) -> None:
        """Refuse, before anything is fetched, names that this disk cannot hold: ``naming.py``.

        Raises:
            InvalidReference: two of them are one here, or a path is too long.

        """
        from hubloader.cache.naming import check_names  # first use: a warm load makes no name

        check_names(self.layout.repo(manifest.repo), manifest.commit, tuple(filenames))

    def batch(self) -> AbstractContextManager[None]:
        """Gather small contents and sync once: see ``publish.py``.

        When this returns, everything committed and linked inside is named, and safe as far as
        ``durability`` says. After an exception too: what was verified is kept.

        Raises:
            DiskFull, CacheReadOnly, CacheError: the disk failed at the end.

        """
        return self._changes.batch()

    def name_old(self, seconds: float) -> None:
        """Name what a batch gathered so far, if any of it waits since ``seconds``.

        For a batch that goes on: other processes wait for what has no name yet.

        Raises:
            DiskFull, CacheReadOnly, CacheError: the disk failed.

        """
        self._changes.name_old(seconds)

    def writer(self, repo: RepoId, entry: Entry, *, resume: bool = True) -> BlobWriter:
        """Begin, or go on with, the download of a content.

        Args:
            repo: the repository it belongs to.
            entry: its announced size and hash.
            resume: go on with what an earlier download left.

        Raises:
            InvalidReference: the entry has no hash, so the content can have no name.
            DiskFull, CacheReadOnly, CacheError: the cache cannot be written.

        """
        return self._changes.writer(repo, entry, resume=resume)

    def blob_lock(
        self,
        repo: RepoId,
        etag: str,
        *,
        stall: float = 30.0,
        limit: float | None = None,
        on_wait: Callable[[str, float, int], None] | None = None,
    ) -> AbstractContextManager[LockOutcome]:
        """Ask that nobody else downloads the same content meanwhile.

        What came of it is for looking again, not for trusting: see the table in ``lock.py``. The
        lock of a content that waits for its name in a batch is let go when it has it.

        Args:
            repo: the repository.
            etag: the content.
            stall: seconds without progress of the holder after which to go on without.
            limit: seconds in all after which to give up; None for no limit.
            on_wait: told once a second who holds the lock, the seconds waited, and how many bytes
                of the content have come.

        Raises:
            LockTimeout: ``limit`` passed.

        """
        return self._changes.blob_lock(repo, etag, stall=stall, limit=limit, on_wait=on_wait)

    def link(self, manifest: Manifest, filename: str) -> Path:
        """Let the snapshot name a file whose content is here; in a batch, once it has its name.

        Returns:
            The pointer's path in the writable cache.

        Raises:
            CacheMiss: the content is not here.
            DiskFull, CacheReadOnly, CacheError: the pointer could not be made.

        """
        return Path(self._changes.link(manifest, filename))

    def write_manifest(self, manifest: Manifest) -> None:
        """Keep a listing; one that is not complete, or lacks sizes or hashes, is not kept.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        self._changes.write_manifest(manifest)

    def read_told(self, repo: RepoId, commit: str, endpoint: str) -> Told | None:
        """Return what an endpoint that lists nothing told of a commit's files, if it is kept."""
        return self._lookup.read_told(repo, commit, endpoint)

    def write_told(self, manifest: Manifest, endpoint: str) -> None:
        """Keep what an endpoint told file by file, added to what it told of the commit before.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        self._changes.write_told(manifest, endpoint)

    def mark_absent(self, manifest: Manifest, filenames: Iterable[str]) -> None:
        """Keep, for huggingface_hub and transformers, that a commit has not got these files.

        Only what the manifest proves is kept: one wrong answer must not hide a file for ever.

        Raises:
            DiskFull, CacheReadOnly, CacheError: a mark could not be made.

        """
        self._changes.mark_absent(manifest, filenames)

    def set_ref(self, repo: RepoId, revision: str, commit: CommitHash) -> None:
        """Say that ``revision`` is ``commit``; the last step, when the commit's files are there.

        Everything gathered in the batch is made safe and named first.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        self._changes.set_ref(repo, revision, commit)

    def confirm_ref(self, repo: RepoId, revision: str) -> None:
        """Note that the Hub just said where ``revision`` is; silently not where it cannot be."""
        self._changes.confirm_ref(repo, revision)

    def remember_alias(self, repo: RepoId, canonical: RepoId) -> None:
        """Keep that the Hub calls ``repo`` by another name, for finding either offline.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        self._changes.remember_alias(repo, canonical)

    def mark_used(self, repo: RepoId, commit: str) -> None:
        """Note, once a day, that a commit was loaded; silently not where it cannot be."""
        try:
            age = time.time() - os.lstat(self._lookup.layers(repo)[0].used(commit)).st_mtime
        except OSError as error:
            if not is_absence(error):
                raise
            age = _DAY
        if abs(age) >= _DAY:
            self._changes.mark_used(repo, commit)

    def read_kept(self, repo: RepoId, name: str) -> bytes | None:
        """Return what was worked out and kept as ``name``, if it is there and whole."""
        from hubloader.cache import kept  # first use: most loads work nothing out

        found = (kept.read(layer, name) for layer in self._lookup.layers(repo))
        return next((content for content in found if content is not None), None)

    def keep(self, repo: RepoId, name: str, content: bytes) -> None:
        """Keep what was worked out from a repository's files; silently not on a read-only cache."""
        self._changes.keep(repo, name, content)
