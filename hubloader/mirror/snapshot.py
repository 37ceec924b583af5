"""One folder, as the Hub would show it: a commit, its files with their hashes, its folders.

A file is hashed when it is first seen and again when its stamp changed. Not part of a snapshot:
``.git``, ``.hubloader`` and ``.cache/huggingface`` (what tools leave in a folder), links to
folders, links that lead nowhere, and names that no client could store. Links to files are followed,
so a folder of links into a cache can be served.
"""

from __future__ import annotations

import fnmatch
import functools
import io
import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hubloader.errors import InvalidReference
from hubloader.mirror.git_objects import (
    FILE_MODE,
    FOLDER_MODE,
    commit_id,
    git_blob_id,
    lfs_pointer,
    sha256_of,
    tree_id,
)
from hubloader.names import check_filename
from hubloader.types import CommitHash, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "LFS_SIZE",
    "ServedFile",
    "Snapshot",
    "Stamp",
    "folders_of",
    "served",
    "stamp_of",
    "take_snapshot",
]

LFS_SIZE: Final = 10 * 1000 * 1000  # bytes: the Hub takes no larger file into git
_HIDDEN: Final = frozenset({".git", ".hubloader", ".cache/huggingface"})
_SETTLED: Final = 20_000_000  # nanoseconds: file times advance in steps of up to 10 ms


@dataclass(frozen=True)
class Stamp:
    """What changes when a file changes. Times are nanoseconds."""

    inode: int
    size: int
    mtime: int
    ctime: int


@dataclass(frozen=True)
class ServedFile:
    """A file of a snapshot: where it is, what it was when it was hashed, how the Hub names it.

    ``settled`` is False when the file was so fresh that a later change could bear the same stamp.
    ``pointer_size`` is the length of the LFS pointer in bytes, 0 for a regular file. ``path`` is ""
    for a file that is listed, and not here.
    """

    path: str
    stamp: Stamp
    entry: Entry
    pointer_size: int = 0
    settled: bool = True

    @property
    def is_here(self) -> bool:
        """Whether there is a content to send."""
        return bool(self.path)

    def is_current(self) -> bool:
        """Whether the file on disk is still the one that was hashed."""
        try:
            return self.settled and stamp_of(os.stat(self.path)) == self.stamp
        except OSError:
            return False


@dataclass(frozen=True)
class Snapshot:
    """What one revision holds: files by name, folders by name with their tree's git id."""

    commit: CommitHash
    files: Mapping[str, ServedFile]
    folders: Mapping[str, str]

    @property
    def modified(self) -> float:
        """When the youngest file was written, in seconds since the epoch; 0 without files."""
        return max((file.stamp.mtime for file in self.files.values()), default=0) / 1e9


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file, from its stat."""
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def take_snapshot(folder: str, lfs: tuple[str, ...], previous: Snapshot | None = None) -> Snapshot:
    """Read ``folder``, hashing only what ``previous`` does not know already.

    Args:
        folder: the folder of one revision.
        lfs: patterns of files that are LFS whatever their size; without ``/`` they match the last
            part of a name.
        previous: the snapshot taken of the same folder before, with the same patterns.

    """
    known = previous.files if previous is not None else {}
    files = {
        filename: served(path, filename, lfs, known.get(filename))
        for filename, path in sorted(_walk(folder, ""))
    }
    if previous is not None and files == known:
        return previous
    folders = folders_of(files)
    return Snapshot(CommitHash(commit_id(folders.pop(""))), files, folders)


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as found:
        for item in found:
            filename = prefix + item.name
            if filename in _HIDDEN or not _is_storable(filename):
                continue
            if item.is_dir(follow_symlinks=False):
                yield from _walk(item.path, f"{filename}/")
            elif item.is_file():
                yield filename, item.path


def _is_storable(filename: str) -> bool:
    try:
        check_filename(filename)
    except InvalidReference:
        return False
    return True


def served(path: str, filename: str, lfs: tuple[str, ...], known: ServedFile | None) -> ServedFile:
    """Hash the file at ``path``, unless ``known`` is what it still is."""
    if known is not None and known.path == path and known.is_current():
        return known
    with open(path, "rb") as stream:
        stamp = stamp_of(os.fstat(stream.fileno()))
        settled = time.time_ns() - stamp.mtime > _SETTLED
        if stamp.size > LFS_SIZE or _is_lfs(filename, lfs):
            sha256 = sha256_of(stream)
            pointer = lfs_pointer(sha256, stamp.size)
            entry = Entry(stamp.size, _pointer_id(pointer), sha256)
            return ServedFile(path, stamp, entry, len(pointer), settled)
        entry = Entry(stamp.size, git_blob_id(stream, stamp.size))
        return ServedFile(path, stamp, entry, settled=settled)


def _pointer_id(pointer: bytes) -> str:
    return git_blob_id(io.BytesIO(pointer), len(pointer))


def _is_lfs(filename: str, patterns: tuple[str, ...]) -> bool:
    in_last_part, in_whole = _matchers(patterns)
    return bool(in_last_part.fullmatch(filename.rpartition("/")[2]) or in_whole.fullmatch(filename))


@functools.lru_cache(maxsize=16)
def _matchers(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    def any_of(chosen: list[str]) -> re.Pattern[str]:
        return re.compile("|".join(fnmatch.translate(p) for p in chosen) or r"(?!)")

    return any_of([p for p in patterns if "/" not in p]), any_of([p for p in patterns if "/" in p])


def folders_of(files: Mapping[str, ServedFile]) -> dict[str, str]:
    """The git id of every folder that holds a file, the root ("") included."""
    children: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list, {"": []})
    for filename, file in files.items():
        folder, _, name = filename.rpartition("/")
        children[folder].append((FILE_MODE, name, file.entry.git_sha1 or ""))
    folders = {""} | {parent for filename in files for parent in _parents(filename)}
    ids: dict[str, str] = {}
    for folder in sorted(folders, key=lambda name: name.split("/") if name else [], reverse=True):
        ids[folder] = tree_id(children[folder])
        parent, _, name = folder.rpartition("/")
        if folder:
            children[parent].append((FOLDER_MODE, name, ids[folder]))
    return ids


def _parents(filename: str) -> Iterator[str]:
    folder = filename.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
