"""Scan the whole cache: what is there, how large, and what is wrong with it.

``scan`` is hubloader's own, for ``ls``, ``du`` and ``prune``: it reads folders and links, never a
content, and tells of a damaged repository beside its good parts. One stat for each blob, one
readlink for each pointer: a pointer is compared with the blobs by its text. ``scan_cache_dir``
gives huggingface_hub's types, from huggingface_hub's own scan: the two can be compared.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from hubloader.cache.failures import is_absence
from hubloader.cache.layout import CacheLayout
from hubloader.cache.planted import planted
from hubloader.cache.reading import open_to_read
from hubloader.cache.trees import read_tree
from hubloader.names import is_commit, is_etag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from huggingface_hub import HFCacheInfo

    from hubloader.cache.layout import RepoLayout
    from hubloader.types import RepoId

__all__ = [
    "CacheReport",
    "Leftover",
    "RepoReport",
    "RevisionReport",
    "scan",
    "scan_cache_dir",
]


@dataclass(frozen=True)
class Leftover:
    """What belongs to no revision.

    ``kind``: ``partial`` and ``incomplete`` are unfinished downloads, ours and huggingface_hub's;
    ``orphan`` is a content that no snapshot names, ``quarantine`` one that turned out bad,
    ``draft`` a file that never got its name. ``changed`` is in seconds since the epoch.
    """

    path: str
    kind: Literal["partial", "incomplete", "orphan", "quarantine", "draft"]
    size: int
    changed: float

    @property
    def is_orphan(self) -> bool:
        """Whether it is a content that no snapshot names."""
        return self.kind == "orphan"


@dataclass(frozen=True)
class RevisionReport:
    """One snapshot: ``size`` is bytes of its contents, each counted once.

    ``contents`` are keys of ``RepoReport.contents``. ``last_used`` is None if hubloader never
    loaded it, ``last_changed`` is when a file was last added to its folder; both are in seconds
    since the epoch.
    """

    commit: str
    refs: tuple[str, ...]
    files: int
    size: int
    last_used: float | None
    last_changed: float = 0.0
    contents: tuple[str, ...] = field(default=(), repr=False)

    @property
    def last_needed(self) -> float:
        """When it was last loaded; when it came, if it never was."""
        return self.last_changed if self.last_used is None else self.last_used


@dataclass(frozen=True)
class RepoReport:
    """One repository. ``size`` is bytes on disk of its contents; ``partial`` of unfinished ones.

    ``contents`` maps each content to its bytes in this repository's folder: 0 for one in
    huggingface_hub's shared store or in another cache.
    """

    repo: RepoId
    folder: str
    revisions: tuple[RevisionReport, ...]
    size: int
    partial: int
    warnings: tuple[str, ...]
    contents: Mapping[str, int] = field(default_factory=dict, repr=False)
    leftovers: tuple[Leftover, ...] = ()


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
            repos.append(scan_repo(layout.repo(repo)))
        elif entry.name not in {".locks", "CACHEDIR.TAG", "blobs", ".DS_Store"}:
            warnings.append(f"{entry.path} is no repository")
    repos.sort(key=lambda report: (report.repo.repo_type, str(report.repo)))
    return CacheReport(layout.root, tuple(repos), tuple(sorted(warnings)))


def scan_repo(layout: RepoLayout) -> RepoReport:
    """Scan one repository."""
    return _Scan(layout).run()


class _Scan:
    """The scan of one repository, under way."""

    def __init__(self, layout: RepoLayout) -> None:
        self._layout = layout
        self._warnings: list[str] = []
        self._contents: dict[str, int] = {}  # content -> bytes in this folder
        self._sizes: dict[str, int] = {}  # content -> its length, wherever it is
        self._by_inode: dict[tuple[int, int], str] = {}  # a hard link is no second content
        self._blobs: dict[str, Leftover] = {}
        self._copies: dict[str, list[str]] = {}  # commit -> names of pointers that are files
        self._leftovers: list[Leftover] = []

    def run(self) -> RepoReport:
        layout = self._layout
        refs = _refs(layout)
        link = planted(layout)
        for entry in _entries(layout.blobs) if link != layout.blobs else ():
            self._see_blob(entry)
        used = {entry.name: entry for entry in _entries(os.path.dirname(layout.used("0" * 40)))}
        revisions = []
        for entry in _entries(layout.snapshots):
            if is_commit(entry.name) and entry.is_dir(follow_symlinks=False):
                revisions.append(self._revision(entry, refs, used.get(entry.name)))
            else:
                self._warnings.append(f"{entry.path} is no snapshot")
        known = {revision.commit for revision in revisions}
        self._warnings += [
            f"{layout.ref(r)} names no snapshot" for r, c in refs.items() if c not in known
        ]
        revisions = [self._with_copied(revision) for revision in revisions]
        named = {key for revision in revisions for key in revision.contents}
        self._leftovers += [blob for name, blob in self._blobs.items() if name not in named]
        if link is None:
            self._see_own_state()
        else:
            self._warnings.append(f"{link} is a link, and what lies behind it is not looked at")
        return RepoReport(
            layout.repo,
            layout.folder,
            tuple(sorted(revisions, key=lambda revision: revision.commit)),
            sum(self._contents.values()),
            sum(left.size for left in self._leftovers if left.kind == "partial"),
            tuple(sorted(self._warnings)),
            self._contents,
            tuple(sorted(self._leftovers, key=lambda left: left.path)),
        )

    def _see_blob(self, entry: os.DirEntry[str]) -> None:
        facts = _facts(entry)
        if facts is None:
            return
        if not is_etag(entry.name):
            self._leftovers.append(_leftover(entry.path, "incomplete", facts))
            self._contents[entry.path] = facts.st_size if stat.S_ISREG(facts.st_mode) else 0
        elif stat.S_ISREG(facts.st_mode):
            self._by_inode[facts.st_dev, facts.st_ino] = entry.name
            self._contents[entry.name] = self._sizes[entry.name] = facts.st_size
            self._blobs[entry.name] = _leftover(entry.path, "orphan", facts)
        elif stat.S_ISLNK(facts.st_mode):
            self._see_shared(entry, facts)

    def _see_shared(self, entry: os.DirEntry[str], facts: os.stat_result) -> None:
        """Take note of a blob that is a link into huggingface_hub's shared store."""
        target = _target(entry)
        if target is not None:
            self._contents[entry.name], self._sizes[entry.name] = 0, target.st_size
            self._blobs[entry.name] = Leftover(entry.path, "orphan", 0, _changed(facts))

    def _revision(
        self, folder: os.DirEntry[str], refs: Mapping[str, str], used: os.DirEntry[str] | None
    ) -> RevisionReport:
        mine: dict[str, None] = {}
        files = 0
        for entry, up in _pointers(folder.path, ".."):
            key = self._content_of(entry, up)
            if key is None:
                self._warnings.append(f"{entry.path} leads nowhere")
            else:
                mine[key] = None
                files += 1
        mark, facts = None if used is None else _facts(used), _facts(folder)
        return RevisionReport(
            folder.name,
            tuple(sorted(name for name, target in refs.items() if target == folder.name)),
            files,
            sum(self._sizes[key] for key in mine),
            None if mark is None else mark.st_mtime,
            0.0 if facts is None else facts.st_mtime,
            tuple(mine),
        )

    def _content_of(self, entry: os.DirEntry[str], up: str) -> str | None:
        """Return which content a pointer names; None if it leads nowhere."""
        if entry.is_symlink():
            try:
                text = os.readlink(entry.path)
            except OSError as error:
                if is_absence(error):
                    return None
                raise
            name = text.rpartition("/")[2]
            if name in self._sizes and text == f"{up}/../blobs/{name}":
                return name
            facts = _target(entry)
        else:
            self._note_copy(entry.path)
            facts = _facts(entry)
        return None if facts is None else self._key(entry, facts)

    def _note_copy(self, path: str) -> None:
        commit, *parts = os.path.relpath(path, self._layout.snapshots).split(os.sep)
        self._copies.setdefault(commit, []).append("/".join(parts))

    def _with_copied(self, revision: RevisionReport) -> RevisionReport:
        """Count the blobs that a snapshot holds copies of, by its listing, as in use by it."""
        names = self._copies.get(revision.commit)
        listing = read_tree(self._layout, revision.commit) if names else None
        if not names or not listing:
            return revision
        entries = (listing[name] for name in names if name in listing)
        etags = (entry.sha256 or entry.git_sha1 for entry in entries)
        more = [etag for etag in etags if etag in self._blobs and etag not in revision.contents]
        return replace(revision, contents=(*revision.contents, *dict.fromkeys(more)))

    def _key(self, entry: os.DirEntry[str], facts: os.stat_result) -> str:
        """Return the content that a pointer is, or leads to in some other way."""
        inode = (facts.st_dev, facts.st_ino)
        key = self._by_inode.setdefault(inode, entry.path)
        self._sizes[key] = facts.st_size
        self._contents.setdefault(key, 0 if entry.is_symlink() else facts.st_size)
        return key

    def _see_own_state(self) -> None:
        layout = self._layout
        for folder, kind in (
            (layout.partials, "partial"),
            (layout.tmp, "draft"),
            (layout.quarantine, "quarantine"),
        ):
            for entry in _entries(folder):
                facts = _facts(entry)
                if facts is not None:
                    size, changed = _weigh(entry, facts)
                    self._leftovers.append(Leftover(entry.path, kind, size, changed))  # type: ignore[arg-type]  # one of the three


