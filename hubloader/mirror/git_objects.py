"""Git's names for content: what the Hub calls a file, a folder and a commit.

A regular file is named by the sha1 of its git blob; an LFS file by its sha256, and git holds a
small pointer text in its place. A folder's name is the sha1 of its git tree, so that equal content
has equal names on every machine, and a commit made of nothing but content is deterministic.

Source: git's object format (``git help gitformat-pack``); git-lfs ``docs/spec.md``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "commit_id",
    "git_blob_id",
    "lfs_pointer",
    "sha256_of",
    "tree_id",
]

FILE_MODE: Final = "100644"
FOLDER_MODE: Final = "40000"
_CHUNK = 1 << 20  # bytes read at a time
_AUTHOR = "hubloader <> 0 +0000"


def git_blob_id(stream: BinaryIO, size: int) -> str:
    """The git blob's sha1 of ``size`` bytes in ``stream``."""
    return _digest(stream, _sha1(b"blob %d\x00" % size))


def sha256_of(stream: BinaryIO) -> str:
    """The sha256 of what is left in ``stream``."""
    return _digest(stream, hashlib.sha256())


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that git holds in place of an LFS file."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    )


def tree_id(entries: Iterable[tuple[str, str, str]]) -> str:
    """The git tree's sha1 of ``(mode, name, object id)`` entries, in whatever order they come."""
    ordered = sorted(entries, key=_tree_order)
    body = b"".join(
        f"{mode} {name}".encode() + b"\x00" + bytes.fromhex(object_id)
        for mode, name, object_id in ordered
    )
    return _object_id(b"tree", body)


def commit_id(root_tree: str) -> str:
    """The sha1 of a commit that holds ``root_tree``, has no parent, and was made at no time."""
    body = f"tree {root_tree}\nauthor {_AUTHOR}\ncommitter {_AUTHOR}\n\nserved as it is\n"
    return _object_id(b"commit", body.encode())


def _tree_order(entry: tuple[str, str, str]) -> bytes:
    mode, name, _ = entry
    return name.encode() + (b"/" if mode == FOLDER_MODE else b"")


def _object_id(kind: bytes, body: bytes) -> str:
    state = _sha1(b"%s %d\x00" % (kind, len(body)))
    state.update(body)
    return str(state.hexdigest())


def _sha1(start: bytes) -> Any:
    return hashlib.sha1(start, usedforsecurity=False)


def _digest(stream: BinaryIO, state: Any) -> str:
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return str(state.hexdigest())
