"""HTTP, by requests and the urllib3 beneath it.

requests gives what years of other people's networks have taught it: proxies, certificate bundles,
connection pools. Its sessions are left out: they follow redirects, read bodies to do so, keep
cookies, and add credentials from ``.netrc``. Bodies are received straight from the socket into the
caller's buffer.

The environment is honoured as requests does (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``,
``CURL_CA_BUNDLE``), and ``SSL_CERT_FILE`` after them, as other tools do.

Foreign errors become ours by the table in ``http_errors.py``.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

import requests
import requests.adapters
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.poolmanager import pool_classes_by_scheme
from urllib3.util.ssl_ import create_urllib3_context

from hubloader.errors import ConnectFailed, HubloaderError, Interrupted, TimedOut
from hubloader.transport.auth import Origin
from hubloader.transport.base import Headers, read_decoded, shown
from hubloader.transport.connections import (
    PatientConnection,
    PatientPool,
    PatientTlsConnection,
    PatientTlsPool,
)
from hubloader.transport.http_errors import (
    FOREIGN,
    LinkLocalError,
    first_of,
    host_of,
    translated,
    unless_it_tells,
)
from hubloader.transport.link_local import is_link_local

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from hubloader.transport.base import Request

__all__ = ["HttpResponse", "HttpTransport"]

_DRAINED: Final = 64 * 1024  # bytes: cheaper to receive than to connect again
_DRAINED_IN: Final = 0.5  # seconds: the same, from a server that drips or is silent
_SHORTEST: Final = 0.001  # seconds: what the libraries take for a limit; 0 is none to them
_HOSTS: Final = 16  # hosts whose connections are kept: the endpoint, its storage, their mirrors


class HttpTransport:
    """Sends requests over kept connections, from any thread, before and after a fork.

    Args:
        pool_size: connections kept to one host.
        proxies: by scheme, as for requests; they win over the environment's.
        ca_bundle: a file or folder of certificates that are trusted instead of the usual ones.

    """

    def __init__(
        self,
        *,
        pool_size: int = 32,
        proxies: Mapping[str, str] | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self._pool_size = pool_size
        self._proxies = dict(proxies or {})
        self._ca_bundle = ca_bundle
        # by process: a connection shared with a parent would mix two conversations
        self._adapters: dict[tuple[int, str, bool], _Adapter] = {}
        self._environment = requests.Session()

    def send(self, request: Request) -> HttpResponse:
        """Send ``request``; see ``Transport.send``."""
        Origin.of(request.url)  # addresses that parsers read differently go no further
        try:
            prepared = requests.Request(
                request.method, request.url, dict(request.headers), data=request.body
            ).prepare()
            settings = self._settings(request.url)
            direct = not requests.utils.select_proxy(request.url, settings["proxies"])
            guarded = request.led and direct  # a proxy looks names up itself
            limits = request.timeouts
            adapter = self._adapter(request.url, settings["verify"], guarded=guarded)
            answer = adapter.send(
                prepared,
                stream=True,
                timeout=(max(_SHORTEST, limits.connect), max(_SHORTEST, limits.idle)),
                proxies=settings["proxies"],
            )
        except HubloaderError:  # which may be an OSError too
            raise
        except FOREIGN as error:
            # the cause of a bad header has the header in its text: it could be the token
            raise translated(error, request.url) from unless_it_tells(error)
        return HttpResponse(answer, request.url)

    def close(self) -> None:
        """Close every kept connection of this process."""
        mine = [key for key in list(self._adapters) if key[0] == os.getpid()]
        for key in mine:
            adapter = self._adapters.pop(key, None)
            if adapter is not None:
                adapter.close()

    def _settings(self, url: str) -> Mapping[str, Any]:
        """Proxies and certificates for an address, as the environment has them now."""
        found: Mapping[str, Any] = self._environment.merge_environment_settings(
            url, dict(self._proxies), True, self._ca_bundle, None
        )
        return found

    def _adapter(self, url: str, verify: str | bool, *, guarded: bool) -> _Adapter:
        secure = url.startswith("https:")
        bundle = (verify if isinstance(verify, str) else _default_bundle()) if secure else ""
        key = (os.getpid(), bundle, guarded)
        adapter = self._adapters.get(key)
        if adapter is None:
            context = _context(bundle) if secure else None
            made = _Adapter(self._pool_size, context, guarded=guarded)
            adapter = self._adapters.setdefault(key, made)  # atomic: threads agree on one
        return adapter


class _GuardedConnection(PatientConnection):
    """One that is given up, before a byte is sent, when its other end is link-local."""

    def _new_conn(self) -> socket.socket:
        return _refusing_link_local(super()._new_conn())


class _GuardedTlsConnection(PatientTlsConnection):
    """The same, with TLS."""

    def _new_conn(self) -> socket.socket:
        return _refusing_link_local(super()._new_conn())


class _GuardedPool(PatientPool):
    ConnectionCls = _GuardedConnection


class _GuardedTlsPool(PatientTlsPool):
    ConnectionCls = _GuardedTlsConnection


_POOLS: Final = {"http": PatientPool, "https": PatientTlsPool}
_GUARDED_POOLS: Final = {"http": _GuardedPool, "https": _GuardedTlsPool}


def _refusing_link_local(connected: socket.socket) -> socket.socket:
    address = connected.getpeername()[0]
    if is_link_local(str(address)):
        connected.close()
        raise LinkLocalError(f"{address} is link-local")
    return connected


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter with one TLS context for all connections.

    By itself each connection would read and parse the whole bundle of certificates: 20 ms of work,
    more than a small file takes. ``guarded``: for addresses that a redirect named.
    """

    def __init__(
        self, pool_size: int, context: ssl.SSLContext | None, *, guarded: bool = False
    ) -> None:
        self._context = context
        self._guarded = guarded
        super().__init__(pool_connections=_HOSTS, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools with the shared context."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        pools = _GUARDED_POOLS if self._guarded else _POOLS
        self.poolmanager.pool_classes_by_scheme = pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Build a proxy's pools with the shared context."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        manager = super().proxy_manager_for(proxy, **kwargs)
        if manager.pool_classes_by_scheme is pool_classes_by_scheme:  # SOCKS has others
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Demand a certificate; which ones are trusted, the context knows."""
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"


class HttpResponse:
    """An answer on an open connection."""

    def __init__(self, answer: requests.Response, url: str) -> None:
        self.status = answer.status_code
        self.url = url
        self.headers: Mapping[str, str] = Headers(answer.headers)
        raw: Any = answer.raw
        self._raw = raw
        # http.client's own response: urllib3's would copy each byte twice more, and its readinto
        # waits until the buffer is full, losing what had come when the connection breaks
        self._wire = raw._original_response  # noqa: SLF001  above
        self._received = 0
        self._open = True
        self._read_ahead = True
        if self._wire.length == 0:  # a HEAD, a 204, or nothing
            self._wire.close()
        if self._wire.isclosed():
            self._release()

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Receive some bytes of the body; see ``Response.readinto``."""
        view = memoryview(buffer)
        if not view or not self._open:
            return 0
        try:
            count = self._receive(view)
        except FOREIGN as error:
            raise self._interrupted(error) from error
        self._received += count
        if self._wire.isclosed():
            self._release()
        return count

    def read(self, limit: int) -> bytes:
        """Receive the rest of the body, decoded; see ``Response.read``."""
        return read_decoded(self, limit)

    def close(self) -> None:
        """Let go of the connection: kept for the next request if the body was, or is soon, read."""
        if self._open and not self._received:
            self._drain()
        if self._open:
            self._open = False
            with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError):
                # wakes a thread that waits in readinto; urllib3 below 2.3 cannot, and it waits on
                self._raw.shutdown()
            with contextlib.suppress(*FOREIGN):  # the connection is given up either way
                self._raw.close()
            self._raw.release_conn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self, view: memoryview) -> int:
        wire = self._wire
        if wire.isclosed():
            return 0
        if wire.chunked or wire.length is None:
            data = wire.read1(len(view))
            view[: len(data)] = data
            return len(data)
        count = self._receive_some(view[: wire.length])
        if not count:
            raise http.client.IncompleteRead(b"", wire.length)
        wire.length -= count
        if not wire.length:
            wire.close()
        return count

    def _receive_some(self, view: memoryview) -> int:
        """One recv at most: what has come is handed on, whatever becomes of the connection."""
        stream = self._wire.fp
        if not self._read_ahead and len(view) > io.DEFAULT_BUFFER_SIZE:
            count: int = stream.readinto1(view)
            return count
        # first what came along with the headers: readinto1 would go on to wait for more
        data = stream.read1(min(len(view), io.DEFAULT_BUFFER_SIZE))
        view[: len(data)] = data
        self._read_ahead = len(data) == len(view) < io.DEFAULT_BUFFER_SIZE
        return len(data)

    def _interrupted(self, error: Exception) -> HubloaderError:
        left = self._wire.length
        expected = None if left is None else self._received + left
        if first_of(error, (TimeoutError,)) is not None:
            return TimedOut(
                f"{host_of(self.url)} fell silent after {self._received} bytes of the body",
                url=shown(self.url),
            )
        of = "" if expected is None else f" of {expected}"
        return Interrupted(
            f"the connection to {host_of(self.url)} ended after {self._received}{of} bytes",
            received=self._received,
            expected=expected,
            url=shown(self.url),
        )

    def _drain(self) -> None:
        left, wired = self._wire.length, getattr(self._raw.connection, "sock", None)
        if left is None or left > _DRAINED or wired is None:  # none: it is not to be kept
            return
        buffer, until = bytearray(_DRAINED), time.monotonic() + _DRAINED_IN
        with contextlib.suppress(Interrupted, TimedOut):  # then the connection is given up
            # once the body has ended, the connection may be another thread's already
            while self._open and (seconds := until - time.monotonic()) > 0:
                wired.settimeout(seconds)
                self.readinto(buffer)

    def _release(self) -> None:
        self._open = False
        self._raw.release_conn()


def _default_bundle() -> str:
    """``SSL_CERT_FILE`` where it is set, else the certificates requests comes with."""
    paths = ssl.get_default_verify_paths()
    chosen = paths.cafile if paths.cafile != paths.openssl_cafile else None
    return chosen or DEFAULT_CA_BUNDLE_PATH


def _context(bundle: str) -> ssl.SSLContext:
    context = create_urllib3_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    where = (None, bundle) if os.path.isdir(bundle) else (bundle, None)
    try:
        context.load_verify_locations(*where)
    except OSError as error:  # what ssl raises is one
        raise ConnectFailed(
            f"the certificates in {bundle!r} cannot be used: {error.strerror or error}",
            hint="mend REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE, whichever names them",
            retryable=False,
        ) from error
    return context
