"""Make a pointer name a blob: by a symbolic link, a hard link, or a copy.

Which of them a folder can do is tried once and remembered. A pointer is made beside and renamed
into place: readers see the old one or the new one. A symbolic link is relative, as
huggingface_hub's are, so that a cache may be moved; one into a base cache is absolute.

A copy (Windows without the right to make links, some network folders) keeps the blob too, so that
the same content under another commit costs no second download; it carries the blob's time, so the
blob's stamp fits it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Literal, cast

from hubloader.cache import disk
from hubloader.cache.reading import leads_to, points_at
from hubloader.errors import CacheError

if TYPE_CHECKING:
    from hubloader.cache.layout import RepoLayout

__all__ = ["LinkMode", "Linker"]

LinkMode = Literal["auto", "symlink", "hardlink", "copy"]
_Way = Literal["symlink", "hardlink", "copy"]
_COPY_CHUNK = 1024 * 1024  # bytes


class Linker:
    """Makes pointers.

    Args:
        mode: the way; ``auto`` takes the first of symlink, hardlink, copy that works, and
            ``hardlink`` copies where the file system has none.

    """

    def __init__(self, mode: LinkMode = "auto") -> None:
        self.mode: LinkMode = mode
        self._guard = threading.Lock()
        self._ways: dict[str, _Way] = {}

    def make(self, layout: RepoLayout, blob: str, pointer: str) -> list[str]:
        """Let ``pointer`` name ``blob``, replacing what it named.

        Returns:
            The folders that changed; none if it named the blob already.

        """
        if points_at(pointer) == blob and _meet(pointer, blob):
            return []
        _remove_planted_folders(layout, pointer)
        changed = disk.make_folders(os.path.dirname(pointer))
        draft = os.path.join(layout.tmp, disk.draft_name())
        make = _MAKE[self._way(layout)]
        try:
            disk.in_folder(layout.tmp, lambda: make(blob, pointer, draft))
            disk.rename_over(draft, pointer, aside=layout.quarantine)
        finally:
            # rename does nothing when both are already hard links to one file: the draft stays
            disk.remove(draft)
            disk.remove_empty(layout.tmp)
        doubtful = os.path.islink(layout.snapshots) and points_at(pointer) is not None
        if doubtful and not _meet(pointer, blob):
            raise CacheError(
                f"{layout.snapshots} is a link, and pointers made there lead elsewhere",
                hint="delete that link",
            )
        return [*changed, os.path.dirname(pointer)]

    def _way(self, layout: RepoLayout) -> _Way:
        if self.mode in {"symlink", "copy"}:
            return cast("_Way", self.mode)
        ways: tuple[_Way, ...] = ("symlink", "hardlink") if self.mode == "auto" else ("hardlink",)
        with self._guard:
            way = self._ways.get(layout.folder)
            if way is None:
                way = self._ways[layout.folder] = _probe(layout.tmp, ways)
            return way


def _meet(pointer: str, blob: str) -> bool:
    """Whether the system comes to the blob by the pointer."""
    try:
        return leads_to(pointer, os.stat(blob))
    except OSError:  # the blob has gone: the pointer is made anew, whatever it is
        return False


def _remove_planted_folders(layout: RepoLayout, pointer: str) -> None:
    """Delete what is a link where a folder of the snapshot belongs: nothing is written through."""
    folder = os.path.dirname(pointer)
    while folder != layout.snapshots:
        if os.path.islink(folder):
            disk.remove(folder)
        folder = os.path.dirname(folder)


def _probe(folder: str, ways: tuple[_Way, ...]) -> _Way:
    """Find out which of ``ways`` ``folder``'s file system has, by trying; else it is a copy."""
    target = os.path.join(folder, disk.draft_name())
    os.close(disk.in_folder(folder, lambda: disk.create(target)))
    try:
        for way in ways:
            draft = os.path.join(folder, disk.draft_name())
            try:
                _MAKE[way](target, target, draft)
            except (OSError, NotImplementedError):  # no right, or no such thing here
                continue
            disk.remove(draft)
            return way
    finally:
        disk.remove(target)
    return "copy"


def _symlink(blob: str, pointer: str, draft: str) -> None:
    repo = os.path.dirname(os.path.dirname(blob))
    inside = pointer.startswith(repo + os.sep)
    os.symlink(os.path.relpath(blob, os.path.dirname(pointer)) if inside else blob, draft)


def _hardlink(blob: str, pointer: str, draft: str) -> None:  # noqa: ARG001  # one signature for all
    os.link(blob, draft)


def _copy(blob: str, pointer: str, draft: str) -> None:  # noqa: ARG001  # one signature for all
    source = os.open(blob, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        facts = os.fstat(source)
        target = disk.create(draft)
        try:
            while data := os.read(source, _COPY_CHUNK):
                disk.write_all(target, data)
            disk.freeze_mode(target)
            disk.sync_file(target)
        finally:
            os.close(target)
        os.utime(draft, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    finally:
        os.close(source)


_MAKE = {"symlink": _symlink, "hardlink": _hardlink, "copy": _copy}
