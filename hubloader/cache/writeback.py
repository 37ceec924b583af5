"""Let the disk write while bytes come, so that little is left to wait for at the end.

A system keeps what was written in memory until it is half a minute old, or gigabytes; the fsync at
the end of a download then waits for all of it, after the network has stopped. So with each ``STEP``
bytes a thread of its own asks the system to begin.

That is a hint. What is safe says the fsync at the end, which no error is taken away from: asked so,
the system waits for nothing and reports nothing. Where it has no such call, nothing happens.

Source: sync_file_range(2), SYNC_FILE_RANGE_WRITE.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

__all__ = ["STEP", "WriteBack", "begin_writing"]

STEP = 32 * 1024 * 1024  # bytes
_WRITE = 2  # SYNC_FILE_RANGE_WRITE


class WriteBack:
    """Has the bytes of one file written as they come; nothing is begun before the first step."""

    def __init__(self) -> None:
        self._pending = 0  # bytes that came since the thread was last woken
        self._begun = False
        self._ended = False
        self._wake = threading.Event()

    def came(self, count: int, descriptor: int) -> None:
        """Note that bytes were written to an open file; never two threads at once."""
        self._pending += count
        if self._pending < STEP:
            return
        self._pending = 0
        if not self._begun:
            self._begun = True
            with contextlib.suppress(OSError, RuntimeError):  # no descriptor, or no thread, is left
                self._begin(descriptor)
        self._wake.set()

    def end(self) -> None:
        """Ask for no more; waits for nothing."""
        self._ended = True
        self._wake.set()

    def _begin(self, descriptor: int) -> None:
        # its own: a thread that the disk holds up must not find another file under that number
        own = os.dup(descriptor)
        thread = threading.Thread(target=self._run, args=(own,), name="write-back", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            os.close(own)
            raise

    def _run(self, descriptor: int) -> None:
        try:
            works = True
            while works:
                self._wake.wait()
                self._wake.clear()
                works = not self._ended and begin_writing(descriptor)
        finally:
            os.close(descriptor)


def begin_writing(descriptor: int) -> bool:
    """Have the system begin to write what it keeps of a file; False where it will not."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return False
    whole = ctypes.c_int64(0)  # from the beginning, to the end
    return bool(call(descriptor, whole, whole, ctypes.c_uint(_WRITE)) == 0)
