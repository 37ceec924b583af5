"""Who waits for whom: every line of the table in cache/lock.py."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest
from cache_cases import COMMIT, REPO, content, download, entry, manifest
from clock import Clock

from hubloader.cache import CacheStore
from hubloader.cache import lock as locks
from hubloader.cache import writer as writers
from hubloader.cache.layout import CacheLayout
from hubloader.cache.lock import BlobLock, LockOutcome
from hubloader.errors import LockTimeout

DATA = content(5000)
FACTS = entry(DATA)


@pytest.fixture
def layout(tmp_path):
    return CacheLayout(tmp_path).repo(REPO)


def asker(layout, clock, *, ready=lambda: False) -> BlobLock:
    return BlobLock(layout, FACTS.etag, ready=ready, clock=clock, sleep=clock.sleep)


@pytest.fixture
def held(layout):
    os.makedirs(os.path.dirname(layout.lock(FACTS.etag)))
    lock = filelock.FileLock(layout.lock(FACTS.etag), thread_local=False)
    lock.acquire()
    yield lock
    lock.release(force=True)


def test_a_free_lock_is_had_at_huggingface_hubs_path_writable_by_the_group(layout):
    old = os.umask(0o022)
    try:
        lock = asker(layout, Clock())
        assert lock.acquire() is LockOutcome.HELD
    finally:
        os.umask(old)

    mode = os.stat(layout.lock(FACTS.etag)).st_mode
    assert stat.S_IMODE(mode) == 0o664
    with pytest.raises(filelock.Timeout):
        filelock.FileLock(layout.lock(FACTS.etag)).acquire(blocking=False)
    lock.release()
    filelock.FileLock(layout.lock(FACTS.etag)).acquire(blocking=False).lock.release()


def test_a_lock_that_is_let_go_is_had(layout, held):
    clock = Clock(lambda now: held.release(force=True) if now > 1 else None)
    lock = asker(layout, clock)

    assert lock.acquire() is LockOutcome.HELD
    lock.release()


def test_the_asker_stops_waiting_when_the_content_appears(layout, held):
    clock = Clock()

    assert asker(layout, clock, ready=lambda: clock.now > 2).acquire() is LockOutcome.READY


def test_who_waited_and_finds_the_content_needs_no_lock(layout, held):
    def bring(now: float) -> None:
        if now > 1:
            os.makedirs(layout.blobs, exist_ok=True)
            Path(layout.blob(FACTS.etag)).write_bytes(DATA)
            held.release(force=True)

    assert asker(layout, Clock(bring)).acquire() is LockOutcome.READY


def test_a_content_that_was_there_before_is_not_what_was_waited_for(layout, held):
    os.makedirs(layout.blobs)
    Path(layout.blob(FACTS.etag)).write_bytes(b"cut short")
    clock = Clock(lambda now: held.release(force=True) if now > 1 else None)
    lock = asker(layout, clock)

    assert lock.acquire() is LockOutcome.HELD
    lock.release()


def test_a_content_that_still_lacks_its_stamp_is_waited_for(layout, held):
    os.makedirs(layout.blobs)
    clock = Clock(lambda _now: Path(layout.blob(FACTS.etag)).write_bytes(DATA))

    with pytest.raises(LockTimeout):
        asker(layout, clock).acquire(limit=5)


def test_who_waits_need_not_import_filelock(layout, held):
    script = f"""
import sys
from hubloader.cache.layout import CacheLayout
from hubloader.cache.lock import BlobLock
from hubloader.errors import LockTimeout
from hubloader.types import RepoId
layout = CacheLayout({layout.cache.root!r}).repo(RepoId.parse({str(REPO)!r}))
try:
    BlobLock(layout, {FACTS.etag!r}, ready=lambda: False).acquire(limit=0.05)
