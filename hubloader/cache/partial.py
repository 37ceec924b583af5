"""Unfinished downloads: private to one writer, adopted by the next one when the first is gone.

A small content is a plain file; a large one (``LARGE`` bytes or more) is a folder of ``data`` and
``journal``, so that one rename takes over both. The name is ``<etag>.<owner>.<random>``, with
``free`` as owner when the writer let go: the rename that takes it over is what makes it ours.

Who may take over what another writer left (``decide``):

==========================  ================================================================
owner                       taken over
==========================  ================================================================
free                        yes, by renaming it: one of several takers gets it
same machine, dead          yes, by renaming it
same machine, alive         no: it is being written
unknown, lock held          no
unknown, lock free, quiet   its bytes are copied: should its writer wake, it writes into its own
                            file, not into ours
unknown, not quiet          no
==========================  ================================================================

"Unknown" is another container, another machine, or before a reboot. "Quiet" is no write for 60 s; a
wrong clock can only make us copy or not, never mix two writers' bytes.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.failures import is_absence
from hubloader.cache.journal import GrowingJournal, JournalState, boot_line, parse_journal
from hubloader.cache.living import touch
from hubloader.cache.owner import Liveness, Owner, liveness, this_process
from hubloader.cache.reading import names_in, open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubloader.cache.layout import RepoLayout

__all__ = [
    "LARGE",
    "Partial",
    "Received",
    "Takeover",
    "adopt",
    "blank_partial",
    "create_partial",
    "decide",
    "resumable_bytes",
]

LARGE = 8 * 1024 * 1024  # bytes: what a resumed download may fetch again (contract, promise 2)
_QUIET = 60.0  # seconds without a write
_FREE = "free"
_PLANTED = frozenset({errno.ELOOP, errno.EISDIR})  # a link, a folder
_COPY_CHUNK = 16 * 1024 * 1024  # bytes


class Takeover(enum.Enum):
    """What may be done with another writer's partial."""

    RENAME = "it is ours now"
    COPY = "its bytes may be copied"
    LEAVE = "it belongs to somebody"


@dataclass
class Partial:
    """One unfinished download, open.

    ``path`` is the file, or the folder when ``large``, and "" while nothing was made on the disk;
    ``journal`` is None for a small one. ``state`` is what the journal said when it was opened.
    """

    path: str
    large: bool
    data: int
    journal: int | None
    state: JournalState

    @property
    def blank(self) -> bool:
        """Whether nothing of it is on the disk yet."""
        return not self.path

    @property
    def data_path(self) -> str:
        """The file that becomes the blob."""
        return os.path.join(self.path, "data") if self.large else self.path

    def note(self, line: bytes) -> None:
        """Add a line to the journal, if there is one."""
        if self.journal is not None:
            os.write(self.journal, line)

    def restart_journal(self, lines: Iterable[bytes] = ()) -> None:
        """Write the journal anew, if there is one: ``lines`` are all that still holds."""
        if self.journal is not None:
            os.ftruncate(self.journal, 0)
            os.lseek(self.journal, 0, os.SEEK_SET)
            os.write(self.journal, boot_line(this_process().boot) + b"".join(lines))

    def close(self) -> None:
        """Let go of the files; everything stays on disk."""
        descriptors = [self.data] if self.journal is None else [self.data, self.journal]
        self.data, self.journal = -1, None
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)

    def touch(self) -> None:
        """Let those who wait for it see that it is worked on; its bytes and their time stay."""
        if self.large:
            touch(os.path.join(self.path, "journal"))
        else:
            touch(self.path, keep_time=True)

    def release(self) -> None:
        """Close, and let anyone go on."""
        self.close()
        etag = os.path.basename(self.path).partition(".")[0]
        folder = os.path.dirname(self.path)
        disk.rename(self.path, os.path.join(folder, f"{etag}.{_FREE}.{disk.random_name()}"))

    def remove(self) -> None:
        """Close and delete."""
        self.close()
        if not self.blank:
            remove_partial(self.path)
            disk.remove_empty(os.path.dirname(self.path))


def remove_partial(path: str) -> None:
    """Delete a partial or a draft, large or small; nothing happens if it is gone."""
    disk.remove_tree(path)


def blank_partial(*, large: bool) -> Partial:
    """Stand for a download of which no byte has come."""
    return Partial("", large=large, data=-1, journal=None, state=JournalState())


def create_partial(layout: RepoLayout, etag: str, *, large: bool) -> Partial:
    """Begin a new download."""
    path = layout.partial(etag, disk.draft_name())
    if not large:
        data = disk.in_folder(layout.partials, lambda: disk.create(path))
        return Partial(path, large=False, data=data, journal=None, state=JournalState())
    disk.in_folder(layout.partials, lambda: disk.make_folders(path))
    journal = disk.create(os.path.join(path, "journal"))
    try:
        data = disk.create(os.path.join(path, "data"))
    except OSError:
        os.close(journal)
        raise
    _try_lock(data)
    partial = Partial(path, large=True, data=data, journal=journal, state=JournalState())
    partial.restart_journal()
    return partial


def adopt(layout: RepoLayout, etag: str) -> Partial | None:
    """Take over the largest unfinished download of a content that may be taken; None without."""
    found = sorted(_candidates(layout, etag), key=_length, reverse=True)
    for path in found:
        partial = _take(layout, etag, path)
        if partial is not None:
            return partial
    return None


def resumable_bytes(layout: RepoLayout, etag: str) -> int:
    """Return how many bytes of a content an unfinished download has, whoever writes it."""
    return max((_available(path) for path in _candidates(layout, etag)), default=0)


