"""Redirects, followed by hand.

At most ``max_hops``, never in a circle, never from https to http, never to another scheme, to a
link-local address (``link_local.py``; a name that leads to one is refused by the transport) or to
an address with a user in it. Private networks are fine: that is where mirrors are. What goes along
to another origin is decided in ``auth``.

Source: RFC 9110 section 15.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

from hubloader.errors import InvalidReference, RedirectRefused
from hubloader.transport.auth import Origin, authorised, crossing
from hubloader.transport.base import shown
from hubloader.transport.link_local import is_link_local

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubloader.transport.auth import Credential
    from hubloader.transport.base import Request, Response, Transport

__all__ = ["RedirectPolicy", "Redirecting", "redirect_target"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPS_METHOD = frozenset({307, 308})
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class RedirectPolicy:
    """Whose token goes along, and how many redirects one request may take."""

    credential: Credential | None = None
    max_hops: int = 5


class Redirecting:
    """A transport that follows redirects and adds the token where it belongs."""

    def __init__(self, transport: Transport, policy: RedirectPolicy) -> None:
        self._transport = transport
        self._policy = policy

    def send(self, request: Request) -> Response:
        """Send ``request`` and what it is redirected to.

        Raises:
            RedirectRefused: a redirect that must not be followed; the message has the chain.

        """
        home = Origin.of(request.url)
        chain = [request.url]
        at_home = True
        headers = request.headers
        while True:
            credential = self._policy.credential if at_home else None
            hop = replace(
                request,
                url=chain[-1],
                headers=authorised(headers, chain[-1], credential),
                led=not at_home,
            )
            response = self._transport.send(hop)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            if request.stop is not None and request.stop(response):
                return response
            with response:  # closed: its body says nothing, its connection serves again
                target = redirect_target(chain, location, self._policy.max_hops)
                if request.method == "POST":
                    _refuse_moving_a_post(response.status, home, chain, target)
            chain.append(target)
            if at_home and Origin.of(target) != home:
                at_home, headers = False, crossing(headers)

    def close(self) -> None:
        """Close the transport underneath."""
        self._transport.close()


def redirect_target(chain: Sequence[str], location: str, max_hops: int) -> str:
    """The absolute address that ``location`` means, if it may be followed.

    Args:
        chain: the addresses asked so far; the last one answered with ``location``.
        location: absolute or relative.
        max_hops: redirects allowed in all.

    Raises:
        RedirectRefused: it may not.

    """
    here = chain[-1]
    try:
        target = urldefrag(urljoin(here, _as_utf8(location))).url
    except ValueError:  # an unclosed bracket
        raise RedirectRefused(
            f"{shown(here)} redirects to what is no address", url=shown(here)
        ) from None
    fault = _fault(here, target)
    if fault is None and target in chain:
        fault = "it goes round in a circle"
    if fault is None and len(chain) > max_hops:
        fault = f"it is one of more than {max_hops}"
    if fault is not None:
        way = " -> ".join(shown(url)[:200] for url in (*chain, target))
        raise RedirectRefused(f"a redirect was refused, {fault}: {way}", url=shown(here))
    return target


def _as_utf8(location: str) -> str:
    # header bytes arrive decoded as Latin-1; servers mean UTF-8
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location


def _fault(here: str, target: str) -> str | None:
    if _UNPRINTABLE.search(target):
        return "it holds blanks, control characters or a backslash"
    try:
        origin = Origin.of(target)
    except InvalidReference:
        return "its target is no http or https address"
    if origin.scheme == "http" and urlsplit(here).scheme == "https":
        return "it leaves https for http"
    if "@" in urlsplit(target).netloc and urlsplit(target).netloc != urlsplit(here).netloc:
        return "its target names a user"
    if is_link_local(origin.host):
        return "its target is a link-local address"
    return None


def _refuse_moving_a_post(status: int, home: Origin, chain: Sequence[str], target: str) -> None:
    if status not in _KEEPS_METHOD or Origin.of(target) != home:
        raise RedirectRefused(
            f"a redirect of a POST was refused: {shown(chain[-1])} -> {shown(target)}",
            url=shown(chain[-1]),
        )
