"""Whose files are believed in a cache that several users write: HUBLOADER_SHARED_CACHE=strict.

Without it the cache is one user's, or one group's that trusts itself: links planted there lead
nowhere all the same (``lookup.py``), and every content is hashed before it is first used. Strict
adds, for what is read: every file and folder on the way is a regular one, of this user, of root or
of a user that the setting names (``strict:1001,1002``), and not writable by everyone (a folder may
be, if it is sticky). Anything else is an error, before a byte of it is read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hubloader.errors import CacheError, InvalidReference

if TYPE_CHECKING:
    from hubloader.cache.layout import RepoLayout

__all__ = ["Ownership"]


class Ownership:
    """What may be believed.

    Args:
        setting: ``off``, ``strict``, or ``strict:`` and further user ids.

    Raises:
        InvalidReference: the setting is neither.

    """

    def __init__(self, setting: str = "off") -> None:
        word, _, more = setting.partition(":")
        uids = [uid for uid in more.split(",") if uid]
        if word not in {"off", "strict"} or not all(uid.isdigit() for uid in uids):
            raise InvalidReference(
                f"HUBLOADER_SHARED_CACHE is {setting!r}",
                hint="write off, strict, or strict:UID,UID",
            )
        self.strict = word == "strict" and hasattr(os, "geteuid")  # Windows has no such owners
        self._more = frozenset(int(uid) for uid in uids)
        self._seen: set[str] = set()  # repositories whose folders were looked at

    def check_repo(self, layout: RepoLayout) -> None:
        """Look, once, at the folders of a repository.

        Raises:
            CacheError: one is a link, a stranger's, or everybody's to write.

        """
        if not self.strict or layout.folder in self._seen:
            return
        folders = (layout.cache.root, layout.cache.locks, layout.folder, layout.own)
        inner = (layout.blobs, layout.refs, layout.snapshots, layout.trees, layout.tmp)
        for path in (*folders, *inner, layout.partials):
            facts = _lstat(path)
            if facts is not None:
                self._check(path, facts, folder=True)
        self._seen.add(layout.folder)

    def check_file(self, path: str, facts: os.stat_result | None = None) -> None:
        """Look at a file that is about to be believed; one that is not there is no fault.

        Raises:
            CacheError: it is a link, a stranger's, or everybody's to write.

        """
        if self.strict:
            facts = facts or _lstat(path)
            if facts is not None:
                self._check(path, facts, folder=False)

    def _check(self, path: str, facts: os.stat_result, *, folder: bool) -> None:
        right = stat.S_ISDIR(facts.st_mode) if folder else stat.S_ISREG(facts.st_mode)
        open_to_all = facts.st_mode & stat.S_IWOTH and not (folder and facts.st_mode & stat.S_ISVTX)
        why = None
        if not right:
            why = "is no folder" if folder else "is no regular file"
        elif facts.st_uid not in {0, os.geteuid(), *self._more}:
            why = f"belongs to user {facts.st_uid}"
        elif open_to_all:
            why = "can be written by everyone"
        if why is not None:
            raise CacheError(
                f"{path} {why}, and the cache is shared strictly",
                hint="remove it if it should not be there; HUBLOADER_SHARED_CACHE=strict:UID "
                "believes another user",
            )


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