class Received:
    """How much of a content has come so far, to whichever process and library fetches it.

    Args:
        layout: the repository.
        etag: the content.

    """

    def __init__(self, layout: RepoLayout, etag: str) -> None:
        self._layout = layout
        self._prefix = f"{etag}."
        self._journals: dict[str, GrowingJournal] = {}

    def count(self, incomplete: Iterable[str] = ()) -> int:
        """Return the bytes that the one that is furthest has.

        Args:
            incomplete: huggingface_hub's unfinished downloads in ``blobs``, of any content.

        """
        ours, theirs = self._layout.partials, self._layout.blobs
        paths = [os.path.join(ours, name) for name in names_in(ours) if self._is_of_it(name)]
        paths += [os.path.join(theirs, name) for name in incomplete if self._is_of_it(name)]
        return max(map(self._of, paths), default=0)

    def _is_of_it(self, name: str) -> bool:
        return name.startswith(self._prefix)

    def _of(self, path: str) -> int:
        if not os.path.isdir(path):
            return _size(path)
        journal = self._journals.setdefault(path, GrowingJournal(os.path.join(path, "journal")))
        try:
            return journal.read().available(_length(path)).total
        except OSError:  # it has gone: its download ended, or another took it over
            return 0


def decide(*, free: bool, alive: Liveness, locked: bool, quiet: bool) -> Takeover:
    """Choose from what is known of a partial; the table above."""
    if free or alive is Liveness.DEAD:
        return Takeover.RENAME
    if alive is Liveness.ALIVE or locked or not quiet:
        return Takeover.LEAVE
    return Takeover.COPY


def owner_of(path: str) -> Owner | None:
    """Return who writes the partial at ``path``, by its name; None if it is free."""
    parts = os.path.basename(path).split(".")
    return Owner.parse(parts[1]) if len(parts) == 3 else None


def _candidates(layout: RepoLayout, etag: str) -> list[str]:
    names = names_in(layout.partials)
    paths = (os.path.join(layout.partials, name) for name in names if name.startswith(f"{etag}."))
    return [path for path in paths if os.path.isdir(path) and not os.path.islink(path)]


def _read_journal(path: str) -> JournalState | None:
    try:
        with open(open_to_read(os.path.join(path, "journal")), "rb") as file:
            return parse_journal(file.read())
    except OSError as error:
        if is_absence(error):
            return None
        raise


def _length(path: str) -> int:
    return _size(os.path.join(path, "data"))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _available(path: str) -> int:
    state = _read_journal(path)
    return 0 if state is None else state.available(_length(path)).total


def _take(layout: RepoLayout, etag: str, path: str) -> Partial | None:
    owner, me = owner_of(path), this_process()
    takeover = decide(
        free=owner is None,
        alive=Liveness.UNKNOWN if owner is None else liveness(owner, me),
        locked=_is_locked(os.path.join(path, "data")),
        quiet=_is_quiet(os.path.join(path, "data")),
    )
    if takeover is Takeover.LEAVE:
        return None
    if takeover is Takeover.COPY:
        return _copy(layout, etag, path)
    return _rename(layout, etag, path)


def _rename(layout: RepoLayout, etag: str, path: str) -> Partial | None:
    ours = layout.partial(etag, disk.draft_name())
    try:
        os.rename(path, ours)
    except FileNotFoundError:  # somebody else was first
        return None
    try:
        journal = _open(os.path.join(ours, "journal"), os.O_APPEND)
    except FileNotFoundError:  # its writer died between making the folder and the files
        remove_partial(ours)
        return None
    try:
        data = _open(os.path.join(ours, "data"))
    except FileNotFoundError:
        os.close(journal)
        remove_partial(ours)
        return None
    _try_lock(data)
    state = parse_journal(disk.read_at(journal, 0, os.fstat(journal).st_size))
    return Partial(ours, large=True, data=data, journal=journal, state=state)


def _copy(layout: RepoLayout, etag: str, path: str) -> Partial | None:
    ours = create_partial(layout, etag, large=True)
    try:
        for name, target in (("journal", ours.journal), ("data", ours.data)):
            _copy_file(os.path.join(path, name), -1 if target is None else target)
    except OSError as error:
        if not is_absence(error):
            raise
        ours.remove()
        return None
    journal = -1 if ours.journal is None else ours.journal
    ours.state = parse_journal(disk.read_at(journal, 0, os.fstat(journal).st_size))
    remove_partial(path)
    return ours


def _copy_file(source: str, target: int) -> None:
    """Copy all of ``source`` to the open file ``target``, sharing blocks where the system can."""
    origin = open_to_read(source)
    try:
        offset = 0
        while chunk := disk.read_at(origin, offset, _COPY_CHUNK):
            disk.write_at(target, offset, chunk)
            offset += len(chunk)
        os.lseek(target, offset, os.SEEK_SET)
    finally:
        os.close(origin)


def _open(path: str, extra: int = 0) -> int:
    """Open a file of a partial; what was planted in its place counts as not there."""
    flags = os.O_RDWR | extra | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in _PLANTED:
            raise FileNotFoundError(errno.ENOENT, "it is no file", path) from error
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "it is no file", path)


def _is_quiet(path: str) -> bool:
    try:
        return abs(time.time() - os.lstat(path).st_mtime) > _QUIET
    except OSError:
        return False


def _is_locked(path: str) -> bool:
    try:
        descriptor = _open(path)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock an open file if the system can; False only if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows: the name and the quiet time have to do
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system
        return True
    return True
