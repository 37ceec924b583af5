"""Small questions about manifests: what an entry's content is called, which shards an index names.

Where a manifest comes from is ``resolver.py``'s, how it is kept is ``cache/store.py``'s.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hubloader.errors import InvalidReference
from hubloader.names import check_filename

if TYPE_CHECKING:
    from hubloader.types import Entry

__all__ = ["content_key", "shards_in_index"]

_MAX_SHARDS = 100_000


def content_key(entry: Entry) -> str:
    """What two files with the same content have in common: the blob's name."""
    return entry.sha256 or entry.git_sha1 or ""


def shards_in_index(text: str, index: str) -> tuple[str, ...]:
    """The files that a shard index names, as in the repository.

    A name that could leave the folder is left out, and so is everything of an index that is none:
    the reader of the weights refuses it with the reason.

    Args:
        text: the content of a ``*.index.json``.
        index: its own name in the repository; shards lie beside it.

    """
    folder, slash, _ = index.rpartition("/")
    try:
        weight_map = json.loads(text).get("weight_map", {})
        found = sorted({name for name in weight_map.values() if isinstance(name, str)})
    except (ValueError, AttributeError, RecursionError):
        return ()
    return tuple(f"{folder}{slash}{name}" for name in found[:_MAX_SHARDS] if _stays_inside(name))


def _stays_inside(name: str) -> bool:
    try:
        check_filename(name)
    except InvalidReference:
        return False
    return True
