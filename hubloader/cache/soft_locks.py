"""Locks that are files, and stay when their holder dies.

Where a file system knows no ``flock``, huggingface_hub takes a ``SoftFileLock``: that the file is
there is the lock. A process that is killed leaves it behind, and older versions of filelock wait
for it for good; hubloader does not.

Source: filelock 4.2 ``_soft.py``: the file holds the holder's process id and, on the next line, its
host; a lock by ``flock`` is an empty file.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.cache.layout import CacheLayout

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SoftLock", "left_behind"]

_MOST = 1024  # bytes: filelock's own limit for the record


@dataclass(frozen=True)
class SoftLock:
    """A lock file with its holder; ``ended`` is None where the holder's host is another one."""

    path: str
    pid: int
    host: str
    ended: bool | None


def left_behind(root: str | os.PathLike[str]) -> list[SoftLock]:
    """Name the soft locks of a cache whose holder has ended, or runs on another host."""
    found = (_read(path) for path in _lock_files(CacheLayout(root)))
    return sorted((lock for lock in found if lock and lock.ended is not False), key=_path)


def _path(lock: SoftLock) -> str:
    return lock.path


def _lock_files(layout: CacheLayout) -> Iterator[str]:
    for folder, _, names in os.walk(layout.locks):
        yield from (os.path.join(folder, name) for name in names if name.endswith(".lock"))


def _read(path: str) -> SoftLock | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(_MOST).splitlines()
    except OSError:
        return None
    if len(lines) < 2 or not (lines[0].isascii() and lines[0].isdigit()):
        return None
    pid, host = int(lines[0]), lines[1]
    return SoftLock(path, pid, host, _has_ended(pid) if host == socket.gethostname() else None)


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
