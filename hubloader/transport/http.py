"""HTTP, by requests and the urllib3 beneath it.

requests gives what years of other people's networks have taught it: proxies, certificate bundles,
connection pools. Its sessions are left out: they follow redirects, read bodies to do so, keep
cookies, and add credentials from ``.netrc``. Bodies are received straight from the socket into the
caller's buffer.

The environment is honoured as requests does (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``,
``CURL_CA_BUNDLE``), and ``SSL_CERT_FILE`` after them, as other tools do.

One of the three places where foreign errors become ours: ``translated`` is the table.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import requests
import requests.adapters
import requests.exceptions as gone_wrong
import urllib3.exceptions as below
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from hubloader.errors import (
    ConnectFailed,
    HubloaderError,
    Interrupted,
    InvalidReference,
    TimedOut,
)
from hubloader.transport.auth import Origin
from hubloader.transport.base import Headers, read_decoded, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from hubloader.transport.base import Request

__all__ = ["HttpResponse", "HttpTransport", "translated"]

# what requests, urllib3, http.client and the socket can raise; ValueError: text that is no header
FOREIGN: Final = (
    requests.RequestException,
    below.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
_DRAINED: Final = 64 * 1024  # bytes: cheaper to receive than to connect again
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
        self._adapters: dict[tuple[int, str], _Adapter] = {}
        self._environment = requests.Session()

    def send(self, request: Request) -> HttpResponse:
        """Send ``request``; see ``Transport.send``."""
        Origin.of(request.url)  # addresses that parsers read differently go no further
        try:
            prepared = requests.Request(
                request.method, request.url, dict(request.headers), data=request.body
            ).prepare()
            settings: Mapping[str, Any] = self._environment.merge_environment_settings(
                request.url, dict(self._proxies), True, self._ca_bundle, None
            )
            adapter = self._adapter(request.url, settings["verify"])
            answer = adapter.send(
                prepared,
                stream=True,
                timeout=(request.timeouts.connect, request.timeouts.idle),
                proxies=settings["proxies"],
            )
        except FOREIGN as error:
            # the cause of a bad header has the header in its text: it could be the token
            raise translated(error, request.url) from _unless_it_tells(error)
        return HttpResponse(answer, request.url)

    def close(self) -> None:
        """Close every kept connection of this process."""
        mine = [key for key in list(self._adapters) if key[0] == os.getpid()]
        for key in mine:
            adapter = self._adapters.pop(key, None)
            if adapter is not None:
                adapter.close()

    def _adapter(self, url: str, verify: str | bool) -> _Adapter:
        secure = url.startswith("https:")
        bundle = (verify if isinstance(verify, str) else _default_bundle()) if secure else ""
        key = (os.getpid(), bundle)
        adapter = self._adapters.get(key)
        if adapter is None:
            made = _Adapter(self._pool_size, _context(bundle) if secure else None)
            adapter = self._adapters.setdefault(key, made)  # atomic: threads agree on one
        return adapter


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter with one TLS context for all connections.

    By itself each connection would read and parse the whole bundle of certificates: 20 ms of work,
    more than a small file takes.
    """

    def __init__(self, pool_size: int, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=_HOSTS, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools with the shared context."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Build a proxy's pools with the shared context."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        return super().proxy_manager_for(proxy, **kwargs)

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
        if _first(error, (TimeoutError,)) is not None:
            return TimedOut(
                f"{_host(self.url)} fell silent after {self._received} bytes of the body",
                url=shown(self.url),
            )
        of = "" if expected is None else f" of {expected}"
        return Interrupted(
            f"the connection to {_host(self.url)} ended after {self._received}{of} bytes",
            received=self._received,
            expected=expected,
            url=shown(self.url),
        )

    def _drain(self) -> None:
        left = self._wire.length
        if left is None or left > _DRAINED:
            return
        buffer = bytearray(_DRAINED)
        with contextlib.suppress(Interrupted, TimedOut):  # then the connection is given up
            while self.readinto(buffer):
                pass

    def _release(self) -> None:
        self._open = False
        self._raw.release_conn()


def translated(error: Exception, url: str) -> HubloaderError:
    """Our error for one of ``FOREIGN``, raised while a request for ``url`` was sent.

    The first of these that the error, or one of its causes, fits::

        a URL or header that cannot be sent      InvalidReference
        a proxy                                  ConnectFailed
        TLS: the connection was cut              Interrupted
        TLS: anything else                       ConnectFailed, not worth trying again
        the host's name                          ConnectFailed
        refused, no route                        ConnectFailed
        no connection in time                    TimedOut
        no answer in time                        TimedOut
        anything else                            Interrupted
    """
    for kinds, make in _TABLE:
        found = _first(error, kinds)
        if found is not None:
            return make(found, url)
    return Interrupted(f"{_host(url)} did not answer: {_words(error)}", url=shown(url))


def _invalid(error: Exception, url: str) -> HubloaderError:
    return InvalidReference(
        f"the request cannot be sent: {type(error).__name__} "
        "(an address, a header or a token with characters that do not belong there)",
        url=shown(url),
    )


def _proxy(error: Exception, url: str) -> HubloaderError:
    return ConnectFailed(
        f"the proxy on the way to {_host(url)} failed: {_words(error)}",
        hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the proxies argument",
        url=shown(url),
    )


def _cut(error: Exception, url: str) -> HubloaderError:
    return Interrupted(f"the connection to {_host(url)} ended: {_words(error)}", url=shown(url))


def _tls(error: Exception, url: str) -> HubloaderError:
    reason = getattr(error, "verify_message", "") or _words(error)
    return ConnectFailed(
        f"no secure connection to {_host(url)}: {reason}",
        hint="if your network has its own certificate authority, name its file in SSL_CERT_FILE "
        "or REQUESTS_CA_BUNDLE",
        retryable=False,
        url=shown(url),
    )


def _name(error: Exception, url: str) -> HubloaderError:
    return ConnectFailed(
        f"the name {_host(url)} cannot be looked up: {_words(error)}",
        hint="check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 works from the cache alone",
        url=shown(url),
    )


def _no_connection_in_time(error: Exception, url: str) -> HubloaderError:
    del error
    return TimedOut(f"no connection to {_host(url)} in time", connecting=True, url=shown(url))


def _no_answer_in_time(error: Exception, url: str) -> HubloaderError:
    del error
    return TimedOut(f"no answer from {_host(url)} in time", url=shown(url))


def _unreachable(error: Exception, url: str) -> HubloaderError:
    return ConnectFailed(
        f"no connection to {_host(url)}: {_words(_deepest(error))}",
        hint="check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 works from the cache alone",
        url=shown(url),
    )


_Row = tuple[tuple[type[Exception], ...], "Callable[[Exception, str], HubloaderError]"]
_TABLE: Final[tuple[_Row, ...]] = (
    (
        (
            gone_wrong.InvalidURL,
            gone_wrong.MissingSchema,
            gone_wrong.InvalidSchema,
            gone_wrong.InvalidHeader,
            below.LocationValueError,
            UnicodeError,
        ),
        _invalid,
    ),
    ((gone_wrong.ProxyError, below.ProxyError), _proxy),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError), _cut),
    ((ssl.SSLError, gone_wrong.SSLError, below.SSLError), _tls),
    ((socket.gaierror, socket.herror, below.NameResolutionError), _name),
    # before the timeouts: urllib3 counts a refused connection among them
    ((below.NewConnectionError, ConnectionRefusedError), _unreachable),
    ((gone_wrong.ConnectTimeout, below.ConnectTimeoutError), _no_connection_in_time),
    (
        (gone_wrong.ReadTimeout, below.ReadTimeoutError, below.TimeoutError, TimeoutError),
        _no_answer_in_time,
    ),
    ((gone_wrong.InvalidProxyURL,), _proxy),
)


