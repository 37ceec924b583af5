"""One downloader per content, where locks work; correct bytes where they do not.

The lock saves bandwidth and nothing else: every writer has a private partial, and a content gets
its name by one rename after its hash matched. So a lock may lie, hang or be missing without any
harm but a second download. It is huggingface_hub's lock: an exclusive flock on
``.locks/<repo folder>/<etag>.lock``, mode 0664, never deleted: both libraries wait for each other.

Who waits for whom:

=====================================  ====================================================
the lock                               the asker
=====================================  ====================================================
is free                                has it: HELD, looks again, downloads
is held, the content appears           stops waiting: READY
is held by a process that dies         has it: the system frees a dead process's lock
is held, the download moves            waits, up to ``limit``: then LockTimeout
is held, nothing moves for ``stall``   goes on without it: STALLED (the holder hangs, is stopped,
                                       or is on another machine that is gone)
cannot be had: no flock (ENOSYS),      goes on without it: UNAVAILABLE
no locks (ENOLCK), read-only, no
right, a damaged ``.locks``
lies (NFS, Lustre: everybody has it)   HELD, each of them: as many downloads, one result
=====================================  ====================================================

"Moves" means that a partial of that content grows, ours or huggingface_hub's, or that its holder
shows that the disk is taking it in (``living.py``). The holder is named from the kernel's list of
locks, or from the partial's name.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from hubloader.cache import disk
from hubloader.cache.failures import guard
from hubloader.cache.leases import Grip, grip
from hubloader.cache.partial import Received, owner_of
from hubloader.cache.reading import names_seen, open_to_read
from hubloader.errors import LockTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubloader.cache.layout import RepoLayout

__all__ = ["BlobLock", "LockOutcome", "holder_of", "is_held"]

_PROC_LOCKS = "/proc/locks"
_FIRST_PAUSE = 0.01  # seconds between looks, growing with the time that was waited, to:
_LAST_PAUSE = 0.25
_LATE = 0.05  # by how much longer than it had to anyone waits
_TELL_EVERY = 1.0  # seconds
_LOOK_EVERY = 1.0  # seconds between looks at whether the holder gets on: they list all contents
_INCOMPLETE = ".incomplete"  # how huggingface_hub's unfinished downloads end
_MAX_LISTED = 64  # repositories
_LISTED: dict[str, tuple[float, tuple[str, ...]]] = {}  # by folder: when it was listed, and names
_listing = threading.Lock()  # held by the one thread that lists
_Facts = tuple[str, int, int, int]  # of a file: its partial's name, size, and two times
_NO_LOCKS = frozenset(
    {
        errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.EROFS, errno.EACCES,
        errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT,
        errno.EIO, errno.ENOSPC, errno.EDQUOT,
    }
)  # fmt: skip


class LockOutcome(enum.Enum):
    """How asking for a content's lock ended. Only after READY is there nothing left to do."""

    HELD = "the lock is ours: look again, then download"
    READY = "the content is there"
    STALLED = "the holder makes no progress: go on without the lock"
    UNAVAILABLE = "there are no locks here: go on without"


