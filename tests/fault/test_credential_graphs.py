"""Random graphs of redirects and ``Link`` pages over several origins: no secret leaves home.

Every address of a graph answers at random: with a redirect, a page that links on, a refusal, bytes.
What the client may be told by a server, a server may lie about; so nothing here is well-meant. The
whole client is asked: listings with pages, single files, refs, whose token it is.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hubloader.errors import HubloaderError
from hubloader.hub.client import HubClient
from hubloader.transport.auth import Origin
from hubloader.transport.base import Request
from hubloader.transport.http import HttpTransport
from hubloader.transport.memory import Answer, MemoryResponse
from hubloader.transport.retry import RetryPolicy
from hubloader.types import RepoId

TOKEN = "hf_thisisthesecret"
CANARY = "the-users-own-header"
COOKIE = "a-cookie-of-the-hub"
SECRETS = (TOKEN, CANARY, COOKIE)
REPO = RepoId.parse("org/name")
COMMIT = "c" * 40
IMPATIENT = RetryPolicy(max_attempts=2, first_delay=0.001)
IN_MEMORY = [
    "https://hub.example",
    "http://hub.example",
    "https://hub.example:8443",
    "https://cdn.example",
    "https://hub.example.evil.example",
]


class Graph:
    """Answers every address at random, the same address always alike; the first origin is home."""

    def __init__(self, seed: int, origins: list[str]) -> None:
        self._seed = seed
        self._origins = origins

    def answer(self, method: str, url: str) -> Answer:
        draw = random.Random(f"{self._seed} {url}")
        make = draw.choice(
            [self._redirect] * 5 + [self._listing] * 3 + [self._refusal, self._content]
        )
        answer = make(draw, method)
        told = {"Set-Cookie": f"session={COOKIE}", "X-Repo-Commit": COMMIT, **answer.headers}
        return Answer(answer.status, told, answer.body)

    def place(self, origin: str) -> int:
        """Which of the origins it is."""
        return self._origins.index(origin)

    def _address(self, draw: random.Random) -> str:
        origin, path = draw.choice(self._origins), f"/node/{draw.randrange(6)}"
        scheme, _, rest = origin.partition("://")
        return draw.choice(
            [
                origin + path,
                origin + path,
                origin + path,
                path,
                f"//{rest}{path}",
                f"{scheme}://{TOKEN}@{rest}{path}",
                f"{origin}{path}?next={draw.randrange(9)}#there",
                f"{origin.upper()}{path}",
                f"{self._origins[0]}@{rest}{path}",
                f"{self._origins[0]}\\@{rest}{path}",
            ]
        )

    def _redirect(self, draw: random.Random, _method: str) -> Answer:
        status = draw.choice([301, 302, 303, 307, 308])
        return Answer(status, {"Location": self._address(draw)})

    def _listing(self, draw: random.Random, _method: str) -> Answer:
        link = {"Link": f'<{self._address(draw)}>; rel="next"'} if draw.random() < 0.8 else {}
        files = [{"rfilename": f"{n}.txt"} for n in range(2)]  # no sizes: the tree is asked too
        tree = [{"type": "file", "path": "a", "oid": "a" * 40, "size": 1}]
        raw = draw.choice([{"id": "org/name", "sha": COMMIT, "siblings": files}, tree, tree])
        return Answer(200, link, json.dumps(raw).encode())

    def _refusal(self, draw: random.Random, _method: str) -> Answer:
        return Answer(
            draw.choice([401, 403, 404, 429, 503]),
            {"WWW-Authenticate": 'Basic realm="hub"', "Retry-After": "0"},
        )

    def _content(self, draw: random.Random, _method: str) -> Answer:
        return Answer(200, {"ETag": f'"{"a" * 40}"'}, b"x" * draw.randrange(20))


@dataclass
class Sent:
    """One request as a server saw it."""

    url: str
    text: str


@dataclass
class GraphTransport:
    """Answers out of a graph, and remembers all that was sent."""

    graph: Graph
    sent: list[Sent] = field(default_factory=list)

    def send(self, request: Request) -> MemoryResponse:
        text = f"{request.method} {request.url} {dict(request.headers)} {request.body!r}"
        self.sent.append(Sent(request.url, text))
        return MemoryResponse(self.graph.answer(request.method, request.url), request)

    def close(self) -> None:
        """Nothing is open."""


def questions(client: HubClient) -> list[Callable[[], object]]:
    """Everything that a client can be asked."""
    return [
        lambda: client.list_revision(REPO, "main"),
        lambda: client.list_revision(REPO, COMMIT),
        lambda: client.head_file(REPO, "main", "config.json"),
        lambda: client.head_commit(REPO, "main"),
        lambda: client.open_file(REPO, COMMIT, "a").read(100),
        lambda: client.open_file(REPO, COMMIT, "a", start=5, if_range='"x"').read(100),
        lambda: client.refs(REPO),
        client.whoami,
    ]


def ask_everything(transport, endpoint: str) -> None:
    client = HubClient(
        transport,
        endpoint=endpoint,
        token=TOKEN,
        headers={"X-Own": CANARY, "Cookie": CANARY},
        retry=IMPATIENT,
        sleep=lambda _: None,
    )
    for question in questions(client):
        with contextlib.suppress(HubloaderError):
            question()


def leaks(sent: list[Sent], home: str) -> list[str]:
    """What was sent to another origin than ``home`` and has one of the user's secrets in it."""
    return [each.text for each in away(sent, home) if any(s in each.text for s in SECRETS)]


