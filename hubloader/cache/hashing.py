"""Hash a content while it comes, in whatever order its bytes do.

Bytes that arrive in order are hashed from memory; what was written further on is read back when the
bytes before it have come. At each checkpoint the hash so far is noted, by which a later boot knows
which of the bytes the disk still has.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.digest import ContentHash
from hubloader.cache.journal import hash_line
from hubloader.cache.partial import LARGE
from hubloader.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.cache.partial import Partial

__all__ = ["RunningHash"]

_READ_BACK = 1024 * 1024  # bytes read and hashed at a time
_CATCH_UP = 4 * 1024 * 1024  # bytes one call of ``along`` may hash for the others
_CHECKPOINT = LARGE  # bytes between hashes in the journal


class RunningHash:
    """The hash of one partial's bytes, from the beginning as far as they have come.

    Args:
        etag: what the whole ought to be.
        partial: gives the partial, which may be made only when its first byte comes.
        note: writes a line into its journal.

    """

    def __init__(
        self, etag: str, partial: Callable[[], Partial], note: Callable[[bytes], None]
    ) -> None:
        self.busy = threading.Lock()  # held by the one thread that hashes
        self._etag = etag
        self._partial = partial
        self._note = note
        self.begin(None)

    def begin(self, size: int | None) -> None:
        """Begin anew; without a size, which git's hash begins with, nothing is hashed yet."""
        self._size = size
        self._content = None if size is None else ContentHash(self._etag, size)
        self._hashed = 0  # bytes

    def good_prefix(self, hashes: list[tuple[int, str]], length: int) -> int:
        """Hash what an earlier boot left, and keep it as far as it is what was noted then.

        Args:
            hashes: offsets and hashes, as noted.
            length: the bytes that are there.

        Returns:
            How many of them are known to be right.

        """
        good = 0
        for offset, sha256 in hashes:
            if offset > length or offset < self._hashed:
                break
            self._until(offset)
            if self._content is None or self._content.sha256 != sha256:
                break
            good = offset
        if self._hashed != good and self._size is not None:
            self.begin(self._size)
        return good

    def along(self, start: int, piece: memoryview, come: Callable[[], int]) -> None:
        """Hash what just came if its turn is now, and some of what waits behind it.

        Args:
            start: where ``piece`` begins.
            piece: the bytes; they are on the disk by now.
            come: tells up to where there is no gap.

        """
        if self._content is None or not self.busy.acquire(blocking=False):
            return
        try:
            if start == self._hashed:
                self._take(piece)
            self._until(min(come(), self._hashed + _CATCH_UP))
        finally:
            self.busy.release()

    def finish(self, size: int) -> ContentHash:
        """Hash the rest of a whole content of ``size`` bytes, and return its hash."""
        with self.busy:
            if self._size is None:
                self.begin(size)
            self._until(size)
            content = self._content
        if content is None:
            raise AssertionError  # it has a size, so it was begun
        return content

    def _until(self, end: int) -> None:
        partial = self._partial()
        while self._hashed < end:
            data = disk.read_at(partial.data, self._hashed, min(_READ_BACK, end - self._hashed))
            if not data:
                raise CacheError(f"the partial {partial.path} is shorter than was written")
            self._take(memoryview(data))

    def _take(self, piece: memoryview) -> None:
        """Hash, stopping at each checkpoint to note the hash so far."""
        if self._content is None:
            return
        while piece:
            room = _CHECKPOINT - self._hashed % _CHECKPOINT
            self._content.update(piece[:room])
            self._hashed += len(piece[:room])
            piece = piece[room:]
            if self._hashed % _CHECKPOINT == 0:
                self._note(hash_line(self._hashed, self._content.sha256))
