"""Hash a content the way its etag was made, and with sha256 always.

An LFS file's etag is its sha256. Any other file's is git's blob id: sha1 over ``blob <size>``, a
NUL and the content. sha1 can be forged by now, so a sha256 is computed beside it and recorded.

Source: git's object format (gitformat-pack, "object hashing"); huggingface_hub 2.4 names blobs so.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from hubloader.names import is_commit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ContentHash", "hash_file"]

_CHUNK = 1024 * 1024  # bytes: large enough that hashlib lets other threads run


class ContentHash:
    """The hash of a content that comes piece by piece.

    Args:
        etag: what it ought to be: 40 hex digits (git) or 64 (sha256).
        size: the content's length in bytes, which git's hash begins with.

    """

    def __init__(self, etag: str, size: int) -> None:
        self.expected = etag
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(f"blob {size}\0".encode()) if is_commit(etag) else None  # noqa: S324  # git's choice

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)

    @property
    def sha256(self) -> str:
        """sha256 of the bytes so far, in hex."""
        return self._sha256.hexdigest()

    @property
    def actual(self) -> str:
        """The etag that the bytes so far would have."""
        return self.sha256 if self._git is None else self._git.hexdigest()

    @property
    def matches(self) -> bool:
        """Whether the bytes so far are the whole, right content."""
        return self.actual == self.expected


def hash_file(
    descriptor: int, etag: str, *, progress: Callable[[int], None] | None = None
) -> ContentHash:
    """Hash an open file from where it stands.

    Args:
        descriptor: open for reading, at its beginning.
        etag: what the content ought to be.
        progress: told the number of bytes of each step.

    """
    content = ContentHash(etag, os.fstat(descriptor).st_size)
    while data := os.read(descriptor, _CHUNK):
        content.update(data)
        if progress is not None:
            progress(len(data))
    return content
