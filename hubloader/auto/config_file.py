"""config.json read from a set of files: bounded, strict, and without knowing any architecture."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, UnsafeFile, about

if TYPE_CHECKING:
    from hubloader.types import FileSet

__all__ = ["CONFIG_NAME", "read_config"]

CONFIG_NAME = "config.json"
_MAX_BYTES = 1_000_000


def read_config(files: FileSet) -> dict[str, Any]:
    """Read config.json.

    Raises:
        EntryNotFound: there is none.
        CorruptFile: it is no JSON object in UTF-8.
        UnsafeFile: it is far larger than any config.

    """
    path = files.path(CONFIG_NAME)
    with about(filename=CONFIG_NAME):
        if os.path.getsize(path) > _MAX_BYTES:
            raise UnsafeFile(f"{files.describe(CONFIG_NAME)} is larger than any config")
        with open(path, "rb") as stream:
            return _parsed(stream.read(), files.describe(CONFIG_NAME))


def _parsed(data: bytes, what: str) -> dict[str, Any]:
    try:
        raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_clashes)
    except CorruptFile:
        raise
    except (ValueError, RecursionError) as error:
        raise CorruptFile(
            f"{what} is not valid JSON: {error}", hint="fetch the file again, or mend it"
        ) from None
    if not isinstance(raw, dict):
        raise CorruptFile(f"{what} is not a JSON object but {type(raw).__name__}")
    return raw


def _without_clashes(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        clash = next((k for k, v in pairs if found[k] is not v and found[k] != v), None)
        if clash is not None:
            raise CorruptFile(f"the key {clash!r} is there twice, with different values")
    return found
