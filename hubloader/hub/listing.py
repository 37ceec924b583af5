"""The Hub's JSON about a repository, checked and made into values.

``parse_info`` reads ``/api/…/revision/…?blobs=true``, ``parse_tree_page`` one page of ``/tree/``,
``parse_refs`` ``/refs``. ``next_page`` says where a listing goes on. Whatever a server sends, what
comes out are true values: commits and hashes are hex of their length, sizes are counts of bytes,
names stay inside the repository. A name that cannot be a file on every platform (a colon, a Windows
device) is left out, with a warning in the log; one that would leave the repository is a lie, and
the listing is refused.

Source: huggingface_hub 2.4.0 ``hf_api.py`` (``ModelInfo``, ``RepoFile``, ``GitRefs``).
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from hubloader.errors import InvalidReference, MalformedAnswer
from hubloader.hub.headers import parse_link_next
from hubloader.names import check_filename, check_repo_id, is_commit
from hubloader.transport.auth import Origin
from hubloader.types import CommitHash, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_JSON",
    "Info",
    "Refs",
    "next_page",
    "parse_info",
    "parse_json_object",
    "parse_refs",
    "parse_tree_page",
]

MAX_JSON: Final = 32 * 1024 * 1024  # bytes of one decoded answer, or one page of a listing
_log = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REDACTED = frozenset("*")  # of gated repositories that one cannot read, hashes are stars
_LEAVES = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")  # "", "." or ".." between slashes
_MAX_SIZE = 2**63
_HTML = re.compile(rb"\s*<(?:!doctype|html|head|body)", re.IGNORECASE)


@dataclass(frozen=True)
class Info:
    """What the Hub says of one revision.

    ``repo_id`` is the Hub's own name of the repository, "" when it did not say. ``described`` tells
    whether the files came, each with its size and hash. ``license`` is what the model card names,
    several joined by commas, "" for none; ``gated`` whether access has to be asked for.
    """

    commit: CommitHash
    entries: Mapping[str, Entry]
    repo_id: str = ""
    described: bool = True
    license: str = ""
    gated: bool = False


@dataclass(frozen=True)
class Refs:
    """The named commits of a repository. ``pull_requests`` are by their ref: ``refs/pr/1``."""

    branches: Mapping[str, CommitHash] = field(default_factory=dict)
    tags: Mapping[str, CommitHash] = field(default_factory=dict)
    converts: Mapping[str, CommitHash] = field(default_factory=dict)
    pull_requests: Mapping[str, CommitHash] = field(default_factory=dict)


def parse_info(body: bytes) -> Info:
    """Read a revision's info.

    Raises:
        MalformedAnswer: it is not what the Hub sends.

    """
    raw = _object(_json(body), "the repository's info")
    siblings = raw.get("siblings")
    entries: dict[str, Entry] = {}
    for each in _list(siblings or [], "siblings"):
        item = _object(each, "an entry of siblings")
        name = _filename(item.get("rfilename"))
        if name is not None:
            entries[name] = _entry(item, item.get("blobId"))
    return Info(
        commit=_commit(raw.get("sha"), "sha"),
        entries=entries,
        repo_id=_repo_id(raw.get("id")),
        described=siblings is not None and all(_is_described(each) for each in entries.values()),
        license=_license(raw),
        gated=raw.get("gated") not in (None, False, "false"),
    )


def parse_tree_page(body: bytes) -> dict[str, Entry]:
    """Read one page of a tree: its files, by name.

    Raises:
        MalformedAnswer: it is not what the Hub sends.

    """
    entries: dict[str, Entry] = {}
    for each in _list(_json(body), "the tree"):
        item = _object(each, "an entry of the tree")
        name = _filename(item.get("path")) if item.get("type") == "file" else None
        if name is not None:
            entries[name] = _entry(item, item.get("oid"))
    return entries


def parse_refs(body: bytes) -> Refs:
    """Read the branches, tags and pull requests.

    Raises:
        MalformedAnswer: it is not what the Hub sends.

    """
    raw = _object(_json(body), "the repository's refs")
    return Refs(
        branches=_named(raw, "branches", "name"),
        tags=_named(raw, "tags", "name"),
        converts=_named(raw, "converts", "name"),
        pull_requests=_named(raw, "pullRequests", "ref"),
    )


def parse_json_object(body: bytes) -> Mapping[str, Any]:
    """Read an answer that is one JSON object.

    Raises:
        MalformedAnswer: it is none.

    """
    return _object(_json(body), "the answer")


def next_page(here: str, link: str) -> str | None:
    """Where a listing goes on.

    A server's ``Link`` to another origin (a mirror that passes on the Hub's own) is not followed,
    nor one that lacks the path before ``/api`` of a mirror that has one: its query, which holds the
    cursor, is put to the page's own address.

    Args:
        here: the page that was read.
        link: its ``Link`` header, "" when it had none.

    Raises:
        MalformedAnswer: the link is no address.

    """
    target = parse_link_next(link)
    if target is None:
        return None
    try:
        absolute = urljoin(here, target)
        same = Origin.of(absolute) == Origin.of(here) and not _names_another_user(absolute, here)
    except ValueError as error:  # InvalidReference is one
        raise MalformedAnswer("the link to a listing's next page is no address") from error
    mine = urlsplit(here)
    if same and not _lacks_prefix(urlsplit(absolute).path, mine.path):
        return absolute
    return urlunsplit((mine.scheme, mine.netloc, mine.path, urlsplit(absolute).query, ""))


def _lacks_prefix(path: str, mine: str) -> bool:
    """Whether ``path`` is the end of ``mine``: what a mirror at a path of its own was told."""
    return path != mine and path.startswith("/") and mine.endswith(path)


def _names_another_user(url: str, here: str) -> bool:
    # an HTTP library would log in as that user, in place of the token
    authority = urlsplit(url).netloc
    return "@" in authority and authority != urlsplit(here).netloc


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise MalformedAnswer("the answer's JSON is nested too deeply") from None
    except ValueError as error:
        if _HTML.match(body):
            raise MalformedAnswer(
                "an HTML page came where JSON was expected",
                hint="a login page of the network may stand between, or HF_ENDPOINT is no Hub",
            ) from None
        raise MalformedAnswer(f"the answer is not JSON: {error}") from error


def _object(raw: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise MalformedAnswer(f"{what} is no JSON object")
    return raw


def _list(raw: Any, what: str) -> list[Any]:
    if not isinstance(raw, list):
        raise MalformedAnswer(f"{what} is no JSON list")
    return raw


def _entry(item: Mapping[str, Any], oid: Any) -> Entry:
    lfs = item.get("lfs") or {}
    details = _object(lfs, "an entry's lfs")
    size = _size(details.get("size", item.get("size")))
    xet_hash = item.get("xetHash")
    return Entry(
        size=size,
        git_sha1=_hex(oid, is_commit, "an object id"),
        sha256=_hex(details.get("sha256") or details.get("oid"), _is_sha256, "an LFS hash"),
        xet_hash=xet_hash if isinstance(xet_hash, str) and _is_sha256(xet_hash) else None,
    )


def _is_described(entry: Entry) -> bool:
    return entry.size is not None and entry.git_sha1 is not None


def _is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def _hex(raw: Any, fits: Any, what: str) -> str | None:
    if raw is None or (isinstance(raw, str) and set(raw) <= _REDACTED):
        return None
    if not isinstance(raw, str) or not fits(raw):
        raise MalformedAnswer(f"{what} is {str(raw)[:80]!r}, which is no hash")
    return raw


def _size(raw: Any) -> int | None:
    if raw is None:
        return None
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw < _MAX_SIZE:
        raise MalformedAnswer(f"a file's size is {str(raw)[:80]!r}, which is no count of bytes")
    return raw


def _filename(raw: Any) -> str | None:
    if not isinstance(raw, str) or _LEAVES.search(raw):
        raise MalformedAnswer(f"{str(raw)[:200]!r} is listed and cannot be a repository's file")
    try:
        return check_filename(raw)
    except InvalidReference as error:
        _log.warning("left out of the listing: %s", error)
        return None


def _commit(raw: Any, what: str) -> CommitHash:
    if not isinstance(raw, str) or not is_commit(raw):
        raise MalformedAnswer(f"{what} is {str(raw)[:80]!r}, which is no commit")
    return CommitHash(raw)


def _repo_id(raw: Any) -> str:
    if raw is None:
        return ""
    try:
        check_repo_id(raw if isinstance(raw, str) else "")
    except InvalidReference:
        raise MalformedAnswer(f"the repository's id is {str(raw)[:120]!r}, which is none") from None
    return str(raw)


def _license(raw: Mapping[str, Any]) -> str:
    """The card's licence; else the one among the tags, which the Hub makes of the card."""
    card = raw.get("cardData")
    told = card.get("license") if isinstance(card, dict) else None
    if told is None:
        tags = raw.get("tags")
        texts = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        told = [tag.partition(":")[2] for tag in texts if tag.startswith("license:")]
    names = told if isinstance(told, list) else [told]
    return ", ".join(sorted({name.strip() for name in names if isinstance(name, str)} - {""}))


def _named(raw: Mapping[str, Any], kind: str, key: str) -> dict[str, CommitHash]:
    found: dict[str, CommitHash] = {}
    for each in _list(raw.get(kind) or [], kind):
        item = _object(each, f"an entry of {kind}")
        name = item.get(key)
        if not isinstance(name, str):
            raise MalformedAnswer(f"an entry of {kind} has no {key}")
        found[name] = _commit(item.get("targetCommit"), f"the commit of {name[:80]!r}")
    return found
