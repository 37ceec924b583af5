"""What requests, urllib3 and the socket raise, as our errors: ``translated`` is the table."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

import requests.exceptions as gone_wrong
import urllib3.exceptions as below

from hubloader.errors import (
    ConnectFailed,
    HubloaderError,
    Interrupted,
    InvalidReference,
    RedirectRefused,
    TimedOut,
)
from hubloader.transport.base import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FOREIGN", "LinkLocalError", "first_of", "host_of", "translated", "unless_it_tells"]

# what requests, urllib3, http.client and the socket can raise; ValueError: text that is no header
FOREIGN: Final = (
    gone_wrong.RequestException,
    below.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


_QUERY = re.compile(r"\?[^\s'\")]+")  # of an address in urllib3's words: it can be a signature
_PROXY_HINT = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the proxies argument"
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (4\d\d)")  # http.client's words


class LinkLocalError(OSError):
    """A redirect led, by way of a name, to a link-local address; raised inside urllib3."""


def translated(error: Exception, url: str) -> HubloaderError:
    """Our error for one of ``FOREIGN``, raised while a request for ``url`` was sent.

    The first of these that the error, or one of its causes, fits::

        a name that leads to a link-local host   RedirectRefused
        an answer whose headers contradict       Interrupted
        a proxy whose address cannot be used     ConnectFailed, not worth trying again
        a URL or header that cannot be sent      InvalidReference
        a proxy                                  ConnectFailed; a refusal of it is final
        TLS: the connection was cut              Interrupted
        TLS: anything else                       ConnectFailed, not worth trying again
        the host's name                          ConnectFailed
        refused, no route                        ConnectFailed
        no connection in time                    TimedOut
        no answer in time                        TimedOut
        anything else                            Interrupted
    """
    for kinds, make in _TABLE:
        found = first_of(error, kinds)
        if found is not None:
            return make(found, url)
    return Interrupted(f"{host_of(url)} did not answer: {_words(error)}", url=shown(url))


def _contradictory(error: Exception, url: str) -> HubloaderError:
    return Interrupted(
        f"{host_of(url)} answered with headers that cannot be true: {_words(error)}",
        url=shown(url),
    )


def _unusable_proxy(error: Exception, url: str) -> HubloaderError:
    return ConnectFailed(
        f"the proxy that is set for {host_of(url)} cannot be used: {_words(error)}",
        hint=_PROXY_HINT,
        retryable=False,
        url=shown(url),
    )


def _no_scheme(error: Exception, url: str) -> HubloaderError:
    if "SOCKS" not in str(error):
        return _invalid(error, url)
    return ConnectFailed(
        f"the proxy that is set for {host_of(url)} speaks SOCKS, and PySocks is not installed",
        hint='run `pip install "requests[socks]"`, or set HTTPS_PROXY to a proxy that speaks HTTP',
        retryable=False,
        url=shown(url),
    )


def _invalid(error: Exception, url: str) -> HubloaderError:
    return InvalidReference(
        f"the request cannot be sent: {type(error).__name__} "
        "(an address, a header or a token with characters that do not belong there)",
        url=shown(url),
    )


def _proxy(error: Exception, url: str) -> HubloaderError:
    said = _words(error)
    refused = _TUNNEL_REFUSED.search(said)
    login = refused is not None and refused[1] == "407"
    return ConnectFailed(
        f"the proxy on the way to {host_of(url)} failed: {said}",
        hint="write user and password into HTTPS_PROXY" if login else _PROXY_HINT,
        retryable=refused is None,
        url=shown(url),
    )


def _cut(error: Exception, url: str) -> HubloaderError:
    return Interrupted(f"the connection to {host_of(url)} ended: {_words(error)}", url=shown(url))


def _tls(error: Exception, url: str) -> HubloaderError:
    reason = getattr(error, "verify_message", "") or _words(error)
    return ConnectFailed(
        f"no secure connection to {host_of(url)}: {reason}",
        hint="if your network has its own certificate authority, name its file in SSL_CERT_FILE "
        "or REQUESTS_CA_BUNDLE",
        retryable=False,
        url=shown(url),
    )


def _name(error: Exception, url: str) -> HubloaderError:
    return ConnectFailed(
        f"the name {host_of(url)} cannot be looked up: {_words(error)}",
        hint="check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 works from the cache alone",
        url=shown(url),
    )


def _link_local(error: Exception, url: str) -> HubloaderError:
    del error
    return RedirectRefused(
        f"a redirect was refused, its target is a link-local address by the name of {host_of(url)}",
        url=shown(url),
    )


def _no_connection_in_time(error: Exception, url: str) -> HubloaderError:
    del error
    return TimedOut(f"no connection to {host_of(url)} in time", connecting=True, url=shown(url))


def _no_answer_in_time(error: Exception, url: str) -> HubloaderError:
    del error
    return TimedOut(f"no answer from {host_of(url)} in time", url=shown(url))


def _unreachable(error: Exception, url: str) -> HubloaderError:
    return ConnectFailed(
        f"no connection to {host_of(url)}: {_words(_deepest(error))}",
        hint="check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 works from the cache alone",
        url=shown(url),
    )


_TELLING = (OSError, http.client.HTTPException, below.HTTPError)
_Row = tuple[tuple[type[Exception], ...], "Callable[[Exception, str], HubloaderError]"]
_TABLE: Final[tuple[_Row, ...]] = (
    ((LinkLocalError,), _link_local),
    ((below.InvalidHeader,), _contradictory),  # requests' own is about what is sent
    (
        (gone_wrong.InvalidProxyURL, below.ProxySchemeUnknown, below.ProxySchemeUnsupported),
        _unusable_proxy,
    ),
    ((gone_wrong.InvalidSchema,), _no_scheme),
    (
        (
            gone_wrong.InvalidURL,
            gone_wrong.MissingSchema,
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
)


def first_of(error: Exception, kinds: tuple[type[Exception], ...]) -> Exception | None:
    """The first of ``error`` and what it was made from that is one of ``kinds``."""
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
    """What it all came from: a system call that failed, or else the last that has words."""
    causes = [each for each in _chain(error) if isinstance(each, _TELLING) and str(each)]
    failed = next((each for each in causes if isinstance(each, OSError) and each.errno), None)
    return failed or (causes[-1] if causes else error)


def _words(error: Exception) -> str:
    """What the innermost error says, in one short line."""
    deepest = _deepest(error)
    said = getattr(deepest, "strerror", None) or str(deepest) or type(deepest).__name__
    return " ".join(_QUERY.sub("", str(said)).split())[:200]


def unless_it_tells(error: Exception) -> Exception | None:
    """``error`` as a cause to show; None for one whose text may hold the token."""
    return None if first_of(error, (gone_wrong.InvalidHeader, UnicodeError)) is not None else error


def host_of(url: str) -> str:
    """Host and port of an address, for messages."""
    return shown(url).partition("://")[2].partition("/")[0]
