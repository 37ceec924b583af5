"""``HUBLOADER_XET=1``: by huggingface_hub's Xet client, verified, and over HTTP when that fails.

Its client is replaced by one that does what the real one promises; where hf_xet is installed, it is
also tried itself, in a process of its own, against a storage of one content.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from hubloader import hf_hub_download, snapshot_download
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
            if each["rfilename"].endswith(WEIGHTS):
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


def test_a_client_that_fails_is_not_tried_for_the_other_files(hub, client, tmp_path, monkeypatch):
    (tmp_path / "hub" / NAME / "other").mkdir()
    (tmp_path / "hub" / NAME / "other" / WEIGHTS).write_bytes(CONTENT[::-1])
    monkeypatch.setenv("HUBLOADER_MAX_WORKERS", "1")
    client.content = RuntimeError("CAS is not there")

    folder = Path(snapshot_download(NAME))

    assert (folder / WEIGHTS).read_bytes() == CONTENT
    assert (folder / "other" / WEIGHTS).read_bytes() == CONTENT[::-1]
    assert len(client) == 1


class Storage:
    """A Xet storage that has one content, in chunks that are not compressed.

    Source: the Xet protocol's reconstruction API; xet-core ``cas_object`` (a chunk's header).
    """

    xorb = "a" * 64

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.chunks = [
            CONTENT[start : start + 100_000] for start in range(0, len(CONTENT), 100_000)
        ]
        self.body = b"".join(
            b"\0%b\0%b%b" % (size := len(chunk).to_bytes(3, "little"), size, chunk)
            for chunk in self.chunks
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        home = f"http://{request.host}"
        if "/xet-read-token/" in request.path:
            told = {"Cas-Url": f"{home}/cas", "Access-Token": "xet_secret"}
            told["Token-Expiration"] = str(int(time.time()) + 3600)
            return web.Response(headers={f"X-Xet-{name}": value for name, value in told.items()})
        if request.path == f"/cas/v1/reconstructions/{XET_HASH}":
            every = {"start": 0, "end": len(self.chunks)}
            term = {"hash": self.xorb, "unpacked_length": len(CONTENT), "range": every}
            where = {"range": every, "url": f"{home}/xorb"}
            where["url_range"] = {"start": 0, "end": len(self.body) - 1}
            return web.json_response(
                {"offset_into_first_range": 0, "terms": [term], "fetch_info": {self.xorb: [where]}}
            )
        if request.path == "/xorb":
            return web.Response(status=206, body=self.body)
        if request.path.startswith(("/cas", "/v1/")):
            return web.Response(status=404)
        return await handler(request)


def test_the_installed_client_takes_what_we_ask_and_brings_the_content(hub, tmp_path):
    pytest.importorskip("hf_xet")
    storage = Storage()
    code = f"from hubloader import hf_hub_download; print(hf_hub_download({NAME!r}, {WEIGHTS!r}))"
    with MirrorServer(tmp_path / "hub", middlewares=[storage.middleware, stored_in_xet]) as server:
        env = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
        told = subprocess.run(
            [sys.executable, "-c", code], env=env, check=True, timeout=120, stdout=subprocess.PIPE
        )

    assert Path(told.stdout.decode().strip()).read_bytes() == CONTENT
    paths = [path for path, _ in storage.asked]
    assert "/xorb" in paths
    assert not [path for path in paths if "/resolve/" in path]
    # the token of the Hub went to the Hub alone
    assert all("/api/" in path for path, sent in storage.asked if "hf_secret" in sent)
