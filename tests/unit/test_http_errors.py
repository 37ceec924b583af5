from __future__ import annotations

import http.client
import inspect
import socket
import ssl

import pytest
import requests.exceptions as sent_wrong
import urllib3.exceptions

from hubloader.errors import (
    ConnectFailed,
    HubloaderError,
    Interrupted,
    InvalidReference,
    TimedOut,
)
from hubloader.transport.http_errors import FOREIGN, translated

URL = "https://me:word@hub.example/x?signature=s3cret"


def caused(outer, inner):
    outer.__cause__ = inner
    return outer


def every_foreign_class():
    for module in (sent_wrong, urllib3.exceptions, http.client, socket, ssl):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Exception) and not issubclass(kind, Warning):
                yield kind
    yield from (
        ConnectionResetError,
        ConnectionAbortedError,
        BrokenPipeError,
        TimeoutError,
        PermissionError,
        UnicodeDecodeError,
    )


@pytest.mark.parametrize("kind", sorted(set(every_foreign_class()), key=repr))
def test_every_foreign_error_becomes_ours(kind):
    bare = type(kind.__name__, (kind,), {"__str__": lambda _: "said"})  # without its arguments
    error = bare.__new__(bare)

    ours = translated(error, URL)

    assert isinstance(ours, HubloaderError)
    assert ours.exit_code in {75, 2}
    assert not {"word", "s3cret"} & set(str(ours).replace("/", " ").split())
    assert ours.url == "https://hub.example/x"


@pytest.mark.parametrize(
    "kind",
    [k for k in every_foreign_class() if k.__module__.startswith(("requests", "urllib3", "http"))],
)
def test_every_class_of_the_libraries_is_caught(kind):
    assert issubclass(kind, (*FOREIGN, Warning))


REFUSED = ConnectionRefusedError(111, "Connection refused")
UNKNOWN_NAME = socket.gaierror(-2, "Name or service not known")
RESET = ConnectionResetError(104, "Connection reset by peer")
POOL = urllib3.HTTPSConnectionPool("hub.example")
BLOCKED = urllib3.exceptions.ProxyError(
    "Unable to connect to proxy", OSError("Tunnel connection failed: 403 Blocked")
)


@pytest.mark.parametrize(
    ("error", "ours", "says"),
    [
        (sent_wrong.InvalidURL("x"), InvalidReference, "cannot be sent"),
        (sent_wrong.InvalidHeader("Bearer hf_x"), InvalidReference, "cannot be sent"),
        (UnicodeEncodeError("latin-1", "é", 0, 1, "no"), InvalidReference, "cannot be sent"),
        (
            sent_wrong.ProxyError(urllib3.exceptions.ProxyError("dead", REFUSED)),
            ConnectFailed,
            "proxy on the way to hub.example failed: Connection refused",
        ),
        (
            sent_wrong.ProxyError(
                urllib3.exceptions.MaxRetryError(POOL, "/x?signature=s3cret", BLOCKED)
            ),
            ConnectFailed,
            "the proxy on the way to hub.example failed: Tunnel connection failed: 403 Blocked",
        ),
        (sent_wrong.InvalidProxyURL("no host"), ConnectFailed, "cannot be used: no host"),
        (
            urllib3.exceptions.ProxySchemeUnknown("ftp"),
            ConnectFailed,
            "proxy that is set for hub.example cannot be used",
        ),
        (
            sent_wrong.InvalidSchema("Missing dependencies for SOCKS support."),
            ConnectFailed,
            "PySocks is not installed",
        ),
        (sent_wrong.InvalidSchema("no adapter"), InvalidReference, "cannot be sent"),
        (sent_wrong.SSLError(ssl.SSLError(1, "bad handshake")), ConnectFailed, "bad handshake"),
        (sent_wrong.SSLError(ssl.SSLEOFError(8, "EOF occurred")), Interrupted, "EOF occurred"),
        (
            sent_wrong.ConnectionError(caused(OSError(), UNKNOWN_NAME)),
            ConnectFailed,
            "the name hub.example cannot be looked up: Name or service not known",
        ),
        (sent_wrong.ConnectTimeout("x"), TimedOut, "no connection"),
        (sent_wrong.ReadTimeout("x"), TimedOut, "no answer"),
        (sent_wrong.ConnectionError(RESET), Interrupted, "Connection reset by peer"),
        (sent_wrong.ConnectionError(REFUSED), ConnectFailed, "Connection refused"),
        (http.client.BadStatusLine("SSH-2.0"), Interrupted, "did not answer"),
    ],
)
def test_the_cause_decides_and_is_told(error, ours, says):
    made = translated(error, URL)
    assert type(made) is ours
    assert says in str(made)


def test_no_signature_of_an_address_is_told():
    signed = urllib3.exceptions.MaxRetryError(POOL, "/x?signature=s3cret", ValueError("odd"))
    assert "s3cret" not in str(translated(sent_wrong.ConnectionError(signed), URL))


@pytest.mark.parametrize(
    ("error", "worth_it"),
    [
        (ConnectionRefusedError(111, "refused"), True),
        (ssl.SSLCertVerificationError(1, "self-signed"), False),
        (BLOCKED, False),
        (urllib3.exceptions.ProxyError("x", OSError("Tunnel connection failed: 502 Bad")), True),
        (sent_wrong.InvalidProxyURL("no host"), False),
    ],
)
def test_only_what_may_pass_is_worth_trying_again(error, worth_it):
    assert translated(error, URL).retryable is worth_it


def test_a_proxy_that_wants_a_login_says_where_to_write_it():
    told = OSError("Tunnel connection failed: 407 Proxy Authentication Required")
    made = translated(urllib3.exceptions.ProxyError("Unable to connect to proxy", told), URL)
    assert "user and password" in made.hint


def test_causes_that_go_round_in_a_circle_end():
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert isinstance(translated(first, URL), Interrupted)
