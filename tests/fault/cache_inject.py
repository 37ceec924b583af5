"""The kernel fails: strace kills at, or refuses, the N-th system call of an operation.

What ``cache_world.hit_every_call`` does from inside the process, this does from outside of it: no
Python that hooks ``os`` decides what counts as a call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cache_world import KILLED, OUR_ERROR, Operation, Tally, rerun

HERE = Path(__file__).parent
WORK = """
import os, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from pathlib import Path
from cache_world import operations, small_is_large
from hubloader.errors import CacheError
import filelock, hubloader.cache.changes, hubloader.cache.removal
operation = next(o for o in operations() if o.name == sys.argv[2])
with small_is_large():
    try:
        operation.work(Path(sys.argv[3]))
    except CacheError:
        sys.exit(3)
"""
CALLS = {
    "rename": "rename,renameat,renameat2",
    "fsync": "fsync,syncfs",
    "symlink": "symlink,symlinkat",
    "unlink": "unlink,unlinkat,rmdir",
    "mkdir": "mkdir,mkdirat",
    "flock": "flock",
    "chmod": "fchmod",
}
HOW = ("signal=KILL", "error=EIO", "error=ENOSPC")


class CannotTrace(Exception):
    """strace may not trace here."""


def inject_every_call(operation: Operation, call: str, how: str, folder: Path) -> Tally:
    """Do an operation once for each of its calls of one kind, with a fault at that call."""
    tally, base = Tally(), folder / "base"
    operation.prepare(base)
    for number in range(1, 1000):
        root = folder / f"n{number}"
        shutil.copytree(base, root, symlinks=True)
        status, came = _run(operation.name, root, f"{CALLS[call]}:{how}:when={number}")
        if came:
            what = f"{operation.name}, {call} {number}, {how}"
            if status not in {0, OUR_ERROR, -9, KILLED}:
                tally.faults.append(f"{what}: ended with {status}")
            tally.points += 1
            tally.faults += [f"{what}: {fault}" for fault in operation.faults(root)]
            tally.add(rerun(operation, root, f"{what}, rerun"))
        shutil.rmtree(root)
        if not came:
            break
    shutil.rmtree(base)
    return tally


def _run(operation: str, root: Path, inject: str) -> tuple[int, bool]:
    """Do an operation under strace; give its end, and whether the fault came."""
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    log = root.parent / "strace.log"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={inject.partition(':')[0]}",
         "-e", f"inject={inject}", sys.executable, "-B", "-c", WORK, paths, operation, str(root)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        raise CannotTrace(done.stderr.strip())
    text = log.read_text(encoding="utf-8", errors="replace")
    return done.returncode, "INJECTED" in text or "killed by SIGKILL" in text
