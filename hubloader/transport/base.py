"""What every transport speaks: a ``Request`` goes in, a streamed ``Response`` comes out.

``send`` returns when the status and headers are there and never buffers the body. A transport
follows no redirect and repeats nothing by itself: ``redirects.Redirecting`` and ``retry.Retrying``
are transports around another one. Errors are of hubloader's own, whatever is underneath.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from hubloader.errors import MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "Headers",
    "Request",
    "Response",
    "Timeouts",
    "TooLong",
    "Transport",
    "read_decoded",
    "shown",
]

_CHUNK = 64 * 1024  # bytes: what one read of a JSON answer asks for
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # zlib looks at the first bytes which of the two it is


@dataclass(frozen=True)
class Timeouts:
    """How long a server may take, in seconds.

    Args:
        connect: until there is a connection (to one of the host's addresses).
        idle: of silence, before and inside an answer.
        total: for the whole of a call, name look-up and redirects included; None: no limit. A
            call with such a limit is not repeated.

    """

    connect: float = 5.0
    idle: float = 30.0
    total: float | None = None

    @classmethod
    def within(cls, seconds: float) -> Timeouts:
        """The whole call has ``seconds``, and is tried once."""
        return cls(connect=seconds, idle=seconds, total=seconds)


class Headers(Mapping[str, str]):
    """Header fields, looked up without regard to case; several of one name are joined by ", "."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self._fields = {name.lower(): (name, text) for name, text in (fields or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __repr__(self) -> str:
        return f"Headers({', '.join(self)})"  # names only: a value may be a credential

    def merged(self, other: Mapping[str, str]) -> Headers:
        """These fields and ``other``'s, which win."""
        lowered = {name.lower() for name in other}
        mine = {name: text for name, text in self.items() if name.lower() not in lowered}
        return Headers({**mine, **other})


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        method: GET, HEAD or POST.
        url: absolute.
        headers: sent as they are; without an ``Accept-Encoding`` the answer is asked as identity.
        body: of a POST.
        timeouts: how long the server may take.
        repeat: whether ``Retrying`` may send it again after a passing trouble; a caller that has a
            loop of its own says no.
        stop: tells of a redirect's answer whether it is answer enough, and not to be followed.
        led: whether a redirect of another origin named the address: it may lead to no link-local
            one, also by way of a name.

    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=Headers, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeouts: Timeouts = Timeouts()
    repeat: bool = True
    stop: Callable[[Response], bool] | None = field(default=None, repr=False, compare=False)
    led: bool = False


class Response(Protocol):
    """An answer whose body has not been read. Close it, or use it as a context manager."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def url(self) -> str:
        """What answered, after redirects."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, looked up without regard to case."""

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Receive some bytes of the body, as they came over the wire, into ``buffer``.

        Returns:
            How many; 0 when the body has ended, and ended where the server said it would.

        Raises:
            Interrupted: the connection ended inside the body.
            TimedOut: the server fell silent.

        """

    def read(self, limit: int) -> bytes:
        """Receive the rest of the body, decoded from gzip or deflate.

        Args:
            limit: bytes; a decoded body that is longer is not read to its end.

        Raises:
            TooLong: the decoded body is longer than ``limit``.
            MalformedAnswer: it is not encoded as it says.
            Interrupted: the connection ended inside the body.
            TimedOut: the server fell silent.

        """

    def close(self) -> None:
        """Let go of the connection: kept for the next request if the body was read."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Transport(Protocol):
    """Sends requests; any number of threads may use one at a time."""

    def send(self, request: Request) -> Response:
        """Send ``request`` and return the answer's beginning.

        Raises:
            ConnectFailed: no connection was made.
            TimedOut: the server did not answer in time.
            Interrupted: the connection ended before there was an answer.
            InvalidReference: the address or a header cannot be sent.

        """

    def close(self) -> None:
        """Close every kept connection; the transport stays usable."""


class TooLong(MalformedAnswer):
    """The body is longer than it may be."""


def read_decoded(response: Response, limit: int) -> bytes:
    """Do what ``Response.read`` promises, by means of ``readinto``."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        raise MalformedAnswer(
            f"the answer is encoded as {encoding[:40]!r}", url=shown(response.url)
        )
    inflate = None if encoding in {"", "identity"} else zlib.decompressobj(_ZLIB_OR_GZIP)
    body = bytearray()
    buffer = bytearray(_CHUNK)
    while count := response.readinto(buffer):
        received = bytes(memoryview(buffer)[:count])
        # one byte over the limit is enough to know: a bomb is never inflated
        body += (
            _inflate(inflate, received, limit + 1 - len(body), response) if inflate else received
        )
        if len(body) > limit:
            raise TooLong(f"the answer is longer than {limit} bytes", url=shown(response.url))
    if inflate is not None and body and not inflate.eof:
        raise MalformedAnswer("the answer's compressed body is cut off", url=shown(response.url))
    return bytes(body)


def _inflate(inflate: zlib._Decompress, received: bytes, room: int, response: Response) -> bytes:
    try:
        return inflate.decompress(received, room)
    except zlib.error as error:
        raise MalformedAnswer(
            f"the answer's body is not compressed as it says: {error}", url=shown(response.url)
        ) from error


def shown(url: str) -> str:
    """``url`` as messages may show it: without user, query and fragment, which can be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:  # an unclosed bracket
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
