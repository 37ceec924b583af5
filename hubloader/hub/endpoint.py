"""One endpoint: what goes with each request to it, and its refusals as our errors.

What is asked, and what the answers mean, is said by ``client`` and ``revision``; redirects, retries
and the token are the transport's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hubloader.hub.failures import Asked, failure_of
from hubloader.hub.listing import MAX_JSON
from hubloader.transport.base import Request
from hubloader.transport.deadline import within
from hubloader.transport.floor import FlooredResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.hub.urls import HubUrls, RouteKind
    from hubloader.transport.auth import Origin
    from hubloader.transport.base import Headers, Response, Timeouts, Transport
    from hubloader.types import RepoId

__all__ = ["Endpoint", "JsonAnswer"]

_OK = 200
T = TypeVar("T")


class JsonAnswer(NamedTuple):
    """A body of JSON, its ``Link`` header, and the address it came from after redirects."""

    body: bytes
    link: str
    url: str


@dataclass(frozen=True, eq=False, repr=False)  # no repr: a header of the user's may be a secret
class Endpoint:
    """Where requests go, and what each of them carries.

    Args:
        transport: follows redirects, tries again and adds the token.
        urls: the endpoint's addresses.
        home: its origin.
        headers: of every request; which of them leave the origin is the transport's to say.
        timeouts: of requests that are given none, in seconds.
        signed: whether a token is at hand.
        min_rate: bytes per second below which a body counts as stalled; 0 for no floor.
        clock: counts seconds.

    """

    transport: Transport
    urls: HubUrls
    home: Origin
    headers: Headers
    timeouts: Timeouts
    signed: bool
    min_rate: float
    clock: Callable[[], float]

    def get_json(
        self, url: str, repo: RepoId | None, kind: RouteKind, timeouts: Timeouts
    ) -> JsonAnswer:
        """Ask for JSON; ``kind`` is the route, ``repo`` None where the request is about none.

        Raises:
            HubError: the endpoint refused or failed.
            TransportError: no answer came.

        """
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        with self.send("GET", url, headers, timeouts) as response:
            self.expect(response, repo, kind, success=range(_OK, _OK + 1))
            body = self.floored(response).read(MAX_JSON)
            return JsonAnswer(body, response.headers.get("Link", ""), response.url)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        stop: Callable[[Response], bool] | None = None,
    ) -> Response:
        """Send one request; a redirect that ``stop`` is true of is the answer.

        Raises:
            TransportError: no answer came.

        """
        return self.transport.send(
            Request(method, url, self.headers.merged(headers), timeouts=timeouts, stop=stop)
        )

    def floored(self, response: Response) -> Response:
        """Return the response, with the floor under the rate of its body."""
        if not self.min_rate:
            return response
        return FlooredResponse(response, self.min_rate, self.timeouts.idle, self.clock)

    def expect(
        self, response: Response, repo: RepoId | None, kind: RouteKind, *, success: range
    ) -> None:
        """Raise for a status that is not in ``success``.

        Raises:
            HubError: the one that status and headers tell.

        """
        if response.status not in success:
            page = "" if repo is None else self.urls.page(repo)
            raise failure_of(response, Asked(self.urls, kind, page, self.signed))

    def within(self, timeouts: Timeouts | None, ask: Callable[[Timeouts], T], what: str) -> T:
        """Return what ``ask`` returns, called with the timeouts: no later than their ``total``.

        Raises:
            TimedOut: it took longer; ``what`` says what was being done.

        """
        limits = timeouts or self.timeouts
        return within(limits.total, lambda: ask(limits), f"{what} at {self.home}")
