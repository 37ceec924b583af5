"""The operating system's errors become ours: the one table for the cache.

======================================  =================================================
errno                                   becomes
======================================  =================================================
ENOSPC, EDQUOT                          DiskFull, with what was needed and what is free
EROFS, EACCES, EPERM                    CacheReadOnly
EMFILE, ENFILE                          CacheError, hint: raise the limit of open files
EEXIST, ENOTDIR                         CacheError, hint: a file is where a folder belongs
ENAMETOOLONG                            CacheError, hint: a shorter cache folder
EIO and every other                     CacheError, with the system's own words
======================================  =================================================

The error keeps ``errno`` and has the system's error as its cause.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from hubloader.errors import CacheError, CacheReadOnly, DiskFull, HubloaderError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_room", "check_writable", "free_space", "guard", "is_absence", "translate"]

_MARGIN = 16 * 2**20  # bytes that must stay free beside what is fetched
_INODES_EACH = 6  # of one file: content and journal in a folder, pointer, lock, stamp
_MAKE_ROOM = "make room (`hubloader prune --max-size …`), or set HF_HUB_CACHE to another disk"
_LOOKS = 10  # at a folder that others may take away meanwhile
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})
_NO_FOLDER = frozenset({errno.EEXIST, errno.ENOTDIR})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES})


def is_absence(error: OSError) -> bool:
    """Whether ``error`` says that nothing readable is there: a look-up's "no", not a fault."""
    return error.errno in _ABSENT


def free_space(path: str) -> tuple[int | None, int | None]:
    """Return the free bytes and free inodes where ``path`` is, or would be; None for unknown."""
    folder = path
    while not os.path.isdir(folder):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None, None
        folder = parent
    if not hasattr(os, "statvfs"):
        import shutil

        return shutil.disk_usage(folder).free, None
    facts = os.statvfs(folder)
    inodes = facts.f_favail if facts.f_files else None  # btrfs and others have no inode table
    return facts.f_bavail * facts.f_frsize, inodes


def check_room(path: str, *, needed: int, files: int, what: str) -> None:
    """Refuse, before the first byte, what does not fit where ``path`` is, or would be.

    Args:
        path: the cache.
        needed: bytes that are to come.
        files: how many contents they are.
        what: what they are, in words that follow "bytes are to be brought".

    Raises:
        DiskFull: the bytes do not fit, or there are too few inodes for the files.

    """
    if not needed and not files:
        return
    free, inodes = free_space(path)
    if free is not None and needed and needed + _MARGIN > free:
        raise DiskFull(
            f"{needed} bytes are to be brought{what}, and {free} are free",
            needed=needed,
            free=free,
            hint=_MAKE_ROOM,
        )
    wanted = files * _INODES_EACH
    if inodes is not None and wanted > inodes:
        raise DiskFull(
            f"{files} files are to be brought{what}, for which the cache makes up to {wanted}, and "
            f"the disk has room for {inodes} more (its inodes are used up, not its bytes)",
            needed=needed,
            free=free,
            hint=_MAKE_ROOM,
        )


def check_writable(path: str) -> None:
    """Find out, without writing, whether a file can be made where ``path`` is, or would be.

    Raises:
        CacheReadOnly: no; the nearest folder that exists is not ours to write.

    """
    for _ in range(_LOOKS):  # an empty folder may be taken away between two looks, and made anew
        folder = _nearest(path)
        if os.access(folder, os.W_OK | os.X_OK):
            return
    code = errno.EROFS if _is_mounted_read_only(folder) else errno.EACCES
    raise translate(OSError(code, os.strerror(code)), folder)


def _nearest(path: str) -> str:
    """The folder at ``path``, or the nearest above it that exists."""
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _is_mounted_read_only(folder: str) -> bool:
    if not hasattr(os, "statvfs"):
        return False
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except FileNotFoundError:
        return False


def translate(error: OSError, path: str, *, needed: int | None = None) -> HubloaderError:
    """Return our error for the system's ``error`` at ``path``.

    Args:
        error: what the system said.
        path: the file or folder it was about.
        needed: the bytes that were to be written, where known.

    """
    ours = _choose(error, path, needed)
    ours.errno = error.errno
    return ours


def _choose(error: OSError, path: str, needed: int | None) -> CacheError:
    words = error.strerror or str(error)
    if error.errno in _FULL:
        free, _ = free_space(path)
        what = "the quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
        return DiskFull(
            f"{what} at {path}",
            needed=needed,
            free=free,
            hint=_MAKE_ROOM,
        )
    if error.errno in _READ_ONLY:
        return CacheReadOnly(
            f"the cache cannot be written at {path}: {words}",
            hint="set HF_HUB_CACHE to a folder that can be written, and name this one in "
            "HUBLOADER_BASE_CACHES",
        )
    hint = None
    if error.errno in _TOO_MANY:
        hint = "raise the limit of open files (`ulimit -n`), or use fewer workers"
    elif error.errno in _NO_FOLDER:
        hint = "a file stands where a folder belongs: set HF_HUB_CACHE to a folder"
    elif error.errno == errno.ENAMETOOLONG:
        hint = "set HF_HUB_CACHE to a shorter path"
    return CacheError(f"the cache failed at {path}: {words}", hint=hint)


@contextlib.contextmanager
def guard(path: str, *, needed: int | None = None) -> Iterator[None]:
    """Translate what the system raises inside; errors of ours pass unchanged."""
    try:
        yield
    except HubloaderError:
        raise
    except OSError as error:
        raise translate(error, path, needed=needed) from error
