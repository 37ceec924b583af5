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


def test_only_tls_is_not_worth_trying_again():
    refused = translated(ConnectionRefusedError(111, "refused"), URL)
    unsigned = translated(ssl.SSLCertVerificationError(1, "self-signed"), URL)
    assert (refused.retryable, unsigned.retryable) == (True, False)


def test_causes_that_go_round_in_a_circle_end():
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert isinstance(translated(first, URL), Interrupted)
