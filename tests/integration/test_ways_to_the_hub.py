"""A load through what stands between a company's machine and the Hub: proxy, CA, path prefix."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from hubloader import hf_hub_download, prefetch, snapshot_download
from hubloader.auto import source
from hubloader.errors import CacheMiss, RepositoryNotFound
from hubloader.mirror import MirrorServer

CERTIFICATE = Path(__file__).parent.parent / "fault" / "self_signed.pem"
CONTENT = b'{"model_type": "bert"}'
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection", "host"}
PROXY_VARIABLES = [
    name
    for scheme in ("http", "https", "all", "no")
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
]


class Between(http.server.ThreadingHTTPServer):
    """A proxy (absolute addresses and CONNECT), or with ``target`` a front with a ``prefix``."""

    daemon_threads = True
    prefix = ""
    target = ""
    seen: list[str]

    def handle_error(self, request, client_address) -> None:
        """A client that turns away is what some tests are about."""


class Forwarder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def forward(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        address = self.path
        if self.server.target:
            if not self.path.startswith(f"{self.server.prefix}/"):
                self.send_error(404)
                return
            address = self.server.target + self.path.removeprefix(self.server.prefix)
        parts = urlsplit(address)
        upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        kept = {n: v for n, v in self.headers.items() if n.lower() not in HOP_BY_HOP}
        upstream.request(
            self.command, f"{parts.path}?{parts.query}" if parts.query else parts.path, None, kept
        )
        answer = upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    def do_GET(self) -> None:
        self.forward()

    def do_HEAD(self) -> None:
        self.forward()

    def do_CONNECT(self) -> None:
        self.server.seen.append(f"CONNECT {self.path}")
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            pipe(self.connection, upstream)
        self.close_connection = True

    def log_message(self, *_args) -> None:
        """Say nothing."""


def pipe(one: socket.socket, other: socket.socket) -> None:
    ends = {one: other, other: one}
    while True:
        for ready in select.select(list(ends), [], [], 60)[0] or [None]:
            data = ready.recv(65536) if ready else b""
            if not data:
                return
            ends[ready].sendall(data)


@contextlib.contextmanager
def standing_between(*, target: str = "", prefix: str = "", tls: bool = False) -> Iterator[Between]:
    server = Between(("127.0.0.1", 0), Forwarder)
    server.seen, server.target, server.prefix = [], target, prefix
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[MirrorServer]:
    folder = tmp_path / "hub" / "org" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONTENT)
    with MirrorServer(tmp_path / "hub", record=True) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in (*PROXY_VARIABLES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    source._SESSIONS.clear()
    return monkeypatch


def load() -> bytes:
    path = Path(hf_hub_download("org/model", "config.json"))
    prefetch("org/model", uses=["all"])
    return path.read_bytes()


def test_a_proxy_of_the_environment_is_used(hub, environment):
    with standing_between() as proxy:
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")

        assert load() == CONTENT

    assert f"GET {hub.url}/org/model/resolve/" in "".join(proxy.seen)
    assert len([each for each in hub.requests if each.status == 200]) == len(proxy.seen)


def test_no_proxy_is_honoured(hub, environment):
    with standing_between() as proxy:
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        environment.setenv("NO_PROXY", "127.0.0.1")

        assert load() == CONTENT

    assert proxy.seen == []


def test_a_proxy_tunnels_tls_and_sees_nothing_of_it(hub, environment):
    with standing_between(target=hub.url, tls=True) as front, standing_between() as proxy:
        environment.setenv("HF_ENDPOINT", f"https://localhost:{front.server_port}")
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))

        assert load() == CONTENT

    assert set(proxy.seen) == {f"CONNECT localhost:{front.server_port}"}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_authority_of_ones_own_is_trusted_where_it_is_named(
    hub, environment, variable
):
    with standing_between(target=hub.url, tls=True) as front:
        environment.setenv("HF_ENDPOINT", f"https://localhost:{front.server_port}")
        with pytest.raises(CacheMiss, match="certificate"):
            load()
        source._SESSIONS.clear()
        source._REACHABILITY.clear()
        environment.setenv(variable, str(CERTIFICATE))

        assert load() == CONTENT


def test_an_endpoint_with_a_path_of_its_own_is_asked_below_it_alone(hub, environment):
    with standing_between(target=hub.url, prefix="/artifacts/hf") as front:
        environment.setenv("HF_ENDPOINT", f"http://127.0.0.1:{front.server_port}/artifacts/hf/")

        assert load() == CONTENT

    assert front.seen
    assert all(each.split()[1].startswith("/artifacts/hf/") for each in front.seen)
    tokens = {request.headers.get("authorization") for request in hub.requests}
    assert tokens == {"Bearer hf_secret"}


def test_a_password_in_the_endpoint_is_in_no_message_and_in_no_file(hub, environment, tmp_path):
    private = hub.url.replace("//", "//me:s3cret@")

    @web.middleware
    async def lists_nothing(request: web.Request, handler):
        return await handler(request) if "/resolve/" in request.path else web.Response(status=404)

    with MirrorServer(tmp_path / "hub", middlewares=[lists_nothing]) as unlisted:
        mirror = unlisted.url.replace("//", "//me:s3cret@")
        hf_hub_download("org/model", "config.json", endpoint=mirror)
        with pytest.raises(CacheMiss, match="lists no files") as lists:
            snapshot_download("org/model", endpoint=mirror)
    with pytest.raises(CacheMiss, match="gave no usable answer") as gone:
        hf_hub_download("org/other", "config.json", endpoint=mirror)
    with pytest.raises(RepositoryNotFound):
        hf_hub_download("org/other", "config.json", endpoint=private)

    assert "s3cret" not in f"{lists.value}{gone.value}"
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert any(b'"endpoint"' in path.read_bytes() for path in files)
    assert not any(b"s3cret" in path.read_bytes() for path in files)
