"""A Hub that misbehaves on command: the mirror, with faults put between it and the socket.

::

    with FaultHub(root) as hub:
        hub.inject(cut(after=1000, reset=True), when=body("model.safetensors"))
        ...                                        # the first GET of the weights breaks off
        assert hub.injected[0].hits == 1

A fault is a function from the request and the answer it would have got to the answer it gets
instead. ``when`` says which requests it is for, ``times`` how many of them (None: all). The first
fault injected that fits is used. What each fault is for: the network table of the fault catalogue.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from yarl import URL

from hubloader.mirror import MirrorServer
from hubloader.mirror.file_body import FileBody

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Asked",
    "Fault",
    "FaultHub",
    "Injected",
    "Pause",
    "anything",
    "body",
    "change_json",
    "close_before_status",
    "cut",
    "drip",
    "flip",
    "gzip_bomb",
    "gzipped",
    "headers",
    "html",
    "ignore_range",
    "listing",
    "metadata",
    "nested_json",
    "no_length",
    "other_content",
    "overlong",
    "overstated",
    "redirect",
    "redirect_loop",
    "stall",
    "status",
    "unchunked_end",
    "unknown_total",
    "wrong_offset",
    "zeros",
]


@dataclass(frozen=True)
class Asked:
    """A request, and the answer that the mirror has for it."""

    request: web.Request
    answer: web.StreamResponse
    hub: FaultHub

    @property
    def path(self) -> str:
        return unquote(self.request.path)

    def content(self) -> bytes:
        """The bytes that the answer would send."""
        if isinstance(self.answer, FileBody):
            whole = Path(self.answer.file.path).read_bytes()
            return whole[self.answer.start : self.answer.end]
        body = getattr(self.answer, "body", None)
        return body if isinstance(body, bytes) else b""

    def whole(self) -> bytes:
        """The whole file, whatever range was asked for."""
        assert isinstance(self.answer, FileBody)
        return Path(self.answer.file.path).read_bytes()


Fault = Callable[[Asked], "Awaitable[web.StreamResponse]"]
When = Callable[[Asked], bool]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_RESOLVE_CACHE = "/api/resolve-cache/models"


@dataclass
class Injected:
    """A fault in place; ``hits`` counts the answers it changed."""

    fault: Fault
    when: When
    times: int | None
    hits: int = 0

    def fits(self, asked: Asked) -> bool:
        return (self.times is None or self.hits < self.times) and self.when(asked)


# Which requests


def anything(asked: Asked) -> bool:
    """Every request."""
    return bool(asked)


def body(filename: str = "") -> When:
    """A GET that would be answered by bytes of a file, regular or LFS."""

    def fits(asked: Asked) -> bool:
        answer = asked.answer
        return (
            asked.request.method == "GET"
            and isinstance(answer, FileBody)
            and answer.file.path.endswith(filename)
        )

    return fits


def metadata(filename: str = "", method: str = "") -> When:
    """A request at the endpoint's ``/resolve/``, whatever its answer."""

    def fits(asked: Asked) -> bool:
        return (
            "/resolve/" in asked.path
            and asked.path.endswith(filename)
            and method in {"", asked.request.method}
        )

    return fits


def listing(part: str = "/api/") -> When:
    """A request of the endpoint's API."""

    def fits(asked: Asked) -> bool:
        return asked.path.startswith("/api/") and part in asked.path

    return fits


# Answers written byte by byte


class RawAnswer(web.StreamResponse):
    """An answer whose bytes, headers included, are the fault's own; the connection ends with it."""

    def __init__(self, asked: Asked, write: Callable[[RawAnswer], Awaitable[None]]) -> None:
        super().__init__(status=asked.answer.status, headers=asked.answer.headers)
        self.asked = asked
        self._write_all = write
        self.force_close()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        await request._prepare_hook(self)
        await self._write_all(self)
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002  # aiohttp's signature
        self.end()

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; None when the client has gone."""
        transport = self.asked.request.transport
        assert transport is None or isinstance(transport, asyncio.Transport)
        return transport

    def head(self, **changed: str | None) -> None:
        """Send status line and headers; ``changed`` sets (or with None removes) some."""
        fields: dict[str, str | None] = {k.lower(): v for k, v in self.headers.items()}
        fields |= {name.replace("_", "-").lower(): value for name, value in changed.items()}
        lines = [f"HTTP/1.1 {self.status} Faulty"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def end(self, *, reset: bool = False) -> None:
        """Close the connection: by FIN, or by RST after what was sent."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            if reset:
                linger = struct.pack("ii", 1, 0)
                bare = transport.get_extra_info("socket")
                bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.close()

    async def wait(self, seconds: float) -> bool:
        """Wait; False when the client went away or the hub is closing."""
        step = 0.01
        while seconds > 0:
            transport = self.transport
            if transport is None or transport.is_closing() or self.asked.hub.closing:
                return False
            await asyncio.sleep(min(step, seconds))
            seconds -= step
        return True


def _raw(write: Callable[[RawAnswer], Awaitable[None]]) -> Fault:
    async def fault(asked: Asked) -> web.StreamResponse:
        return RawAnswer(asked, write)

    return fault


