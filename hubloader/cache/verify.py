"""Hash what is doubted; remember it as good, or set it aside.

A content that another tool wrote, or whose stamp changed, is read once. A bad one is moved to the
repository's ``.hubloader/quarantine``, kept there for a report; first every pointer to it goes,
because a pointer that leads nowhere hides the whole repository from huggingface_hub's scan. Which
they were is noted beside it (``<etag>.<random>.names``), so that an audit can tell that they are
missing, and have them brought again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from hubloader.cache import disk, stamps
from hubloader.cache.digest import hash_file
from hubloader.cache.failures import guard
from hubloader.cache.home import make_home
from hubloader.cache.lookup import can_keep_stamps
from hubloader.cache.planted import refuse_planted
from hubloader.cache.reading import names_in, open_to_read, points_at, read_whole
from hubloader.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.cache.content import Found
    from hubloader.cache.digest import ContentHash
    from hubloader.cache.layout import RepoLayout

__all__ = ["hash_content", "hash_found", "names_set_aside", "set_aside"]

_NEEDS_NO_SYNC = frozenset({errno.EROFS, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
_NAMES = ".names"
_MAX_NOTE = 4 * 1024 * 1024  # bytes


def hash_found(
    found: Found,
    etag: str,
    home: RepoLayout,
    *,
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Return whether a content is what its etag says: see ``hash_content``."""
    return hash_content(found, etag, home, progress=progress).matches


def hash_content(
    found: Found,
    etag: str,
    home: RepoLayout,
    *,
    progress: Callable[[int], None] | None = None,
) -> ContentHash:
    """Read and hash a content; if it is what its etag says, stamp it where that can be kept.

    Args:
        found: the content.
        etag: what it should be.
        home: the repository in the writable cache, which keeps the stamp.
        progress: told the number of bytes of each step.

    Raises:
        CacheError: it could not be read.

    """
    with guard(found.path):
        descriptor = open_to_read(found.path)
        try:
            content = hash_file(descriptor, etag, progress=progress)
            facts = os.fstat(descriptor)
            still = facts.st_mtime_ns == found.facts.st_mtime_ns  # else it was written to meanwhile
            keeps = content.matches and still and can_keep_stamps(home) and _is_safe(descriptor)
        finally:
            os.close(descriptor)
    if keeps:
        # without a stamp it is read once more: no reason to refuse a content that is right
        with contextlib.suppress(CacheError), guard(home.own):
            refuse_planted(home)
            make_home(home)  # of a content in a base cache, it may be the first thing here
            stamps.add(home.stamp(etag), stamps.Stamp.of(facts, content.sha256))
    return content


def _is_safe(descriptor: int) -> bool:
    """Have a content on the disk before its stamp: what another tool wrote may not be there yet."""
    try:
        disk.sync_file(descriptor)
    except OSError as error:
        return error.errno in _NEEDS_NO_SYNC
    return True


def set_aside(found: Found, etag: str) -> None:
    """Take a bad content out of service, with every pointer to it."""
    layout = found.layout
    refuse_planted(layout)
    stamps.forget(layout.stamp(etag))
    if found.path == found.pointer:
        _note_names(layout, etag, [found.path])
        _to_quarantine(layout, found.path, etag)
        return
    blob = layout.blob(etag)
    pointers = _pointers_to(layout, blob)
    _note_names(layout, etag, pointers)
    for pointer in pointers:
        disk.remove(pointer)
    # a power cut must not bring a pointer back whose content has gone
    disk.sync_folders(os.path.dirname(pointer) for pointer in pointers)
    if os.path.islink(blob):  # into huggingface_hub's shared store: its file is not ours to move
        disk.remove(blob)
    elif os.path.exists(blob):
        _to_quarantine(layout, blob, etag)


def names_set_aside(layout: RepoLayout, commit: str) -> set[str]:
    """Return the files of a commit that the cache had until their content turned out bad."""
    found: set[str] = set()
    for name in names_in(layout.quarantine):
        whole = name.endswith(_NAMES) and read_whole(
            os.path.join(layout.quarantine, name), limit=_MAX_NOTE, cut=True
        )
        lines = whole[0].decode("utf-8", errors="replace").split("\n") if whole else ()
        found |= {line.removeprefix(f"{commit}/") for line in lines if line.startswith(commit)}
    return found


def _note_names(layout: RepoLayout, etag: str, pointers: list[str]) -> None:
    """Keep which files are about to go, as far as the disk has room for it."""
    names = (os.path.relpath(pointer, layout.snapshots) for pointer in pointers)
    text = "\n".join(name.replace(os.sep, "/") for name in names)
    note = os.path.join(layout.quarantine, f"{etag}.{disk.random_name()}{_NAMES}")
    with contextlib.suppress(OSError):
        disk.make_folders(layout.quarantine)
        disk.append(note, text.encode("utf-8", errors="replace"))


def _to_quarantine(layout: RepoLayout, path: str, etag: str) -> None:
    disk.make_folders(layout.quarantine)
    disk.rename(path, os.path.join(layout.quarantine, f"{etag}.{disk.random_name()}"))


def _pointers_to(layout: RepoLayout, blob: str) -> list[str]:
    """Return every pointer in every snapshot that links to ``blob``."""
    found = []
    for folder, _, names in os.walk(layout.snapshots):
        paths = (os.path.join(folder, name) for name in names)
        found += [path for path in paths if points_at(path) == blob]
    return found
