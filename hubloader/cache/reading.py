"""Read what is in the cache, following nothing that was planted and blocked by nothing.

All that a warm load reads with: few lines, and no import that costs time.
"""

from __future__ import annotations

import operator
import os

from hubloader.cache.failures import is_absence

__all__ = [
    "identity",
    "leads_to",
    "names_in",
    "names_seen",
    "open_to_read",
    "points_at",
    "read_small",
    "read_whole",
]

_READ = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
# of a stat_result: another file, or a changed one, has another identity
identity = operator.attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
_SMALL = 256  # bytes: a ref is 40 digits and perhaps a newline
_CHUNK = 1024 * 1024  # bytes


def open_to_read(path: str) -> int:
    """Open a file for reading; a link is an error, and a pipe planted there cannot block."""
    return os.open(path, _READ)


def read_small(path: str) -> str:
    """Return the text of a small file, without white space around; "" if there is none.

    A link or a pipe planted in its place is none: nothing is followed, and nothing can block.
    """
    found = read_whole(path, limit=_SMALL, cut=True)
    return "" if found is None else found[0].decode("ascii", errors="replace").strip()


def read_whole(path: str, *, limit: int, cut: bool = False) -> tuple[bytes, os.stat_result] | None:
    """Return a file's content and facts; None if nothing that can be read is there.

    Args:
        path: the file.
        limit: bytes that may come.
        cut: of a longer file give the beginning; else it is none.

    """
    try:
        descriptor = open_to_read(path)
    except OSError as error:
        if is_absence(error):
            return None
        raise
    try:
        facts = os.fstat(descriptor)
        if facts.st_size > limit and not cut:
            return None
        return _read(descriptor, min(facts.st_size, limit)), facts
    except OSError as error:
        if is_absence(error):  # a folder opens, and does not read
            return None
        raise
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    pieces = [data]
    while pieces[-1] and sum(map(len, pieces)) < size:
        pieces.append(os.read(descriptor, min(_CHUNK, size)))
    return b"".join(pieces)


def points_at(pointer: str) -> str | None:
    """Return the path a symbolic link names, made absolute and normal; None if it is no link."""
    try:
        target = os.readlink(pointer)
    except OSError:
        return None
    return os.path.normpath(os.path.join(os.path.dirname(pointer), target))


def leads_to(path: str, facts: os.stat_result) -> bool:
    """Whether the system comes to the file of ``facts`` by ``path``, all links followed."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (facts.st_dev, facts.st_ino)


def names_seen(folder: str) -> list[str]:
    """Return what a folder holds, as far as anybody can tell: nothing where it cannot be listed."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def names_in(folder: str) -> list[str]:
    """Return what a folder holds; nothing if it is not there."""
    try:
        return os.listdir(folder)
    except OSError as error:
        if is_absence(error):
            return []
        raise
