"""Who may see the token.

A token belongs to one *origin* (scheme, host, port). It is added to a request when the request's
address, fully resolved, is of that origin, and at no other time. A request that was redirected to
another origin has left: it carries neither token nor any header of the caller's from there on, not
even when a later redirect leads back, because the address it leads to was chosen elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hubloader.errors import InvalidReference
from hubloader.transport.base import Headers, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Credential", "Origin", "authorised", "crossing"]

# stricter than URL parsers, which disagree about "\", "@" and blanks in an authority: what one
# takes for the Hub another may connect to elsewhere
_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:%]*@)?(?P<host>[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORT = {"http": 80, "https": 443}
_MAX_PORT = 65535
_TOKEN = re.compile(r"[\x21-\x7e]+")
_MAY_CROSS = frozenset({"accept", "accept-encoding", "if-range", "range", "user-agent"})


@dataclass(frozen=True)
class Origin:
    """Scheme, host (lower case) and port: what a credential belongs to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute ``http`` or ``https`` address.

        Raises:
            InvalidReference: it is not such an address.

        """
        try:
            parts = urlsplit(url)
        except ValueError:  # an unclosed bracket
            raise InvalidReference("an address cannot be read", url=url[:200]) from None
        found = _AUTHORITY.fullmatch(parts.netloc)
        default = _DEFAULT_PORT.get(parts.scheme)
        if found is None or default is None:
            raise InvalidReference(
                f"{shown(url)[:200]!r} is not an http or https address", url=shown(url)[:200]
            )
        port = int(found["port"]) if found["port"] else default
        if not 0 < port <= _MAX_PORT:
            raise InvalidReference(f"{port} is not a port", url=shown(url)[:200])
        return cls(parts.scheme, found["host"].lower(), port)

    def __str__(self) -> str:
        default = _DEFAULT_PORT[self.scheme] == self.port
        return f"{self.scheme}://{self.host}" + ("" if default else f":{self.port}")


@dataclass(frozen=True)
class Credential:
    """A bearer token and the one origin that may see it."""

    origin: Origin
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token):
            raise InvalidReference(
                "the token holds blanks or characters that no token has",
                hint="copy it again from the Hub's settings page",
            )

    @classmethod
    def bound(cls, endpoint: str, token: str | None) -> Credential | None:
        """The credential for ``endpoint``'s origin; None without a token."""
        return cls(Origin.of(endpoint), token) if token else None


def authorised(
    headers: Mapping[str, str], url: str, credential: Credential | None
) -> Mapping[str, str]:
    """``headers`` of a request for ``url``, with the token if that address may see it.

    An ``Authorization`` that the caller wrote stays.
    """
    given = Headers(headers)
    if credential is None or "authorization" in given or Origin.of(url) != credential.origin:
        return given
    return given.merged({"Authorization": f"Bearer {credential.token}"})


def crossing(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Those of ``headers`` that another origin may see: what is wanted, not who wants it."""
    return Headers({name: text for name, text in headers.items() if name.lower() in _MAY_CROSS})
