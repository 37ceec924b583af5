"""Rows 30 to 33 and 38: nobody is there, or not who it should be.

What cannot be reached fails within seconds and says why: a name, a port, a certificate, a proxy.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_world import NAME, World

from hubloader.errors import CacheMiss, ConnectFailed, RedirectRefused, TransportError
from hubloader.hub.client import HubClient
from hubloader.resolve.patience import patience
from hubloader.settings import Settings
from hubloader.transport.http import HttpTransport
from hubloader.transport.retry import Trouble
from hubloader.types import RepoId

CERTIFICATE = Path(__file__).with_name("self_signed.pem")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def ask_of(endpoint: str) -> tuple[TransportError, float]:
    """Ask an endpoint with the usual settings; give the error, and the seconds slept."""
    time = Time()
    client = HubClient(
        HttpTransport(),
        endpoint=endpoint,
        retry=patience(Settings.from_env({})),
        clock=time.clock,
        sleep=time.sleep,
    )
    with pytest.raises(TransportError) as caught:
        client.list_revision(RepoId.parse(NAME), "main")
    return caught.value, time.now


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and where nobody begins to: it is taken."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_name_that_is_not_found_is_told_within_five_seconds(no_names):
    error, slept = ask_of("http://hub.example")

    assert isinstance(error, ConnectFailed)
    assert "hub.example" in str(error)
    assert "Name or service not known" in str(error)
    assert 0 < slept <= 5


def test_a_port_that_refuses_is_told_within_five_seconds(closed_port: int):
    error, slept = ask_of(f"http://127.0.0.1:{closed_port}")

    assert isinstance(error, ConnectFailed)
    assert "refused" in str(error).lower()
    assert 0 < slept <= 5


def test_a_dead_proxy_is_named_within_five_seconds(monkeypatch, closed_port: int):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")

    error, slept = ask_of("http://hub.example")

    assert isinstance(error, ConnectFailed)
    assert "proxy" in str(error)
    assert "HTTP_PROXY" in str(error)
    assert 0 < slept <= 5


def test_the_patience_with_what_cannot_be_reached_is_a_setting():
    usual = patience(Settings.from_env({}))
    longer = patience(Settings.from_env({"HUBLOADER_CONNECT_BUDGET": "60"}))
    trouble = Trouble.of_error(ConnectFailed("no route"))

    assert usual.next_delay(5, trouble, 4.9) is None
    assert longer.next_delay(5, trouble, 4.9) is not None
    assert usual.next_delay(5, Trouble.of_error(TransportError("reset")), 4.9) is not None


def test_with_nothing_cached_a_hub_that_is_gone_is_a_miss_with_its_cause(
    world: World, closed_port: int
):
    world.endpoint = f"http://127.0.0.1:{closed_port}"
    world.settings["HUBLOADER_CONNECT_BUDGET"] = "0.1"

    error = world.load_badly()

    assert isinstance(error, CacheMiss)
    assert error.exit_code == 75
    assert "refused" in str(error).lower()


def test_a_name_that_is_not_found_leaves_a_warm_cache_in_use(world: World, monkeypatch):
    world.load_well()

    def refuse(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with monkeypatch.context() as during:
        during.setattr(socket, "getaddrinfo", refuse)
        world.endpoint = "http://hub.example"
        world.load_well()


def test_a_storage_that_is_gone_is_an_error_of_its_files_alone(world: World, closed_port: int):
    import fault_hub as faults
    from fault_hub import metadata
    from network_world import WEIGHTS

    address = f"http://127.0.0.1:{closed_port}/content"
    world.settings["HUBLOADER_CONNECT_BUDGET"] = "0.1"
    world.inject(faults.redirect(address), metadata(WEIGHTS, "GET"), times=None)

    error = world.load_badly()

    assert isinstance(error, ConnectFailed)
    assert error.filename == WEIGHTS
    others = {path.name for path in world.cache.glob("*/snapshots/*/*")}
    assert others == set(world.files) - {WEIGHTS}


# TLS


class Secure(http.server.ThreadingHTTPServer):
    """An https server with a certificate that nobody signed; ``answer`` writes what it says."""

    location = ""
    connections = 0

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, request, client_address) -> None:
        """A client that turns away at the certificate is what the test is about."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args) -> None:
        """Say nothing."""


@pytest.fixture
def secure() -> Iterator[Secure]:
    server = Secure(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with contextlib.ExitStack() as until_done:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        until_done.callback(server.server_close)
        until_done.callback(server.shutdown)
        yield server


def test_a_certificate_that_nobody_trusts_is_not_tried_again(secure):
    error, slept = ask_of(f"https://localhost:{secure.server_port}")

    assert isinstance(error, ConnectFailed)
    assert not error.retryable
    assert "self" in str(error)
    assert "certificate" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert (slept, secure.connections) == (0, 1)


def test_a_plain_server_where_tls_is_spoken_is_not_tried_again(world: World):
    error, slept = ask_of(world.hub.url.replace("http://127.0.0.1", "https://localhost"))

    assert isinstance(error, TransportError)
    assert slept <= 5


def test_a_redirect_from_https_to_http_is_refused_on_a_real_connection(
    secure, world: World, monkeypatch
):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    secure.location = f"{world.hub.url}/api/models/{NAME}/revision/main"

    error, slept = ask_of(f"https://localhost:{secure.server_port}")

    assert isinstance(error, RedirectRefused)
    assert "https for http" in str(error)
    assert (slept, len(world.hub.server.requests)) == (0, 0)
