"""Write one content: privately, counted, hashed, and named only when it is right.

The life of a ``BlobWriter``: bytes come in order (``write``) or as ranges from several threads
(``write_at``) into a private partial file; ``commit`` compares size and hash with what the Hub
announced and only then gives the file its name; ``suspend`` leaves the partial for whoever comes
next; ``discard`` deletes it. There is no other way for bytes to get a name in the cache.

Hashing runs along (``hashing.py``), and the disk too (``writeback.py``). First write wins: bytes
that are there are never written over, so what was hashed is what is on the disk.

Nothing is made on the disk before the first byte comes: a download that is refused (a gated
repository, a missing file, no network) leaves the cache as it was.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.failures import guard
from hubloader.cache.hashing import RunningHash
from hubloader.cache.journal import hash_line, sparse_line, write_line
from hubloader.cache.owner import this_process
from hubloader.cache.partial import LARGE, adopt, blank_partial, create_partial
from hubloader.cache.ranges import Ranges
from hubloader.cache.stamps import Stamp
from hubloader.cache.writeback import WriteBack
from hubloader.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from hubloader.cache.layout import RepoLayout
    from hubloader.cache.partial import Partial
    from hubloader.cache.publish import Publisher

__all__ = ["BlobWriter"]

_UNNOTED = 1024 * 1024  # bytes written and not yet in the journal: lost to a resume after a kill


class BlobWriter:
    """Take in one content.

    Args:
        layout: the repository it belongs to.
        etag: its announced hash, and its name.
        size: its announced length in bytes; None if the server does not say.
        publisher: gives it its name.
        resume: take over what an earlier writer left.
        prepare: makes the repository's folder, before the first byte is kept.

    Raises:
        DiskFull, CacheReadOnly, CacheError: the cache cannot be written.

    """

    def __init__(
        self,
        layout: RepoLayout,
        etag: str,
        size: int | None,
        publisher: Publisher,
        *,
        resume: bool = True,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.etag = etag
        self.size = size
        self._layout = layout
        self._publisher = publisher
        self._prepare = prepare
        self._lock = threading.Lock()  # guards the ranges and the journal
        self._hash = RunningHash(etag, lambda: self._partial, self._note)
        self._write_back = None if publisher.durability == "none" else WriteBack()
        self._finished = False
        with guard(layout.partials, needed=size):
            self._begin(resume=resume)

    def _begin(self, *, resume: bool) -> None:
        self._large = self.size is None or self.size >= LARGE
        partial = adopt(self._layout, self.etag) if resume and self._large else None
        self._partial = partial or blank_partial(large=self._large)
        self._start_over()
        if partial is not None:
            self._go_on(partial)

    def _make_partial(self) -> None:
        """Have a file to write to; only the first call of a new download makes one."""
        with self._lock:
            if self._partial.blank:
                if self._prepare is not None:
                    self._prepare()
                self._partial = create_partial(self._layout, self.etag, large=self._large)

    def _start_over(self) -> None:
        self._written = Ranges()
        self._claimed = Ranges()
        self._unnoted: list[tuple[int, int]] = []
        self._sparse = self._partial.state.sparse
        self._hash.begin(self.size)

    def _go_on(self, partial: Partial) -> None:
        length = os.fstat(partial.data).st_size
        available = partial.state.available(length)
        if self.size is None or available.end > self.size:
            self._drop_bytes()
            return
        if partial.state.boot != this_process().boot:
            good = self._hash.good_prefix(partial.state.hashes, available.prefix)
            os.ftruncate(partial.data, good)
            partial.restart_journal(
                hash_line(*pair) for pair in partial.state.hashes if pair[0] <= good
            )
            self._sparse, available = False, Ranges([(0, good)])
        self._written, self._claimed = available, Ranges(available)

    def scratch(self) -> str:
        """A folder on the same disk, for bytes that are to come in by ``write`` yet."""
        with guard(self._layout.tmp):
            if self._prepare is not None:
                self._prepare()
            disk.make_folders(self._layout.tmp)
        return self._layout.tmp

    # what is here

    @property
    def received(self) -> int:
        """Bytes that are here, of this download and of those it took over."""
        with self._lock:
            return self._written.total

    @property
    def position(self) -> int:
        """Where ``write`` goes on: the end of what is here without a gap from the beginning."""
        with self._lock:
            return self._written.prefix

    def missing(self) -> list[tuple[int, int]]:
        """Return the half-open ranges of bytes that still have to be fetched.

        Raises:
            ValueError: the size is not known, so nobody can tell.

        """
        if self.size is None:
            raise ValueError("what is missing of a content of unknown size cannot be told")
        with self._lock:
            return self._written.missing(0, self.size)

    # bytes in

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes in order, from ``position`` on.

        Raises:
            IntegrityError: more bytes than announced; the partial is gone.
            DiskFull, CacheReadOnly, CacheError: the bytes could not be written.

        """
        self.write_at(self.position, data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that begin at ``offset``; several threads may call this at once.

        Bytes that are here already are left as they are.

        Raises:
            IntegrityError: bytes beyond the announced size; the partial is gone.
            DiskFull, CacheReadOnly, CacheError: the bytes could not be written.

        """
        self._check_open()
        view = memoryview(data).cast("B")
        end = offset + len(view)
        if self.size is not None and end > self.size:
            self.discard()
            raise IntegrityError(
                f"the server sent more than the {self.size} bytes of {self.etag}",
                expected=f"{self.size} bytes",
                actual=f"at least {end} bytes",
            )
        with guard(self._layout.partials, needed=self.size):
            self._make_partial()
            for start, stop in self._claim(offset, end):
                self._store(start, view[start - offset : stop - offset])

    def _claim(self, start: int, end: int) -> list[tuple[int, int]]:
        with self._lock:
            pieces = self._claimed.missing(start, end)
            for piece in pieces:
                self._claimed.add(*piece)
            if not self._sparse and start > self._written.prefix:
                self._partial.note(sparse_line())
                for have in self._written:
                    self._partial.note(write_line(*have))
                self._sparse = True
            return pieces

    def _store(self, start: int, piece: memoryview) -> None:
        end = start + len(piece)
        try:
            disk.write_at(self._partial.data, start, piece)
        except OSError:
            with self._lock:
                self._claimed.remove(start, end)
            raise
        with self._lock:
            self._written.add(start, end)
            self._note_written(start, end)
            if self._write_back is not None:
                self._write_back.came(end - start, self._partial.data)
        self._hash.along(start, piece, lambda: self.position)

    def _note_written(self, start: int, end: int) -> None:
        if not self._sparse:
            return
        self._unnoted.append((start, end))
        if sum(stop - begin for begin, stop in self._unnoted) >= _UNNOTED:
            self._flush_notes()

    def _flush_notes(self) -> None:
        for start, end in Ranges(self._unnoted):
            self._partial.note(write_line(start, end))
        self._unnoted.clear()

    def _note(self, line: bytes) -> None:
        with self._lock:
            self._partial.note(line)

    # the end

    def commit(self) -> Path:
        """Compare size and hash with what was announced, and name the content.

        Inside ``CacheStore.batch`` a small content gets its name when the batch ends.

        Returns:
            The blob's path.

        Raises:
            IntegrityError: the hash is another (the bytes are gone), or bytes are missing (they are
                kept, and the writer is suspended).
            DiskFull, CacheReadOnly, CacheError: the content could not be made safe or named.

        """
        self._check_open()
        with guard(self._layout.partials, needed=self.size):
            size = self._checked_size()
            self._make_partial()
            content = self._hash.finish(size)
            if not content.matches:
                self.discard()
                raise IntegrityError(
                    f"the content has the hash {content.actual}, the Hub announced {self.etag}",
                    expected=self.etag,
                    actual=content.actual,
                )
            return self._publish(content.sha256)

    def _checked_size(self) -> int:
        received = self.received
        if self.size is None:
            self.size = received
        if received != self.size:
            self.suspend()
            raise IntegrityError(
                f"{received} of the {self.size} bytes of {self.etag} are here",
                expected=f"{self.size} bytes",
                actual=f"{received} bytes",
            )
        return received

    def _publish(self, sha256: str) -> Path:
        disk.freeze_mode(self._partial.data)
        stamp = Stamp.of(os.fstat(self._partial.data), sha256)
        path = ""
        self._finish()
        try:
            path = self._publisher.name_blob(self._layout, self.etag, self._partial, stamp)
        finally:
            if not path:
                self._remove()
        return Path(path)

    def restart(self) -> None:
        """Forget every byte: the server began anew.

        Raises:
            CacheError: the partial could not be emptied.

        """
        self._check_open()
        with guard(self._partial.path), self._hash.busy, self._lock:
            self._drop_bytes()

    def _drop_bytes(self) -> None:
        if not self._partial.blank:
            os.ftruncate(self._partial.data, 0)
            self._partial.restart_journal()
        self._partial.state.sparse = False
        self._start_over()

    def suspend(self) -> None:
        """Stop here; the next writer of this content goes on, in this process or another.

        A content below 8 MiB is fetched anew: keeping its bytes costs more than they do.
        """
        if self._finished:
            return
        self._finish()
        if not self._partial.large or self._partial.blank:
            self._remove()
            return
        with guard(self._partial.path), self._lock:
            try:
                self._flush_notes()
                self._partial.release()
            finally:
                self._partial.close()

    def discard(self) -> None:
        """Throw the bytes away."""
        if not self._finished:
            self._finish()
            self._remove()

    def _finish(self) -> None:
        self._finished = True
        if self._write_back is not None:
            self._write_back.end()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # what cannot be deleted is left to `prune`
            self._partial.remove()

    def _check_open(self) -> None:
        if self._finished:
            raise ValueError("the writer has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Suspend, unless the content was committed or discarded."""
        self.suspend()
