"""Processes that fetch, load, delete and check at once, some killed or stopped: no wrong byte."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cache_cases import REPO, content, download, manifest

from hubloader.cache import CacheStore
from hubloader.cache.audit import audit_cache
from hubloader.cache.lock import BlobLock, LockOutcome
from hubloader.cache.prune import carry_out, choose
from hubloader.cache.report import scan, scan_cache_dir
from hubloader.mirror import MirrorServer

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": content(600_000, 1),
    "vocab.txt": content(20_000, 2),
    "sub/more.bin": content(100_000, 3),
}
HERE = Path(__file__).parent

RACE = """
import json, os, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from pathlib import Path
from cache_race import Race
import huggingface_hub, huggingface_hub.errors, hubloader
import hubloader.auto.downloads, hubloader.resolve.engine, hubloader.transport.http
root, endpoint, digests, log, work = sys.argv[2:]
race = Race(Path(root), endpoint, json.loads(digests), Path(log))
exec(work)
print(json.dumps({"ended": race.ended, "wrong": race.wrong, "reads": race.reads}))
"""
WITHOUT_THE_SECOND_LOOK = """
from hubloader.resolve import engine
engine._Job._came_meanwhile = lambda *_: False
"""


@pytest.fixture
def hub(tmp_path):
    """A Hub in a process of its own: what forks must have no threads."""
    root = tmp_path / "hub" / "org" / "model"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    serve = [sys.executable, "-m", "hubloader", "serve", "--root", str(tmp_path / "hub")]
    process = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found = re.search(r"http://\S+", process.stdout.readline())
    yield found.group()
    process.terminate()
    process.wait()
    process.stdout.close()


def race(tmp_path, hub, work, seconds=0.0):
    (tmp_path / "log").mkdir()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    arguments = [
        paths, str(tmp_path / "cache"), hub, json.dumps(digests), str(tmp_path / "log"), work,
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RACE, *arguments],
        capture_output=True, text=True, check=False, timeout=seconds + 900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("processes", [6, 32])
def test_nobody_reads_a_wrong_byte_or_a_dead_path(request, tmp_path, hub, processes):
    seconds = request.config.getoption("--race-seconds")
    found = race(tmp_path, hub, f"race.run({processes}, {seconds})", seconds)

    assert found["wrong"] == []
    assert not [how for how in found["ended"] if how.endswith("went wrong")]
    assert sum(found["ended"].values()) >= processes

    cache = tmp_path / "cache"
    if cache.exists():
        carry_out(choose(scan(cache), now=time.time() + 7200))
        assert audit_cache(CacheStore(cache)).ok
        assert all(not repo.warnings for repo in scan(cache).repos)
        assert scan_cache_dir(cache).warnings == []


@pytest.fixture
def counted(tmp_path):
    """A Hub that keeps its requests."""
    root = tmp_path / "hub" / "org" / "model"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    with MirrorServer(tmp_path / "hub", record=True) as server:
        yield server


def contents_sent(server):
    """How often a content was sent."""
    return sum(
        request.method == "GET" and request.status in {200, 206} and "/api/" not in request.path
        for request in server.requests
    )


def test_with_locks_that_work_32_processes_fetch_each_byte_once(tmp_path, counted):
    found = race(tmp_path, counted.url, "race.fetch_together(32)")

    assert found["wrong"] == []
    assert found["ended"] == {"fetch: ended well": 32}
    assert contents_sent(counted) == len(FILES)


def test_without_the_second_look_after_the_lock_bytes_are_fetched_again(tmp_path, counted):
    """The proof proves something: who waited for a lock and does not look again fetches anew."""
    work = WITHOUT_THE_SECOND_LOOK + "race.fetch_together(8)"

    assert race(tmp_path, counted.url, work)["wrong"] == []
    assert contents_sent(counted) == 8 * len(FILES)


def test_no_path_dies_while_it_is_read_however_much_is_deleted(request, tmp_path, hub):
    reads = request.config.getoption("--reads")
    found = race(tmp_path, hub, f"race.read({reads}, 6)", reads / 100)

    assert found["wrong"] == []
    assert found["reads"] >= reads
    assert found["ended"]["prune: ended well"] > 10


# locks that lie, are missing, or are held by somebody who does not move


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_stopped_holder_is_waited_for_as_long_as_it_was_said_and_named(tmp_path):
    code = (
        "import sys; sys.path[:0] = [sys.argv[2]];"
        "from cache_cases import REPO; from hubloader.cache import CacheStore;"
        "lock = CacheStore(sys.argv[1]).blob_lock(REPO, 'ab' * 20); lock.__enter__();"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(HERE.parent)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        told: list[str] = []
        simulated, layout = Time(), CacheStore(tmp_path).layout.repo(REPO)
        lock = BlobLock(
            layout, "ab" * 20, ready=lambda: False, clock=simulated.clock, sleep=simulated.sleep
        )
        outcome = lock.acquire(stall=30, on_wait=lambda who, *_: told.append(who))

        assert outcome is LockOutcome.STALLED
        assert 30 <= simulated.now < 31
        assert len(told) >= 20
        assert all(str(holder.pid) in who for who in told)
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    with CacheStore(tmp_path).blob_lock(REPO, "ab" * 20, stall=1.5) as outcome:
        assert outcome is LockOutcome.HELD


LOCKS = """
import errno, fcntl, os, sys
sys.path[:0] = [sys.argv[2]]
how = sys.argv[3]
def flock(descriptor, operation):
    if how == "none":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = flock
from cache_cases import content, download, manifest, REPO
from hubloader.cache import CacheStore
files = {"config.json": b"{}", "model.bin": content(200_000, 7)}
store, wanted = CacheStore(sys.argv[1]), manifest(files)
for _ in range(5):
    with store.using(REPO):
        download(store, wanted, files)
    assert {n: store.path(wanted, n).read_bytes() for n in files} == files
    store.lease(REPO, wanted.commit)
"""


@pytest.mark.parametrize("how", ["lies", "none"])
def test_without_locks_that_work_every_byte_is_right_all_the_same(tmp_path, how):
    command = [sys.executable, "-c", LOCKS, str(tmp_path / "cache"), str(HERE.parent), how]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in both:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    files = {"config.json": b"{}", "model.bin": content(200_000, 7)}

    assert audit_cache(CacheStore(tmp_path / "cache")).ok
    assert CacheStore(tmp_path / "cache").read_ref(REPO, "main") == manifest(files).commit
    assert scan(tmp_path / "cache").repos[0].warnings == ()
    assert download(CacheStore(tmp_path / "cache"), manifest(files), files)
