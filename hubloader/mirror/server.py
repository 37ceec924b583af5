"""A mirror that runs: two sockets, one thread, and a log of requests when asked for.

``MirrorServer`` is a context manager for programs and tests, and the command line's loop. Both
sockets are open before anything returns, so that a port in use is the caller's error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from hubloader.errors import NotFound
from hubloader.hub.headers import REQUEST_ID
from hubloader.mirror.application import ContentOrigin, Endpoint
from hubloader.mirror.library import FolderLibrary, Library
from hubloader.mirror.signing import Signer

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiohttp.typedefs import Middleware
    from typing_extensions import Self

__all__ = ["LoggedRequest", "MirrorServer"]

_STOP_TIMEOUT = 5.0  # seconds that running answers get when the server stops
_BACKLOG = 512  # connections that may wait to be taken: many processes begin at once
_ACCESS_FORMAT = '%a "%r" %s %b %Tfs'


@dataclass(frozen=True)
class LoggedRequest:
    """One request as it came, and the status it got.

    ``path`` is as sent, with the query; ``headers`` are the request's, names in lower case.
    ``origin`` tells which of the two sockets it came to.
    """

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    origin: Literal["hub", "content"]


class MirrorServer:
    """Serves the repositories below a folder, or of a cache, as a Hub endpoint.

    Args:
        root: the folder, ``library.py`` says how it is laid out; or another library.
        host: the address to listen on.
        port: the endpoint's port; 0 takes a free one, and ``url`` says which.
        content_port: the port of the second origin, where LFS content comes from; 0 likewise.
        record: keep every request in ``requests``.
        access_log: where a line for each request is written.
        middlewares: aiohttp middlewares around every answer of both origins, the first outermost.

    Example::

        with MirrorServer("models") as server:
            print(server.url)

    """

    def __init__(
        self,
        root: str | os.PathLike[str] | Library,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        content_port: int = 0,
        record: bool = False,
        access_log: logging.Logger | None = None,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self.library: Library = (
            FolderLibrary(root) if isinstance(root, (str, os.PathLike)) else root
        )
        self.host = host
        self.port = port
        self.content_port = content_port
        self._record = record
        self._access_log = access_log
        self._middlewares = tuple(middlewares)
        self._requests: list[LoggedRequest] = []
        self._sockets: tuple[socket.socket, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The endpoint, for ``HF_ENDPOINT``; known once the server was started."""
        return _url(self.host, self.port)

    @property
    def content_url(self) -> str:
        """The second origin."""
        return _url(self.host, self.content_port)

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The requests answered since the start or the last ``forget``, when they are recorded."""
        return tuple(self._requests)

    def forget(self) -> None:
        """Empty ``requests``."""
        self._requests.clear()

    def start(self) -> None:
        """Listen, and answer in a thread until ``stop``.

        Raises:
            NotFound: there is no such folder.
            CorruptFile: its hub.json cannot be used.
            OSError: the address cannot be listened on.

        """
        self._open()
        settled, answering = threading.Event(), threading.Event()

        def ready() -> None:
            answering.set()
            settled.set()

        def run() -> None:
            try:
                asyncio.run(self._serve(ready))
            finally:
                settled.set()

        self._thread = threading.Thread(target=run, name="hubloader-mirror", daemon=True)
        self._thread.start()
        settled.wait()
        if not answering.is_set():
            raise RuntimeError("the mirror ended as it began: its thread has said why")

    def stop(self) -> None:
        """Close both sockets and every connection; the ports can be used again at once."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()

    def serve_forever(self, announce: Callable[[str], None]) -> None:
        """Answer in this thread until SIGINT or SIGTERM; ``announce`` gets the endpoint's URL.

        Raises:
            NotFound, CorruptFile, OSError: as ``start``.

        """
        self._open()
        asyncio.run(self._serve(lambda: announce(self.url), signals=True))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _open(self) -> None:
        if not self.library.root.is_dir():
            raise NotFound(
                f"there is no folder {str(self.library.root)!r} to serve",
                hint="give the folder that holds <org>/<name>/… with --root; without it, the cache "
                "is served",
            )
        self.library.config()
        endpoint = _listen(self.host, self.port)
        try:
            content = _listen(self.host, self.content_port)
        except OSError:
            endpoint.close()
            raise
        self._sockets = (endpoint, content)
        self.port, self.content_port = (bound.getsockname()[1] for bound in self._sockets)

    async def _serve(self, ready: Callable[[], None], *, signals: bool = False) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        signer = Signer(secrets.token_bytes(32), time.time)
        endpoint = Endpoint(self.library, signer, self.content_port)
        content = ContentOrigin(self.library, signer)
        runners = [
            self._runner(endpoint.handle, "hub"),
            self._runner(content.handle, "content"),
        ]
        try:
            for runner, bound in zip(runners, self._sockets, strict=True):
                await runner.setup()
                await web.SockSite(runner, bound, backlog=_BACKLOG).start()
            if signals:
                with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises instead
                    for number in (signal.SIGINT, signal.SIGTERM):
                        self._loop.add_signal_handler(number, self._stopping.set)
            ready()
            await self._stopping.wait()
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))

    def _runner(
        self,
        handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
        origin: Literal["hub", "content"],
    ) -> web.AppRunner:
        async def before_headers(request: web.Request, response: web.StreamResponse) -> None:
            response.headers.setdefault(REQUEST_ID, uuid.uuid4().hex)
            if self._record:
                self._requests.append(_logged(request, response.status, origin))

        app = web.Application(middlewares=self._middlewares)
        app.router.add_route("*", "/{anything:.*}", handle)
        app.on_response_prepare.append(before_headers)
        return web.AppRunner(
            app,
            access_log=self._access_log,
            access_log_format=_ACCESS_FORMAT,
            shutdown_timeout=_STOP_TIMEOUT,
        )


def _logged(request: web.Request, status: int, origin: Literal["hub", "content"]) -> LoggedRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return LoggedRequest(request.method, request.raw_path, status, headers, origin)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno is None:
            raise
        # its own text hides the port in a tuple, and the system's words in a sentence
        raise OSError(error.errno, os.strerror(error.errno), f"{host}:{port}") from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
