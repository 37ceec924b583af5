"""Listings on disk: ``trees/<commit>.json`` in huggingface_hub's format, and our seal beside it.

::

    {"format_version": 1,
     "files": {"config.json": {"size": 519, "blob_id": "<git sha1>"},
               "model.safetensors": {"size": 9, "blob_id": "…", "lfs_sha256": "…", "lfs_size": 9,
                                     "xet_hash": "…"}}}

A listing that was emptied or shortened would make files look absent. So what we write is sealed: a
digest of names, sizes and hashes in ``.hubloader/trees/``, with the listing's size and time: while
those are the same it is not hashed again. A listing that does not fit its seal counts as not there.
One without a seal (huggingface_hub wrote it) is taken as it is.

Source: huggingface_hub 2.4.0 ``_tree_cache.py``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from hubloader.cache.reading import read_whole
from hubloader.errors import InvalidReference
from hubloader.names import check_filename, is_commit, is_etag
from hubloader.types import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.cache.layout import RepoLayout

__all__ = ["format_seal", "format_tree", "is_kept", "parse_tree", "read_tree", "seal"]

_FORMAT_VERSION = 1
_MAX_FILE = 512 * 1024 * 1024  # bytes: a million files; more is no listing
_MAX_SEAL = 256  # bytes
_MAX_READ = 64  # listings kept at hand, while their files stay what they were
_READ: dict[str, tuple[tuple[int, int, int, int], Mapping[str, Entry]]] = {}


def read_tree(layout: RepoLayout, commit: str) -> Mapping[str, Entry] | None:
    """Return what ``commit`` holds; None if no listing is kept, or not one to be trusted."""
    path = layout.tree(commit)
    known = _READ.get(path)
    if known is not None and known[0] == _identity(path):
        return known[1]
    found = read_whole(path, limit=_MAX_FILE)
    if found is None:
        return None
    data, facts = found
    entries = parse_tree(data)
    sealed = read_whole(layout.tree_digest(commit), limit=_MAX_SEAL, cut=True)
    if entries is None or (sealed is not None and not _is_sealed(sealed[0], entries, facts)):
        return None
    if len(_READ) >= _MAX_READ:
        _READ.clear()
    _READ[path] = ((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns), entries)
    return entries


def is_kept(layout: RepoLayout, commit: str, entries: Mapping[str, Entry], data: bytes) -> bool:
    """Whether what is kept of ``commit`` are ``entries``, which ``data`` writes.

    What we wrote ourselves is the same bytes: 100,000 files are not read into memory again.
    """
    found = read_whole(layout.tree(commit), limit=len(data))
    if found is None or found[0] != data:
        return read_tree(layout, commit) == dict(entries)
    sealed = read_whole(layout.tree_digest(commit), limit=_MAX_SEAL, cut=True)
    return sealed is None or _is_sealed(sealed[0], entries, found[1])


def _identity(path: str) -> tuple[int, int, int, int] | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _is_sealed(sealed: bytes, entries: Mapping[str, Entry], facts: os.stat_result) -> bool:
    """Whether a listing is the sealed one: by its stamp, or else by what it says."""
    digest, _, stamp = sealed.decode("ascii", errors="replace").strip().partition(" ")
    return stamp == f"{facts.st_size} {facts.st_mtime_ns}" or digest == seal(entries)


def format_seal(entries: Mapping[str, Entry], size: int, mtime_ns: int) -> bytes:
    """Seal a listing that is about to be written: so many bytes, with that time."""
    return f"{seal(entries)} {size} {mtime_ns}\n".encode("ascii")


def parse_tree(data: bytes) -> dict[str, Entry] | None:
    """Read a listing's JSON; None if it is not one.

    Files whose names cannot be stored on every platform are left out: nothing here opens them.
    """
    try:
        document = json.loads(data)
        if document["format_version"] != _FORMAT_VERSION:
            return None
        files = document["files"].items()
        found = {name: _parse_entry(facts) for name, facts in files if _is_filename(name)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {name: entry for name, entry in found.items() if entry is not None}


def format_tree(entries: Mapping[str, Entry]) -> bytes | None:
    """Write a listing as huggingface_hub does; None if it lacks a size or hash of some file.

    ``json.dumps(…, indent=1)``, file by file: of 100,000 files there is no second copy in memory.
    """
    text, before = bytearray(b'{\n "format_version": %d,\n "files": {' % _FORMAT_VERSION), "\n"
    for name in sorted(entries):
        entry = entries[name]
        if entry.size is None or not (entry.git_sha1 or entry.sha256):
            return None
        facts: dict[str, Any] = {"size": entry.size, "blob_id": entry.git_sha1 or ""}
        if entry.sha256 is not None:
            facts |= {"lfs_sha256": entry.sha256, "lfs_size": entry.size}
        if entry.xet_hash is not None and _is_xet_hash(entry.xet_hash):
            facts["xet_hash"] = entry.xet_hash
        lines = ",".join(f'\n   "{key}": {json.dumps(value)}' for key, value in facts.items())
        text += f"{before}  {json.dumps(name)}: {{{lines}\n  }}".encode("ascii")
        before = ",\n"
    text += b"\n }\n}" if entries else b"}\n}"
    return bytes(text)


def seal(entries: Mapping[str, Entry]) -> str:
    """Return a digest of what a listing says, however it is written."""
    import hashlib  # first use: a listing whose stamp fits is not hashed

    content = hashlib.sha256()
    for name in sorted(entries):
        entry = entries[name]
        content.update(f"{entry.sha256 or entry.git_sha1} {entry.size} {name}\n".encode())
    return content.hexdigest()


def _parse_entry(facts: Mapping[str, Any]) -> Entry | None:
    sha256 = facts.get("lfs_sha256")
    size = facts["size"] if sha256 is None else facts.get("lfs_size", facts["size"])
    git_sha1, xet_hash = facts["blob_id"], facts.get("xet_hash")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise TypeError("a size is a count of bytes")
    if sha256 is not None and not (len(sha256) == 64 and is_etag(sha256)):
        raise ValueError("not a sha256")
    if sha256 is None and not is_commit(git_sha1):
        raise ValueError("not a git sha1")
    known_xet = xet_hash if isinstance(xet_hash, str) and _is_xet_hash(xet_hash) else None
    return Entry(size, git_sha1 if is_commit(git_sha1) else None, sha256, known_xet)


def _is_xet_hash(text: str) -> bool:
    return len(text) == 64 and is_etag(text)


def _is_filename(name: str) -> bool:
    try:
        check_filename(name)
    except InvalidReference:
        return False
    return True
