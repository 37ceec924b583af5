"""Which content a pointer or a blob leads to: the ways that count, and no other.

A content is a regular file of the announced size, reached in one of these ways, so that a link
planted by somebody else leads nowhere:

- the pointer is a link to the repository's blob of the announced etag, here or in a base cache, and
  the system comes to that blob by it (a folder on the way may be a planted link);
- the pointer is a file itself (no symbolic links here, or huggingface_hub moved the blob there);
- that blob is a link into the cache's shared store of Xet files.

It is a fixed number of system calls: readlink and stat of the pointer, lstat of the blob. What a
process has once looked at so is known to be the same by one: stat of the pointer gives the same
file, with the same size and times (``Seen``).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.cache import stamps
from hubloader.cache.failures import is_absence
from hubloader.cache.reading import identity, leads_to, points_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hubloader.cache.layout import CacheLayout, RepoLayout
    from hubloader.types import Entry

__all__ = ["Found", "Marks", "Seen", "blob_content", "fits", "pointer_content"]

_MAX_SEEN = 8192  # contents


class Found(NamedTuple):
    """A content of the right size on this disk.

    ``path`` is what to open, ``pointer`` the snapshot's name for it (None if it has none yet),
    ``facts`` what lstat said of ``path``, ``layout`` the cache that the content is in.
    """

    path: str
    pointer: str | None
    facts: os.stat_result
    layout: RepoLayout


class Marks(NamedTuple):
    """What trusted contents looked like: ``pointers``, and of each the file that it led to.

    ``since`` is when that was, as ``stamps.forgotten`` tells it.
    """

    pointers: tuple[str, ...]
    identities: list[Any]
    since: object

    def hold(self) -> bool:
        """Whether each pointer leads to the same file, of the same size and times."""
        if self.since is not stamps.forgotten():
            return False
        try:
            return list(map(identity, map(os.stat, self.pointers))) == self.identities
        except OSError:
            return False


class _Sight:
    """One content, looked at in full; ``trusted`` says since when its hash is known."""

    __slots__ = ("etag", "found", "identity", "trusted")

    def __init__(self, etag: str | None, found: Found) -> None:
        self.etag = etag
        self.found = found
        self.identity = identity(found.facts)
        self.trusted: object = None


class Seen:
    """The contents that one store has looked at in full, by their pointers."""

    def __init__(self) -> None:
        self._sights: dict[str, _Sight] = {}

    def find(self, pointer: str, etag: str | None) -> Found | None:
        """Return what was found at ``pointer``, if it leads to the same file, unchanged."""
        sight = self._sights.get(pointer)
        if sight is None or sight.etag != etag:
            return None
        try:
            same = identity(os.stat(pointer)) == sight.identity
        except OSError:
            return None
        return sight.found if same else None

    def note(self, found: Found, etag: str | None) -> None:
        """Remember what was looked at in full, under its pointer."""
        if found.pointer is None:
            return
        if len(self._sights) >= _MAX_SEEN:
            self._sights.clear()
        self._sights[found.pointer] = _Sight(etag, found)

    def trust(self, found: Found, since: object) -> None:
        """Remember that the hash of ``found`` is known, by stamps read after ``since``."""
        sight = self._sights.get(found.pointer or "")
        if sight is not None and sight.found is found:
            sight.trusted = since

    def is_trusted(self, found: Found) -> bool:
        """Whether the hash of ``found`` was known before, and no stamp was dropped since."""
        sight = self._sights.get(found.pointer or "")
        return sight is not None and sight.found is found and sight.trusted is stamps.forgotten()

    def marks(self, pointers: Iterable[str]) -> Marks | None:
        """Return what trusted contents looked like; None if one of them is not known so."""
        chosen, since = tuple(pointers), stamps.forgotten()
        sights = [self._sights.get(pointer) for pointer in chosen]
        known = [sight for sight in sights if sight is not None and sight.trusted is since]
        if len(known) < len(chosen):
            return None
        return Marks(chosen, [sight.identity for sight in known], since)


def fits(facts: os.stat_result, entry: Entry) -> bool:
    """Whether a content has the announced size, where one was announced."""
    return entry.size is None or facts.st_size == entry.size


def pointer_content(
    pointer: str, blobs: Sequence[str], caches: Sequence[CacheLayout]
) -> tuple[str, os.stat_result, int | None] | None:
    """Return what to open for a pointer, its facts, and which blob it is (None: itself).

    None if there is no pointer, or it leads anywhere else.

    Args:
        pointer: a snapshot's name for a file.
        blobs: where its content may be, in each cache.
        caches: the caches, for their shared stores.

    """
    target = points_at(pointer)
    if target is None:
        facts = _regular(pointer)
        return None if facts is None else (pointer, facts, None)
    for index, blob in enumerate(blobs):
        if _is_same_name(target, blob):
            content = blob_content(blob, caches)
            if content is None or not leads_to(pointer, content[1]):
                return None
            return (*content, index)
    return None


def _is_same_name(target: str, blob: str) -> bool:
    """Whether a link's target is the blob: by its text, or by its folder (reached two ways)."""
    if target == blob:
        return True
    (folder, name), (right_folder, right_name) = os.path.split(target), os.path.split(blob)
    return name == right_name and os.path.realpath(folder) == os.path.realpath(right_folder)


def blob_content(blob: str, caches: Sequence[CacheLayout]) -> tuple[str, os.stat_result] | None:
    """Return what to open for a blob, and its facts; None if there is no content."""
    facts = _lstat(blob)
    if facts is None:
        return None
    if stat.S_ISREG(facts.st_mode):
        return blob, facts
    shared = points_at(blob) if stat.S_ISLNK(facts.st_mode) else None
    if shared is None or not any(cache.is_shared_blob(shared) for cache in caches):
        return None
    facts = _regular(shared)
    return None if facts is None else (shared, facts)


def _regular(path: str) -> os.stat_result | None:
    """Return the facts of a file that is no link, folder or device; None for anything else."""
    facts = _lstat(path)
    return facts if facts is not None and stat.S_ISREG(facts.st_mode) else None


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError as error:
        if is_absence(error):
            return None
        raise
