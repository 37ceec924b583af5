"""Find out what the cache's file system can do, and what in the cache this user cannot use.

Each probe makes files of its own below ``.locks/.hubloader`` and deletes them again; where nothing
can be written it tells None.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from hubloader.cache import disk
from hubloader.cache.layout import CacheLayout
from hubloader.cache.leases import Grip, grip
from hubloader.cache.reading import names_seen  # ``unusable`` names what cannot be listed
from hubloader.names import is_etag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.cache.layout import RepoLayout

__all__ = ["foreign_contents", "held_locks", "link_kind", "locks_work", "unusable"]


def locks_work(root: str | os.PathLike[str]) -> bool | None:
    """Whether a file lock keeps a second one out; None if the cache cannot be written.

    Lustre without ``flock``, and some network folders, grant every lock and keep nobody out.
    """
    path = _probe_path(root)
    if path is None:
        return None
    first = disk.create(path)
    try:
        second = os.open(path, os.O_RDONLY)
        try:
            held = grip(first, alone=True)
            return held is Grip.HELD and grip(second, alone=True) is Grip.BUSY
        finally:
            os.close(second)
    finally:
        os.close(first)
        disk.remove(path)


def link_kind(root: str | os.PathLike[str]) -> Literal["symlink", "hard links", "copies"] | None:
    """How a snapshot can name a content here; None if the cache cannot be written."""
    path = _probe_path(root)
    if path is None:
        return None
    os.close(disk.create(path))
    link = f"{path}.link"
    try:
        for kind, make in (("symlink", os.symlink), ("hard links", os.link)):
            try:
                make(path, link)
            except (OSError, NotImplementedError):
                continue
            return kind  # type: ignore[return-value]  # the two of the table
        return "copies"
    finally:
        disk.remove(link)
        disk.remove(path)


def held_locks(root: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Name the contents whose lock somebody holds now, each with the holder in words."""
    from hubloader.cache.lock import BlobLock, is_held

    layout = CacheLayout(root)
    found = []
    for repo in _repos(layout):
        for name in names_seen(os.path.dirname(repo.lock("0" * 40))):
            etag = name.removesuffix(".lock")
            if is_etag(etag) and is_held(repo.lock(etag)):
                found.append((repo.blob(etag), BlobLock(repo, etag, ready=_never).holder()))
    return sorted(found)


def foreign_contents(root: str | os.PathLike[str]) -> list[str]:
    """Name what lies among the contents and is none: neither library gave it that name."""
    layout = CacheLayout(root)
    return sorted(
        os.path.join(repo.blobs, name)
        for repo in _repos(layout)
        for name in names_seen(repo.blobs)
        if not is_etag(name) and not name.endswith(".incomplete")
    )


def _repos(layout: CacheLayout) -> Iterator[RepoLayout]:
    found = (layout.parse_folder(name) for name in names_seen(layout.root))
    return (layout.repo(repo) for repo in found if repo is not None)


def _never() -> bool:
    """Nobody waits here for a content to appear."""
    return False


def unusable(root: str | os.PathLike[str]) -> list[str]:
    """Name folders of the cache that this user cannot list or write, and files it cannot read."""
    layout = CacheLayout(root)
    return sorted(_unusable(layout.root, 0))


def _unusable(folder: str, depth: int) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if not os.access(entry.path, os.R_OK | os.W_OK | os.X_OK):
                yield entry.path
            elif depth < 6:
                yield from _unusable(entry.path, depth + 1)
        elif not os.access(entry.path, os.R_OK):
            yield entry.path


def _probe_path(root: str | os.PathLike[str]) -> str | None:
    layout = CacheLayout(root)
    folder = layout.own
    if not os.path.isdir(layout.root) or not os.access(layout.root, os.W_OK | os.X_OK):
        return None
    try:
        disk.make_folders(folder)
    except OSError:
        return None
    return os.path.join(folder, f"probe.{disk.random_name()}")
