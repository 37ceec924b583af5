"""What a running download tells: to a terminal, a log, or a program.

The engine reports to one ``Tracker``, from any thread. The tracker counts and passes events on, one
at a time, to sinks: ``Bars`` (tqdm, on a terminal), ``Lines`` (one plain line a file, and one every
ten seconds, with rate and time left), or any callable that takes a ``Progress``.
"""

from __future__ import annotations

import enum
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Bars",
    "Fetched",
    "Lines",
    "Progress",
    "Share",
    "Step",
    "Tracker",
    "format_bytes",
    "format_seconds",
]

_EVERY = 0.1  # seconds between two events about bytes: what an eye or a callback can follow
_LINE_EVERY = 10.0  # seconds between two plain lines about bytes
_LARGE = 64 * 2**20  # bytes from which a file gets a bar of its own


class Step(enum.Enum):
    """What an event is about."""

    BEGIN = "begin"  # of everything: totals are known
    FILE = "file"  # a file's transfer begins
    BYTES = "bytes"  # some came; at most ten events a second
    WAITING = "waiting"  # another process is fetching the file; ``detail`` says who
    RETRY = "retry"  # an attempt failed and there will be another; ``detail`` says why
    DONE = "done"  # the file is there
    FAILED = "failed"  # the file could not be fetched; ``detail`` says why
    END = "end"  # of everything


_OPENING = frozenset({Step.FILE, Step.WAITING})  # what opens a large file's bar


@dataclass(frozen=True)
class Progress:
    """One event. Bytes of a file count what is on disk of it; the totals are of this call.

    ``size`` and ``total`` are None when a size is not known.
    """

    step: Step
    filename: str = ""
    done: int = 0
    size: int | None = None
    total_done: int = 0
    total: int | None = None
    files_done: int = 0
    files: int = 0
    detail: str = ""


