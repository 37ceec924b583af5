"""Two that ask for the same files at once: who waits, for what, how long, and what is told."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from hubloader.auto.source import connect
from hubloader.cache import asking, lock, writer
from hubloader.cache.leases import Grip
from hubloader.cache.store import CacheStore
from hubloader.hub.client import HubClient
from hubloader.mirror import MirrorServer
from hubloader.mirror.file_body import FileBody
from hubloader.resolve import engine, workers
from hubloader.resolve.progress import Fetched, Progress, Step
from hubloader.resolve.session import Session
from hubloader.settings import Settings
from hubloader.types import ModelRef, Purpose, RepoId

REF = ModelRef(repo=RepoId.parse("org/model"))
ALL = Purpose(uses=frozenset({"all"}))
CONFIG = Purpose(exact=("config.json",))
WEIGHTS_ALONE = Purpose(exact=("model.safetensors",))
WEIGHTS, HALF = bytes(range(256)) * 400, 51_200
LIMIT = 120.0  # seconds in which everything here has long ended, on the slowest machine


@dataclass
class Slow:
    """Sends half of the weights, and the rest when it may."""

    half: threading.Event = field(default_factory=threading.Event)
    rest: threading.Event = field(default_factory=threading.Event)

    @web.middleware
    async def middleware(self, request: web.Request, handler) -> web.StreamResponse:
        answer = await handler(request)
        if not isinstance(answer, FileBody) or answer.file.stamp.size != len(WEIGHTS):
            return answer
        slow = web.StreamResponse(headers=answer.headers)
        slow.content_length = len(WEIGHTS)
        await slow.prepare(request)
        await slow.write(WEIGHTS[:HALF])
        self.half.set()
        await asyncio.to_thread(self.rest.wait, LIMIT)
        await slow.write(WEIGHTS[HALF:])
        return slow


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.rest.set()


@pytest.fixture
def hub(tmp_path: Path, slow: Slow) -> Iterator[MirrorServer]:
    folder = tmp_path / "hub/org/model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    with MirrorServer(tmp_path / "hub", record=True, middlewares=[slow.middleware]) as server:
        yield server


def session(hub: MirrorServer, cache: Path) -> Session:
    """A session as a process of its own has it."""
    settings = Settings.from_env(
        {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}, endpoint=hub.url, cache_dir=cache
    )
    return Session(settings, lambda: connect(settings), CacheStore(cache))


def in_background(call) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_a_small_file_has_its_name_while_a_large_one_still_comes(hub, slow, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_UNNAMED", 0.0)
    monkeypatch.setattr(workers, "_MEANWHILE_EVERY", 0.01)
    first = in_background(lambda: session(hub, tmp_path / "cache").files(REF, ALL))
    assert slow.half.wait(LIMIT)

    found: list[bytes] = []
    second = in_background(
        lambda: found.append(
            session(hub, tmp_path / "cache").files(REF, CONFIG).path("config.json").read_bytes()
        )
    )
    second.join(LIMIT / 2)  # while the server holds the rest back: for LIMIT seconds

    assert found == [b"{}"]
    assert first.is_alive()
    slow.rest.set()
    first.join(LIMIT)
    assert len([r for r in hub.requests if r.path.endswith("/config.json")]) == 1


def test_what_another_process_brought_does_not_count_as_fetched(hub, slow, tmp_path):
    counted = [Fetched(), Fetched()]
    first = in_background(
        lambda: session(hub, tmp_path / "cache").files(REF, ALL, progress=counted[0])
    )
    assert slow.half.wait(LIMIT)
    seen: list[Progress] = []
    waiting = threading.Event()

    def tell(event: Progress) -> None:
        counted[1](event)
        seen.append(event)
        if event.step is Step.WAITING:
            waiting.set()

    second = in_background(lambda: session(hub, tmp_path / "cache").files(REF, ALL, progress=tell))
    assert waiting.wait(LIMIT)
    slow.rest.set()
    first.join(LIMIT)
    second.join(LIMIT)

    assert [event.step for event in seen].count(Step.DONE) >= 1
    assert counted[0].count + counted[1].count == len(WEIGHTS) + 2
    assert counted[1].count <= 2


def test_sixteen_threads_that_ask_for_one_file_tell_once_that_it_was_fetched(
    hub, slow, tmp_path, monkeypatch
):
    waits, acquire = threading.Semaphore(0), lock.BlobLock.acquire

    def counted(blob_lock, **options):
        if options["limit"] is None:  # it found another at work, and will wait
            waits.release()
        return acquire(blob_lock, **options)

    monkeypatch.setattr(lock.BlobLock, "acquire", counted)
    monkeypatch.setattr(lock, "_TELL_EVERY", LIMIT)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    settings = Settings.from_env(dict(os.environ), endpoint=hub.url, cache_dir=tmp_path / "cache")
    shared = Session(settings, lambda: connect(settings), CacheStore(tmp_path / "cache"))
    threads = [in_background(lambda: shared.files(REF, WEIGHTS_ALONE)) for _ in range(16)]
    for _ in range(15):
        assert waits.acquire(timeout=LIMIT)
    slow.rest.set()
    for thread in threads:
        thread.join(LIMIT)

    assert sys.stderr.getvalue().splitlines() == ["fetched model.safetensors (102.4 kB)"]


def test_who_waits_sees_how_far_the_other_is(hub, slow, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_TELL_EVERY", 0.01)
    monkeypatch.setattr(writer, "LARGE", 50_000)
    first = in_background(lambda: session(hub, tmp_path / "cache").files(REF, ALL))
    assert slow.half.wait(LIMIT)
    told: list[Progress] = []
    seen = threading.Event()

    def tell(event: Progress) -> None:
        told.append(event)
        if event.step is Step.WAITING and event.done == HALF:
            seen.set()

    second = in_background(lambda: session(hub, tmp_path / "cache").files(REF, ALL, progress=tell))

    assert seen.wait(LIMIT), told
    slow.rest.set()
    first.join(LIMIT)
    second.join(LIMIT)
    assert (told[-1].total_done, told[-1].total) == (len(WEIGHTS) + 2, len(WEIGHTS) + 2)
    assert len([r for r in hub.requests if "/content/" in r.path]) == 1


def test_who_asks_at_the_same_time_is_told_and_sends_no_request(hub, slow, tmp_path, monkeypatch):
    waits, ask = threading.Event(), asking.grip

    def grip(descriptor: int, *, alone: bool) -> Grip:
        got = ask(descriptor, alone=alone)
        if got is Grip.BUSY:
            waits.set()
        return got

    monkeypatch.setattr(asking, "grip", grip)
    settings = Settings.from_env(
        {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        endpoint=hub.url,
        cache_dir=tmp_path / "cache",
    )
    second: list[Path] = []
    failures: list[BaseException] = []

    def nobody() -> HubClient:
        raise AssertionError("the second one needs no client")

    def ask_too() -> None:
        session = Session(settings, nobody, CacheStore(settings.cache_dir), asker=lambda: "me")
        try:
            second.append(session.files(REF, ALL).path("model.safetensors"))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    asked: list[threading.Thread] = []

    def client() -> HubClient:
        if not asked:  # the turn is had, the question not put yet
            asked.append(in_background(ask_too))
            assert waits.wait(LIMIT)
        return connect(settings)

    first = in_background(
        lambda: Session(settings, client, CacheStore(settings.cache_dir), asker=lambda: "me").files(
            REF, ALL
        )
    )
    assert slow.half.wait(LIMIT)
    locked = wait_for_lock(monkeypatch)
    assert locked.wait(LIMIT)
    slow.rest.set()
    first.join(LIMIT)
    asked[0].join(LIMIT)

    assert not failures
    assert second[0].read_bytes() == WEIGHTS
    answered = [r.path for r in hub.requests if r.status < 300]
    assert len(answered) == 3  # one listing and each file


def wait_for_lock(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Tell when somebody waits for a content's lock."""
    waits, busy = threading.Event(), lock.BlobLock._busy

    def tell(self: lock.BlobLock) -> None:
        busy(self)
        waits.set()

    monkeypatch.setattr(lock.BlobLock, "_busy", tell)
    return waits
