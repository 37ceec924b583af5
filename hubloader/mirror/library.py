"""A folder of repositories: which are there, at which revisions, and what each holds.

::

    DIR/<org>/<name>/…             branch main of the model org/name
    DIR/<org>/<name>@<revision>/…  another branch, or a tag; a / in the revision is written %2F
    DIR/datasets/<org>/<name>/…    a dataset; spaces likewise
    DIR/hub.json                   see config.py

Nothing is copied and nothing is written. The folder may change while it is served: every look at a
branch reads the folder again, and hashes only what changed. A commit can be asked for as long as
the folder holds exactly that content.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hubloader.errors import RepositoryNotFound, RevisionNotFound
from hubloader.mirror.config import CONFIG_NAME, MirrorConfig, read_config, repo_label
from hubloader.mirror.snapshot import Snapshot, stamp_of, take_snapshot
from hubloader.names import is_commit, is_short_commit
from hubloader.types import DEFAULT_REVISION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hubloader.mirror.snapshot import ServedFile, Stamp
    from hubloader.types import RepoId

__all__ = ["FolderLibrary", "Library", "short_ref"]

_TYPE_FOLDERS = frozenset({"datasets", "spaces"})
_FULL_REFS = ("refs/heads/", "refs/tags/")


class Library(Protocol):
    """What a mirror serves: repositories, at revisions. Used from several threads at once.

    The methods are described where they are implemented: ``FolderLibrary``, ``CacheLibrary``.
    """

    @property
    def root(self) -> Path:
        """The folder that has to be there."""

    def config(self) -> MirrorConfig:
        """What is special of which repository."""

    def canonical(self, repo: RepoId) -> RepoId:
        """The repository's present id."""

    def revisions(self, repo: RepoId) -> Mapping[str, str]:
        """The branches and tags, ``main`` first."""

    def snapshot(self, repo: RepoId, revision: str) -> Snapshot:
        """What a revision holds."""

    def known_file(self, repo: RepoId, revision: str, filename: str) -> Snapshot | None:
        """The snapshot of a full commit, if it needs no second look."""

    def known_listing(self, repo: RepoId, commit: str) -> Snapshot | None:
        """What a full commit holds, if it was looked at before: the next page of its listing."""

    def by_digest(self, sha256: str) -> ServedFile | None:
        """The LFS file with this content."""


class FolderLibrary:
    """The repositories below ``root``. Safe to use from several threads."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root)
        self._config: tuple[Stamp | None, MirrorConfig] = (None, MirrorConfig())
        self._snapshots: dict[str, Snapshot] = {}
        self._by_digest: dict[str, ServedFile] = {}

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def config(self) -> MirrorConfig:
        """What ``hub.json`` says now.

        Raises:
            CorruptFile: it cannot be used.

        """
        path = self.root / CONFIG_NAME
        stamp = _stamp(path)
        known_stamp, known = self._config
        if stamp != known_stamp:
            read = read_config(path)
            if read.lfs != known.lfs:
                self._snapshots.clear()
            self._config, known = (stamp, read), read
        return known

    def canonical(self, repo: RepoId) -> RepoId:
        """The repository's present id: another one when it was renamed."""
        return self.config().aliases.get(repo, repo)

    def revisions(self, repo: RepoId) -> dict[str, str]:
        """The folder of each branch and tag, ``main`` first; empty when there is no repository."""
        if repo.namespace is None or repo.namespace in _TYPE_FOLDERS:
            return {}
        base = self.root / repo_label(repo)
        found = {DEFAULT_REVISION: str(base)} if base.is_dir() else {}
        for name in sorted(_folder_names(base.parent)):
            bare, at, revision = name.partition("@")
            if at and bare == repo.name and revision:
                decoded = revision.replace("%2F", "/").replace("%25", "%")
                found[decoded] = os.path.join(base.parent, name)
        return found

    def snapshot(self, repo: RepoId, revision: str) -> Snapshot:
        """What ``repo`` holds at a branch, a tag, a full ref name, or a full or short commit.

        Raises:
            RepositoryNotFound: there is no such folder.
            RevisionNotFound: the repository has no such branch or tag, or no longer this content.

        """
        folders = self.revisions(repo)
        if not folders:
            raise RepositoryNotFound("Repository not found", repo_id=str(repo))
        folder = folders.get(short_ref(revision))
        if folder is not None:
            return self._take(folder)
        if is_commit(revision) or is_short_commit(revision):
            for candidate in map(self._take, folders.values()):
                if candidate.commit.startswith(revision):
                    return candidate
        raise RevisionNotFound(f"Invalid rev id: {revision}", repo_id=str(repo), revision=revision)

    def known_file(self, repo: RepoId, revision: str, filename: str) -> Snapshot | None:
        """The snapshot of a full commit, when it can tell about ``filename`` without being retaken.

        A client fetches many files of one commit: none of them needs the whole folder read again,
        as long as the file itself is still the one that was hashed.
        """
        for snapshot in self._known(repo, revision):
            served = snapshot.files.get(filename)
            if served is None or served.is_current():
                return snapshot
        return None

    def known_listing(self, repo: RepoId, commit: str) -> Snapshot | None:
        """The snapshot that was taken last of a full commit, wherever its files are by now.

        What a commit holds does not change: the 100 pages of 100,000 files need one look at them.
        """
        return next(self._known(repo, commit), None)

    def _known(self, repo: RepoId, commit: str) -> Iterator[Snapshot]:
        for folder in self.revisions(repo).values() if is_commit(commit) else ():
            snapshot = self._snapshots.get(folder)
            if snapshot is not None and snapshot.commit == commit:
                yield snapshot

    def by_digest(self, sha256: str) -> ServedFile | None:
        """The LFS file with this content, once a snapshot that holds it was taken."""
        found = self._by_digest.get(sha256)
        return found if found is not None and _exists(found) else None

    def _take(self, folder: str) -> Snapshot:
        lfs = self.config().lfs
        known = self._snapshots.get(folder)
        snapshot = take_snapshot(folder, lfs, known)
        if snapshot is not known:
            self._snapshots[folder] = snapshot
            self._by_digest.update(
                (file.entry.sha256, file) for file in snapshot.files.values() if file.entry.sha256
            )
        return snapshot


def short_ref(revision: str) -> str:
    """A revision without ``refs/heads/`` or ``refs/tags/``."""
    for prefix in _FULL_REFS:
        if revision.startswith(prefix):
            return revision.removeprefix(prefix)
    return revision


def _folder_names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            yield from (item.name for item in found if item.is_dir())
    except FileNotFoundError:
        return


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp_of(path.stat())
    except FileNotFoundError:
        return None


def _exists(file: ServedFile) -> bool:
    try:
        return stamp_of(os.stat(file.path)) == file.stamp
    except OSError:
        return False
