"""The kernel refuses or kills at the N-th system call of a kind, by strace: no Python in between.

The bulk of the points is in ``test_cache_faults.py``; these show that nothing is done behind the
hooks there (by C code, by filelock, by the interpreter).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cache_world import operations, small_is_large

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]
WORK = """
import os, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from pathlib import Path
from cache_world import operations, small_is_large
from hubloader.errors import CacheError
import filelock, hubloader.cache.removal, hubloader.cache.writer
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
POINTS = 40  # of one kind of call; none of these operations makes more


def run(operation: str, root: Path, inject: str) -> tuple[int, bool]:
    """Do an operation under strace; give its end, and whether the fault came."""
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    log = root.parent / "strace.log"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={inject.partition(':')[0]}",
         "-e", f"inject={inject}", sys.executable, "-B", "-c", WORK, paths, operation, str(root)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    text = log.read_text(encoding="utf-8", errors="replace")
    return done.returncode, "INJECTED" in text or "killed by SIGKILL" in text


@pytest.mark.parametrize("how", ["signal=KILL", "error=EIO", "error=ENOSPC"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["update in small files", "remove a revision"])
def test_the_kernel_fails_at_the_nth_call(tmp_path, name, call, how):
    operation = next(each for each in operations() if each.name == name)
    with small_is_large():
        operation.prepare(tmp_path / "base")
        for number in range(1, POINTS):
            root = tmp_path / f"n{number}"
            shutil.copytree(tmp_path / "base", root, symlinks=True)
            status, came = run(name, root, f"{CALLS[call]}:{how}:when={number}")

            assert status in {0, 3, -9, 137}, f"call {number}: ended with {status}"
            assert operation.faults(root) == []
            operation.work(root)
            assert operation.unfinished(root) == []
            shutil.rmtree(root)
            if not came:
                break