except LockTimeout:
    print("filelock" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout == "False\n"


def test_a_holder_without_progress_is_not_waited_for(layout, held):
    clock = Clock()

    assert asker(layout, clock).acquire(stall=30) is LockOutcome.STALLED
    assert 30 <= clock.now < 31


def test_a_free_lock_costs_no_look_at_what_the_repository_holds(layout, monkeypatch):
    os.makedirs(layout.blobs)  # with 100,000 contents each look would take longer than a file
    monkeypatch.setattr(os, "listdir", lambda folder: pytest.fail(f"{folder} was listed"))

    lock = asker(layout, Clock())

    assert lock.acquire(limit=0) is LockOutcome.HELD
    lock.release()


def test_a_lock_that_is_not_waited_for_costs_no_look_either(layout, held, monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda folder: pytest.fail(f"{folder} was listed"))
    monkeypatch.setattr(BlobLock, "holder", lambda _lock: "somebody")

    with pytest.raises(LockTimeout):
        asker(layout, Clock()).acquire(limit=0)


def test_all_who_wait_share_one_look_a_second_at_the_contents(layout, held, monkeypatch):
    os.makedirs(layout.blobs)
    looks, listed = [], os.listdir
    monkeypatch.setattr(
        os, "listdir", lambda folder: (looks.append(os.fspath(folder)), listed(folder))[1]
    )
    clock = Clock()

    def ask_too(_now: float) -> None:
        for _ in range(8):  # at the same moment
            with pytest.raises(LockTimeout):
                asker(layout, Clock()).acquire(limit=0)
            locks._incomplete(layout.blobs, clock.now)

    clock._then = ask_too
    assert asker(layout, clock).acquire(stall=5, on_wait=lambda *_: None) is LockOutcome.STALLED

    assert 5 <= looks.count(layout.blobs) <= 7


def test_a_holder_that_hashes_what_it_has_is_waited_for(layout, held):
    # the end of 50 GB that were gone on with: minutes in which the data does not grow
    folder = os.path.join(layout.partials, f"{FACTS.etag}.0-1.2")
    os.makedirs(folder)
    for name in ("data", "journal"):
        Path(folder, name).write_bytes(b"")

    def note(now: float) -> None:
        if now < 100:
            with open(os.path.join(folder, "journal"), "ab") as file:
                file.write(b"h")

    clock = Clock(note)

    assert asker(layout, clock).acquire(stall=30) is LockOutcome.STALLED
    assert clock.now > 129


@pytest.mark.parametrize("who", ["ours", "huggingface_hub's"])
def test_a_holder_whose_download_moves_is_waited_for(layout, held, who):
    name = f"{FACTS.etag}.0-1.2" if who == "ours" else f"{FACTS.etag}.12345678.incomplete"
    folder = layout.partials if who == "ours" else layout.blobs
    os.makedirs(folder)

    def grow(now: float) -> None:
        if now < 100:
            with open(os.path.join(folder, name), "ab") as file:
                file.write(b"x")

    clock = Clock(grow)

    assert asker(layout, clock).acquire(stall=30) is LockOutcome.STALLED
    assert clock.now > 129  # 30 s after the last byte, which came before 100


def test_the_limit_ends_the_wait_and_names_the_holder(layout, held):
    clock = Clock()

    with pytest.raises(LockTimeout) as caught:
        asker(layout, clock).acquire(stall=1000, limit=60)

    assert 60 <= caught.value.waited < 61
    assert caught.value.holder
    assert caught.value.hint


def test_the_asker_is_told_once_a_second_who_holds_it(layout, held):
    told = []

    asker(layout, Clock()).acquire(stall=5, on_wait=lambda *facts: told.append(facts))

    assert 3 <= len(told) <= 5
    assert all(isinstance(holder, str) and waited > 0 for holder, waited, _ in told)


@pytest.mark.parametrize("whose", ["large", "small", "huggingface_hub"])
def test_the_asker_is_told_how_much_has_come(tmp_path, layout, held, monkeypatch, whose):
    monkeypatch.setattr(writers, "LARGE", 10_000 if whose == "small" else 1_000)
    told = []
    with CacheStore(tmp_path).writer(REPO, FACTS) as writer:
        if whose == "huggingface_hub":
            os.makedirs(layout.blobs)
            Path(layout.blobs, f"{FACTS.etag}.12345678.incomplete").write_bytes(DATA[:3000])
        else:
            writer.write(DATA[:3000])
        asker(layout, Clock()).acquire(stall=5, on_wait=lambda *facts: told.append(facts))

    assert {received for _, _, received in told} == {3000}


def test_the_holder_is_named_by_its_partial(tmp_path, layout, held, monkeypatch):
    monkeypatch.setattr(locks, "_flock_holder", lambda _path: None)
    with CacheStore(tmp_path).writer(REPO, FACTS) as writer:
        writer.write(b"x")
        assert f"process {os.getpid()}" in asker(layout, Clock()).holder()


def test_the_holder_is_named_by_the_kernels_list(layout, held, tmp_path, monkeypatch):
    facts = os.stat(layout.lock(FACTS.etag))
    device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    listing = tmp_path / "locks"
    listing.write_text(
        f"1: POSIX  ADVISORY  WRITE 7 {device} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE {os.getpid()} {device} 0 EOF\n"
    )
    monkeypatch.setattr(locks, "_PROC_LOCKS", str(listing))

    assert asker(layout, Clock()).holder().startswith(f"process {os.getpid()} (")


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EROFS, errno.EACCES, errno.ENOTSUP]
)
def test_where_there_are_no_locks_one_goes_on_without(layout, monkeypatch, number):
    class Broken:
        def acquire(self, **_options):
            raise OSError(number, "no")

    monkeypatch.setattr(locks, "_make_lock", lambda _path: Broken())

    lock = asker(layout, Clock())
    assert lock.acquire() is LockOutcome.UNAVAILABLE
    lock.release()


