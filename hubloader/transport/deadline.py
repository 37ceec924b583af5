"""A call that must not take longer than so many seconds, whatever it is stuck in.

Timeouts of sockets do not bound a name look-up, and start anew with every address and redirect.
Where a promise is about the whole ("a Hub that cannot be reached costs at most 2 s"), the call runs
beside the caller, who stops waiting for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from hubloader.errors import TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["within"]

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self.result: list[T] = []
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self.result.append(self._call())
        except BaseException as error:  # noqa: BLE001  it is raised again, in the caller's thread
            self.error = error
        finally:
            self.ended.set()


def within(seconds: float | None, call: Callable[[], T], what: str) -> T:
    """Return what ``call`` returns, or raise what it raises, if that is within ``seconds``.

    Args:
        seconds: None: however long it takes.
        call: must end by itself some time (its own timeouts see to that); what it returns after
            the deadline is dropped.
        what: named in the error.

    Raises:
        TimedOut: it took longer.

    """
    if seconds is None:
        return call()
    running = _Call(call)
    # a daemon: a look-up that hangs must not keep the process from ending
    threading.Thread(target=running.run, name="hubloader-deadline", daemon=True).start()
    if not running.ended.wait(seconds):
        raise TimedOut(f"{what} took longer than {seconds:g} s")
    if running.error is not None:
        raise running.error
    return running.result[0]
