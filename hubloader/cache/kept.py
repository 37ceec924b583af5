"""What was worked out from cached files, kept beside them so that it is worked out once.

A kept file is its sha256, a line break, and the content. One that does not match is as good as
none: the caller works it out anew. Nothing here is needed: it may be deleted at any time, and where
it cannot be written it is not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.failures import guard
from hubloader.cache.planted import refuse_planted
from hubloader.cache.reading import open_to_read
from hubloader.errors import CacheReadOnly, DiskFull

if TYPE_CHECKING:
    from hubloader.cache.layout import RepoLayout

__all__ = ["keep", "read"]

_MAX_KEPT = 8  # files of one repository: a few commits' worth; the oldest go
_DIGEST = 64  # hex digits


def read(layout: RepoLayout, name: str) -> bytes | None:
    """Return the content kept as ``name`` (64 hex digits), None if there is none, or it is bad."""
    try:
        with open(open_to_read(layout.kept(name)), "rb") as stream:
            raw = stream.read()
    except OSError:
        return None  # not there, or not ours to read: it is worked out anew
    content = raw[_DIGEST + 1 :]
    digest = hashlib.sha256(content).hexdigest().encode("ascii")
    return content if raw[: _DIGEST + 1] == digest + b"\n" else None


def keep(layout: RepoLayout, name: str, content: bytes) -> None:
    """Keep ``content`` as ``name``; silently not where the disk is full or cannot be written."""
    path = layout.kept(name)
    if not os.path.isdir(layout.folder):
        return
    data = hashlib.sha256(content).hexdigest().encode("ascii") + b"\n" + content
    with contextlib.suppress(CacheReadOnly, DiskFull), guard(path):
        refuse_planted(layout)
        disk.write_atomically(path, data, tmp=layout.tmp)
        _forget_oldest(os.path.dirname(path))


def _forget_oldest(folder: str) -> None:
    with os.scandir(folder) as entries:
        ages = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
    for _, path in ages[:-_MAX_KEPT]:
        disk.remove(path)