class BlobLock:
    """The lock of one content.

    Args:
        layout: the repository.
        etag: the content.
        ready: whether the content is there by now.
        made: takes up the folders that were made for locks: ``release`` with ``forget`` deletes
            them again, as far as they are empty. One set for all locks of a cache.
        clock: seconds, monotonic.
        sleep: waits for a number of seconds.

    """

    def __init__(
        self,
        layout: RepoLayout,
        etag: str,
        *,
        ready: Callable[[], bool],
        made: set[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._layout = layout
        self._etag = etag
        self._ready = ready
        self._clock = clock
        self._sleep = sleep
        self._lock: Any = None
        self._waited = False  # whether it was found held
        self._before: tuple[int, int] | None = None  # what the content was then
        self._come = Received(layout, etag)
        self._made = False  # whether the lock's file was not there before
        self._folders: set[str] = set() if made is None else made

    def acquire(
        self,
        *,
        stall: float = 30.0,
        limit: float | None = None,
        on_wait: Callable[[str, float, int], None] | None = None,
    ) -> LockOutcome:
        """Ask for the lock, and wait for its holder while that makes sense.

        Args:
            stall: seconds without progress of the holder after which to go on alone.
            limit: seconds in all after which to give up; None for no limit.
            on_wait: told once a second who holds it, how many seconds we have waited, and how
                many bytes of the content have come.

        Raises:
            LockTimeout: ``limit`` passed.

        """
        begin = told = self._clock()
        progress = _Progress(self._activity, begin)
        while True:
            got = self._try()
            if got is not None:
                return got
            if self._ready():
                return LockOutcome.READY
            now = self._clock()
            if limit is not None and now - begin >= limit:
                raise self._timeout(now - begin)
            if progress.stalled(now, stall):
                return LockOutcome.STALLED
            if on_wait is not None and now - told >= _TELL_EVERY:
                told = now
                on_wait(self.holder(), now - begin, self._received(now))
            self._sleep(min(max(_FIRST_PAUSE, _LATE * (now - begin)), _LAST_PAUSE))

    def release(self, *, forget: bool = False) -> None:
        """Let the lock go, if it is held.

        Args:
            forget: nothing came of it, and the repository is not in the cache: the lock's file
                goes too, if it was made here, and so do the folders, the cache's own among them.
                Who waits for it meanwhile has it all the same.

        """
        lock, self._lock = self._lock, None
        if lock is None:
            return
        path = self._layout.lock(self._etag)
        forget = forget and self._made and os.name != "nt"  # Windows deletes no open file
        if forget:
            with contextlib.suppress(OSError):  # a disk that became read-only: why is told by then
                disk.remove(path)
        with guard(path):
            lock.release(force=True)
        if forget:
            disk.remove_empty(*sorted(self._folders, key=len, reverse=True))  # the inner ones first

    def holder(self) -> str:
        """Say who has the lock, as far as can be told."""
        path = self._layout.lock(self._etag)
        if _flock_holder(path) is not None:
            return holder_of(path)
        for name, *_ in self._activity(self._clock()):
            owner = owner_of(name)
            if owner is not None:
                return f"process {owner.pid}, which downloads it"
        return "another process"

    def _try(self) -> LockOutcome | None:
        """Try once; None when another has it."""
        path = self._layout.lock(self._etag)
        if ("filelock" not in sys.modules or self._waited) and is_held(path):
            self._busy()
            return None
        if self._waited and self._blob() not in {None, self._before}:
            return LockOutcome.READY
        import filelock  # first use: 38 ms that a warm load does not pay, nor one that waits

        try:
            self._made = self._made or not os.path.lexists(path)
            folder = os.path.dirname(path)
            self._folders.update(disk.missing_folders(folder))
            lock = _make_lock(path)
            disk.in_folder(folder, lambda: lock.acquire(blocking=False))
        except filelock.Timeout:
            self._busy()
            return None
        except NotImplementedError:  # filelock before 4 says so when flock is missing
            return LockOutcome.UNAVAILABLE
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return LockOutcome.UNAVAILABLE
            raise
        self._lock = lock
        return LockOutcome.HELD

    def _busy(self) -> None:
        if not self._waited:
            self._waited, self._before = True, self._blob()

    def _blob(self) -> tuple[int, int] | None:
        """What tells a content that came from one that was there, and is to be replaced."""
        try:
            facts = os.lstat(self._layout.blob(self._etag))
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns

    def _timeout(self, waited: float) -> LockTimeout:
        holder = self.holder()
        return LockTimeout(
            f"{holder} held the lock of {self._etag} for more than {waited:.0f} s",
            holder=holder,
            waited=waited,
            hint="let it end, or stop it; --wait-lock sets how long to wait",
        )

    def _activity(self, now: float) -> tuple[_Facts, ...]:
        """Return the content's partials with what changes while they grow."""
        return tuple(sorted(_growing(self._layout, self._etag, now)))

    def _received(self, now: float) -> int:
        return self._come.count(_incomplete(self._layout.blobs, now))


class _Progress:
    """Whether the holder of a lock gets on; nothing is looked at while the lock is free.

    Args:
        activity: gives what changes while it does.
        now: the time in seconds.

    """

    def __init__(self, activity: Callable[[float], object], now: float) -> None:
        self._activity = activity
        self._seen: object = None
        self._looked = float("-inf")
        self._moved = now

    def stalled(self, now: float, stall: float) -> bool:
        """Whether nothing moved for ``stall`` seconds; looks no more often than it has to."""
        if now - self._looked >= _LOOK_EVERY or now - self._moved >= stall:
            self._looked = now
            activity = self._activity(now)
            if activity != self._seen:
                self._seen, self._moved = activity, now
        return now - self._moved >= stall


def is_held(path: str) -> bool:
    """Whether somebody has the lock, for sure: asked of the system, without filelock."""
    try:
        descriptor = open_to_read(path)
    except OSError:  # no such lock yet, or what filelock knows better
        return False
    try:
        return grip(descriptor, alone=True) is Grip.BUSY
    finally:
        os.close(descriptor)


def _make_lock(path: str) -> Any:
    import filelock

    # thread_local: a batch lets locks go in the thread that ends it
    options: dict[str, Any] = {"mode": 0o664, "thread_local": False}
    try:
        return filelock.FileLock(path, **options, fallback_to_soft=False)
    except TypeError:  # filelock before 4 has no soft fallback to switch off
        return filelock.FileLock(path, **options)


def _growing(layout: RepoLayout, etag: str, now: float) -> Iterator[_Facts]:
    for name in (*names_seen(layout.partials), *_incomplete(layout.blobs, now)):
        if name.startswith(f"{etag}."):
            folder = layout.blobs if name.endswith(_INCOMPLETE) else layout.partials
            yield from _facts(folder, name)


def _incomplete(folder: str, now: float) -> tuple[str, ...]:
    """huggingface_hub's unfinished downloads, as they were at most a second or two ago.

    They lie among the contents, of which a repository has 100,000: threads share one look.
    """
    looked, names = _LISTED.get(folder, (float("-inf"), ()))
    if 0 <= now - looked < _LOOK_EVERY or not _listing.acquire(blocking=False):
        return names
    try:
        names = tuple(name for name in names_seen(folder) if name.endswith(_INCOMPLETE))
        if len(_LISTED) >= _MAX_LISTED:
            _LISTED.clear()
        _LISTED[folder] = now, names
    finally:
        _listing.release()
    return names


def _facts(folder: str, name: str) -> Iterator[_Facts]:
    path = os.path.join(folder, name)
    # the journal moves too while a whole file is hashed to its end, or synced, and the data does
    # not; of a small one only the last of its times does
    for part in (os.path.join(path, "data"), os.path.join(path, "journal"), path):
        with contextlib.suppress(OSError):
            facts = os.lstat(part)
            yield name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def holder_of(path: str) -> str:
    """Say which process holds a flock on the file or folder at ``path``, as far as can be told."""
    pid = _flock_holder(path)
    return "another process" if pid is None else f"process {pid}{_command(pid)}"


def _flock_holder(path: str) -> int | None:
    """Return the process that holds a flock, by the kernel's list; None if it does not tell.

    Source: proc_locks(5): ``1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF``.
    """
    try:
        facts = os.lstat(path)
        with open(_PROC_LOCKS, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    pids = (f[4] for f in lines if len(f) > 5 and f[1] == "FLOCK" and f[5] == device)
    return next((int(pid) for pid in pids if pid.isdigit() and int(pid) > 0), None)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
