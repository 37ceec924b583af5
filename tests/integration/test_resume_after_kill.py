"""A process that is killed inside a divided download leaves what the next one goes on with."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiohttp import web

from hubloader.auto.opening import open_files
from hubloader.auto.source import HubArguments
from hubloader.mirror import MirrorServer

MIB = 2**20
SIZE = 48 * MIB
SENT = 6 * MIB  # of each of the four ranges, before the server falls silent
AGAIN = 8 * MIB  # what a resumed download may fetch a second time
LOAD = """
import sys
from hubloader.auto.opening import open_files
from hubloader.auto.source import HubArguments
open_files("org/large", HubArguments(endpoint=sys.argv[1], cache_dir=sys.argv[2]),
           frozenset({"torch"}))
"""


class Silence:
    """Sends a part of each range, and then nothing until it is over."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.on = True
        self.silent = threading.Semaphore(0)

    @web.middleware
    async def middleware(self, request: web.Request, handler):
        if not self.on or not request.path.startswith("/content/"):
            return await handler(request)
        start, end = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        answer = web.StreamResponse(status=206)
        answer.content_length = end + 1 - start
        answer.headers["Content-Range"] = f"bytes {start}-{end}/{len(self.content)}"
        await answer.prepare(request)
        await answer.write(self.content[start : start + SENT])
        self.silent.release()
        while self.on:  # noqa: ASYNC110 - the test's thread ends it, an event is the loop's own
            await asyncio.sleep(0.05)
        return answer


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    folder = tmp_path / "hub" / "org" / "large"
    folder.mkdir(parents=True)
    content = os.urandom(MIB) * (SIZE // MIB)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_bytes(b"{}")
    return content


def wait_for_bytes(cache: Path, count: int) -> None:
    """Until the child has written what the server sent; it does so on its own."""
    ticks = threading.Event()
    for _ in range(12_000):
        data = list(cache.glob("*/.hubloader/partials/*/data"))
        if data and data[0].stat().st_blocks * 512 >= count:
            return
        ticks.wait(0.01)
    raise AssertionError("the child wrote nothing")


def test_what_was_received_before_a_kill_is_not_fetched_again(content, tmp_path):
    cache = tmp_path / "cache"
    fault = Silence(content)
    with MirrorServer(tmp_path / "hub", record=True, middlewares=[fault.middleware]) as hub:
        child = subprocess.Popen([sys.executable, "-c", LOAD, hub.url, str(cache)])
        for _ in range(4):
            assert fault.silent.acquire(timeout=120)
        wait_for_bytes(cache, 4 * (SENT - MIB))
        child.send_signal(signal.SIGKILL)
        child.wait()
        fault.on = False
        hub.forget()

        arguments = HubArguments(endpoint=hub.url, cache_dir=cache)
        files = open_files("org/large", arguments, frozenset({"torch"}))
        asked = [r.headers.get("range") for r in hub.requests if r.origin == "content"]

    path = files.path("model.safetensors")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    assert sum(length(text) for text in asked) <= SIZE - 4 * SENT + AGAIN
    assert not list(cache.glob("*/.hubloader/partials/*"))


def length(text: str | None) -> int:
    if text is None:
        return SIZE
    start, _, end = text.removeprefix("bytes=").partition("-")
    return (int(end) + 1 if end else SIZE) - int(start)
