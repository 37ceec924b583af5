"""One question for many: of the processes that ask for one listing at a time, one asks.

Who comes first has the turn, a flock on a file that is there for as long as it asks. Who finds the
turn taken waits, keeps the file open and reads the answer out of it, though its name is gone by
then. An answer is taken only from a question that was put *after* one began to wait: it is as new
as one's own would have been.

=========================================  =====================================================
the turn                                   the asker
=========================================  =====================================================
is free                                    has it, asks, and tells
is taken; an answer comes                  takes it
is taken; its question was put before      looks for a turn anew
is taken; that question fails              asks by itself, as all who waited do
is taken by a process that dies            has it: the system frees a dead process's lock
is taken for longer than ``PATIENCE``      asks by itself
cannot be had: read-only, no flock,        asks by itself
another user's, Windows
=========================================  =====================================================

The file is its owner's alone (mode 0600): who asks (endpoint, token, headers) is compared inside of
it, as a digest, and another's answer is not taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from hubloader.cache import disk, trees
from hubloader.cache.leases import Grip, grip, is_same
from hubloader.cache.owner import this_process
from hubloader.names import is_commit
from hubloader.types import CommitHash, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from hubloader.types import RepoId

__all__ = ["PATIENCE", "Question"]

PATIENCE = 5.0  # seconds that anyone waits for another's answer
_TRIES = 8  # turns looked for: each is lost to a question that was put just before
_FIRST_PAUSE = 0.005  # seconds between two looks, growing to:
_LAST_PAUSE = 0.05
_MOST = 5_000  # files: writing a longer listing for others costs more than a request
_MODE = 0o600
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Question:
    """What a revision holds, asked by one of those who ask at a time; a context manager.

    Inside, either ``answer`` is there, or the endpoint is to be asked: ``put`` just before,
    ``tell`` after. What raises inside is a question that failed.

    Args:
        path: the file of the turn: one for each repository, revision and endpoint.
        asker: a digest of all that an answer may depend on.
        repo: the repository.
        revision: the revision.
        clock: seconds, monotonic, the same in every process of the machine.
        sleep: waits for a number of seconds.

    """

    def __init__(
        self,
        path: str,
        asker: str,
        repo: RepoId,
        revision: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.answer: Manifest | None = None
        self._path = path
        self._asker = asker
        self._repo = repo
        self._revision = revision
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._put = self._began
        self._turn = -1  # the open file, while the turn is ours
        self._made: list[str] = []  # folders that were not there before

    def __enter__(self) -> Self:
        for _ in range(_TRIES):
            descriptor = self._open()
            if descriptor < 0 or not self._waited_for(descriptor):
                return self
            facts = os.fstat(descriptor)
            if is_same(self._path, (0, facts.st_dev, facts.st_ino)):
                os.ftruncate(descriptor, 0)  # what a killed process told half of
                self._turn = descriptor
                return self
            with open(descriptor, "rb") as file:
                told = file.read()
            self.answer = self._read(told)
            if self.answer is not None or not told:
                return self
        return self

    def put(self) -> None:
        """Note that the endpoint is asked from now on."""
        self._put = self._clock()

    def tell(self, answer: Manifest) -> None:
        """Give the answer to those who wait, if it can be given."""
        if self._turn < 0 or not answer.complete or len(answer.entries) > _MOST:
            return
        listing = trees.format_tree(answer.entries)
        if listing is None:  # some file has no size or hash
            return
        head = {
            "asker": self._asker,
            "boot": this_process().boot,
            "put": self._put,
            "commit": answer.commit,
            "canonical": answer.canonical,
            "moved": answer.moved,
        }
        with contextlib.suppress(OSError):  # a full disk: the others ask by themselves
            disk.write_all(self._turn, json.dumps(head).encode("ascii") + b"\n" + listing)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        turn, self._turn = self._turn, -1
        if turn < 0:
            return
        self._clear()
        os.close(turn)

    def _clear(self) -> None:
        with contextlib.suppress(OSError):  # a disk that became read-only
            disk.remove(self._path)
            disk.remove_empty(os.path.dirname(self._path), *self._made)

    def _open(self) -> int:
        """Open the file of the turn, made if it can be; -1: there are no turns for us here."""
        if os.name == "nt":
            return -1
        folder = os.path.dirname(self._path)
        missing = disk.missing_folders(folder)
        try:
            descriptor = disk.in_folder(folder, lambda: os.open(self._path, _FLAGS, _MODE))
        except OSError:
            with contextlib.suppress(OSError):
                disk.remove_empty(*missing)
            return -1
        self._made += [path for path in missing if path not in self._made]
        if os.fstat(descriptor).st_uid == os.geteuid():
            return descriptor
        os.close(descriptor)  # what others wrote is not believed
        return -1

    def _waited_for(self, descriptor: int) -> bool:
        """Wait until nobody else has the turn; closes the file where that is not to be."""
        pause = _FIRST_PAUSE
        while (got := grip(descriptor, alone=True)) is Grip.BUSY:
            if self._clock() - self._began >= PATIENCE:
                break
            self._sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
        if got is not Grip.HELD:
            os.close(descriptor)
        if got is Grip.NONE:
            self._clear()
        return got is Grip.HELD

    def _read(self, told: bytes) -> Manifest | None:
        """Read what was told; None if it is not for us."""
        first, _, listing = told.partition(b"\n")
        try:
            head = json.loads(first)
            fits = (head["asker"], head["boot"]) == (self._asker, this_process().boot)
            if not fits or head["put"] < self._began or not is_commit(head["commit"]):
                return None
            entries = trees.parse_tree(listing)
            if entries is None:
                return None
            return Manifest(
                repo=self._repo,
                revision=self._revision,
                commit=CommitHash(head["commit"]),
                entries=entries,
                canonical=head["canonical"],
                moved=head["moved"],
            )
        except (ValueError, KeyError, TypeError):
            return None