def cut(after: int, *, reset: bool = False) -> Fault:
    """Break off ``after`` bytes of the body, by FIN or by RST (rows 1, 2, 3)."""

    async def write(raw: RawAnswer) -> None:
        content = raw.asked.content()
        raw.head(content_length=str(len(content)))
        raw.send(content[:after])
        raw.end(reset=reset)

    return _raw(write)


def close_before_status(*, reset: bool = False) -> Fault:
    """Close without a word (row 4)."""

    async def write(raw: RawAnswer) -> None:
        raw.end(reset=reset)

    return _raw(write)


def overstated(extra: int = 10) -> Fault:
    """Announce ``extra`` bytes more than are sent (row 7)."""

    async def write(raw: RawAnswer) -> None:
        content = raw.asked.content()
        raw.head(content_length=str(len(content) + extra))
        raw.send(content)
        raw.end()

    return _raw(write)


def unchunked_end(after: int) -> Fault:
    """Send chunks, and never the last one (row 9)."""

    async def write(raw: RawAnswer) -> None:
        content = raw.asked.content()[:after]
        raw.head(content_length=None, transfer_encoding="chunked")
        raw.send(b"%x\r\n" % len(content) + content + b"\r\n")
        raw.end()

    return _raw(write)


def no_length(after: int | None = None) -> Fault:
    """Announce no length; the end of the connection, maybe too early, ends the body (row 10)."""

    async def write(raw: RawAnswer) -> None:
        raw.head(content_length=None, connection="close")
        raw.send(raw.asked.content()[:after])
        raw.end()

    return _raw(write)


def drip(rate: float, *, after: int = 0) -> Fault:
    """Send ``after`` bytes at once and the rest at ``rate`` bytes a second (row 25)."""

    async def write(raw: RawAnswer) -> None:
        content = raw.asked.content()
        raw.head(content_length=str(len(content)))
        raw.send(content[:after])
        for offset in range(after, len(content)):
            if not await raw.wait(1 / rate):
                return
            raw.send(content[offset : offset + 1])

    return _raw(write)


def stall(after: int) -> Fault:
    """Send ``after`` bytes of the body and then nothing, for ever (row 26)."""

    async def write(raw: RawAnswer) -> None:
        content = raw.asked.content()
        raw.head(content_length=str(len(content)))
        raw.send(content[:after])
        while await raw.wait(60):
            pass

    return _raw(write)


# Other bytes


def _sent(
    asked: Asked, content: bytes, status: int | None = None, **changed: str | None
) -> web.Response:
    fields = {k: v for k, v in asked.answer.headers.items() if k != "Content-Length"}
    for name, value in changed.items():
        spelt = name.replace("_", "-")
        fields = {k: v for k, v in fields.items() if k.lower() != spelt.lower()}
        if value is not None:
            fields[spelt] = value
    return web.Response(body=content, status=status or asked.answer.status, headers=fields)


def _simple(make: Callable[[Asked], web.StreamResponse]) -> Fault:
    async def fault(asked: Asked) -> web.StreamResponse:
        return make(asked)

    return fault


def flip(at: int = 0) -> Fault:
    """One byte is wrong, the length is right (row 5)."""

    def make(asked: Asked) -> web.StreamResponse:
        content = bytearray(asked.content())
        content[at] ^= 0xFF
        return _sent(asked, bytes(content))

    return _simple(make)


def zeros() -> Fault:
    """Every byte is zero, the length is right (row 6)."""
    return _simple(lambda asked: _sent(asked, bytes(len(asked.content()))))


def overlong(extra: int) -> Fault:
    """``extra`` bytes more than the listing says, and announced so (row 8)."""
    return _simple(lambda asked: _sent(asked, asked.content() + bytes(extra)))


def other_content(content: bytes, etag: str | None = None) -> Fault:
    """The file has changed meanwhile: other bytes, another etag, the whole of it (15, 16)."""

    def make(asked: Asked) -> web.StreamResponse:
        return _sent(asked, content, 200, ETag=f'"{etag or "0" * 64}"', Content_Range=None)

    return _simple(make)


def ignore_range() -> Fault:
    """The whole file, whatever range was asked for (row 11)."""
    return _simple(lambda asked: _sent(asked, asked.whole(), 200, Content_Range=None))


def wrong_offset(shift: int, *, admitted: bool = True) -> Fault:
    """A part that begins ``shift`` bytes off; ``Content-Range`` admits it, or lies (row 12)."""

    def make(asked: Asked) -> web.StreamResponse:
        assert isinstance(asked.answer, FileBody)
        whole, start = asked.whole(), asked.answer.start + shift
        content = whole[start : start + len(asked.content())]
        first = start if admitted else asked.answer.start
        told = f"bytes {first}-{first + len(content) - 1}/{len(whole)}"
        return _sent(asked, content, 206, Content_Range=told)

    return _simple(make)