class Tracker:
    """Counts bytes and files, and tells the sinks.

    Args:
        sinks: called with each event, never two at a time.
        clock: seconds, monotonic.

    """

    def __init__(
        self,
        sinks: Iterable[Callable[[Progress], Any]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = tuple(sinks)
        self._clock = clock
        self._lock = threading.RLock()
        self._done: dict[str, int] = {}
        self._sizes: dict[str, int | None] = {}
        # sums, kept along: a repository has 100,000 files and as many events
        self._total_done = self._total = self._unknown = self._files_done = 0
        self._last = float("-inf")

    def also(self, sink: Callable[[Progress], Any]) -> None:
        """Tell one more, from now on."""
        self._sinks += (sink,)

    def begin(self, sizes: dict[str, int | None]) -> None:
        """Say which files will be fetched, and how many bytes of each there are."""
        with self._lock:
            for filename, size in sizes.items():
                self._count(self._sizes.get(filename, 0), -1)
                self._sizes[filename] = size
                self._count(size, 1)
            self._tell(Step.BEGIN)

    def start(self, filename: str, present: int = 0) -> None:
        """Say that a file's transfer begins, with ``present`` bytes there already."""
        with self._lock:
            self._reach(filename, present)
            self._tell(Step.FILE, filename)

    def add(self, filename: str, count: int) -> None:
        """Count bytes of a file; negative when some are thrown away."""
        with self._lock:
            self._reach(filename, self._done.get(filename, 0) + count)
            now = self._clock()
            if now - self._last >= _EVERY:
                self._last = now
                self._tell(Step.BYTES, filename)

    def note(self, step: Step, filename: str, detail: str) -> None:
        """Say what happens to a file: that it is tried again, say."""
        with self._lock:
            self._tell(step, filename, detail)

    def wait(self, filename: str, received: int, detail: str) -> None:
        """Say that another process fetches a file, of which it has ``received`` bytes."""
        with self._lock:
            self._reach(filename, received)
            self._tell(Step.WAITING, filename, detail)

    def finish(self, filename: str) -> None:
        """Say that a file is there, whole."""
        with self._lock:
            size = self._sizes.get(filename)
            self._reach(filename, self._done.get(filename, 0) if size is None else size)
            self._files_done += 1
            self._tell(Step.DONE, filename)

    def fail(self, filename: str, detail: str) -> None:
        """Say that a file could not be fetched."""
        with self._lock:
            self._tell(Step.FAILED, filename, detail)

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._lock:
            self._tell(Step.END)

    def _reach(self, filename: str, done: int) -> None:
        self._total_done += done - self._done.get(filename, 0)
        self._done[filename] = done

    def _count(self, size: int | None, times: int) -> None:
        if size is None:
            self._unknown += times
        else:
            self._total += times * size

    def _tell(self, step: Step, filename: str = "", detail: str = "") -> None:
        if not self._sinks:
            return
        event = Progress(
            step=step,
            filename=filename,
            done=self._done.get(filename, 0),
            size=self._sizes.get(filename),
            total_done=self._total_done,
            total=None if self._unknown else self._total,
            files_done=self._files_done,
            files=len(self._sizes),
            detail=detail,
        )
        for sink in self._sinks:
            sink(event)


class Share(Tracker):
    """The part of a tracker that one of several downloads reports to, under a name of its own.

    The whole begins and ends elsewhere.

    Args:
        whole: what is reported to.
        name: goes before each file's name.

    """

    def __init__(self, whole: Tracker, name: str) -> None:
        super().__init__()
        self._whole = whole
        self._name = name

    def begin(self, sizes: dict[str, int | None]) -> None:
        """Say nothing: the whole knows."""

    def start(self, filename: str, present: int = 0) -> None:
        """Say that a file's transfer begins."""
        self._whole.start(self._of(filename), present)

    def add(self, filename: str, count: int) -> None:
        """Count bytes of a file."""
        self._whole.add(self._of(filename), count)

    def note(self, step: Step, filename: str, detail: str) -> None:
        """Say what happens to a file."""
        self._whole.note(step, self._of(filename), detail)

    def wait(self, filename: str, received: int, detail: str) -> None:
        """Say that another process fetches a file."""
        self._whole.wait(self._of(filename), received, detail)

    def finish(self, filename: str) -> None:
        """Say that a file is there, whole."""
        self._whole.finish(self._of(filename))

    def fail(self, filename: str, detail: str) -> None:
        """Say that a file could not be fetched."""
        self._whole.fail(self._of(filename), detail)

    def end(self) -> None:
        """Say nothing: others may still run."""

    def _of(self, filename: str) -> str:
        return f"{self._name}/{filename}"


class Fetched:
    """A sink that counts what came over the network, of the files that are there in the end.

    Not counted is what was there before, what another process brought, and what came in vain.
    """

    def __init__(self) -> None:
        self.count = 0
        self._present: dict[str, int] = {}

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        if event.step is Step.FILE:
            self._present.setdefault(event.filename, event.done)
        elif event.step is Step.DONE and event.filename in self._present:
            self.count += event.done - self._present.pop(event.filename)


class Lines:
    """Plain lines for a log: one for each file that was fetched, and one every ten seconds.

    Waiting for another process is told when it begins and every ten seconds; that the file is there
    is told then too. Of one that another brought before a wait was told, nothing is.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = clock()
        self._waited = float("-inf")  # when a wait was last told
        self._began: tuple[float, int] | None = None  # when bytes began to come, and after how many
        self._here: set[str] = set()  # files under way, fetched by the call that is told of
        self._elsewhere: set[str] = set()  # files that another was told to fetch

    def __call__(self, event: Progress) -> None:
        """Write the event's line, if it has one."""
        if self._began is None and event.step is not Step.BEGIN:
            self._began = self._clock(), event.total_done
        line = self._line(event)
        if line is not None:
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def _line(self, event: Progress) -> str | None:
        if event.step is Step.DONE:
            return self._done(event)
        if event.step is Step.FAILED:
            return f"failed {event.filename}: {event.detail}"
        if event.step is Step.FILE:
            self._here.add(event.filename)
        if event.step is Step.WAITING:
            self._elsewhere.add(event.filename)
            return self._waiting(event)
        if event.step is Step.BYTES and self._clock() - self._last >= _LINE_EVERY:
            self._last = self._clock()
            total = "" if event.total is None else f" of {format_bytes(event.total)}"
            files = f"{event.files_done} of {event.files} files"
            return f"fetched {format_bytes(event.total_done)}{total}, {files}{self._pace(event)}"
        return None

    def _done(self, event: Progress) -> str | None:
        size = format_bytes(event.done)
        if event.filename in self._here:
            self._here.remove(event.filename)
            return f"fetched {event.filename} ({size})"
        return f"{event.filename} is there ({size})" if event.filename in self._elsewhere else None

    def _waiting(self, event: Progress) -> str | None:
        if self._clock() - self._waited < _LINE_EVERY:  # many files may wait for one process
            return None
        self._waited = self._clock()
        come = ""
        if event.done:
            size = "" if event.size is None else f" of {format_bytes(event.size)}"
            come = f", {format_bytes(event.done)}{size} so far"
        return f"waiting for {event.filename}: {event.detail}{come}"

    def _pace(self, event: Progress) -> str:
        """The rate of this call so far, and the time that what is left takes at that rate."""
        when, before = self._began or (0.0, 0)
        seconds = self._clock() - when
        rate = (event.total_done - before) / seconds if seconds > 0 else 0.0
        if rate <= 0:
            return ""
        left = None if event.total is None else max(0, event.total - event.total_done) / rate
        told = "" if left is None else f", {format_seconds(left)} left"
        return f", {format_bytes(int(rate))}/s{told}"


class Bars:
    """tqdm bars: one of all bytes, with rate and time left, and one for each large file.

    Args:
        stream: the terminal; None leaves the choice to ``tqdm_class``.
        tqdm_class: tqdm or a class like it; None for tqdm's own, imported at the first event.

    """

    def __init__(self, stream: TextIO | None = None, tqdm_class: Any = None) -> None:
        self._stream = stream
        self._class = tqdm_class
        self._bars: dict[str, Any] = {}
        self._at: dict[str, int] = {}  # where each stands: a class like tqdm may not tell

    def __call__(self, event: Progress) -> None:
        """Open, move or close the event's bars."""
        if event.step is Step.BEGIN and "" not in self._bars:
            self._open("", "Fetching", event.total)
        elif event.step in _OPENING and self._is_new_and_large(event):
            self._open(event.filename, event.filename.rsplit("/", 1)[-1], event.size)
        self._move("", event.total_done)
        if event.filename:
            self._move(event.filename, event.done)
        if event.step in {Step.DONE, Step.FAILED} and event.filename in self._bars:
            self._bars.pop(event.filename).close()
        elif event.step is Step.END:
            for bar in self._bars.values():
                bar.close()
            self._bars.clear()

    def _is_new_and_large(self, event: Progress) -> bool:
        return (event.size or 0) >= _LARGE and event.filename not in self._bars

    def _open(self, key: str, label: str, total: int | None) -> None:
        if self._class is None:
            from tqdm import tqdm  # first use

            self._class = tqdm
        options: dict[str, Any] = {} if self._stream is None else {"file": self._stream}
        if _has_no_size(self._stream):  # on which tqdm would draw nothing
            options |= {"ncols": 80, "nrows": 24}
        self._at[key] = 0
        self._bars[key] = self._class(
            desc=label, total=total, unit="B", unit_scale=True, leave=not key, **options
        )

    def _move(self, key: str, done: int) -> None:
        bar = self._bars.get(key)
        if bar is not None:
            bar.update(done - self._at[key])
            self._at[key] = done


def _has_no_size(stream: TextIO | None) -> bool:
    """Whether it is a terminal that nobody gave a size, as containers have."""
    try:
        return 0 in os.get_terminal_size((stream or sys.stderr).fileno())
    except (AttributeError, OSError, ValueError):
        return False


def format_seconds(seconds: float) -> str:
    """A time for people: ``9 s``, ``3 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_bytes(count: int) -> str:
    """A number of bytes for people: ``629 B``, ``267.8 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
