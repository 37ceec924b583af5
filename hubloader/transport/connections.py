"""Connections whose answers begin in time, as urllib3 makes them.

A socket's timeout counts silence. A server that sends its headers byte by byte, or one interim
answer (status 1xx) after the other, is never silent, and would be waited for without end: here the
headers have as long as a silence may be, counted from their first byte. Interim answers, which
``http.client`` takes for the answer itself but for 100, are passed over.

Source: RFC 9110 section 15.2.
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

__all__ = ["PatientConnection", "PatientPool", "PatientTlsConnection", "PatientTlsPool"]

_CONTINUE, _SWITCHING, _FINAL = 100, 101, 200


class _Answer(http.client.HTTPResponse):
    """An answer whose headers are limited in time, and that is no interim one."""

    def __init__(self, sock: socket.socket, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        # pyOpenSSL's sockets, which a program may have put in their place, do not tell
        self._limit: float | None = getattr(sock, "gettimeout", lambda: None)()

    def begin(self) -> None:
        """Receive the status and the headers.

        Raises:
            TimeoutError: they did not end in time.

        """
        raw: Any = self.fp.raw  # the socket's, below its buffer
        receive, until = raw.readinto, float("inf")

        def receive_in_time(buffer: memoryview) -> int | None:
            nonlocal until
            if time.monotonic() > until:
                raise TimeoutError("the headers did not end")
            count: int | None = receive(buffer)
            if self._limit is not None:
                until = min(until, time.monotonic() + self._limit)
            return count

        raw.readinto = receive_in_time
        try:
            super().begin()
        finally:
            del raw.readinto  # a body has a limit of its own

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not _CONTINUE < found[1] < _FINAL or found[1] == _SWITCHING:
                return found
            http.client.parse_headers(self.fp)


class PatientConnection(HTTPConnection):
    """One in the clear."""

    response_class = _Answer


class PatientTlsConnection(HTTPSConnection):
    """One with TLS."""

    response_class = _Answer


class PatientPool(HTTPConnectionPool):
    """Keeps connections in the clear."""

    ConnectionCls = PatientConnection


class PatientTlsPool(HTTPSConnectionPool):
    """Keeps connections with TLS."""

    ConnectionCls = PatientTlsConnection
