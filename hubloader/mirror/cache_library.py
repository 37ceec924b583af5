"""The Hub cache of this machine as a library: what was fetched once is served to others.

Commits are the Hub's own, so a client's cache stays true when it asks the Hub itself later. For the
same reason a commit is listed as the Hub listed it, also where some of its files were never
fetched: asking for one of those is an error that says so, and no claim that there is no such file.

A content is hashed before it is first served, unless the cache knows it to be good.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.errors import RepositoryNotFound, RevisionNotFound
from hubloader.mirror.config import MirrorConfig
from hubloader.mirror.git_objects import git_blob_id, lfs_pointer
from hubloader.mirror.library import short_ref
from hubloader.mirror.snapshot import ServedFile, Snapshot, Stamp, folders_of, served, stamp_of
from hubloader.types import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.cache.store import CacheStore
    from hubloader.types import CommitHash, Manifest, RepoId

__all__ = ["CacheLibrary"]

_OWN_REFS = "hubloader/"
_CONFIG = MirrorConfig()


class CacheLibrary:
    """The repositories in a cache. Safe to use from several threads; nothing is written."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._snapshots: dict[tuple[RepoId, CommitHash], Snapshot] = {}
        self._by_digest: dict[str, ServedFile] = {}

    @property
    def root(self) -> Path:
        """The cache's folder."""
        return Path(self._store.layout.root)

    def config(self) -> MirrorConfig:
        """What is special: nothing. Everybody who reaches it reads all that is cached."""
        return _CONFIG

    def canonical(self, repo: RepoId) -> RepoId:
        """The name under which the cache has the repository."""
        return self._store.canonical(repo)

    def revisions(self, repo: RepoId) -> dict[str, str]:
        """The commit of each branch and tag that the cache knows, ``main`` first."""
        refs = Path(self._store.layout.repo(repo).refs)
        names = sorted(
            (path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file()),
            key=lambda name: (name != "main", name),
        )
        found = {
            name: self._store.read_ref(repo, name)
            for name in names
            if not name.startswith(_OWN_REFS)
        }
        return {name: commit for name, commit in found.items() if commit is not None}

    def snapshot(self, repo: RepoId, revision: str) -> Snapshot:
        """What ``repo`` holds at a branch, a tag, a full ref name, or a full or short commit.

        Raises:
            RepositoryNotFound: it is not in the cache.
            RevisionNotFound: it is, but not at this revision.

        """
        commit = self._store.known_commit(repo, short_ref(revision))
        manifest = None if commit is None else self._store.read_manifest(repo, revision, commit)
        if manifest is not None:
            return self._take(manifest)
        if not os.path.isdir(self._store.layout.repo(repo).snapshots):
            raise RepositoryNotFound("Repository not found", repo_id=str(repo))
        raise RevisionNotFound(f"Invalid rev id: {revision}", repo_id=str(repo), revision=revision)

    def known_file(self, repo: RepoId, revision: str, filename: str) -> Snapshot | None:
        """The snapshot of a full commit, when ``filename`` in it is still what was hashed."""
        known = self._snapshots.get((repo, revision))  # type: ignore[arg-type]  # else not found
        file = None if known is None else known.files.get(filename)
        return known if file is not None and file.is_current() else None

    def known_listing(self, repo: RepoId, commit: str) -> Snapshot | None:
        """The snapshot that was taken last of a full commit."""
        return self._snapshots.get((repo, commit))  # type: ignore[arg-type]  # else not found

    def by_digest(self, sha256: str) -> ServedFile | None:
        """The LFS file with this content, once a snapshot that holds it was taken."""
        found = self._by_digest.get(sha256)
        return found if found is not None and found.is_current() else None

    def _take(self, manifest: Manifest) -> Snapshot:
        known = self._snapshots.get((manifest.repo, manifest.commit))
        files = dict(self._files(manifest, known))
        if known is not None and known.files == files:
            return known
        folders = folders_of(files)
        del folders[""]
        snapshot = Snapshot(manifest.commit, files, folders)
        self._snapshots[manifest.repo, manifest.commit] = snapshot
        self._by_digest.update(
            (file.entry.sha256, file)
            for file in files.values()
            if file.entry.sha256 and file.is_here
        )
        return snapshot

    def _files(
        self, manifest: Manifest, known: Snapshot | None
    ) -> Iterator[tuple[str, ServedFile]]:
        for filename in sorted(manifest.entries):
            before = None if known is None else known.files.get(filename)
            file = self._file(manifest, filename, before)
            if file is not None:
                yield filename, file

    def _file(
        self, manifest: Manifest, filename: str, before: ServedFile | None
    ) -> ServedFile | None:
        entry, found = manifest.entries[filename], self._store.find(manifest, filename)
        if found is not None and before is not None and before.stamp == stamp_of(found.facts):
            return before
        if found is not None and entry.sha256 is None and entry.git_sha1 is None:
            return served(found.path, filename, _CONFIG.lfs, before)  # a copy without a hash
        good = found is not None and self._is_good(manifest, filename)
        if not good and not manifest.complete:
            return None
        stamp = stamp_of(found.facts) if good and found else Stamp(0, entry.size or 0, 0, 0)
        path = found.path if good and found else ""
        if entry.sha256 is None:
            return ServedFile(path, stamp, Entry(stamp.size, entry.git_sha1))
        pointer = lfs_pointer(entry.sha256, stamp.size)
        git_sha1 = entry.git_sha1 or git_blob_id(io.BytesIO(pointer), len(pointer))
        return ServedFile(path, stamp, Entry(stamp.size, git_sha1, entry.sha256), len(pointer))

    def _is_good(self, manifest: Manifest, filename: str) -> bool:
        trusted = self._store.inspect(manifest, [filename])[filename].trusted
        return trusted or self._store.verify_blob(manifest, filename)
