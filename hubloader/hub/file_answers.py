"""What an answer about a file tells, and which answers are not believed.

``names_commit`` and ``describes_file`` say where a chain of redirects has told enough;
``refuse_web_page`` and ``check_body`` raise for what is not the file that was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from hubloader.errors import MalformedAnswer
from hubloader.hub.headers import LINKED_ETAG, REPO_COMMIT, parse_content_range
from hubloader.transport.auth import Origin
from hubloader.transport.base import shown

if TYPE_CHECKING:
    from hubloader.transport.base import Response

__all__ = ["OK", "PARTIAL", "check_body", "describes_file", "names_commit", "refuse_web_page"]

OK: Final = 200
PARTIAL: Final = 206


def names_commit(response: Response) -> bool:
    """Whether the answer says which commit the revision is."""
    return REPO_COMMIT in response.headers


def describes_file(response: Response) -> bool:
    """Whether the answer says what the file is: by its headers, or as it leads to a storage."""
    if LINKED_ETAG in response.headers:
        return True
    try:
        target = urljoin(response.url, response.headers.get("Location", ""))
        return Origin.of(target) != Origin.of(response.url)
    except ValueError:  # InvalidReference is one
        return False  # it is refused, with its reason, when it is followed


def refuse_web_page(response: Response) -> None:
    """Refuse a page for people.

    Raises:
        MalformedAnswer: it is one.

    """
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise MalformedAnswer(
            "a web page answered where a file was asked",
            hint="a login page of the network may stand between, or HF_ENDPOINT is no Hub",
            url=shown(response.url),
        )


def check_body(response: Response, start: int, end: int | None, *, ranged: bool) -> None:
    """Refuse bytes that are encoded, or are not those that were asked for.

    Stitched to what is there already, they would make a file that no one ever published.

    Args:
        response: the answer, its body unread.
        start: the first byte that was asked for.
        end: the byte after the last one; None: the file's end.
        ranged: whether a range was asked for.

    Raises:
        MalformedAnswer: they are.

    """
    url = shown(response.url)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise MalformedAnswer(f"a file came encoded as {encoding[:40]!r}, unasked", url=url)
    if response.status == OK:
        return
    if response.status != PARTIAL or not ranged:
        raise MalformedAnswer(f"status {response.status} answered the request of a file", url=url)
    part = parse_content_range(response.headers.get("Content-Range", ""))
    right_end = end is None or (part.end is not None and part.end <= end)
    if part.start != start or not right_end:
        wanted = f"{start} to {'the end' if end is None else end}"
        raise MalformedAnswer(
            f"bytes {wanted} were asked, bytes {part.start} to {part.end} came", url=url
        )
