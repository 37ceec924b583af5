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

from hubloader.cache import disk, stamps, trees
from hubloader.cache.failures import check_writable, free_space, guard, is_absence
from hubloader.cache.layout import CacheLayout
from hubloader.cache.leases import LEASES, Use
from hubloader.cache.links import Linker
from hubloader.cache.lookup import Lookup, Verify, read_small
from hubloader.cache.ownership import Ownership
from hubloader.cache.publish import Durability, Publisher
from hubloader.cache.verify import hash_found, set_aside
from hubloader.errors import CacheMiss, CacheReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubloader.cache.layout import RepoLayout
    from hubloader.cache.links import LinkMode
    from hubloader.cache.lock import LockOutcome
    from hubloader.cache.lookup import Found
    from hubloader.cache.told import Told
    from hubloader.cache.writer import BlobWriter
    from hubloader.types import CommitHash, Entry, Manifest, OnDisk, RepoId

__all__ = ["CacheStore"]

_DAY = 24 * 3600.0  # seconds
_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by huggingface_hub.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)  # huggingface_hub's own words: either library may have made the cache


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
        self._publisher = Publisher(durability)
        self._linker = Linker(link_mode)
        self._guard = threading.Lock()  # guards the uses
        self._uses: dict[str, Use] = {}  # repositories that are downloaded to
        self._lock_folders: set[str] = set()  # made for locks, deleted again when nothing comes
        self._swept: set[str] = set()  # folders already rid of what dead processes left

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.layout.root!r})"

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
        pending = self._publisher.is_pending
        look = self._lookup.inspect
        return {name: look(manifest, name, pending=pending) for name in filenames}

    def find(self, manifest: Manifest, filename: str) -> Found | None:
        """Return where the content of a file is, with the right size; None if nowhere."""
        return self._lookup.find(manifest, filename)

    def path(self, manifest: Manifest, filename: str) -> Path:
        """Return the pointer of a file whose content is there, in whichever cache it is.

        Raises:
            CacheMiss: no cache has it, whole and under this commit.

        """
        found = self._lookup.find(manifest, filename)
        if found is None or found.pointer is None:
            raise _miss(manifest, filename)
        return Path(found.pointer)

    def pointer_path(self, repo: RepoId, commit: str, filename: str) -> Path:
        """Return where the snapshot names ``filename``: the first cache that has it, or the top.

        Nothing is checked but that something is there.
        """
        pointers = [layer.pointer(commit, filename) for layer in self._lookup.layers(repo)]
        return Path(next((p for p in pointers if os.path.exists(p)), pointers[0]))

    def snapshot_path(self, repo: RepoId, commit: str) -> Path:
        """Return the folder of the commit's pointers: the first cache that has one, or the top."""
        folders = [layer.snapshot(commit) for layer in self._lookup.layers(repo)]
        return Path(next((f for f in folders if os.path.isdir(f)), folders[0]))

    def digest(self, repo: RepoId, etag: str) -> str | None:
        """Return the sha256 of a content that was hashed here, None if it never was."""
        if len(etag) == 64:
            return etag
        found = (stamps.newest(layer.stamp(etag)) for layer in self._lookup.layers(repo))
        return next((stamp.sha256 for stamp in found if stamp is not None), None)

    def free_bytes(self) -> int | None:
        """Return the bytes that can still be written, None if the system does not tell."""
        return free_space(self.layout.root)[0]

    def free_inodes(self) -> int | None:
        """Return the files that can still be made, None if there is no limit."""
        return free_space(self.layout.root)[1]

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
        return etag is not None and self._publisher.is_pending(top.blob(etag))

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

    @contextlib.contextmanager
    def using(self, repo: RepoId, manifest: Manifest | None = None) -> Iterator[None]:
        """Keep deletions out of a repository while something is downloaded to it.

        Waits for a deletion that runs, at most 30 s. What was seen before may be gone: look again.
        Of a repository that is not in the cache nothing is left if nothing comes.

        Args:
            repo: the repository.
            manifest: its listing is kept before the first file is named, so that nobody takes a
                snapshot that is being made for a whole one.

        """
        folder = self.layout.repo(repo).folder
        with self._guard:
            use = self._uses.setdefault(folder, Use(self.layout.repo(repo)))
            use.count += 1
            use.manifest = use.manifest or manifest
        try:
            use.begin()
            yield
        finally:
            with self._guard:
                use.count -= 1
                if not use.count:
                    del self._uses[folder]
                    use.end()

    # changing

    def check_names(self, manifest: Manifest, filenames: Iterable[str]) -> None:
        """Refuse, before anything is fetched, names that this disk cannot hold: ``naming.py``.

        Raises:
            InvalidReference: two of them are one here, or a path is too long.

        """
        from hubloader.cache.naming import check_names  # first use: a warm load makes no name

        check_names(self.layout.repo(manifest.repo), manifest.commit, tuple(filenames))

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Gather small contents and sync once: see ``publish.py``.

        When this returns, everything committed and linked inside is named, and safe as far as
        ``durability`` says. After an exception too: what was verified is kept.

        Raises:
            DiskFull, CacheReadOnly, CacheError: the disk failed at the end.

        """
        with self._publisher.batch():
            yield

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
        from hubloader.cache.partial import sweep  # first use: a warm load writes nothing
        from hubloader.cache.writer import BlobWriter

        home = self.layout.repo(repo)
        check_writable(home.partials)
        if home.folder not in self._swept:
            self._swept.add(home.folder)
            with guard(home.own):
                sweep(home)
        return BlobWriter(
            home,
            entry.etag,
            entry.size,
            self._publisher,
            resume=resume,
            prepare=lambda: self._home(repo),
        )

    @contextlib.contextmanager
    def blob_lock(
        self,
        repo: RepoId,
        etag: str,
        *,
        stall: float = 30.0,
        limit: float | None = None,
        on_wait: Callable[[str, float], None] | None = None,
    ) -> Iterator[LockOutcome]:
        """Ask that nobody else downloads the same content meanwhile.

        What came of it is for looking again, not for trusting: see the table in ``lock.py``. The
        lock of a content that waits for its name in a batch is let go when it has it.

        Args:
            repo: the repository.
            etag: the content.
            stall: seconds without progress of the holder after which to go on without.
            limit: seconds in all after which to give up; None for no limit.
            on_wait: told who holds the lock and the seconds waited, once a second.

        Raises:
            LockTimeout: ``limit`` passed.

        """
        from hubloader.cache.lock import BlobLock  # first use: a warm load takes no lock

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

    def link(self, manifest: Manifest, filename: str) -> Path:
        """Let the snapshot name a file whose content is here; in a batch, once it has its name.

        Returns:
            The pointer's path in the writable cache.

        Raises:
            CacheMiss: the content is not here.
            DiskFull, CacheReadOnly, CacheError: the pointer could not be made.

        """
        layout = self.layout.repo(manifest.repo)
        pointer = layout.pointer(manifest.commit, filename)
        blob = self._blob_for(manifest, filename)
        if blob is not None:
            self._home(manifest.repo)

            def make() -> list[str]:
                with guard(pointer):
                    return self._linker.make(layout, blob, pointer)

            self._publisher.point(blob, make)
        return Path(pointer)

    def _blob_for(self, manifest: Manifest, filename: str) -> str | None:
        """Return the blob that the pointer has to name; None if the pointer holds the content."""
        entry = manifest.entries.get(filename)
        if entry is None:
            raise _miss(manifest, filename)
        etag = entry.sha256 or entry.git_sha1
        top = self.layout.repo(manifest.repo)
        if etag is not None and self._publisher.is_pending(top.blob(etag)):
            return top.blob(etag)
        found = self._lookup.find(manifest, filename)
        if found is None:
            raise _miss(manifest, filename)
        if found.path == found.pointer or etag is None:
            return None
        return found.layout.blob(etag)

    def write_manifest(self, manifest: Manifest) -> None:
        """Keep a listing; one that is not complete, or lacks sizes or hashes, is not kept.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        data = trees.format_tree(manifest.entries) if manifest.complete else None
        if data is None:
            return
        layout = self._lookup.layers(manifest.repo)[0]
        if trees.read_tree(layout, manifest.commit) == dict(manifest.entries):
            return
        with guard(layout.trees):
            home = self._home(manifest.repo)
            seal = (trees.seal(manifest.entries) + "\n").encode("ascii")
            self._write(home, home.tree(manifest.commit), data, durable=True)
            self._write(home, home.tree_digest(manifest.commit), seal, durable=True)

    def read_told(self, repo: RepoId, commit: str, endpoint: str) -> Told | None:
        """Return what an endpoint that lists nothing told of a commit's files, if it is kept."""
        from hubloader.cache.told import read_told  # first use: few endpoints list nothing

        found = (read_told(layer, commit, endpoint) for layer in self._lookup.layers(repo))
        return next((told for told in found if told is not None), None)

    def write_told(self, manifest: Manifest, endpoint: str) -> None:
        """Keep what an endpoint told file by file, added to what it told of the commit before.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        from hubloader.cache.told import Told, format_told

        before = self.read_told(manifest.repo, manifest.commit, endpoint)
        absent = dict.fromkeys(manifest.absent, time.time())
        told = Told(endpoint, manifest.entries, absent, manifest.complete)
        told = told if before is None else told.merged(before)
        if told == before:
            return
        path = self.layout.repo(manifest.repo).told(manifest.commit)
        with guard(path):
            self._write(self._home(manifest.repo), path, format_told(told))

    def mark_absent(self, manifest: Manifest, filenames: Iterable[str]) -> None:
        """Keep, for huggingface_hub and transformers, that a commit has not got these files.

        Only what the manifest proves is kept: one wrong answer must not hide a file for ever.

        Raises:
            DiskFull, CacheReadOnly, CacheError: a mark could not be made.

        """
        layout = self.layout.repo(manifest.repo)
        for filename in filenames:
            proven = manifest.complete or filename in manifest.absent
            mark = layout.absent_mark(manifest.commit, filename)
            if proven and filename not in manifest.entries and not os.path.isfile(mark):
                with guard(mark):
                    self._home(manifest.repo)
                    disk.make_folders(os.path.dirname(mark))
                    disk.append(mark, b"")

    def set_ref(self, repo: RepoId, revision: str, commit: CommitHash) -> None:
        """Say that ``revision`` is ``commit``; the last step, when the commit's files are there.

        Everything gathered in the batch is made safe and named first.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        self._publisher.flush()
        if revision == commit or self.read_ref(repo, revision) == commit:
            return
        layout = self.layout.repo(repo)
        with guard(layout.refs):
            home = self._home(repo)
            snapshot = home.snapshot(commit)
            self._publisher.changed(disk.make_folders(snapshot))
            self._write(home, home.ref(revision), commit.encode("ascii"), durable=True)
        self.confirm_ref(repo, revision)

    def confirm_ref(self, repo: RepoId, revision: str) -> None:
        """Note that the Hub just said where ``revision`` is; silently not on a read-only cache."""
        commit = self.read_ref(repo, revision)
        home = self.layout.repo(repo)
        if commit is None or not os.path.isdir(home.folder):
            return
        with contextlib.suppress(CacheReadOnly), guard(home.own):
            self._write(home, home.confirmed(revision), commit.encode("ascii"), loose=True)

    def remember_alias(self, repo: RepoId, canonical: RepoId) -> None:
        """Keep that the Hub calls ``repo`` by another name, for finding either offline.

        Raises:
            DiskFull, CacheReadOnly, CacheError: it could not be written.

        """
        path, data = self.layout.alias(repo), str(canonical).encode("ascii")
        if read_small(path) == str(canonical):
            return
        with guard(path):
            self._prepare_root()
            disk.write_atomically(path, data, tmp=self.layout.tmp)

    def mark_used(self, repo: RepoId, commit: str) -> None:
        """Note, once a day, that a commit was loaded; silently not on a read-only cache."""
        home = self.layout.repo(repo)
        path = home.used(commit)
        try:
            recent = abs(time.time() - os.lstat(path).st_mtime) < _DAY
        except OSError as error:
            if not is_absence(error):
                raise
            recent = False
        if recent or not os.path.isdir(home.snapshot(commit)):
            return
        with contextlib.suppress(CacheReadOnly), guard(path):
            self._write(home, path, b"", loose=True)

    def read_kept(self, repo: RepoId, name: str) -> bytes | None:
        """Return what was worked out and kept as ``name``, if it is there and whole."""
        from hubloader.cache import kept  # first use: most loads work nothing out

        found = (kept.read(layer, name) for layer in self._lookup.layers(repo))
        return next((content for content in found if content is not None), None)

    def keep(self, repo: RepoId, name: str, content: bytes) -> None:
        """Keep what was worked out from a repository's files; silently not on a read-only cache."""
        from hubloader.cache import kept

        kept.keep(self.layout.repo(repo), name, content)

    def _write(
        self,
        home: RepoLayout,
        path: str,
        data: bytes,
        *,
        durable: bool = False,
        loose: bool = False,
    ) -> None:
        """Write a small file; ``durable`` before its name, ``loose`` if it may be lost again."""
        durable = durable and self._publisher.durability != "none"
        changed = disk.write_atomically(path, data, tmp=home.tmp, durable=durable)
        if not loose:
            self._publisher.changed(changed)

    def _home(self, repo: RepoId) -> RepoLayout:
        """Return the repository's paths, with its folder made as huggingface_hub expects it."""
        layout = self.layout.repo(repo)
        with guard(layout.folder):
            use = self._uses.get(layout.folder)
            if use is not None:
                use.begin()
            if not os.path.isdir(layout.snapshots):
                self._prepare_root()
                tmp = self.layout.tmp
                self._publisher.changed(disk.make_nested(layout.folder, layout.snapshots, tmp=tmp))
        if use is not None and use.manifest is not None:
            listing = use.manifest
            use.announce(lambda: self.write_manifest(listing))
        return layout

    def _prepare_root(self) -> None:
        disk.make_folders(self.layout.root)
        if not os.path.lexists(self.layout.tag):
            disk.append(self.layout.tag, _TAG)


def _miss(manifest: Manifest, filename: str) -> CacheMiss:
    return CacheMiss(
        f"the content of {filename!r} is not in the cache",
        missing=(filename,),
        repo_id=str(manifest.repo),
        revision=manifest.revision,
        filename=filename,
    )
