"""The Hub's response headers, both ways: a client parses them, a mirror formats them.

For every kind of value here ``parse(format(x)) == x``. What each header means:

==========================  ======================================================================
``X-Repo-Commit``           the commit the answer is about
``X-Linked-Etag``, ``ETag`` the content's hash, in this order: the first describes the file behind a
                            redirect, the second whatever answered. git sha1 or sha256, in quotes
``X-Linked-Size``,          the file's size, in this order; the second only when the answer is no
``Content-Length``          redirect and not encoded
``Location``                where the bytes are
``X-Xet-Hash``              the file's hash in Xet storage; 64 ``*`` when redacted
``Link: <…>; rel="next"``   the next page of a listing
``Content-Range``           which bytes came: ``bytes 0-9/100``, ``bytes 0-9/*``, ``bytes */100``
``Retry-After``             seconds, or a date
``RateLimit``               ``"api";r=0;t=55``: requests left, seconds until there are more
==========================  ======================================================================

Nothing a server says becomes a name without a check: an etag that is not 40 or 64 hex digits is not
an ``ETag`` (it is None), a commit that is not one is refused.

Source: huggingface_hub 2.4.0 ``file_download.py`` and ``utils/_http.py``; RFC 9110 sections 10.2.3,
14.4; RFC 8288; draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hubloader.errors import MalformedAnswer
from hubloader.names import is_commit, is_etag
from hubloader.transport.pacing import (
    RateLimit,
    format_http_date,
    format_rate_limit,
    format_retry_after,
    parse_rate_limit,
    parse_retry_after,
)
from hubloader.types import CommitHash, ETag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ERROR_CODE",
    "ERROR_MESSAGE",
    "LINKED_ETAG",
    "LINKED_SIZE",
    "REPO_COMMIT",
    "REQUEST_ID",
    "XET_HASH",
    "ContentRange",
    "FileMetadata",
    "RateLimit",
    "format_content_range",
    "format_etag",
    "format_file_metadata",
    "format_http_date",
    "format_link_next",
    "format_range",
    "format_rate_limit",
    "format_retry_after",
    "parse_content_range",
    "parse_etag",
    "parse_file_metadata",
    "parse_link_next",
    "parse_range",
    "parse_rate_limit",
    "parse_retry_after",
]

REPO_COMMIT: Final = "X-Repo-Commit"
LINKED_ETAG: Final = "X-Linked-Etag"
LINKED_SIZE: Final = "X-Linked-Size"
XET_HASH: Final = "X-Xet-Hash"
ERROR_CODE: Final = "X-Error-Code"
ERROR_MESSAGE: Final = "X-Error-Message"
REQUEST_ID: Final = "X-Request-Id"

_DIGITS = re.compile(r"[0-9]{1,19}")  # 19 digits hold 2**63, the largest file there can be
_XET = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes +(?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)")
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_LINK = re.compile(r"<([^>]*)>([^<]*)")
_REL_NEXT = re.compile(
    r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:[;,]|$)', re.IGNORECASE
)


@dataclass(frozen=True)
class FileMetadata:
    """What the Hub says of one file without sending it.

    Args:
        commit: the commit that the asked revision is; None from a mirror that does not say.
        etag: the content's hash; None where the server's etag is not one.
        size: bytes of the file; None when unknown.
        location: where the bytes are, absolute or relative, when the answer was a redirect.
        xet_hash: the content's hash in Xet storage.

    """

    commit: CommitHash | None
    etag: ETag | None
    size: int | None
    location: str | None = None
    xet_hash: str | None = None


@dataclass(frozen=True)
class ContentRange:
    """Which bytes of how many: ``start`` up to, not including, ``end``; ``total`` may be unknown.

    ``start`` and ``end`` are None in the answer to a range that cannot be satisfied (status 416).
    """

    start: int | None
    end: int | None
    total: int | None


def parse_file_metadata(status: int, headers: Mapping[str, str]) -> FileMetadata:
    """Read the answer to a HEAD (or GET) of a file.

    Args:
        status: of the answer; a redirect's own length says nothing about the file.
        headers: looked up by the spelling above: case-insensitive, or spelt so.

    Raises:
        MalformedAnswer: the commit is not 40 hex digits, or a size is not a number.

    """
    redirected = 300 <= status < 400
    xet_hash = headers.get(XET_HASH, "")
    etag = headers.get(LINKED_ETAG) or ("" if redirected else headers.get("ETag"))
    return FileMetadata(
        commit=_commit(headers.get(REPO_COMMIT)),
        etag=parse_etag(etag or ""),
        size=_file_size(headers, redirected=redirected),
        location=headers.get("Location") if redirected else None,
        xet_hash=xet_hash if _XET.fullmatch(xet_hash) else None,
    )


def format_file_metadata(meta: FileMetadata) -> dict[str, str]:
    """The headers that say ``meta``: of a redirect when it has a location, else of the file."""
    redirected = meta.location is not None
    etag_name, size_name = (LINKED_ETAG, LINKED_SIZE) if redirected else ("ETag", "Content-Length")
    fields = {
        REPO_COMMIT: meta.commit,
        etag_name: None if meta.etag is None else format_etag(meta.etag),
        size_name: None if meta.size is None else str(meta.size),
        "Location": meta.location,
        XET_HASH: meta.xet_hash,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _commit(text: str | None) -> CommitHash | None:
    if not text:
        return None
    if not is_commit(text):
        raise MalformedAnswer(f"{REPO_COMMIT} is {text[:80]!r}, which is not a commit")
    return CommitHash(text)


def _file_size(headers: Mapping[str, str], *, redirected: bool) -> int | None:
    linked = headers.get(LINKED_SIZE)
    if linked:
        return _number(linked, LINKED_SIZE)
    encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
    length = headers.get("Content-Length")
    if not length or redirected or encoded:
        return None
    return _number(length, "Content-Length")


def _number(text: str, header: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise MalformedAnswer(f"{header} is {text[:80]!r}, which is not a number of bytes")
    return int(text)


def parse_etag(text: str) -> ETag | None:
    """The hash in an etag header, without ``W/`` and quotes; None when it is no hash.

    A weak etag's hash is taken too: it only names what is hashed on arrival anyway.
    """
    bare = text.strip().removeprefix("W/").strip('"')
    return ETag(bare) if is_etag(bare) else None


def format_etag(etag: str) -> str:
    """``etag`` as a strong etag header."""
    return f'"{etag}"'


def parse_content_range(text: str) -> ContentRange:
    """Read a ``Content-Range``.

    Raises:
        MalformedAnswer: it is not in bytes, or its numbers cannot be true.

    """
    found = _CONTENT_RANGE.fullmatch(text.strip())
    if found is None:
        raise MalformedAnswer(f"Content-Range is {text[:80]!r}, which is not a range of bytes")
    first, last, size = found.groups()
    total = None if size == "*" else int(size)
    if first is None:
        return ContentRange(None, None, total)
    start, end = int(first), int(last) + 1
    if start >= end or (total is not None and end > total):
        raise MalformedAnswer(f"Content-Range is {text[:80]!r}, whose numbers cannot be true")
    return ContentRange(start, end, total)


def format_content_range(part: ContentRange) -> str:
    """``part`` as a ``Content-Range``."""
    total = "*" if part.total is None else part.total
    if part.start is None or part.end is None:
        return f"bytes */{total}"
    return f"bytes {part.start}-{part.end - 1}/{total}"


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Read a ``Range`` asked of a file of ``size`` bytes.

    Returns:
        ``(start, end)``, the end not included and cut to the file; None when the header is to be
        ignored (not in bytes, several ranges) and the whole file is the answer.

    Raises:
        ValueError: no byte of the file is in it: the answer is 416.

    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), (min(int(last) + 1, size) if last else size)
        if last and int(last) < start:
            return None
    if start >= end:
        raise ValueError(f"{text!r} asks for no byte of {size}")
    return start, end


def format_range(start: int, end: int | None = None) -> str:
    """A ``Range`` from ``start`` up to, not including, ``end`` (None: the file's end)."""
    return f"bytes={start}-" if end is None else f"bytes={start}-{end - 1}"


def parse_link_next(text: str) -> str | None:
    """The target of the ``rel="next"`` in a ``Link`` header, or None."""
    for target, parameters in _LINK.findall(text):
        if _REL_NEXT.search(parameters):
            return str(target)
    return None


def format_link_next(url: str) -> str:
    """A ``Link`` header that says where the next page is."""
    return f'<{url}>; rel="next"'
