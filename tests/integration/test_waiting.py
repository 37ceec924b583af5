"""Two that ask for the same files at once: who waits, for what, how long, and what is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from hubloader.auto.source import connect
from hubloader.cache import lock, writer
from hubloader.cache.store import CacheStore
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
WEIGHTS, HALF = bytes(range(256)) * 400, 51_200
LIMIT = 20.0  # seconds in which everything here has long ended


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
        {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}, endpoint=hub.url, cache_dir=cache
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
    second.join(LIMIT / 2)

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
