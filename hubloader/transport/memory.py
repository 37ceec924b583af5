"""A transport without a network: scripted answers, and scripted faults.

For tests, of this project and of those who build on it::

    hub = MemoryTransport({
        "https://hub/a": Answer(body=b"text"),
        "https://hub/b": [Answer(status=503), Answer(body=b"0123456789", cut_at=4)],
        "https://hub/c": ranged(b"0123456789", {"ETag": '"1"'}),
    })
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubloader.errors import ConnectFailed, Interrupted
from hubloader.transport.base import Headers, read_decoded, shown

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from hubloader.errors import TransportError
    from hubloader.transport.base import Request

__all__ = ["Answer", "MemoryResponse", "MemoryTransport", "ranged"]

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


@dataclass(frozen=True)
class Answer:
    """What comes back for one request.

    Args:
        status: of the answer.
        headers: ``Content-Length`` is added where there is none.
        body: as it goes over the wire.
        cut_at: the connection ends after so many bytes of the body.
        error: raised in place of an answer.

    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None
    error: TransportError | None = None


Script = Answer | Sequence[Answer] | Callable[["Request"], Answer]


class MemoryTransport:
    """Answers from a script, and remembers what was asked.

    Args:
        script: by address, or by ``METHOD address``: an answer; several, one for each request, the
            last one for all further ones; or a function of the request.

    """

    def __init__(self, script: Mapping[str, Script]) -> None:
        self._script = dict(script)
        self._turn: dict[str, int] = {}
        self._guard = threading.Lock()
        self.requests: list[Request] = []

    def send(self, request: Request) -> MemoryResponse:
        """Answer ``request``; an address that is not in the script is a host that is not there."""
        with self._guard:
            self.requests.append(request)
            answer = self._answer(request)
        if answer is None:
            raise ConnectFailed(f"nothing is at {shown(request.url)}", url=shown(request.url))
        if answer.error is not None:
            raise answer.error
        return MemoryResponse(answer, request)

    def close(self) -> None:
        """Nothing is kept open."""

    def _answer(self, request: Request) -> Answer | None:
        with_method = f"{request.method} {request.url}"
        key = with_method if with_method in self._script else request.url
        script = self._script.get(key)
        if script is None or isinstance(script, Answer):
            return script
        if callable(script):
            return script(request)
        turn = self._turn.get(key, 0)
        self._turn[key] = turn + 1
        return script[min(turn, len(script) - 1)]


class MemoryResponse:
    """The answer of a ``MemoryTransport``. ``closed`` tells whether it was closed."""

    def __init__(self, answer: Answer, request: Request) -> None:
        self.status = answer.status
        self.url = request.url
        length = {"Content-Length": str(len(answer.body))}
        self.headers: Mapping[str, str] = Headers(length).merged(answer.headers)
        self.closed = False
        self._body = b"" if request.method == "HEAD" else answer.body
        self._cut_at = answer.cut_at
        self._received = 0

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Receive some bytes of the body; see ``Response.readinto``."""
        end = len(self._body) if self._cut_at is None else min(self._cut_at, len(self._body))
        part = self._body[self._received : min(end, self._received + len(buffer))]
        if not part and len(buffer) and self._received < len(self._body):
            raise Interrupted(
                f"the connection ended after {self._received} of {len(self._body)} bytes",
                received=self._received,
                expected=len(self._body),
                url=shown(self.url),
            )
        memoryview(buffer)[: len(part)] = part
        self._received += len(part)
        return len(part)

    def read(self, limit: int) -> bytes:
        """Receive the rest of the body, decoded; see ``Response.read``."""
        return read_decoded(self, limit)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def ranged(body: bytes, headers: Mapping[str, str] | None = None) -> Callable[[Request], Answer]:
    """A file whose ``Range`` requests are answered with 206, as a server of files does."""

    def answer(request: Request) -> Answer:
        asked = Headers(request.headers)
        found = _RANGE.fullmatch(asked.get("Range", ""))
        unchanged = asked.get("If-Range", "") in {"", (headers or {}).get("ETag")}
        if found is None or not unchanged:
            return Answer(headers=headers or {}, body=body)
        start = int(found[1])
        end = min(int(found[2]) + 1, len(body)) if found[2] else len(body)
        if start >= end:
            return Answer(416, {"Content-Range": f"bytes */{len(body)}"})
        part = {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"}
        return Answer(206, {**(headers or {}), **part}, body[start:end])

    return answer
