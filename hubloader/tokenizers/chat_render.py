"""Chat templates are run in a process of their own, which is killed if one takes too much.

A template is a program out of a repository. Jinja's sandbox keeps it from reaching Python's
insides; nothing inside one process can keep ``9**9**9`` or ``'a' * 10**10`` from taking all time
and memory.
So templates run in a worker (``chat_worker``) under limits that the kernel keeps. It is started at
the first template, kept for the next ones, and replaced when it dies.

============  =========================================================================
bound         how much, and what keeps it
============  =========================================================================
time          1 s of CPU a conversation, a timer of the kernel; 1.5 s by the clock, ours
memory        256 MiB, a limit of the process
output        1 MiB, and four times what was put in
template      1 MiB
============  =========================================================================

Where the system has no such timers and limits (Windows) the clock is what is left. A worker that
the machine gave next to no CPU in that time is given 10 s: that is no fault of the template's.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.errors import BackendUnavailable, CorruptFile, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

__all__ = ["RenderedChat", "render_chats"]

MAX_SECONDS = 1.0
MAX_MEMORY = 256 << 20
MAX_CHARACTERS = 1 << 20
MAX_TEMPLATE = 1 << 20
_MAX_GROWTH = 4
_CPU_TIMED = hasattr(signal, "setitimer")
_MAX_WAIT = 1.5
_MAX_WAIT_STARVED = 10.0
_STARVED = 0.25  # seconds of CPU: less than this in all of _MAX_WAIT is no template's doing
_MAX_START = 20.0
_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_worker.py")


class RenderedChat(NamedTuple):
    """A conversation as text, and where the text stands that the model is to learn to write."""

    text: str
    spans: tuple[tuple[int, int], ...]


class _Died(Exception):
    """The worker is gone; ``timed_out`` says that our clock ended it."""

    def __init__(self, code: int | None, *, timed_out: bool) -> None:
        super().__init__(code)
        self.code = code
        self.timed_out = timed_out
        self.out_of_cpu = _CPU_TIMED and code == -signal.SIGPROF

    @property
    def by_the_template(self) -> bool:
        """Whether there is no doubt about whose doing it was."""
        return self.timed_out or self.out_of_cpu


def render_chats(
    template: str, chats: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
) -> list[RenderedChat]:
    """Run a template over conversations.

    Args:
        template: Jinja's source.
        chats: what each conversation gives the template; JSON's kinds of values.
        values: what all of them give it.

    Raises:
        CorruptFile: it is no Jinja template.
        UnsafeFile: it asks for what the sandbox refuses, or for too much time, memory or output.
        ValueError: it refuses the conversation, or does not fit it.
        BackendUnavailable: no worker can be started.

    """
    if len(template) > MAX_TEMPLATE:
        raise UnsafeFile(f"the chat template has {len(template)} characters: > {MAX_TEMPLATE}")
    try:
        content = json.dumps({"chats": list(chats), "values": dict(values)}, default=_plain)
    except RecursionError:
        raise ValueError("the conversation is nested too deeply, or holds itself") from None
    request = {
        "template": template,
        "seconds": MAX_SECONDS,
        "now": dt.datetime.now().isoformat(),  # noqa: DTZ005 - the user's own clock
        "characters": MAX_CHARACTERS + _MAX_GROWTH * len(content),
    }
    try:
        answer = _exchange(f"{json.dumps(request)[:-1]}, {content[1:]}".encode("ascii"))
    except _Died as death:
        raise _unsafe(death) from None
    if "error" in answer:
        raise _failure(answer)
    return [
        RenderedChat(chat["text"], tuple((start, end) for start, end in chat["spans"]))
        for chat in answer["chats"]
    ]


def _plain(value: Any) -> Any:
    """Give JSON's equal of what is not one of its kinds."""
    if hasattr(value, "messages"):
        return value.messages
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 - any mapping has keys
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "__iter__") and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise TypeError(
        f"a chat template takes text, numbers, lists and mappings, not {type(value).__name__}"
    )


