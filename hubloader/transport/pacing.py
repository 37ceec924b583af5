"""How long a server asks one to wait: ``Retry-After`` and ``RateLimit``, parsed and formatted.

Here and not in ``hub`` because every server speaks them, and ``retry`` needs them.

Source: RFC 9110 section 10.2.3; draft-ietf-httpapi-ratelimit-headers, as the Hub sends it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "RateLimit",
    "format_http_date",
    "format_rate_limit",
    "format_retry_after",
    "parse_rate_limit",
    "parse_retry_after",
    "wait_asked",
]

_DIGITS = re.compile(r"[0-9]{1,19}")
_RATE_LIMIT = re.compile(r'"([^"]*)"\s*;\s*r=([0-9]{1,19})\s*;\s*t=([0-9]{1,19})')


@dataclass(frozen=True)
class RateLimit:
    """How many requests of kind ``name`` are left, and in how many seconds there are more."""

    name: str
    remaining: int
    reset: int


def parse_retry_after(text: str, *, now: datetime | None = None) -> float | None:
    """Seconds to wait, from a ``Retry-After`` in seconds or as a date; None when it is neither.

    Args:
        text: the header.
        now: what a date is counted from (aware); default: the clock.

    """
    stripped = text.strip()
    if _DIGITS.fullmatch(stripped):
        return float(stripped)
    from datetime import datetime, timezone  # first use: the date form is rare

    when = _parse_date(stripped)
    if when is None:
        return None
    return max(0.0, (when - (now or datetime.now(timezone.utc))).total_seconds())


def _parse_date(text: str) -> datetime | None:
    import email.utils  # first use: the parser is slow to import
    from datetime import timezone

    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    if when.tzinfo is None:  # RFC 5322 "-0000": UTC of unknown origin
        when = when.replace(tzinfo=timezone.utc)
    return when


def format_retry_after(seconds: float) -> str:
    """``seconds`` as a ``Retry-After``, rounded up to a whole number."""
    return str(math.ceil(seconds))


def format_http_date(when: datetime) -> str:
    """``when`` (aware) as an HTTP date, in whole seconds."""
    import email.utils  # first use: only the mirror writes dates
    from datetime import timezone

    return email.utils.format_datetime(when.astimezone(timezone.utc), usegmt=True)


def parse_rate_limit(text: str) -> RateLimit | None:
    """Read a ``RateLimit`` such as ``"api";r=0;t=55``; None when it is not in that form."""
    found = _RATE_LIMIT.search(text)
    if found is None:
        return None
    return RateLimit(found.group(1), int(found.group(2)), int(found.group(3)))


def format_rate_limit(limit: RateLimit) -> str:
    """``limit`` as a ``RateLimit`` header."""
    return f'"{limit.name}";r={limit.remaining};t={limit.reset}'


def wait_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds an answer asks one to wait: its ``Retry-After``, else a ``RateLimit`` used up.

    A date is counted from the server's own clock, where the answer tells it: ours may be wrong.
    """
    retry_after = headers.get("Retry-After")
    if retry_after:
        seconds = parse_retry_after(retry_after, now=_parse_date(headers.get("Date", "")))
        if seconds is not None:
            return seconds
    limit = parse_rate_limit(headers.get("RateLimit", ""))
    # a second more than said: the Hub counts in whole seconds and its window is still closed at t
    return limit.reset + 1.0 if limit is not None and limit.remaining == 0 else None
