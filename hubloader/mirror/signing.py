"""Addresses of the content origin that work without a token, for one content and for some time.

The content origin never sees the caller's token, as a CDN does not: that a request may have the
bytes is said by a signature which only this server can make.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlencode

from hubloader.names import is_etag

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIFETIME", "Signer"]

LIFETIME: Final = 3600  # seconds, as on the Hub
_PREFIX = "/content/"


@dataclass(frozen=True)
class Signer:
    """Makes and checks such addresses; ``clock`` gives seconds since the epoch."""

    secret: bytes
    clock: Callable[[], float]

    def path(self, sha256: str) -> str:
        """The path and query that hand out the content named ``sha256``, for ``LIFETIME``."""
        expires = int(self.clock()) + LIFETIME
        query = urlencode({"expires": expires, "signature": self._sign(sha256, expires)})
        return f"{_PREFIX}{sha256}?{query}"

    def digest(self, path: str, query: str) -> str | None:
        """Which content a request may have; None when it may have none."""
        sha256 = path.removeprefix(_PREFIX)
        fields = parse_qs(query)
        expires, signature = fields.get("expires", [""])[0], fields.get("signature", [""])[0]
        if not (path.startswith(_PREFIX) and is_etag(sha256) and _is_number(expires)):
            return None
        genuine = hmac.compare_digest(self._sign(sha256, int(expires)), signature)
        return sha256 if genuine and int(expires) >= self.clock() else None

    def _sign(self, sha256: str, expires: int) -> str:
        message = f"{sha256} {expires}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
