"""A disk that takes minutes for what came in seconds: nobody fetches it again meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from cache_cases import REPO, content, entry
from clock import Clock

from hubloader.cache import CacheStore, disk, living, writeback
from hubloader.cache import writer as writers
from hubloader.cache.lock import BlobLock
from hubloader.cache.writeback import begin_writing
from hubloader.errors import LockTimeout

MIB = 1024 * 1024
DATA = content(5000)
FACTS = entry(DATA)
LIMIT = 60.0  # seconds in which a thread of ours gets its turn on the slowest machine


def wait_until(happened) -> None:
    end = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)


class Waiter:
    """Waits for the lock of ``DATA`` in a time of its own, in which the holder lives or does not.

    Ten of its seconds pass no sooner than the holder has shown something, where it ``lives``.
    """

    def __init__(self, layout, *, lives: bool) -> None:
        self._lives = lives
        self._shown_at = 0.0
        self._clock = Clock(self._live)
        self.lock = BlobLock(
            layout, FACTS.etag, ready=lambda: False, clock=self._clock, sleep=self._clock.sleep
        )
        self._seen: object = None

    def _live(self, now: float) -> None:
        if self._lives and now - self._shown_at >= 10:
            self._shown_at = now
            wait_until(self._changed)

    def _changed(self) -> bool:
        before, self._seen = self._seen, self.lock._activity(self._clock.now)
        return before != self._seen


@pytest.mark.parametrize("large", [True, False], ids=["large", "small"])
def test_a_holder_whose_sync_takes_minutes_is_waited_for(tmp_path, monkeypatch, large):
    monkeypatch.setattr(writers, "LARGE", 1000 if large else 10_000)
    monkeypatch.setattr(living, "_EVERY", 0.001)
    monkeypatch.setattr(living, "_AT_LEAST", 10**6)  # of which so many pass in no time
    store, waited = CacheStore(tmp_path), []

    def sync(_descriptor: int) -> None:
        waiter = Waiter(store.layout.repo(REPO), lives=True)
        with pytest.raises(LockTimeout) as caught:
            waiter.lock.acquire(stall=30, limit=300)
        waited.append(caught.value.waited)

    monkeypatch.setattr(disk, "sync_file", sync)
    with store.batch(), store.blob_lock(REPO, FACTS.etag), store.writer(REPO, FACTS) as writer:
        writer.write(DATA)
        path = writer.commit()

    assert waited == [pytest.approx(300, abs=1)]
    assert path.read_bytes() == DATA
    assert not os.path.exists(store.layout.repo(REPO).partials)


def test_a_content_whose_sync_was_shown_is_trusted_by_its_stamp(tmp_path, monkeypatch):
    signs = threading.Semaphore(0)
    monkeypatch.setattr(living, "_EVERY", 0.001)
    monkeypatch.setattr(disk, "sync_file", lambda _descriptor: signs.acquire(timeout=LIMIT))
    touch = living.touch
    monkeypatch.setattr(
        "hubloader.cache.publish.touch",
        lambda path, **how: (touch(path, **how), signs.release()),
    )
    store = CacheStore(tmp_path)
    with store.batch(), store.writer(REPO, FACTS) as writer:
        writer.write(DATA)
        writer.commit()

    layout = store.layout.repo(REPO)
    facts = os.stat(layout.blob(FACTS.etag))
    assert f"{facts.st_size} {facts.st_mtime_ns} " in Path(layout.stamp(FACTS.etag)).read_text()


def test_what_was_gathered_meanwhile_is_shown_too(tmp_path, monkeypatch):
    monkeypatch.setattr(living, "_EVERY", 0.001)
    monkeypatch.setattr(living, "_AT_LEAST", 10**6)
    store, later = CacheStore(tmp_path), content(6000)
    shown = []

    def sync(_descriptor: int) -> None:
        if shown:
            return
        shown.append(False)
        with store.writer(REPO, entry(later)) as writer:
            writer.write(later)
            writer.commit()
        [draft] = Path(store.layout.repo(REPO).partials).glob(f"{entry(later).etag}.*")
        before = draft.lstat().st_ctime_ns
        wait_until(lambda: draft.lstat().st_ctime_ns != before)
        shown.append(True)

    monkeypatch.setattr(disk, "sync_file", sync)
    with store.batch():
        with store.writer(REPO, FACTS) as writer:
            writer.write(DATA)
            writer.commit()
        store.name_old(0.0)

    assert shown == [False, True]


class Never:
    """Stands for the end of a sync that never ends."""

    def wait(self, _seconds: float) -> bool:
        return False


def test_a_disk_that_hangs_looks_alive_for_as_long_as_a_slow_one_would_take():
    signs: list[object] = []

    living._show(lambda: signs.append(None), 60 + 10, Never())  # type: ignore[arg-type]  # its wait alone

    assert len(signs) == 70


def test_how_long_a_sync_is_shown_depends_on_its_bytes(monkeypatch):
    asked = []
    monkeypatch.setattr(living, "_show", lambda _sign, times, _over: asked.append(times))

    for size in (0, 5000, 10 * 1024 * MIB):
        with living.shown(lambda: None, size):
            pass
    wait_until(lambda: len(asked) == 3)

    assert sorted(asked) == [60, 60, 60 + 10_240]


def test_a_sync_that_failed_is_not_shown_on():
    signs: list[object] = []
    ended = threading.Event()
    ended.set()

    living._show(lambda: signs.append(None), 60, ended)

    assert not signs


def test_a_link_is_not_touched(tmp_path):
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_bytes(b"")
    link.symlink_to(victim)
    before = os.stat(victim)

    living.touch(os.fspath(link))

    assert os.stat(victim) == before


# writing back


@pytest.fixture
def begun(monkeypatch):
    """What the system was asked to begin to write, and by which thread."""
    asked: list[tuple[str, str]] = []

    def begin(descriptor: int) -> bool:
        asked.append((os.readlink(f"/proc/self/fd/{descriptor}"), threading.current_thread().name))
        return True

    monkeypatch.setattr(writeback, "begin_writing", begin)
    monkeypatch.setattr(writeback, "STEP", MIB)
    return asked


def writing_back() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "write-back"]


BIG = content(9 * MIB)


@pytest.mark.parametrize("durability", ["batch", "full"])
def test_the_disk_begins_to_write_while_bytes_come(tmp_path, begun, durability):
    with CacheStore(tmp_path, durability=durability).writer(REPO, entry(BIG, lfs=True)) as writer:
        writer.write(BIG[: MIB - 1])
        assert not begun
        for step in range(1, 4):
            writer.write(BIG[writer.position : writer.position + MIB])
            wait_until(lambda step=step: len(begun) == step)
        writer.discard()

    assert {name for _, name in begun} == {"write-back"}
    assert all(path.endswith("/data") for path, _ in begun)
    wait_until(lambda: not writing_back())


def test_without_durability_nothing_is_written_back(tmp_path, begun):
    with CacheStore(tmp_path, durability="none").writer(REPO, entry(BIG, lfs=True)) as writer:
        writer.write(BIG)
        writer.commit()

    assert not begun
    assert not writing_back()


def test_a_disk_that_is_slow_to_begin_holds_up_neither_bytes_nor_the_end(tmp_path, monkeypatch):
    goes_on, asked = threading.Event(), threading.Event()
    monkeypatch.setattr(writeback, "STEP", MIB)
    monkeypatch.setattr(
        writeback,
        "begin_writing",
        lambda _descriptor: (asked.set(), goes_on.wait(LIMIT))[1],
    )
    try:
        with CacheStore(tmp_path).writer(REPO, entry(BIG, lfs=True)) as writer:
            writer.write(BIG[:MIB])
            assert asked.wait(LIMIT)
            writer.write(BIG[MIB:])
            assert writer.commit().read_bytes() == BIG
    finally:
        goes_on.set()
    wait_until(lambda: not writing_back())


def test_a_system_without_that_call_is_asked_once(tmp_path, monkeypatch):
    asked = []

    def refuse(descriptor: int) -> bool:
        asked.append(descriptor)
        return False

    monkeypatch.setattr(writeback, "STEP", MIB)
    monkeypatch.setattr(writeback, "begin_writing", refuse)

    with CacheStore(tmp_path).writer(REPO, entry(BIG, lfs=True)) as writer:
        writer.write(BIG[:MIB])
        wait_until(lambda: asked and not writing_back())
        writer.write(BIG[MIB:])
        assert writer.commit().read_bytes() == BIG

    assert len(asked) == 1


@pytest.mark.parametrize("lacking", ["descriptors", "threads"])
def test_where_nothing_can_be_begun_the_content_comes_all_the_same(tmp_path, monkeypatch, lacking):
    def refuse(*_given, **_named):
        raise OSError(24, "too many") if lacking == "descriptors" else RuntimeError("no thread")

    monkeypatch.setattr(writeback, "STEP", MIB)
    with CacheStore(tmp_path).writer(REPO, entry(BIG, lfs=True)) as writer:
        with monkeypatch.context() as patch:
            if lacking == "descriptors":
                patch.setattr(os, "dup", refuse)
            else:
                patch.setattr(threading.Thread, "start", refuse)
            writer.write(BIG)
        assert writer.commit().read_bytes() == BIG


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="Linux has the call")
def test_the_system_is_asked_and_what_it_refuses_is_told(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.write(BIG)
        file.flush()
        assert begin_writing(file.fileno())
    assert not begin_writing(10**6)
