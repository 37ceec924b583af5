"""How a signal ends a run: within a second, whatever the run is in.

SIGINT and SIGTERM both raise ``KeyboardInterrupt`` where the run is, and downloads are put down so
that the next run goes on with them. Python raises it between two steps of its own, though: a name
look-up, or a disk that is slow to sync, may keep it waiting for many seconds, and a callback may
swallow it. So a thread hears of the signal as well, from the system, and leaves the process when
the run has not ended within ``GRACE``. What is on the disk then is what a kill leaves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GRACE", "Ending", "came_of_interrupt", "watched"]

GRACE: Final = 0.8  # seconds; more than workers get to put their partials down
_ENDING = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Which signal came, if any, and how its coming is told."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._number: int = signal.SIGINT

    def came(self, number: int, _: object = None) -> None:
        """Take a signal: the handler of SIGTERM.

        Raises:
            KeyboardInterrupt: always.

        """
        self._number = number
        raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit code: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self._number

    def tell(self) -> int:
        """Say that the run was interrupted, and return the exit code."""
        with contextlib.suppress(OSError):  # nobody reads any more
            # past the buffers: another thread may hold their locks
            os.write(1 if self.as_json else 2, self._words().encode())
        # CPython notes an interrupt that came while text was run, as dataclasses run theirs, and
        # would end with SIGINT for our code; running a text that ends well takes the note back
        exec("")  # noqa: S102  # it is empty
        return self.code

    def _words(self) -> str:
        if not self.as_json:
            return "error: interrupted\nhint: run it again: it goes on where it stopped\n"
        import json

        error = dict.fromkeys(("kind", "message", "hint", "repo_id", "revision", "filename"))
        error |= {"kind": "Interrupted", "message": "interrupted"}
        document = {"version": 1, "ok": False, "exit_code": self.code, "errors": [error]}
        return f"{json.dumps(document)}\n"

    def leave_after(self, number: int, seconds: float) -> None:
        """Leave the process in so many seconds, if it is still there then."""
        threading.Event().wait(seconds)
        self._number = number
        self.tell()
        os._exit(self.code)


def came_of_interrupt(error: BaseException) -> bool:
    """Whether ``error`` is what an interrupt was turned into on its way.

    Python 3.11 and older wrap what is raised while a class is made; a cleanup may fail because of
    the interrupt that began it.
    """
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        if isinstance(here, KeyboardInterrupt):
            return True
        seen.add(id(here))
        here = here.__cause__ or here.__context__
    return False


@contextlib.contextmanager
def watched(ending: Ending) -> Iterator[None]:
    """Let signals end what runs inside, as the module says; all is as before afterwards.

    Raises:
        KeyboardInterrupt: one came; also where this itself had not quite begun, or ended.

    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    theirs = signal.getsignal(signal.SIGTERM)
    if theirs is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, ending.came)
    with contextlib.nullcontext() if sys.platform == "win32" else _heard(ending):
        try:
            yield
        finally:
            if theirs is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _heard(ending: Ending) -> Iterator[None]:
    """Have a thread hear of signals from the system itself."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def listen() -> None:
        try:
            while data := os.read(reader, 1):
                if data[0] in _ENDING:
                    ending.leave_after(data[0], GRACE)
        finally:
            os.close(reader)

    threading.Thread(target=listen, name="hubloader-signals", daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(before)
        os.close(writer)
