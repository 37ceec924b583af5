"""Refuse folders that somebody replaced by links, before anything is written or deleted there.

In a cache that others write too, a link where a folder belongs would have us write and delete
elsewhere, in our own name. ``.hubloader`` and what is directly in it, ``refs``, ``trees`` and
``.no_exist`` are never links. ``blobs`` may be one: a repository's contents may lie on another
disk. It counts as such if it belongs to this user, to root, or to the owner of the repository's
folder.

Source of the last rule: ``protected_symlinks`` of proc_sys_fs(5).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hubloader.cache.failures import is_absence
from hubloader.errors import CacheReadOnly

if TYPE_CHECKING:
    from hubloader.cache.layout import RepoLayout

__all__ = ["planted", "refuse_links", "refuse_planted"]


def planted(layout: RepoLayout) -> str | None:
    """Return a link where a folder of ours, or of contents, belongs; None if there is none."""
    if os.path.islink(layout.own):
        return layout.own
    try:
        with os.scandir(layout.own) as entries:
            found = [entry.path for entry in entries if entry.is_symlink()]
    except OSError as error:
        if not is_absence(error):
            raise
        found = []
    if not found and _is_a_strangers(layout.blobs):
        return layout.blobs
    return min(found, default=None)


def refuse_planted(layout: RepoLayout) -> None:
    """Refuse to change a repository whose own state, or contents, somebody led elsewhere.

    Raises:
        CacheReadOnly: a folder is a planted link.

    """
    link = planted(layout)
    if link is not None:
        raise _refused(link)


def refuse_links(layout: RepoLayout, path: str) -> None:
    """Refuse to write to ``path``, below a repository, through a folder that is a link.

    Raises:
        CacheReadOnly: a folder on the way is one.

    """
    folder = os.path.dirname(path)
    while len(folder) > len(layout.folder):
        if os.path.islink(folder):
            raise _refused(folder)
        folder = os.path.dirname(folder)


def _refused(link: str) -> CacheReadOnly:
    return CacheReadOnly(
        f"{link} is a link, and what is written there would lie elsewhere",
        hint="delete that link if you did not make it, or put its folder in its place",
    )


def _is_a_strangers(path: str) -> bool:
    """Whether a link at ``path`` was made by neither this user, root, nor the folder's owner."""
    if not hasattr(os, "geteuid"):  # Windows has no such owners
        return False
    try:
        facts, folder = os.lstat(path), os.lstat(os.path.dirname(path))
    except OSError as error:
        if is_absence(error):
            return False
        raise
    return stat.S_ISLNK(facts.st_mode) and facts.st_uid not in {0, os.geteuid(), folder.st_uid}