def unknown_total() -> Fault:
    """A good part whose ``Content-Range`` does not say of how much (row 13)."""

    def make(asked: Asked) -> web.StreamResponse:
        told = asked.answer.headers["Content-Range"].partition("/")[0]
        return _sent(asked, asked.content(), Content_Range=f"{told}/*")

    return _simple(make)


def gzipped() -> Fault:
    """The body compressed, though nobody asked for it (row 18)."""
    return _simple(lambda a: _sent(a, gzip.compress(a.content()), Content_Encoding="gzip"))


def gzip_bomb(size: int) -> Fault:
    """A little that unpacks to ``size`` bytes of nothing (row 19)."""
    packed = gzip.compress(bytes(size))  # now: it takes seconds, and a client is impatient
    return _simple(lambda asked: _sent(asked, packed, Content_Encoding="gzip"))


# Other answers


def status(code: int, text: str = "", **fields: str) -> Fault:
    """Another status, with headers (rows 14, 20 to 24, 29): ``status(429, Retry_After="1")``."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return _simple(lambda _: web.Response(status=code, text=text, headers=named))


def headers(**changed: str | None) -> Fault:
    """The same answer with other headers (row 17): ``headers(ETag='W/"x"', X_Repo_Commit=None)``.

    ``Content-Length`` stays what it is.
    """

    async def fault(asked: Asked) -> web.StreamResponse:
        for name, value in changed.items():
            asked.answer.headers.popall(name.replace("_", "-"), None)
            if value is not None:
                asked.answer.headers[name.replace("_", "-")] = value
        return asked.answer

    return fault


def redirect(location: str, code: int = 302) -> Fault:
    """A redirect to anywhere (row 28); what the answer said of the file stays on it."""

    def make(asked: Asked) -> web.StreamResponse:
        return _sent(asked, b"", code, Location=location, Content_Type=None)

    return _simple(make)


def redirect_loop(code: int = 307) -> Fault:
    """A redirect to the address itself (row 27)."""
    return _simple(lambda a: web.Response(status=code, headers={"Location": a.request.raw_path}))


def html(text: str = "<html><body>Log in to the network</body></html>") -> Fault:
    """A page for people with a good status: a captive portal (rows 34 to 36)."""
    return _simple(lambda _: web.Response(text=text, content_type="text/html"))


def nested_json(depth: int = 100_000) -> Fault:
    """JSON that is too deep for a recursive parser (row 37)."""
    text = "[" * depth + "]" * depth
    return _simple(lambda _: web.Response(text=text, content_type="application/json"))


def change_json(change: Callable[[Any], Any]) -> Fault:
    """The same JSON, changed."""

    def make(asked: Asked) -> web.StreamResponse:
        document = change(json.loads(asked.content()))
        return _sent(asked, json.dumps(document).encode())

    return _simple(make)


class Pause:
    """Holds answers until ``release``; ``reached`` is set when the first request has come."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._released = False

    async def __call__(self, asked: Asked) -> web.StreamResponse:
        gate = asyncio.Event()
        self._held.append((asyncio.get_running_loop(), gate))
        self.reached.set()
        if not self._released:
            await gate.wait()
        return asked.answer

    def release(self) -> None:
        """Let everything go that is held, and whatever comes later."""
        self._released = True
        for loop, gate in self._held:
            loop.call_soon_threadsafe(gate.set)


@dataclass
class FaultHub:
    """The mirror of ``root``, with faults.

    ``like_production`` sends regular files as huggingface.co does: ``/resolve/`` answers with a
    relative 307 to ``/api/resolve-cache/``, and that with the bytes.
    """

    root: Path
    port: int = 0
    like_production: bool = False
    injected: list[Injected] = field(default_factory=list)
    closing: bool = False

    def __post_init__(self) -> None:
        @web.middleware
        async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
            asked = Asked(request, await self._answer(request, handler), self)
            chosen = next((fault for fault in self.injected if fault.fits(asked)), None)
            if chosen is None:
                return asked.answer
            chosen.hits += 1
            return await chosen.fault(asked)

        self.server = MirrorServer(self.root, port=self.port, record=True, middlewares=(misbehave,))

    @property
    def url(self) -> str:
        return self.server.url

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.like_production:
            return await handler(request)
        if request.path.startswith(_RESOLVE_CACHE):
            path = request.rel_url.raw_path.removeprefix(_RESOLVE_CACHE)
            return await handler(request.clone(rel_url=URL(path, encoded=True)))
        answer = await handler(request)
        if isinstance(answer, FileBody) and "/resolve/" in request.path:
            location = f"{_RESOLVE_CACHE}{request.rel_url.raw_path}?etag={answer.file.entry.etag}"
            return web.Response(status=307, headers={"Location": location})
        return answer

    def inject(self, fault: Fault, when: When = anything, times: int | None = 1) -> Injected:
        """Put ``fault`` in place for the next ``times`` requests that fit (None: all of them)."""
        injected = Injected(fault, when, times)
        self.injected.append(injected)
        return injected

    def heal(self) -> None:
        """Take all faults away."""
        self.injected.clear()

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing = True
        for injected in self.injected:
            if isinstance(injected.fault, Pause):
                injected.fault.release()
        self.server.stop()
