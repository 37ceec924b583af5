"""The processes that run chat templates: started when needed, kept, and killed when one takes long.

A template that takes its time keeps no other waiting: every thread that renders has a process to
itself, up to ``_MAX_WORKERS``; ``_MAX_IDLE`` of them are kept for the next ones.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from hubloader.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

__all__ = ["MAX_MEMORY", "MAX_WAIT", "TemplateStopped", "exchange"]

MAX_MEMORY = 256 << 20
MAX_WAIT = 1.5
_MAX_WAIT_STARVED = 10.0
_MIN_WAIT = 0.5  # after a start, which the time of the first template includes
_STARVED = 0.15  # seconds of CPU: with less than this it had no chance to use its time
_LOOK_AGAIN = 0.05
_MAX_START = 20.0
_BYTES_A_SECOND = 10 << 20  # of a request: a long one may take longer to be read
_MAX_WORKERS = 32
_MAX_IDLE = 4
_CPU_TIMED = hasattr(signal, "setitimer")
_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_worker.py")


class TemplateStopped(Exception):
    """The process is gone; ``timed_out`` says that our clock ended it."""

    def __init__(self, code: int | None, *, timed_out: bool) -> None:
        super().__init__(code)
        self.code = code
        self.timed_out = timed_out
        self.out_of_cpu = _CPU_TIMED and code == -signal.SIGPROF

    @property
    def by_the_template(self) -> bool:
        """Whether there is no doubt about whose doing it was."""
        return self.timed_out or self.out_of_cpu


class _Clock:
    """Ends a process when its time is over, or later where it had no chance to use it."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.expired = False
        self._process = process
        self._seconds = seconds
        self._changed = threading.Condition()
        self._over = False
        self._begin()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _begin(self) -> None:
        self._used = _cpu_seconds(self._process.pid)
        self._started = time.monotonic()

    def restart(self) -> None:
        """Give the process its time anew."""
        with self._changed:
            self._seconds = MAX_WAIT
            self._begin()
            self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._over:
                late = time.monotonic() - self._started - self._seconds
                if late < 0:
                    self._changed.wait(-late)
                elif late < _MAX_WAIT_STARVED and self._starved():
                    self._changed.wait(_LOOK_AGAIN)
                else:
                    self.expired = True
                    self._process.kill()
                    return

    def _starved(self) -> bool:
        used = _cpu_seconds(self._process.pid)
        return used is not None and self._used is not None and used - self._used < _STARVED


def _cpu_seconds(pid: int) -> float | None:
    """Ask how much CPU time a process has used; None where the system does not say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(pid) gives
    except OSError:
        return None


class _Worker:
    """The process, and the lines to it. Used by one thread at a time."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self.owner = os.getpid()
        if not sys.executable:
            raise BackendUnavailable("there is no Python program to run chat templates with")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own file, run by the running Python
                [sys.executable, "-I", "-S", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=os.path.abspath(os.sep),
            )
        except OSError as error:
            raise BackendUnavailable(f"chat templates need a second process: {error}") from error
        path = [entry for entry in sys.path if os.path.isabs(entry)]
        start = json.dumps({"path": path, "memory": MAX_MEMORY}).encode("ascii")
        try:
            self.exchange(start, _MAX_START, 1)
        except TemplateStopped as death:
            raise BackendUnavailable(
                f"the process that runs chat templates ended at its start (code {death.code})",
                hint="is jinja2 installed where this Python finds it? sys.executable is "
                f"{sys.executable}",
            ) from None

    def exchange(self, request: bytes, seconds: float, answers: int) -> list[dict[str, Any]]:
        """Ask, and wait for so many answers or an error; each has its time."""
        found: list[dict[str, Any]] = []
        with _Clock(self._process, seconds) as clock:
            self._send(request)
            while len(found) < answers and (not found or "error" not in found[-1]):
                raw = self._receive()
                if raw is None:
                    break
                found.append(json.loads(raw))
                clock.restart()
        if len(found) < answers and (not found or "error" not in found[-1]):
            self.end()
            raise TemplateStopped(self._process.returncode, timed_out=clock.expired)
        return found

    def _send(self, request: bytes) -> None:
        to = self._process.stdin
        if to is None:
            raise AssertionError("the process is started with pipes")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            to.write(struct.pack("<I", len(request)) + request)
            to.flush()

    def _receive(self) -> bytes | None:
        back = self._process.stdout
        if back is None:
            raise AssertionError("the process is started with pipes")
        head = back.read(4)
        if len(head) < 4:
            return None
        size: int = struct.unpack("<I", head)[0]
        raw = back.read(size)
        return raw if len(raw) == size else None

    def end(self) -> None:
        """Kill the process, if it is this one's, and wait for its end."""
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _start() -> _Worker:
    """Start a worker without an environment, which may hold secrets; with it where it must be."""
    if os.name == "posix":
        with contextlib.suppress(BackendUnavailable):
            return _Worker({})
    return _Worker(None)


class _Desk:
    """The workers: one for each thread that renders, none of a forked process's parent."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin without workers; locks may be held by a thread that is not here."""
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_MAX_WORKERS)
        self.idle: list[_Worker] = []

    def exchange(self, request: bytes, answers: int) -> list[dict[str, Any]]:
        seconds = MAX_WAIT + len(request) / _BYTES_A_SECOND
        with self._places:
            begun = time.monotonic()
            worker = self._take()
            if worker is not None:
                try:
                    return self._ask(worker, request, seconds, answers)
                except TemplateStopped as stopped:
                    if stopped.by_the_template:
                        raise
                # It may have been killed by anyone since it was last asked: ask a fresh one.
            worker = _start()
            seconds = max(_MIN_WAIT, seconds - (time.monotonic() - begun))
            return self._ask(worker, request, seconds, answers)

    def _take(self) -> _Worker | None:
        with self._lock:
            return self.idle.pop() if self.idle else None

    def _ask(
        self, worker: _Worker, request: bytes, seconds: float, answers: int
    ) -> list[dict[str, Any]]:
        """Exchange, and keep the worker; what interrupts that leaves no answer to another's."""
        try:
            found = worker.exchange(request, seconds, answers)
        except BaseException:
            worker.end()
            raise
        with self._lock:
            kept = len(self.idle) < _MAX_IDLE
            if kept:
                self.idle.append(worker)
        if not kept:
            worker.end()
        return found

    def close(self) -> None:
        """End the workers that nobody uses."""
        with self._lock:
            workers, self.idle = self.idle, []
        for worker in workers:
            worker.end()


desk = _Desk()


def exchange(request: bytes, answers: int) -> list[dict[str, Any]]:
    """Have a process answer a request.

    Args:
        request: what ``chat_worker`` reads.
        answers: how many answers there are, if none of them is an error.

    Raises:
        TemplateStopped: it took too much of something.
        BackendUnavailable: no process can be started.

    """
    return desk.exchange(request, answers)


def _forget() -> None:
    """In a forked child: the workers are the parent's."""
    parents, desk.idle = desk.idle, []
    for worker in parents:
        worker.end()
    desk.reset()


atexit.register(desk.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
