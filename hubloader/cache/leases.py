"""Who uses what, so that deleting hurts nobody: leases on snapshots (and ``repo_lock.py``).

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
locked stays, and is named. Who loads or downloads waits for a deletion, but not for a stopped one:
after ``PATIENCE`` seconds it goes on, and the deletion finds, when it wakes, that its time is over
(``RepoLock.fresh``).

Where there is no flock (ENOSYS, some network folders, Windows) nobody can be asked, and age alone
decides: ``removal.py`` leaves alone what was used within the hour.
"""

from __future__ import annotations

import enum
import errno
import os
import threading
import time

from hubloader.cache.failures import is_absence

__all__ = ["LEASES", "PATIENCE", "Grip", "Leases", "grip", "is_same"]

PATIENCE = 30.0  # seconds a load or a download waits for a deletion that does not end
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

    def take(self, folder: str, patience: float = PATIENCE) -> bool:
        """Keep ``folder`` from being deleted, from now until the process ends.

        Waits for a deletion that has it already: what is there is about to go.

        Args:
            folder: a snapshot's.
            patience: seconds to wait for a deletion that does not end.

        Returns:
            Whether it is there and ours; False too where nothing can be locked.

        """
        end = time.monotonic() + patience
        while (got := self._ask(folder)) is Grip.BUSY and time.monotonic() < end:
            time.sleep(_PAUSE)
        return got is Grip.HELD

    def _ask(self, folder: str) -> Grip:
        with self._guard:
            held = self._held.get(folder)
            if held is not None and is_same(folder, held):
                return Grip.HELD
            taken = _take(folder)
            if isinstance(taken, Grip):
                return taken
            if held is not None:  # deleted behind our back, and made anew
                os.close(held[0])
            self._held[folder] = taken
            return Grip.HELD

    def drop(self, folder: str) -> None:
        """Let one lease go; nothing happens if there is none."""
        with self._guard:
            held = self._held.pop(folder, None)
            if held is not None:
                os.close(held[0])

    def after_fork(self) -> None:
        """Make them usable in a forked child: who held the guard is not in it."""
        self._guard = threading.Lock()


LEASES = Leases()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LEASES.after_fork)


def _take(folder: str) -> tuple[int, int, int] | Grip:
    """Open and lock a folder; what came of it if that cannot be."""
    try:
        descriptor = os.open(folder, _FOLDER | _NO_LINK)
    except OSError as error:
        if is_absence(error) or os.name == "nt":  # Windows opens no folder
            return Grip.NONE
        raise
    facts = os.fstat(descriptor)
    held = (descriptor, facts.st_dev, facts.st_ino)
    got = grip(descriptor, alone=False)
    # the second look: it may have been deleted between the opening and the lock
    if got is Grip.HELD and is_same(folder, held):
        return held
    os.close(descriptor)
    return Grip.NONE if got is Grip.HELD else got


def is_same(folder: str, held: tuple[int, int, int]) -> bool:
    """Whether what is open as ``held`` (descriptor, device, inode) is still called ``folder``."""
    try:
        facts = os.lstat(folder)
    except OSError:
        return False
    return (facts.st_dev, facts.st_ino) == held[1:]
