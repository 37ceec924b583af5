"""Scan the whole cache: what is there, how large, and what is wrong with it.

``scan`` is hubloader's own, for ``ls`` and ``du``: it reads folders and links, never a content, and
tells of a damaged repository beside its good parts. ``scan_cache_dir`` gives huggingface_hub's
types, from huggingface_hub's own scan: the two can be compared.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.cache.failures import is_absence
from hubloader.cache.layout import CacheLayout
from hubloader.names import is_commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huggingface_hub import HFCacheInfo

    from hubloader.cache.layout import RepoLayout
    from hubloader.types import RepoId

__all__ = ["CacheReport", "RepoReport", "RevisionReport", "scan", "scan_cache_dir"]


@dataclass(frozen=True)
class RevisionReport:
    """One snapshot: ``size`` is bytes of its contents, each counted once."""

    commit: str
    refs: tuple[str, ...]
    files: int
    size: int
    last_used: float | None  # seconds since the epoch; None if hubloader never loaded it


@dataclass(frozen=True)
class RepoReport:
    """One repository. ``size`` is bytes on disk of its contents; ``partial`` of unfinished ones."""

    repo: RepoId
    folder: str
    revisions: tuple[RevisionReport, ...]
    size: int
    partial: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CacheReport:
    """The cache. ``warnings`` are about what lies between the repositories."""

    root: str
    repos: tuple[RepoReport, ...]
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all contents and partials."""
        return sum(repo.size + repo.partial for repo in self.repos)


def scan_cache_dir(cache_dir: str | os.PathLike[str]) -> HFCacheInfo:
    """Scan as huggingface_hub does, giving its types.

    Raises:
        huggingface_hub.CacheNotFound: there is no such folder.

    """
    import huggingface_hub  # first use: half a second

    return huggingface_hub.scan_cache_dir(os.fspath(cache_dir))


def scan(root: str | os.PathLike[str]) -> CacheReport:
    """Scan the cache at ``root``; one that does not exist is empty."""
    layout = CacheLayout(root)
    repos, warnings = [], []
    for entry in _entries(layout.root):
        repo = layout.parse_folder(entry.name)
        if repo is not None and entry.is_dir():
            repos.append(_scan_repo(layout.repo(repo)))
        elif entry.name not in {".locks", "CACHEDIR.TAG", "blobs", ".DS_Store"}:
            warnings.append(f"{entry.path} is no repository")
    repos.sort(key=lambda report: (report.repo.repo_type, str(report.repo)))
    return CacheReport(layout.root, tuple(repos), tuple(sorted(warnings)))


def _scan_repo(layout: RepoLayout) -> RepoReport:
    warnings: list[str] = []
    refs = _refs(layout)
    contents: dict[tuple[int, int], int] = {}  # by device and inode: a hard link is no second file
    for entry in _entries(layout.blobs):
        _count(entry.path, contents)
    revisions = []
    for entry in _entries(layout.snapshots):
        if not is_commit(entry.name) or not entry.is_dir(follow_symlinks=False):
            warnings.append(f"{entry.path} is no snapshot")
            continue
        revisions.append(_scan_revision(layout, entry.name, refs, warnings, contents))
    known = {revision.commit for revision in revisions}
    warnings += [f"{layout.ref(r)} names no snapshot" for r, c in refs.items() if c not in known]
    partial: dict[tuple[int, int], int] = {}
    for path in _files_below(layout.partials):
        _count(path, partial)
    return RepoReport(
        layout.repo,
        layout.folder,
        tuple(sorted(revisions, key=lambda revision: revision.commit)),
        sum(contents.values()),
        sum(partial.values()),
        tuple(sorted(warnings)),
    )


def _scan_revision(
    layout: RepoLayout,
    commit: str,
    refs: dict[str, str],
    warnings: list[str],
    contents: dict[tuple[int, int], int],
) -> RevisionReport:
    mine: dict[tuple[int, int], int] = {}
    files = 0
    for path in _files_below(layout.snapshot(commit)):
        if _count(path, mine, follow=True):
            files += 1
            if not os.path.islink(path):
                _count(path, contents)
        else:
            warnings.append(f"{path} leads nowhere")
    names = tuple(sorted(name for name, target in refs.items() if target == commit))
    return RevisionReport(commit, names, files, sum(mine.values()), _mtime(layout.used(commit)))


def _refs(layout: RepoLayout) -> dict[str, str]:
    found = {}
    for path in _files_below(layout.refs):
        if path.endswith(".tmp"):
            continue
        try:
            with open(path, "rb") as file:
                text = file.read(64).decode("ascii", errors="replace").strip()
        except OSError as error:
            if is_absence(error):
                continue
            raise
        found[layout.revision_of(path)] = text
    return found


def _count(path: str, into: dict[tuple[int, int], int], *, follow: bool = False) -> bool:
    """Count a regular file's bytes, once for each inode; False if there is none."""
    try:
        facts = os.stat(path, follow_symlinks=follow)
    except OSError as error:
        if is_absence(error):
            return False
        raise
    if stat.S_ISREG(facts.st_mode):
        into[facts.st_dev, facts.st_ino] = facts.st_size
    return True


def _mtime(path: str) -> float | None:
    try:
        return os.lstat(path).st_mtime
    except OSError as error:
        if is_absence(error):
            return None
        raise


def _files_below(folder: str) -> Iterator[str]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)
        else:
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if is_absence(error):
            return []
        raise
