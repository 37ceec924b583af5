"""The Hub's addresses, both ways: a client builds them, a mirror parses them.

``E`` is the endpoint (it may have a path of its own), ``T`` is ``models``, ``datasets`` or
``spaces``, ``P`` is nothing, ``datasets/`` or ``spaces/``::

    info         E/api/T/<repo>[/revision/<revision>][?blobs=true]
    tree         E/api/T/<repo>/tree/<revision>[/<folder>]?recursive=true&expand=false
    paths-info   E/api/T/<repo>/paths-info/<revision>
    refs         E/api/T/<repo>/refs
    resolve      E/P<repo>/resolve/<revision>/<file>
    whoami       E/api/whoami-v2

A ``/`` inside a revision is escaped (``refs%2Fpr%2F1``), one inside a file name is not. Parsing
also takes an unescaped ``refs/pr/1`` or ``refs/convert/parquet``, as the Hub does.

Source: huggingface_hub 2.4.0 ``file_download.py`` (``hf_hub_url``) and ``hf_api.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

from hubloader.errors import InvalidReference
from hubloader.names import check_filename, check_revision
from hubloader.transport.base import shown
from hubloader.types import DEFAULT_REVISION, RepoId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubloader.types import RepoType

__all__ = ["HubUrls", "Route", "RouteKind", "parse_route"]

RouteKind = Literal["info", "tree", "paths-info", "refs", "resolve", "whoami"]

_API_FOLDER: Final[dict[RepoType, str]] = {
    "model": "models",
    "dataset": "datasets",
    "space": "spaces",
}
_FILE_PREFIX: Final[dict[RepoType, str]] = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_TYPE_OF_FOLDER: Final[dict[str, RepoType]] = {f: t for t, f in _API_FOLDER.items()}
_BRIEF: Final = ("sha", "cardData", "tags")  # and "gated", which a space is never
_VERBS: Final[dict[str, RouteKind]] = {
    "revision": "info",
    "tree": "tree",
    "paths-info": "paths-info",
    "refs": "refs",
}
_NEEDS_REVISION = frozenset({"revision", "tree", "paths-info"})
_REF_FOLDERS = frozenset({"pr", "convert"})  # refs/<folder>/<name> may stand unescaped in a path
_SHORTEST_REF = 3  # segments of refs/pr/1


@dataclass(frozen=True)
class Route:
    """What a request path asks for.

    ``revision`` is ``main`` where the path names none. ``path`` is the file of a ``resolve``, the
    folder of a ``tree`` ("" for the root), else "". ``repo`` is None only for ``whoami``.
    """

    kind: RouteKind
    repo: RepoId | None = None
    revision: str = DEFAULT_REVISION
    path: str = ""


@dataclass(frozen=True)
class HubUrls:
    """Builds the addresses of one endpoint; ``endpoint`` has no slash at its end."""

    endpoint: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint", self.endpoint.rstrip("/"))

    def info(self, repo: RepoId, revision: str, *, blobs: bool = True) -> str:
        """Where a revision's commit and files are told; ``blobs`` adds sizes and hashes."""
        query = "?blobs=true" if blobs else ""
        return f"{self._api(repo)}/revision/{_quote_all(revision)}{query}"

    def brief_info(self, repo: RepoId, revision: str) -> str:
        """Where a revision's commit and card are told, without the files."""
        wanted = _BRIEF if repo.repo_type == "space" else (*_BRIEF, "gated")
        query = urlencode([("expand", each) for each in wanted])
        return f"{self._api(repo)}/revision/{_quote_all(revision)}?{query}"

    def tree(self, repo: RepoId, revision: str, path: str = "", *, recursive: bool = True) -> str:
        """Where a folder's entries are listed, in pages."""
        folder = f"/{_quote_all(path)}" if path else ""
        query = urlencode({"recursive": str(recursive).lower(), "expand": "false"})
        return f"{self._api(repo)}/tree/{_quote_all(revision)}{folder}?{query}"

    def resolve(self, repo: RepoId, revision: str, filename: str) -> str:
        """Where a file's bytes (GET) and metadata (HEAD) are."""
        prefix = _FILE_PREFIX[repo.repo_type]
        file = quote(filename)
        return f"{self.endpoint}/{prefix}{repo}/resolve/{_quote_all(revision)}/{file}"

    def refs(self, repo: RepoId, *, pull_requests: bool = False) -> str:
        """Where branches and tags are listed; ``pull_requests`` adds ``refs/pr/N``."""
        return f"{self._api(repo)}/refs{'?include_prs=1' if pull_requests else ''}"

    def xet_read_token(self, repo: RepoId, revision: str) -> str:
        """Where a token for reading Xet files of a commit is given out."""
        return f"{self._api(repo)}/xet-read-token/{_quote_all(revision)}"

    def paths_info(self, repo: RepoId, revision: str) -> str:
        """Where chosen paths are described (POST ``paths=a&paths=b``)."""
        return f"{self._api(repo)}/paths-info/{_quote_all(revision)}"

    def whoami(self) -> str:
        """Where the token's owner is told."""
        return f"{self.endpoint}/api/whoami-v2"

    def page(self, repo: RepoId) -> str:
        """The repository's page for people: where access is asked for."""
        return f"{shown(self.endpoint)}/{_FILE_PREFIX[repo.repo_type]}{repo}"

    def route(self, url: str) -> Route | None:
        """What ``url`` asks of this endpoint; None when it is elsewhere or no known route."""
        if not url.startswith(f"{self.endpoint}/"):
            return None
        return parse_route(url.removeprefix(self.endpoint))

    def _api(self, repo: RepoId) -> str:
        return f"{self.endpoint}/api/{_API_FOLDER[repo.repo_type]}/{repo}"


