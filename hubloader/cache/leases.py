"""Who uses what, so that deleting hurts nobody: leases on snapshots, and a lock on each repository.

=====================  ==========================================  ==============================
what                   held shared by                              held alone by
=====================  ==========================================  ==============================
a snapshot's folder    each process that was given a path in it,   who deletes the snapshot
(the *lease*)          until it ends
a repository's lock    each download into it, while it runs        who deletes anything of it
=====================  ==========================================  ==============================

Both are flocks: the system frees those of a process that dies, whatever killed it. A lease is taken
on the folder itself, opened for reading: it is there whenever a path in it was given, it needs no
write, and so a read-only cache can be leased from too. Who deletes never waits: what is leased or
locked stays, and is named. Who downloads waits for a deletion, but not for a stopped one:
after ``PATIENCE`` seconds it goes on, and the deletion finds, when it wakes, that its time is over
(``RepoLock.fresh``).

Where there is no flock (ENOSYS, some network folders, Windows) nobody can be asked, and age alone
decides: ``removal.py`` leaves alone what was used within the hour.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import threading
import time
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.failures import is_absence

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.cache.layout import RepoLayout
    from hubloader.types import Manifest

__all__ = ["LEASES", "PATIENCE", "Grip", "Leases", "RepoLock", "Use", "grip"]

PATIENCE = 30.0  # seconds a download waits for a deletion that does not end
_FRESH = 20.0  # seconds a deletion may act on its lock: less than anybody waits for it
_TRIES = 20  # each is lost only to a process that just deleted the lock's file
_PAUSE = 0.02  # seconds between two tries
_BUSY = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class Grip(enum.Enum):
    """What came of asking for a flock."""

    HELD = "it is ours"
    BUSY = "somebody has it"
    NONE = "there are no locks here"


def grip(descriptor: int, *, alone: bool) -> Grip:
    """Try to lock an open file or folder, shared or ``alone``; never waits."""
    try:
        import fcntl
    except ImportError:  # Windows
        return Grip.NONE
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        return Grip.BUSY if error.errno in _BUSY else Grip.NONE
    return Grip.HELD


class Leases:
    """The snapshots that this process was given paths of.

    One object for the process (``LEASES``): a lease ends with it. A forked child shares its
    parent's leases, which end with the last of them.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()  # guards the dictionary
        self._held: dict[str, tuple[int, int, int]] = {}  # folder -> descriptor, device, inode

    def take(self, folder: str) -> bool:
        """Keep ``folder`` from being deleted, from now until the process ends.

        Returns:
            Whether it is there and ours; False too where nothing can be locked.

        """
        with self._guard:
            held = self._held.get(folder)
            if held is not None and _is_same(folder, held):
                return True
            taken = _take(folder)
            if taken is not None:
                if held is not None:  # deleted behind our back, and made anew
                    os.close(held[0])
                self._held[folder] = taken
            return taken is not None

    def drop(self, folder: str) -> None:
        """Let one lease go; nothing happens if there is none."""
        with self._guard:
            held = self._held.pop(folder, None)
            if held is not None:
                os.close(held[0])


LEASES = Leases()


def _take(folder: str) -> tuple[int, int, int] | None:
    try:
        descriptor = os.open(folder, _FOLDER | _NO_LINK)
    except OSError as error:
        if is_absence(error) or os.name == "nt":  # Windows opens no folder
            return None
        raise
    facts = os.fstat(descriptor)
    held = (descriptor, facts.st_dev, facts.st_ino)
    # the second look: it may have been deleted between the opening and the lock
    if grip(descriptor, alone=False) is Grip.HELD and _is_same(folder, held):
        return held
    os.close(descriptor)
    return None


def _is_same(folder: str, held: tuple[int, int, int]) -> bool:
    try:
        facts = os.lstat(folder)
    except OSError:
        return False
    return (facts.st_dev, facts.st_ino) == held[1:]


