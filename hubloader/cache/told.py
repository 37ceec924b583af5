"""What an endpoint that lists nothing told of single files of a commit, kept for the next load.

::

    {"format_version": 1, "endpoint": "https://mirror.example", "listed": false,
     "files": {"config.json": {"size": 519, "etag": "<git sha1 or sha256>", "xet_hash": "…"}},
     "absent": {"tokenizer.model": 1790000000.0}}

A listing proves what a commit lacks, single answers do not: one wrong 404 must not hide a file for
ever. So absences count for a day, by the time they were told, and for the endpoint that told them.
``listed`` says that the endpoint named every file, and only sizes and hashes were asked one by one:
then ``files`` are all there are, some of them not described yet.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.cache.failures import is_absence
from hubloader.cache.reading import open_to_read
from hubloader.errors import InvalidReference
from hubloader.names import check_filename, is_commit, is_etag
from hubloader.types import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.cache.layout import RepoLayout

__all__ = ["Told", "format_told", "parse_told", "read_told"]

_FORMAT_VERSION = 1
_MAX_FILE = 64 * 1024 * 1024  # bytes
_DAY = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Told:
    """What one endpoint told of one commit, file by file.

    ``absent`` says when each name was told not to be there, in seconds since 1970.
    """

    endpoint: str
    entries: Mapping[str, Entry]
    absent: Mapping[str, float]
    listed: bool = False

    def merged(self, older: Told) -> Told:
        """This and what was told before, by the same endpoint; the newer answer wins."""
        known = {name: entry for name, entry in self.entries.items() if _is_described(entry)}
        entries = {**self.entries, **older.entries, **known}
        absent = {**self.absent, **older.absent}  # the time of the first answer counts
        lasting = {name: when for name, when in absent.items() if name not in entries}
        return Told(self.endpoint, entries, lasting, self.listed or older.listed)


def read_told(
    layout: RepoLayout, commit: str, endpoint: str, *, now: Callable[[], float] = time.time
) -> Told | None:
    """Return what ``endpoint`` told of ``commit``; None if nothing is kept, or it is unreadable."""
    try:
        with open(open_to_read(layout.told(commit)), "rb") as file:
            data = file.read(_MAX_FILE) if os.fstat(file.fileno()).st_size <= _MAX_FILE else b""
    except OSError as error:
        if is_absence(error):
            return None
        raise
    told = parse_told(data)
    if told is None or told.endpoint != endpoint:
        return None
    lasting = {name: when for name, when in told.absent.items() if abs(now() - when) < _DAY}
    return Told(told.endpoint, told.entries, lasting, told.listed)


def parse_told(data: bytes) -> Told | None:
    """Read a record's JSON; None if it is not one."""
    try:
        document = json.loads(data)
        if document["format_version"] != _FORMAT_VERSION:
            return None
        files = document["files"].items()
        absent = {check_filename(name): float(when) for name, when in document["absent"].items()}
        entries = {check_filename(name): _parse_entry(facts) for name, facts in files}
        return Told(str(document["endpoint"]), entries, absent, document["listed"] is True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidReference):
        return None


def format_told(told: Told) -> bytes:
    """Write a record."""
    document = {
        "format_version": _FORMAT_VERSION,
        "endpoint": told.endpoint,
        "listed": told.listed,
        "files": {name: _format_entry(told.entries[name]) for name in sorted(told.entries)},
        "absent": {name: told.absent[name] for name in sorted(told.absent)},
    }
    return json.dumps(document, indent=1).encode("ascii")


def _is_described(entry: Entry) -> bool:
    return entry.sha256 is not None or entry.git_sha1 is not None


def _parse_entry(facts: Mapping[str, Any]) -> Entry:
    size, etag, xet_hash = facts.get("size"), facts.get("etag"), facts.get("xet_hash")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise TypeError("a size is a count of bytes")
    known_xet = xet_hash if isinstance(xet_hash, str) and is_etag(xet_hash) else None
    if etag is None:
        return Entry(size)
    if is_commit(etag):
        return Entry(size, git_sha1=etag, xet_hash=known_xet)
    if not is_etag(etag):
        raise ValueError("not an etag")
    return Entry(size, sha256=etag, xet_hash=known_xet)


def _format_entry(entry: Entry) -> dict[str, Any]:
    facts = {
        "size": entry.size,
        "etag": entry.sha256 or entry.git_sha1,
        "xet_hash": entry.xet_hash,
    }
    return {name: value for name, value in facts.items() if value is not None}
