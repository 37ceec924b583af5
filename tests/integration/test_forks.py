"""A child that is forked while threads of its parent load: it is not held up by them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from hubloader import hf_hub_download
from hubloader.auto import source
from hubloader.cache import asking
from hubloader.mirror import MirrorServer
from hubloader.mirror.file_body import FileBody

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
NAME, LIMIT = "org/model", 120  # seconds: what takes longer hangs


@dataclass
class Once:
    """Keeps the first request of a kind waiting, and lets all others pass."""

    part: str
    came: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    @web.middleware
    async def middleware(self, request: web.Request, handler) -> web.StreamResponse:
        answer = await handler(request)
        kind = "body" if isinstance(answer, FileBody) else "listing"
        if f"/{NAME}/" in request.path and kind == self.part and not self.came.is_set():
            self.came.set()
            await asyncio.to_thread(self.go_on.wait, LIMIT)
        return answer


@pytest.fixture(params=["listing", "body"])
def once(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Once]:
    for name in (NAME, "org/other"):
        folder = tmp_path / "hub" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_bytes(b"{}")
        (folder / "vocab.txt").write_bytes(b"word")
    once = Once(request.param)
    source._SESSIONS.clear()
    monkeypatch.setattr(asking, "PATIENCE", 0.1)  # the parent's question is not answered meanwhile
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with MirrorServer(tmp_path / "hub", middlewares=[once.middleware]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        hf_hub_download("org/other", "config.json")  # imports all: an import cannot be forked in
        yield once
        once.go_on.set()


def test_a_child_forked_amid_a_load_loads(once: Once) -> None:
    thread = threading.Thread(target=hf_hub_download, args=(NAME, "config.json"), daemon=True)
    thread.start()
    assert once.came.wait(LIMIT)

    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)  # a deadlock ends here
        right = False
        try:
            right = Path(hf_hub_download(NAME, "vocab.txt")).read_bytes() == b"word"
        finally:
            os._exit(0 if right else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    once.go_on.set()
    thread.join(LIMIT)

    assert status == 0
    assert not thread.is_alive()
