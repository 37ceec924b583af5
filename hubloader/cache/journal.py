"""What an unfinished download has so far, on disk: an append-only list of short lines.

::

    b <boot>               the boot that the bytes were written in: 8 hex digits
    w <start> <end>        these bytes were written (out of order)
    s                      bytes are written out of order: the file's length says nothing
    h <offset> <sha256>    the hash of everything before <offset>

Each line is written whole; a torn or unknown one ends the journal. Until there is an ``s`` line the
file has no holes, and its length is how far it came: a sequential download writes no ``w`` at all.

After a kill every written byte is still in the page cache, so all ranges count. After a power cut
written bytes may be lost, so only the prefix whose hash is the one noted counts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from hubloader.cache.ranges import Ranges
from hubloader.cache.reading import open_to_read

__all__ = [
    "GrowingJournal",
    "JournalState",
    "boot_line",
    "hash_line",
    "parse_journal",
    "sparse_line",
    "write_line",
]

_LINE = re.compile(rb"b ([0-9a-f]{8})|w (\d{1,19}) (\d{1,19})|(s)|h (\d{1,19}) ([0-9a-f]{64})")


@dataclass
class JournalState:
    """What a journal says.

    ``hashes`` are pairs of an offset in bytes and the sha256 of everything before it, rising.
    """

    boot: str = ""
    written: Ranges = field(default_factory=Ranges)
    sparse: bool = False
    hashes: list[tuple[int, str]] = field(default_factory=list)

    def available(self, length: int) -> Ranges:
        """Return the bytes that are there, in a file of ``length`` bytes, when nothing was lost."""
        if not self.sparse:
            return Ranges([(0, length)])
        return Ranges((start, min(end, length)) for start, end in self.written)


class GrowingJournal:
    """A journal that another process writes, looked at again and again: each line is read once.

    That of 50 GB has 50,000 lines, and whoever waits for them looks every second.

    Args:
        path: the file.

    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._state = JournalState()

    def read(self) -> JournalState:
        """Return what it says by now.

        Raises:
            OSError: it cannot be read.

        """
        with open(open_to_read(self._path), "rb") as file:
            if os.fstat(file.fileno()).st_size < self._offset:  # its writer began anew
                self._offset, self._state = 0, JournalState()
            file.seek(self._offset)
            whole = b"".join(file.read().rpartition(b"\n")[:2])  # the last line may grow yet
        self._state = parse_journal(whole, self._state)
        self._offset += len(whole)
        return self._state


def parse_journal(data: bytes, state: JournalState | None = None) -> JournalState:
    """Read a journal, up to its first broken line; ``state`` is what the lines before it said."""
    state = state or JournalState()
    for line in data.split(b"\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None:
            break
        if match[1]:
            state.boot = match[1].decode("ascii")
        elif match[2]:
            state.written.add(int(match[2]), int(match[3]))
        elif match[4]:
            state.sparse = True
        else:
            state.hashes.append((int(match[5]), match[6].decode("ascii")))
    return state


def boot_line(boot: str) -> bytes:
    """Note the boot that bytes are written in."""
    return b"b %s\n" % boot.encode("ascii")


def write_line(start: int, end: int) -> bytes:
    """Note that bytes ``[start, end)`` were written."""
    return b"w %d %d\n" % (start, end)


def sparse_line() -> bytes:
    """Note that the file may have holes from now on."""
    return b"s\n"


def hash_line(offset: int, sha256: str) -> bytes:
    """Note the hash of everything before ``offset``."""
    return b"h %d %s\n" % (offset, sha256.encode("ascii"))