class RepoLock:
    """The lock between downloads into a repository and deletions from it.

    Args:
        layout: the repository.
        clock: seconds, monotonic, and running on while the process is stopped.
        sleep: waits for a number of seconds.

    """

    def __init__(
        self,
        layout: RepoLayout,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = layout.guard
        self._clock = clock
        self._sleep = sleep
        self._descriptor = -1
        self._since = 0.0
        self._made: list[str] = []  # folders that were not there before the lock

    def share(self, patience: float = PATIENCE) -> Grip:
        """Keep deletions out; waits for one that runs, at most ``patience`` seconds."""
        begin = self._clock()
        got = self._ask(alone=False)
        while got is Grip.BUSY and self._clock() - begin < patience:
            self._sleep(_PAUSE)
            got = self._ask(alone=False)
        return got

    def take(self) -> Grip:
        """Keep downloads out; never waits for one."""
        self._since = self._clock()  # before the lock: nobody waited for us earlier than this
        return self._ask(alone=True)

    @property
    def fresh(self) -> bool:
        """Whether everybody still waits for us: a process that was stopped may have lost that."""
        return self._clock() - self._since < _FRESH

    def release(self) -> None:
        """Let it go, if it is held."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def forget(self) -> None:
        """Let it go, and delete its file if nobody else has it: the repository is not there."""
        if self._descriptor >= 0 and self._made and grip(self._descriptor, alone=True) is Grip.HELD:
            disk.remove(self._path)
            self.release()
            disk.remove_empty(*self._made)
        self.release()

    def _ask(self, *, alone: bool) -> Grip:
        for _ in range(_TRIES):
            if self._descriptor < 0:
                self._descriptor = self._open()
            if self._descriptor < 0:
                return Grip.NONE
            got = grip(self._descriptor, alone=alone)
            facts = os.fstat(self._descriptor)
            if got is Grip.HELD and _is_same(self._path, (0, facts.st_dev, facts.st_ino)):
                return got
            self.release()
            if got is not Grip.HELD:
                return got
        return Grip.NONE  # its file is deleted again and again: somebody else's doing

    def _open(self) -> int:
        """Open the lock's file, made if it can be; -1 if there is none."""
        flags = os.O_RDONLY | _NO_LINK | getattr(os, "O_CLOEXEC", 0)
        with contextlib.suppress(OSError):
            return os.open(self._path, flags)
        with contextlib.suppress(OSError):  # read-only, no right: nobody can delete here either
            folder = os.path.dirname(self._path)
            missing = _missing(folder)
            made = disk.in_folder(folder, lambda: os.open(self._path, flags | os.O_CREAT, 0o664))
            self._made = missing or [folder]
            return made
        return -1


class Use:
    """One process's use of a repository, by however many threads: they share one lock.

    Args:
        layout: the repository.

    """

    def __init__(self, layout: RepoLayout) -> None:
        self.count = 0  # who uses it; kept by the owner
        self.manifest: Manifest | None = None  # what is downloaded, if it is to be announced
        self._folder = layout.folder
        self._lock = RepoLock(layout)
        self._guard = threading.RLock()  # one thread asks, the others wait for what comes of it
        self._begun = False
        self._announced = False

    def begin(self) -> None:
        """Keep deletions out from now on, as far as there are locks."""
        with self._guard:
            if not self._begun:
                self._lock.share()
                self._begun = True

    def announce(self, listing: Callable[[], object]) -> None:
        """Have ``listing`` written, once, before the first name is given."""
        with self._guard:
            if not self._announced:
                self._announced = True
                listing()

    def end(self) -> None:
        """Let deletions in again; nothing is left of a lock of which nothing came."""
        if os.path.isdir(self._folder):
            self._lock.release()
        else:
            self._lock.forget()


def _missing(folder: str) -> list[str]:
    """Return the folder and those above it, as far as they are not there, the inner ones first."""
    found = []
    while not os.path.isdir(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found
