"""Hash what is in the cache, all of it or what a lock names, and mend it if asked. No network.

Each file that a snapshot names is compared with the hash its listing announces (or the one its blob
is named by, where no listing is kept), and with the digests that the caller gives, as a lock has
them. One content is read once, however many snapshots name it.

Looking changes nothing but the stamp of a bad content, so that nothing trusts it any more. Mending
sets bad contents aside, asks the caller to bring them again (``Repair``), and looks again.
"""

from __future__ import annotations

import contextlib
import enum
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubloader.cache import stamps
from hubloader.cache.failures import guard
from hubloader.cache.leases import Leases
from hubloader.cache.lookup import files_below
from hubloader.cache.planted import refuse_planted
from hubloader.cache.reading import names_in
from hubloader.cache.report import scan
from hubloader.cache.verify import hash_content, names_set_aside, set_aside
from hubloader.errors import CacheError, CacheReadOnly
from hubloader.names import is_commit
from hubloader.types import CommitHash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from hubloader.cache.content import Found
    from hubloader.cache.store import CacheStore
    from hubloader.types import Manifest, RepoId

    Repair = Callable[[Manifest, tuple[str, ...]], object]

__all__ = ["AuditReport", "Fault", "FaultKind", "audit_cache", "audit_manifest"]


class FaultKind(enum.Enum):
    """What is wrong with a file."""

    MISSING = "it is not there"
    DAMAGED = "its content is not what was announced"
    UNREADABLE = "it cannot be read"


@dataclass(frozen=True)
class Fault:
    """One bad file. ``expected`` and ``actual`` are hashes, or sizes in words; None if unknown."""

    kind: FaultKind
    repo: RepoId
    commit: str
    filename: str
    path: str
    expected: str | None
    actual: str | None


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    ``files`` and ``bytes`` are what was looked at; ``faults`` what is wrong now, ``repaired`` what
    was wrong and was mended; ``unknown`` are the paths of files of which nobody knows a hash.
    """

    files: int
    bytes: int
    faults: tuple[Fault, ...]
    unknown: tuple[str, ...] = ()
    repaired: tuple[Fault, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong now."""
        return not self.faults


