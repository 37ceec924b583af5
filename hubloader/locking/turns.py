"""One at a time changes models.toml and models.lock of a project: the others wait for their turn.

Two `hubloader add` at once would each write what they read before, and one model would be lost. The
lock is a flock on the project's folder: nothing is written for it, and it ends with its process.
Where a file system has none, everybody goes on as if alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from hubloader.cache.leases import Grip, grip
from hubloader.errors import LockTimeout
from hubloader.notices import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["my_turn"]

_PAUSE = 0.05  # seconds between two tries
_PATIENCE = 3.0  # seconds of waiting before that is told


@contextlib.contextmanager
def my_turn(
    project: str,
    *,
    limit: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Keep others from changing the project at the path ``project`` meanwhile.

    Args:
        project: models.toml, or pyproject.toml; it need not be there.
        limit: seconds to wait for another; None for as long as it takes.
        clock: seconds, monotonic.
        sleep: waits for a number of seconds.

    Raises:
        LockTimeout: ``limit`` passed.

    """
    folder = os.path.dirname(os.path.abspath(project))
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folder; and what else there is will be told by the writer
        yield
        return
    try:
        begin, told = clock(), False
        while grip(descriptor, alone=True) is Grip.BUSY:
            waited = clock() - begin
            if limit is not None and waited >= limit:
                raise _timeout(folder, waited)
            if waited >= _PATIENCE and not told:
                told = True
                warn(f"waiting for {_holder(folder)}, which changes the models of {folder}")
            sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _timeout(folder: str, waited: float) -> LockTimeout:
    holder = _holder(folder)
    return LockTimeout(
        f"{holder} has been changing the models of {folder} for more than {waited:.0f} s",
        holder=holder,
        waited=waited,
        hint="let it end, or stop it; --wait-lock sets how long to wait",
    )


def _holder(folder: str) -> str:
    from hubloader.cache.lock import holder_of  # first use: mostly nobody waits

    return holder_of(folder)