def _unsafe(death: _Died) -> UnsafeFile:
    if death.timed_out:
        much = f"more than {_MAX_WAIT} s"
    elif death.out_of_cpu:
        much = f"more than {MAX_SECONDS:.0f} s of CPU time"
    else:
        much = f"more than {MAX_MEMORY >> 20} MiB of memory"
    return UnsafeFile(f"the chat template was stopped: it took {much}", hint=_HINT)


_HINT = "pass a template of your own as chat_template, or look for a revision with a mended one"
_LIMITS = {
    "memory": f"it took more than {MAX_MEMORY >> 20} MiB of memory",
    "nesting": "it nests too deeply",
    "output": "it wrote {message}",
    "security": "it asks for what no template may have: {message}",
}


def _failure(answer: Mapping[str, Any]) -> Exception:
    kind, message, line = answer["error"], answer["message"], answer.get("line")
    where = f" (line {line})" if line else ""
    if kind == "refused":
        return ValueError(message)
    if kind == "syntax":
        return CorruptFile(f"the chat template is not Jinja{where}: {message}", hint=_HINT)
    if kind in _LIMITS:
        text = _LIMITS[kind].replace("{message}", message)
        return UnsafeFile(f"the chat template was stopped: {text}", hint=_HINT)
    return ValueError(
        f"the chat template does not fit the conversation: {answer['type']}: {message}"
    )


class _Clock:
    """Ends a process when its time is over, or later where it had no chance to use it."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.expired = False
        self._process = process
        self._seconds = seconds
        self._used = _cpu_seconds(process.pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        used = _cpu_seconds(self._process.pid)
        starved = None not in {used, self._used} and (used or 0) - (self._used or 0) < _STARVED
        if starved and self._over.wait(max(0, _MAX_WAIT_STARVED - self._seconds)):
            return
        self.expired = True
        self._process.kill()


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
            self.exchange(start, _MAX_START)
        except _Died as death:
            raise BackendUnavailable(
                f"the process that runs chat templates ended at its start (code {death.code})",
                hint="is jinja2 installed where this Python finds it? sys.executable is "
                f"{sys.executable}",
            ) from None

    def exchange(self, request: bytes, seconds: float) -> dict[str, Any]:
        with _Clock(self._process, seconds) as clock:
            raw = self._exchange(request)
        if raw is None:
            self.end()
            raise _Died(self._process.returncode, timed_out=clock.expired)
        answer: dict[str, Any] = json.loads(raw)
        return answer

    def _exchange(self, request: bytes) -> bytes | None:
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise AssertionError("the process is started with pipes")
        try:
            to.write(struct.pack("<I", len(request)) + request)
            to.flush()
        except (BrokenPipeError, ConnectionResetError):
            return None
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
    """Who holds the worker: one for all threads of a process, none of a forked one's parent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.worker: _Worker | None = None

    def exchange(self, request: bytes) -> dict[str, Any]:
        with self.lock:
            worker, self.worker = self.worker, None
            if worker is not None and worker.owner == os.getpid():
                try:
                    return self._ask(worker, request)
                except _Died as death:
                    if death.by_the_template:
                        raise
                # It may have been killed by anyone since it was last asked: ask a fresh one.
            return self._ask(_start(), request)

    def _ask(self, worker: _Worker, request: bytes) -> dict[str, Any]:
        """Exchange, and keep the worker; what interrupts that leaves no answer to another's."""
        try:
            answer = worker.exchange(request, _MAX_WAIT)
        except BaseException:
            worker.end()
            raise
        self.worker = worker
        return answer

    def close(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.end()


_desk = _Desk()


def _exchange(request: bytes) -> dict[str, Any]:
    return _desk.exchange(request)


def _close() -> None:
    _desk.close()


def _forget() -> None:
    """In a forked child: the lock may be held by a thread that is not here."""
    _desk.lock = threading.Lock()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