def parse_route(path: str) -> Route | None:
    """Read a request path, still percent-encoded; a query is ignored.

    Returns:
        The route, or None when the path is none of those above.

    Raises:
        InvalidReference: it is one of those, with a repository, revision or file name that
            cannot be one.

    """
    segments = urlsplit(path).path.strip("/").split("/")
    if segments == ["api", "whoami-v2"]:
        return Route("whoami")
    if segments[0] == "api":
        return _api_route(segments[1:])
    return _resolve_route(segments)


def _api_route(segments: Sequence[str]) -> Route | None:
    repo_type = _TYPE_OF_FOLDER.get(segments[0]) if segments else None
    rest = segments[1:]
    if repo_type is None or not rest:
        return None
    # the two-part name first: org/tree/revision/main is about the repository org/tree
    for parts in (2, 1):
        if len(rest) > parts and rest[parts] in _VERBS:
            verb, after = rest[parts], rest[parts + 1 :]
            if bool(after) == (verb in _NEEDS_REVISION):
                repo = _repo(rest[:parts], repo_type)
                revision, folder = _revision_and_path(after)
                if folder and verb != "tree":
                    return None
                return Route(_VERBS[verb], repo, revision, check_filename(folder) if folder else "")
    return Route("info", _repo(rest, repo_type)) if len(rest) <= 2 else None


def _resolve_route(segments: Sequence[str]) -> Route | None:
    repo_type = _TYPE_OF_FOLDER.get(segments[0], "model")
    rest = segments if repo_type == "model" else segments[1:]
    for parts in (2, 1):
        if len(rest) > parts + 2 and rest[parts] == "resolve":
            revision, filename = _revision_and_path(rest[parts + 1 :])
            if filename:
                repo = _repo(rest[:parts], repo_type)
                return Route("resolve", repo, revision, check_filename(filename))
    return None


def _repo(parts: Sequence[str], repo_type: RepoType) -> RepoId:
    return RepoId.parse("/".join(unquote(part) for part in parts), repo_type)


def _revision_and_path(segments: Sequence[str]) -> tuple[str, str]:
    if not segments:
        return DEFAULT_REVISION, ""
    unescaped_ref = (
        len(segments) >= _SHORTEST_REF and segments[0] == "refs" and segments[1] in _REF_FOLDERS
    )
    taken = _SHORTEST_REF if unescaped_ref else 1
    revision = "/".join(_decode(segment) for segment in segments[:taken])
    path = "/".join(_decode(segment) for segment in segments[taken:])
    return check_revision(revision), path


def _quote_all(text: str) -> str:
    return quote(text, safe="")


def _decode(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidReference(f"{segment!r} is not UTF-8 when decoded") from None
