"""``HUBLOADER_XET=1``: by huggingface_hub's Xet client, verified, and over HTTP when that fails.

There is no Xet server here: its client is replaced by one that does what the real one promises.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from hubloader import hf_hub_download
from hubloader.auto import source
from hubloader.mirror import MirrorServer

file_download = pytest.importorskip("huggingface_hub.file_download")

pytestmark = pytest.mark.oracle
NAME, WEIGHTS = "org/model", "model.safetensors"
CONTENT = os.urandom(300_000)
XET_HASH = "d" * 64


@web.middleware
async def stored_in_xet(request: web.Request, handler) -> web.StreamResponse:
    answer = await handler(request)
    if "/revision/" in request.path:
        listing = json.loads(answer.body)
        for each in listing["siblings"]:
            if each["rfilename"] == WEIGHTS:
                each["xetHash"] = XET_HASH
        return web.json_response(listing)
    return answer


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MirrorServer]:
    folder = tmp_path / "hub" / NAME
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(CONTENT)
    (folder / "config.json").write_bytes(b"{}")
    source._SESSIONS.clear()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("HUBLOADER_XET", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with MirrorServer(tmp_path / "hub", record=True, middlewares=[stored_in_xet]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the Xet client was asked; it brings ``calls.content``."""

    class Calls(list):
        content: bytes | Exception = CONTENT

    calls = Calls()

    def xet_get(*, incomplete_path: Path, **options) -> None:
        calls.append(options)
        if isinstance(calls.content, Exception):
            raise calls.content
        incomplete_path.write_bytes(calls.content)

    monkeypatch.setattr(file_download, "xet_get", xet_get)
    return calls


def bytes_asked(hub: MirrorServer) -> list[str]:
    return [r.path for r in hub.requests if r.method == "GET" and "/resolve/" in r.path]


def test_a_xet_file_comes_by_the_xet_client(hub, client, tmp_path):
    path = hf_hub_download(NAME, WEIGHTS)

    assert Path(path).read_bytes() == CONTENT
    (call,) = client
    data = call["xet_file_data"]
    assert data.file_hash == XET_HASH
    assert data.refresh_route.startswith(f"{hub.url}/api/models/{NAME}/xet-read-token/")
    assert call["headers"]["Authorization"] == "Bearer hf_secret"
    assert call["expected_size"] == len(CONTENT)
    assert bytes_asked(hub) == []
    assert list((tmp_path / "cache").rglob("xet-*")) == []


def test_a_file_outside_xet_does_not(hub, client):
    hf_hub_download(NAME, "config.json")

    assert client == []


def test_without_the_setting_nothing_does(hub, client, monkeypatch):
    monkeypatch.delenv("HUBLOADER_XET")

    hf_hub_download(NAME, WEIGHTS)

    assert client == []


@pytest.mark.parametrize(
    "content",
    [
        bytes(300_000),
        CONTENT[:-1],
        CONTENT + b"x",
        ValueError("you need to install the hf_xet package"),
        RuntimeError("CAS is not there"),
    ],
    ids=["other bytes", "short", "long", "not installed", "no server"],
)
def test_whatever_goes_wrong_the_file_comes_over_http_and_is_right(hub, client, content):
    client.content = content

    path = hf_hub_download(NAME, WEIGHTS)

    assert Path(path).read_bytes() == CONTENT
    assert len(client) == 1
    assert len(bytes_asked(hub)) == 1