def away(sent: list[Sent], home: str) -> list[Sent]:
    return [each for each in sent if Origin.of(each.url) != Origin.of(home)]


@pytest.mark.parametrize("endpoint", ["https://hub.example", "https://hub.example/prefix"])
@pytest.mark.parametrize("block", range(20))
def test_no_credential_leaves_its_origin(block: int, endpoint: str):
    abroad = followed = 0
    for seed in range(block * 50, block * 50 + 50):
        transport = GraphTransport(Graph(seed, IN_MEMORY))

        ask_everything(transport, endpoint)

        assert leaks(transport.sent, endpoint) == []
        assert TOKEN in transport.sent[0].text
        abroad += len(away(transport.sent, endpoint))
        followed += len(transport.sent)
    assert abroad > 50
    assert followed > 500


def test_an_endpoint_without_tls_keeps_its_token_from_the_same_host_with_tls():
    transport = GraphTransport(Graph(3, IN_MEMORY))

    ask_everything(transport, "http://hub.example")

    assert leaks(transport.sent, "http://hub.example") == []


# The same on real sockets: what requests and its kind would add by themselves


class Node(http.server.BaseHTTPRequestHandler):
    """One address of the graph, on the wire."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def do_GET(self) -> None:
        origin: Wire = self.server
        url = origin.address + self.path
        origin.sent.append(Sent(url, f"{self.command} {self.path} {self.headers.items()}"))
        # by its place and not by its port, so that each run has the same graphs
        place = f"http://wire-{origin.graph.place(origin.address)}{self.path}"
        answer = origin.graph.answer(self.command, place)
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_args) -> None:
        """Say nothing."""


class Wire(http.server.ThreadingHTTPServer):
    """One origin."""

    daemon_threads = True
    graph: Graph
    sent: list[Sent]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    servers = [Wire(("127.0.0.1", 0), Node) for _ in range(3)]
    with contextlib.ExitStack() as until_done:
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            until_done.callback(server.server_close)
            until_done.callback(server.shutdown)
        yield servers


def test_no_credential_leaves_its_origin_on_real_connections(
    wires: list[Wire], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {CANARY}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    home = wires[0].address
    transport = HttpTransport()
    sent: list[Sent] = []
    for seed in range(100):
        for wire in wires:
            wire.graph, wire.sent = Graph(seed, [each.address for each in wires]), sent

        ask_everything(transport, home)

    transport.close()
    assert leaks(sent, home) == []
    assert len(away(sent, home)) > 50
    assert not [each.text for each in sent if COOKIE in each.text or "Basic" in each.text]
