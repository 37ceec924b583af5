"""Who a partial download belongs to, and whether that process is still there.

The owner stands in the partial's name, so that any process can tell. A process id alone says
nothing: it is reused, each container counts its own, and another machine may share the folder. So
the name also has a mark of the boot, of the id space (a container), and the process's start time.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import os
import platform
import re
from dataclasses import dataclass

__all__ = ["Liveness", "Owner", "liveness", "this_process"]

_TOKEN = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})-(\d{1,10})-(\d{1,20})")


class Liveness(enum.Enum):
    """Whether a process exists."""

    ALIVE = "it runs"
    DEAD = "it is gone"
    UNKNOWN = "it is of another machine or container, or ran before a reboot"


@dataclass(frozen=True)
class Owner:
    """One process: ``boot`` and ``space`` are 8 hex digits, ``start`` is in clock ticks."""

    boot: str
    space: str
    pid: int
    start: int

    @property
    def token(self) -> str:
        """The owner as a part of a file name."""
        return f"{self.boot}-{self.space}-{self.pid}-{self.start}"

    @classmethod
    def parse(cls, token: str) -> Owner | None:
        """Read a token; None if it is not one."""
        match = _TOKEN.fullmatch(token)
        return cls(match[1], match[2], int(match[3]), int(match[4])) if match else None


def this_process() -> Owner:
    """Return the process that asks; a forked child is another one than its parent."""
    return _process(os.getpid())


@functools.lru_cache(maxsize=1)
def _process(pid: int) -> Owner:
    boot = _read("/proc/sys/kernel/random/boot_id") or platform.node()
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return Owner(_short(boot), _short(f"{boot} {space}"), pid, _start_time(pid) or 0)


def liveness(owner: Owner, me: Owner) -> Liveness:
    """Tell whether ``owner`` still runs, as far as ``me`` can see."""
    if (owner.boot, owner.space) != (me.boot, me.space) or os.name == "nt":
        return Liveness.UNKNOWN
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return Liveness.DEAD
    except PermissionError:  # another user's: it exists
        pass
    start = _start_time(owner.pid)
    reused = start is not None and owner.start not in {0, start}
    return Liveness.DEAD if reused or _has_ended(owner.pid) else Liveness.ALIVE


def _start_time(pid: int) -> int | None:
    """Return field 22 of /proc/<pid>/stat; None where there is no such file."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else None


def _has_ended(pid: int) -> bool:
    """Whether a process ended and nobody asked how: a container without an init keeps them all."""
    return _stat(pid)[:1] in (["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on; nothing where there is none."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
