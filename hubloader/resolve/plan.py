"""What to do about each wanted file: decided without touching disk or network.

==========================  =================  =====================================================
disk                        mode               plan
==========================  =================  =====================================================
pointer, blob, trusted      ONLINE, CACHE_ONLY USE
pointer, blob, not trusted  ONLINE, CACHE_ONLY USE after one hash; a bad one is healed (DOWNLOAD)
blob only                   ONLINE, CACHE_ONLY LINK, after one hash when it is not trusted
partial                     ONLINE             DOWNLOAD the rest
nothing                     ONLINE             DOWNLOAD
anything                    FORCE              DOWNLOAD, from the first byte
nothing, partial            CACHE_ONLY         ``missing``: one CacheMiss names every such file
==========================  =================  =====================================================

A plan also says how many bytes come over the network and how many must fit on the disk, so that
too little room is refused before the first byte. "Print the plan" is what a dry run is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.types import Mode, OnDisk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubloader.types import Entry, Manifest

__all__ = ["Action", "FilePlan", "Plan", "make_plan"]


class Action(enum.Enum):
    """What becomes of one file."""

    USE = "it is in the cache"
    LINK = "its content is in the cache, the snapshot does not name it yet"
    DOWNLOAD = "it is fetched"


@dataclass(frozen=True, slots=True)  # a repository has 100,000
class FilePlan:
    """What to do about one file.

    ``verify``: hash the cached content first; if it is bad, the action becomes DOWNLOAD.
    ``cached``: the snapshot has the file now. ``fetch`` is the number of bytes to come, 0 for a
    size that is not known.
    """

    filename: str
    entry: Entry
    action: Action
    verify: bool = False
    cached: bool = False
    fetch: int = 0


@dataclass(frozen=True)
class Plan:
    """What to do about every wanted file of one commit; ``missing`` cannot be had."""

    manifest: Manifest
    mode: Mode
    files: tuple[FilePlan, ...]
    missing: tuple[str, ...] = ()

    @property
    def downloads(self) -> tuple[FilePlan, ...]:
        """The files to fetch."""
        return tuple(file for file in self.files if file.action is Action.DOWNLOAD)

    @property
    def fetch_bytes(self) -> int:
        """Bytes to come over the network; a content that two names share is counted once."""
        by_content = {
            file.entry.sha256 or file.entry.git_sha1 or file.filename: file.fetch
            for file in self.downloads
        }
        return sum(by_content.values())

    @property
    def idle(self) -> bool:
        """Whether everything can be used as it lies: nothing to write, hash or fetch."""
        return not self.missing and all(
            file.action is Action.USE and not file.verify for file in self.files
        )


def make_plan(
    manifest: Manifest, wanted: Iterable[str], disk: Mapping[str, OnDisk], mode: Mode
) -> Plan:
    """Decide about each of ``wanted``, which are names in ``manifest``."""
    files: list[FilePlan] = []
    missing: list[str] = []
    for filename in wanted:
        decided = _decide(filename, manifest.entries[filename], disk.get(filename, OnDisk()), mode)
        if decided is None:
            missing.append(filename)
        else:
            files.append(decided)
    return Plan(manifest, mode, tuple(files), tuple(missing))


def _decide(filename: str, entry: Entry, disk: OnDisk, mode: Mode) -> FilePlan | None:
    size, cached = entry.size or 0, disk.pointer and disk.blob
    if mode is Mode.FORCE:
        return FilePlan(filename, entry, Action.DOWNLOAD, cached=cached, fetch=size)
    if disk.blob:
        action = Action.USE if disk.pointer else Action.LINK
        return FilePlan(filename, entry, action, verify=not disk.trusted, cached=cached)
    if mode is Mode.CACHE_ONLY:
        return None
    return FilePlan(filename, entry, Action.DOWNLOAD, fetch=max(0, size - disk.partial))
