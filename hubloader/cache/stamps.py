"""Remember which files on disk were seen to hold what their etag says.

A stamp is the size and modification time of a file at the moment its hash matched. While a file
has a known stamp it is trusted without reading it; when the stamp changed, or there is none
(another tool wrote the file), it is hashed once. Stamps are written only after the content is safe
on the disk: after a power cut a file with a stamp is a whole file.

One small file per etag, a line per stamp: a snapshot without links has several copies of a
content, each with its own time. Lines are appended, so no two writers lose each other's; a torn
line is not a stamp.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from hubloader.cache.reading import identity, read_whole
from hubloader.names import is_etag

__all__ = ["Stamp", "add", "find", "forget", "forgotten", "known", "newest"]

_MAX_SEEN = 8192  # contents
_MAX_LINE = 120  # bytes
_MAX_FILE = 4096  # bytes: some thirty stamps; beyond, old ones go


class Stamp(NamedTuple):
    """What a verified file looked like: ``size`` in bytes, ``mtime_ns`` in nanoseconds."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, facts: os.stat_result, sha256: str) -> Stamp:
        """Stamp the file that ``facts`` are about."""
        return cls(facts.st_size, facts.st_mtime_ns, sha256)


_SEEN: dict[str, tuple[Any, Stamp]] = {}  # by the stamps' file
_DROPPED = [object()]  # a new one whenever a stamp is dropped


def known(path: str) -> tuple[Stamp, ...]:
    """Read the stamps at ``path``; none if nothing can be read there."""
    found = read_whole(path, limit=2 * _MAX_FILE, cut=True)
    lines = found[0].split(b"\n") if found else ()
    return tuple(stamp for line in lines if (stamp := _parse(line)) is not None)


def _parse(line: bytes) -> Stamp | None:
    """Read one line; None if it is torn."""
    words = line.split(b" ")
    if len(words) != 4 or words[0] != b"1" or len(words[3]) != 64:
        return None
    if not (words[1].isdigit() and words[2].isdigit() and len(line) < _MAX_LINE):
        return None
    digest = words[3].decode("ascii", errors="replace")
    return Stamp(int(words[1]), int(words[2]), digest) if is_etag(digest) else None


def find(path: str, facts: os.stat_result) -> Stamp | None:
    """Return the stamp at ``path`` that fits the file that ``facts`` are about.

    One that this process found before is not read again while the file is the same to its inode
    and the time of its last change.
    """
    now = identity(facts)
    seen = _SEEN.get(path)
    if seen is not None and seen[0] == now:
        return seen[1]
    for stamp in known(path):
        if stamp.size == facts.st_size and stamp.mtime_ns == facts.st_mtime_ns:
            if len(_SEEN) >= _MAX_SEEN:
                _SEEN.clear()
            _SEEN[path] = (now, stamp)
            return stamp
    return None


def newest(path: str) -> Stamp | None:
    """Return the last stamp at ``path``, whatever the file looks like now."""
    stamps = known(path)
    return stamps[-1] if stamps else None


def add(path: str, stamp: Stamp) -> None:
    """Write one more stamp at ``path``."""
    from hubloader.cache import disk  # first use: a warm load writes nothing

    disk.make_folders(os.path.dirname(path))
    if os.path.islink(path) or _size(path) > _MAX_FILE:  # no link there is ours
        disk.remove(path)
    line = f"\n1 {stamp.size} {stamp.mtime_ns} {stamp.sha256}\n"  # the first break ends a torn line
    disk.append(path, line.encode("ascii"))


def forget(path: str) -> None:
    """Drop all stamps at ``path``."""
    from hubloader.cache import disk

    try:
        disk.remove(path)
    finally:
        _SEEN.pop(path, None)
        _DROPPED[0] = object()  # last: what is looked up meanwhile counts as older


def forgotten() -> object:
    """Return an object that is another once this process dropped any stamp.

    What was found to be trusted before, without looking at stamps again, is then to be looked at
    again.
    """
    return _DROPPED[0]


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
