"""Run many small jobs on a few threads, and let go of them at once when interrupted.

Daemon threads, unlike an executor's: after Ctrl-C nobody waits for a socket that is silent, and
what they were writing is a partial that the next run goes on with.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Stop", "run_all"]

_MEANWHILE_EVERY = 1.0  # seconds
_GRACE = 0.5  # seconds that workers get to put their partials down after an interrupt


class Stop:
    """Tells every worker of one call to end; waits that end early when it is set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """End."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past the end; returns whether it has come."""
        return self._event.wait(seconds)


def run_all(
    jobs: Sequence[Callable[[], None]],
    threads: int,
    stop: Stop,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Run every job, at most ``threads`` at a time; jobs handle the errors they expect.

    Args:
        jobs: what is to be run.
        threads: how many at a time.
        stop: ends all of them.
        meanwhile: called every second while several jobs run; what it raises ends them.

    Raises:
        BaseException: what a job raised, the first of them; jobs not begun are left out then.

    """
    if len(jobs) == 1:
        jobs[0]()
        return
    queue = iter(jobs)
    taking = threading.Lock()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            for job in _until(stop, queue, taking):
                job()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            raised.append(error)
            stop.set()

    crew = [
        threading.Thread(target=work, daemon=True, name=f"hubloader-fetch-{number}")
        for number in range(min(threads, len(jobs)))
    ]
    for thread in crew:
        thread.start()
    with _stopping_on_interrupt(stop, crew):
        for thread in crew:
            while thread.is_alive():
                thread.join(_MEANWHILE_EVERY)
                meanwhile()
    if raised:
        raise raised[0]


def _until(
    stop: Stop, queue: Iterator[Callable[[], None]], taking: threading.Lock
) -> Iterator[Callable[[], None]]:
    while not stop:
        with taking:
            job = next(queue, None)
        if job is None:
            return
        yield job


@contextlib.contextmanager
def _stopping_on_interrupt(stop: Stop, crew: Sequence[threading.Thread]) -> Iterator[None]:
    try:
        yield
    except BaseException:  # KeyboardInterrupt above all
        stop.set()
        for thread in crew:
            thread.join(_GRACE / len(crew))
        raise
