"""The lock between downloads into a repository and deletions from it: see ``leases.py``."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.leases import PATIENCE, Grip, grip, is_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.cache.layout import RepoLayout
    from hubloader.types import Manifest

__all__ = ["RepoLock", "Use"]

_FRESH = 20.0  # seconds a deletion may act on its lock: less than anybody waits for it
_TRIES = 20  # each is lost only to a process that just deleted the lock's file
_PAUSE = 0.02  # seconds between two tries
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


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
            with contextlib.suppress(OSError):  # a disk that became read-only: why is told by then
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
            if got is Grip.HELD and is_same(self._path, (0, facts.st_dev, facts.st_ino)):
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
            missing = disk.missing_folders(folder)
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