def _first(error: Exception, kinds: tuple[type[Exception], ...]) -> Exception | None:
    return next((each for each in _chain(error) if isinstance(each, kinds)), None)


def _chain(error: BaseException) -> Iterator[Exception]:
    """``error``, and what it was made from: by cause, reason or first argument."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen or not isinstance(each, Exception):
            continue
        seen.add(id(each))
        yield each
        beneath = (getattr(each, "reason", None), *each.args, each.__cause__, each.__context__)
        waiting.extend(item for item in beneath if isinstance(item, BaseException))


def _deepest(error: Exception) -> Exception:
    return next((each for each in _chain(error) if isinstance(each, OSError) and each.errno), error)


def _words(error: Exception) -> str:
    """What the innermost error says, in one short line."""
    deepest = _deepest(error)
    said = getattr(deepest, "strerror", None) or str(deepest) or type(deepest).__name__
    return " ".join(str(said).split())[:200]


def _unless_it_tells(error: Exception) -> Exception | None:
    return None if _first(error, (gone_wrong.InvalidHeader, UnicodeError)) is not None else error


def _host(url: str) -> str:
    return shown(url).partition("://")[2].partition("/")[0]


def _default_bundle() -> str:
    """``SSL_CERT_FILE`` where it is set, else the certificates requests comes with."""
    paths = ssl.get_default_verify_paths()
    chosen = paths.cafile if paths.cafile != paths.openssl_cafile else None
    return chosen or DEFAULT_CA_BUNDLE_PATH


def _context(bundle: str) -> ssl.SSLContext:
    context = create_urllib3_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    context.load_verify_locations(*((None, bundle) if os.path.isdir(bundle) else (bundle, None)))
    return context