def test_an_older_filelock_that_misses_flock_means_the_same(layout, monkeypatch):
    class Broken:
        def acquire(self, **_options):
            raise NotImplementedError("use SoftFileLock instead")

    monkeypatch.setattr(locks, "_make_lock", lambda _path: Broken())

    assert asker(layout, Clock()).acquire() is LockOutcome.UNAVAILABLE


@pytest.mark.parametrize("damage", ["file for folder", "folder for file", "planted link"])
def test_damaged_locks_block_nobody(tmp_path, layout, damage):
    path = layout.lock(FACTS.etag)
    if damage == "file for folder":
        (tmp_path / ".locks").write_text("")
    elif damage == "folder for file":
        os.makedirs(path)
    else:
        os.makedirs(os.path.dirname(path))
        (tmp_path / "victim").write_text("untouched")
        os.symlink(tmp_path / "victim", path)

    wanted = manifest({"f": DATA})
    paths = download(CacheStore(tmp_path), wanted, {"f": DATA})

    assert paths["f"].read_bytes() == DATA
    if damage == "planted link":
        assert (tmp_path / "victim").read_text() == "untouched"


def test_locks_that_do_nothing_cost_downloads_and_no_correctness(tmp_path, monkeypatch):
    class Lying:
        def acquire(self, **_options):
            return None

        def release(self, **_options):
            return None

    monkeypatch.setattr(locks, "_make_lock", lambda _path: Lying())
    wanted = manifest({"f": DATA, "g": content(9 * 1024 * 1024)})
    files = {"f": DATA, "g": content(9 * 1024 * 1024)}
    threads = [
        threading.Thread(target=download, args=(CacheStore(tmp_path), wanted, files))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    store = CacheStore(tmp_path)
    assert all(store.path(wanted, name).read_bytes() == data for name, data in files.items())


def test_two_files_of_one_content_in_one_batch_do_not_wait_for_each_other(tmp_path):
    wanted = manifest({"a": DATA, "b": DATA})

    paths = download(CacheStore(tmp_path), wanted, {"a": DATA, "b": DATA})

    assert paths["a"].read_bytes() == paths["b"].read_bytes() == DATA


def test_the_lock_of_a_content_is_kept_until_the_batch_gives_it_its_name(tmp_path, layout):
    store, wanted = CacheStore(tmp_path), manifest({"f": DATA})
    other = filelock.FileLock(layout.lock(FACTS.etag))

    with store.batch():
        with store.blob_lock(REPO, FACTS.etag), store.writer(REPO, FACTS) as writer:
            writer.write(DATA)
            writer.commit()
        with pytest.raises(filelock.Timeout):
            other.acquire(blocking=False)

    other.acquire(blocking=False)
    other.release()
    assert store.inspect(wanted, ["f"])["f"].blob
    assert wanted.commit == COMMIT