def _leftover(path: str, kind: Literal["incomplete", "orphan"], facts: os.stat_result) -> Leftover:
    return Leftover(path, kind, facts.st_size, _changed(facts))


def _changed(facts: os.stat_result) -> float:
    """When a file was written or got its name, whichever was later."""
    return max(facts.st_mtime, facts.st_ctime)


def _weigh(entry: os.DirEntry[str], facts: os.stat_result) -> tuple[int, float]:
    """Return the bytes of a file or of a folder's files, and when any of it last changed."""
    if not entry.is_dir(follow_symlinks=False):
        return facts.st_size, _changed(facts)
    parts = [found for each in _files_below(entry.path) if (found := _facts(each)) is not None]
    changed = max((_changed(part) for part in parts), default=_changed(facts))
    return sum(part.st_size for part in parts), changed


def _refs(layout: RepoLayout) -> dict[str, str]:
    found = {}
    for entry in _files_below(layout.refs):
        if entry.name.endswith(".tmp"):
            continue
        try:
            with open(open_to_read(entry.path), "rb") as file:
                text = file.read(64).decode("ascii", errors="replace").strip()
        except OSError as error:
            if is_absence(error):
                continue
            raise
        found[layout.revision_of(entry.path)] = text
    return found


def _facts(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what lstat says; None if it is gone."""
    try:
        return os.lstat(entry.path) if os.name == "nt" else entry.stat(follow_symlinks=False)
    except OSError as error:
        if is_absence(error):
            return None
        raise


def _target(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the facts of the file that a link leads to; None if it leads nowhere."""
    try:
        return os.stat(entry.path)
    except OSError as error:
        if is_absence(error):
            return None
        raise


def _pointers(folder: str, up: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Give each file below a snapshot, with the way back from its folder to ``snapshots``."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _pointers(entry.path, f"../{up}")
        else:
            yield entry, up


def _files_below(folder: str) -> Iterator[os.DirEntry[str]]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)
        else:
            yield entry


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if is_absence(error):
            return []
        raise