def audit_cache(
    store: CacheStore,
    repos: Collection[RepoId] | None = None,
    *,
    commits: Collection[str] | None = None,
    repair: Repair | None = None,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Check every file that a snapshot names.

    Args:
        store: the cache.
        repos: only these repositories; None for all, in the writable cache and those behind it.
        commits: only these commits; None for all.
        repair: brings files of a commit again; called once for each commit with bad ones. May
            raise, which ends the audit.
        progress: told the number of bytes of each step.

    """
    audit = _Audit(store, repair, progress)
    # all names first: setting a content aside takes it out of every snapshot that names it
    wanted = [
        (manifest, _named(store, manifest))
        for repo, commit in (_all_commits(store) if repos is None else _commits_of(store, repos))
        if commits is None or commit in commits
        for manifest in _manifest(store, repo, commit)
    ]
    for manifest, filenames in wanted:
        with _kept(_snapshots(store, manifest)) as there:
            if there:
                audit.run(manifest, filenames)
    return audit.report()


def _all_commits(store: CacheStore) -> Iterator[tuple[RepoId, CommitHash]]:
    repos = [repo for root in store.roots for repo in scan(root).repos]
    commits = ((repo.repo, CommitHash(each.commit)) for repo in repos for each in repo.revisions)
    yield from dict.fromkeys(commits)  # a commit may be in several caches


def _commits_of(
    store: CacheStore, repos: Collection[RepoId]
) -> Iterator[tuple[RepoId, CommitHash]]:
    for repo in repos:
        names = {name for layer in store.layers(repo) for name in names_in(layer.snapshots)}
        yield from ((repo, CommitHash(name)) for name in sorted(names) if is_commit(name))


def _manifest(store: CacheStore, repo: RepoId, commit: CommitHash) -> tuple[Manifest, ...]:
    manifest = store.read_manifest(repo, commit, commit)
    return () if manifest is None else (manifest,)


def audit_manifest(
    store: CacheStore,
    manifest: Manifest,
    filenames: Collection[str] | None = None,
    *,
    digests: Mapping[str, str] | None = None,
    repair: Repair | None = None,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Check files of one commit, wherever the store finds them.

    Args:
        store: the cache, and those behind it.
        manifest: what the commit holds.
        filenames: what has to be there; None for all in ``digests``, or all that the snapshot
            names.
        digests: sha256 by file name, beside what the manifest announces.
        repair: brings files again; called once with all bad ones. May raise.
        progress: told the number of bytes of each step.

    """
    if filenames is None:
        filenames = _named(store, manifest) if digests is None else digests.keys()
    audit = _Audit(store, repair, progress)
    audit.run(manifest, sorted(filenames), digests or {})
    return audit.report()


@contextlib.contextmanager
def _kept(folders: Collection[str]) -> Iterator[bool]:
    """Keep a snapshot from being deleted while it is read; False if it is gone already."""
    leases = Leases()
    for folder in folders:
        leases.take(folder)
    try:
        yield any(os.path.isdir(folder) for folder in folders)
    finally:
        for folder in folders:
            leases.drop(folder)


def _snapshots(store: CacheStore, manifest: Manifest) -> list[str]:
    """Return the snapshot's folder in each cache."""
    return [layer.snapshot(manifest.commit) for layer in store.layers(manifest.repo)]


def _named(store: CacheStore, manifest: Manifest) -> list[str]:
    """Return the files that the snapshot names, and those that it did until they were bad."""
    names = {name for each in _snapshots(store, manifest) for name in files_below(each)}
    aside = names_set_aside(store.layout.repo(manifest.repo), manifest.commit)
    return sorted(names | (aside & manifest.entries.keys()))


@dataclass(frozen=True)
class _Content:
    """What a file was seen to hold; ``failure`` in words, if it could not be read."""

    etag: str = ""
    sha256: str = ""
    failure: str | None = None


@dataclass
class _Audit:
    """An audit under way."""

    store: CacheStore
    repair: Repair | None
    progress: Callable[[int], None] | None
    faults: list[Fault] = field(default_factory=list)
    repaired: list[Fault] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    _seen: dict[tuple[str, str, int, int], _Content] = field(default_factory=dict)

    def report(self) -> AuditReport:
        return AuditReport(
            self.files, self.bytes, tuple(self.faults), tuple(self.unknown), tuple(self.repaired)
        )

    def run(
        self, manifest: Manifest, filenames: Iterable[str], digests: Mapping[str, str] | None = None
    ) -> None:
        """Check one commit's files; mend what is bad if that was asked."""
        digests = digests or {}
        bad: list[Fault] = []
        for filename in filenames:
            self.files += 1
            fault = self._check(manifest, filename, digests.get(filename))
            if fault is not None:
                bad.append(fault)
        if bad and self.repair is not None:
            for fault in bad:
                self._set_aside(manifest, fault)
            self.repair(manifest, tuple(fault.filename for fault in bad))
            manifest = self._as_brought(manifest)
            for fault in bad:
                left = self._check(manifest, fault.filename, digests.get(fault.filename))
                if left is None:
                    self.repaired.append(fault)
                else:
                    self.faults.append(left)
        else:
            self.faults += bad

    def _as_brought(self, manifest: Manifest) -> Manifest:
        """Look anew at a commit without a listing: its sizes were those of the bad files."""
        if manifest.complete:
            return manifest
        commit = manifest.commit
        return self.store.read_manifest(manifest.repo, commit, commit) or manifest

    def _check(self, manifest: Manifest, filename: str, digest: str | None) -> Fault | None:
        entry = manifest.entries.get(filename)
        found = self.store.find(manifest, filename)
        etag = None if entry is None else entry.sha256 or entry.git_sha1
        if found is None or found.pointer is None:
            return self._absent(manifest, filename, digest or etag)
        if etag is None and digest is None:
            self.unknown.append(found.pointer)
            return None
        content = self._content(manifest, found, etag or digest or "")
        if content.failure is not None:
            return self._fault(
                FaultKind.UNREADABLE, manifest, filename, etag or digest, content.failure
            )
        for expected, actual in ((etag, content.etag), (digest, content.sha256)):
            if expected is not None and expected != actual:
                return self._fault(FaultKind.DAMAGED, manifest, filename, expected, actual)
        return None

    def _absent(self, manifest: Manifest, filename: str, expected: str | None) -> Fault | None:
        """Say why a file was not found under its name with its size."""
        pointer = str(self.store.pointer_path(manifest.repo, manifest.commit, filename))
        if filename not in manifest.entries and expected is None:
            if os.path.exists(pointer):  # beside the listing: nobody announced it
                self.unknown.append(pointer)
                return None
            return self._fault(FaultKind.MISSING, manifest, filename, None, None)
        if not os.path.isfile(pointer):
            return self._fault(FaultKind.MISSING, manifest, filename, expected, None)
        entry, size = manifest.entries.get(filename), os.stat(pointer).st_size
        if entry is not None and entry.size not in {None, size}:
            return self._fault(
                FaultKind.DAMAGED, manifest, filename, f"{entry.size} bytes", f"{size} bytes"
            )
        actual = f"a link to {os.path.realpath(pointer)}" if os.path.islink(pointer) else None
        return self._fault(FaultKind.DAMAGED, manifest, filename, expected, actual)

    def _fault(
        self,
        kind: FaultKind,
        manifest: Manifest,
        filename: str,
        expected: str | None,
        actual: str | None,
    ) -> Fault:
        path = self.store.pointer_path(manifest.repo, manifest.commit, filename)
        return Fault(kind, manifest.repo, manifest.commit, filename, str(path), expected, actual)

    def _content(self, manifest: Manifest, found: Found, etag: str) -> _Content:
        key = (etag, found.path, found.facts.st_size, found.facts.st_mtime_ns)
        content = self._seen.get(key)
        if content is None:
            content = self._seen[key] = self._hash(manifest, found, etag)
        return content

    def _hash(self, manifest: Manifest, found: Found, etag: str) -> _Content:
        home = self.store.layout.repo(manifest.repo)
        try:
            content = hash_content(found, etag, home, progress=self._count)
        except CacheError as error:
            return _Content(failure=error.message)
        if not content.matches:
            with contextlib.suppress(CacheReadOnly), guard(home.own):
                refuse_planted(home)
                stamps.forget(home.stamp(etag))
        return _Content(content.actual, content.sha256)

    def _count(self, size: int) -> None:
        self.bytes += size
        if self.progress is not None:
            self.progress(size)

    def _set_aside(self, manifest: Manifest, fault: Fault) -> None:
        """Take a bad content out of service; one in a base cache is not ours to move."""
        self._seen.clear()
        entry = manifest.entries.get(fault.filename)
        etag = None if entry is None else entry.sha256 or entry.git_sha1
        found = self.store.find(manifest, fault.filename)
        if etag is None or found is None:
            return  # there is nothing to move
        if fault.kind is FaultKind.MISSING:  # its content may be here yet, and may be the bad one
            self.store.verify_blob(manifest, fault.filename)
            return
        if found.layout.cache.root == self.store.layout.root:
            with guard(found.layout.folder):
                set_aside(found, etag)
