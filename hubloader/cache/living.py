"""Show those who wait for a content that its holder is at work while the disk takes its time.

Who waits sees bytes come, and takes a holder of whom nothing moves for one that hangs
(``lock.py``). A sync of gigabytes moves nothing that others see: meanwhile a thread of the holder
touches what they look at, and no byte of it.

Nobody looks alive for ever: a holder that died or was stopped touches nothing, and one whose disk
hangs only for as long as the slowest of disks would need for so many bytes.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["shown", "touch"]

_EVERY = 1.0  # seconds, as often as anyone looks
_SLOWEST = 1024 * 1024  # bytes a second
_AT_LEAST = 60  # times


@contextlib.contextmanager
def shown(sign: Callable[[], object], size: int) -> Iterator[None]:
    """Show, as long as what is inside takes, that it goes on.

    Args:
        sign: what others see; an OSError of it is no failure of what goes on.
        size: the bytes that are waited for.

    """
    over = threading.Event()
    times = _AT_LEAST + size // _SLOWEST
    thread = threading.Thread(target=_show, args=(sign, times, over), name="sign", daemon=True)
    with contextlib.suppress(RuntimeError):  # no thread is left: then others may not wait
        thread.start()
    try:
        yield
    finally:
        over.set()  # not joined: a sign waits for the disk too


def _show(sign: Callable[[], object], times: int, over: threading.Event) -> None:
    for _ in range(times):
        if over.wait(_EVERY):
            return
        with contextlib.suppress(OSError):  # it has its name by now, and is gone from here
            sign()


def touch(path: str, *, keep_time: bool = False) -> None:
    """Let a file's facts change, and no byte of it; a link is left alone.

    Args:
        path: the file.
        keep_time: leave the time of its last change, by which a stamp knows it (on Windows then
            nothing changes).

    """
    facts = os.lstat(path)
    if stat.S_ISREG(facts.st_mode):
        changed = facts.st_mtime_ns if keep_time else time.time_ns()
        os.utime(path, ns=(facts.st_atime_ns, changed))
