"""A loopback server that plays the script of a ``MemoryTransport`` over real sockets."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hubloader.transport.base import Request
from hubloader.transport.memory import Answer, MemoryTransport, Script


@dataclass(frozen=True)
class Raw:
    """Bytes written as they are, then: ``close``, ``reset``, or, until the server stops: ``hang``,
    ``drip`` (a byte every moment).
    """

    data: bytes
    then: str = "close"


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class ScriptedServer:
    """Answers by path from ``script``; a context manager. ``context`` makes it speak TLS."""

    script: Mapping[str, Script | Raw]
    context: object = None
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self):
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if self.context is not None:
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        scheme = "http" if self.context is None else "https"
        host = "127.0.0.1" if self.context is None else "localhost"
        return f"{scheme}://{host}:{self._server.server_address[1]}"

    def count(self, path: str) -> int:
        return sum(1 for each in self.seen if each.path == path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # clients that hang up are what the tests are about
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler(server: ScriptedServer):
    memory = MemoryTransport({k: v for k, v in server.script.items() if not isinstance(v, Raw)})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            headers = dict(self.headers.items())
            port = self.client_address[1]
            server.seen.append(Seen(self.command, self.path, headers, body, port))
            raw = server.script.get(self.path)
            if isinstance(raw, Raw):
                self._play(raw)
                return
            answer = memory._answer(Request(self.command, self.path, headers))
            self._write(answer or Answer(404))

        do_GET = do_HEAD = do_POST = _answer  # noqa: N815  http.server's names

        def _write(self, answer: Answer):
            headers = {"Content-Length": str(len(answer.body)), **answer.headers}
            lines = [f"HTTP/1.1 {answer.status} Scripted"]
            lines += [f"{name}: {text}" for name, text in headers.items()]
            head = "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
            body = b"" if self.command == "HEAD" else answer.body
            cut = answer.cut_at is not None and answer.cut_at < len(body)
            self.wfile.write(head + (body[: answer.cut_at] if cut else body))
            if cut:
                self._end("close")

        def _play(self, raw: Raw):
            self.wfile.write(raw.data)
            self._end(raw.then)

        def _end(self, how: str):
            self.close_connection = True
            self.wfile.flush()
            _keep_waiting(self, how, server.stopping)
            if how == "reset":
                linger = struct.pack("ii", 1, 0)  # RST in place of FIN
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()

    return Handler


def _keep_waiting(handler: BaseHTTPRequestHandler, how: str, stopping: threading.Event) -> None:
    if how == "hang":
        stopping.wait()
    elif how == "drip":
        while not stopping.wait(0.01):
            handler.wfile.write(b"x")
