"""The two web applications of a mirror: the endpoint, and the origin that LFS content comes from.

What is answered, header by header, is ``hub/headers.py``; who gets it, ``access.py``; what it says,
``answers.py``. Here they are put together. The folder is read in threads, once at a time for one
revision, so that the loop never waits for a hash.

Source: ``HEAD``/``GET`` answers as huggingface_hub 2.4.0 and Hugging Face's own call benchmarks
describe them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from aiohttp import web

from hubloader.errors import (
    EntryNotFound,
    HubloaderError,
    InvalidReference,
    NotFound,
    RepositoryNotFound,
    RevisionNotFound,
)
from hubloader.hub.headers import (
    ERROR_CODE,
    ERROR_MESSAGE,
    REPO_COMMIT,
    FileMetadata,
    format_file_metadata,
    format_link_next,
)
from hubloader.hub.urls import parse_route
from hubloader.mirror import answers
from hubloader.mirror.access import (
    Refusal,
    bearer_token,
    refuse_files,
    refuse_repo,
    refuse_token,
    unknown_repo,
)
from hubloader.mirror.file_body import file_answer
from hubloader.names import is_commit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hubloader.hub.urls import Route, RouteKind
    from hubloader.mirror.library import Library
    from hubloader.mirror.signing import Signer
    from hubloader.mirror.snapshot import ServedFile, Snapshot
    from hubloader.types import RepoId

    Answer = Callable[[web.Request, RepoId, Route], Awaitable[web.StreamResponse]]

__all__ = ["EXPANDED_PAGE_SIZE", "PAGE_SIZE", "ContentOrigin", "Endpoint"]

PAGE_SIZE: Final = 1000  # entries of one tree page, as on the Hub
EXPANDED_PAGE_SIZE: Final = 50
_READS = frozenset({"GET", "HEAD"})
_TRUE = frozenset({"1", "true"})
_MAX_DIGITS = 10
_NAME_PLACE = r"^(/api/(?:models|datasets|spaces)/|/(?:datasets/|spaces/)?){}(?=[/?]|$)"
_log = logging.getLogger(__name__)


class Endpoint:
    """Answers what ``HF_ENDPOINT`` is asked; ``content_port`` is the ``ContentOrigin``'s."""

    def __init__(self, library: Library, signer: Signer, content_port: int) -> None:
        self._library = library
        self._signer = signer
        self._content_port = content_port
        self._running: dict[tuple[RepoId, str], asyncio.Task[Snapshot]] = {}
        self._listed: tuple[tuple[str, str, bool] | None, list[str] | None] = (None, None)
        self._answers: dict[RouteKind, Answer] = {
            "info": self._info,
            "tree": self._tree,
            "paths-info": self._paths_info,
            "refs": self._refs,
            "resolve": self._resolve,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        token = bearer_token(request.headers.get("Authorization"))
        try:
            route = parse_route(request.raw_path)
            if route is None:
                return _refuse(Refusal(404, None, "There is no such address"))
            if request.method not in _methods(route):
                return _refuse(Refusal(405, None, f"{request.method} is not for {route.kind}"))
            return await self._route(request, route, token)
        except NotFound as error:
            return _not_found(error, token)
        except InvalidReference as error:
            return _refuse(Refusal(400, "InvalidRequest", error.message))
        except HubloaderError as error:
            _log.error("%s %s: %s", request.method, request.path, error)
            return _refuse(Refusal(500, None, "The mirror is not set up rightly: see its log"))

    async def _route(
        self, request: web.Request, route: Route, token: str | None
    ) -> web.StreamResponse:
        config = self._library.config()
        refused = refuse_token(config, token)
        if refused is not None:
            return _refuse(refused)
        if route.repo is None:
            return _whoami(token)
        canonical = self._library.canonical(route.repo)
        refused = refuse_repo(config, canonical, token)
        if refused is not None:
            return _refuse(refused)
        if canonical != route.repo:
            return _moved(request, route.repo, canonical)
        if route.kind == "resolve":
            refused = refuse_files(config, canonical, token)
            if refused is not None:
                return _refuse(refused)
        return await self._answers[route.kind](request, canonical, route)

    async def _info(self, request: web.Request, repo: RepoId, route: Route) -> web.StreamResponse:
        snapshot = await self._snapshot(repo, route.revision)
        blobs = _flag(request, "blobs")
        info = answers.repo_info(repo, snapshot, self._library.config(), blobs=blobs)
        wanted = request.query.getall("expand", [])
        if wanted:
            info = {key: info[key] for key in ("_id", "id", *wanted) if key in info}
        return _json(info, snapshot)

    async def _tree(self, request: web.Request, repo: RepoId, route: Route) -> web.StreamResponse:
        recursive, expand = _flag(request, "recursive"), _flag(request, "expand")
        start = _number(request, "cursor") or 0
        known = self._library.known_listing(repo, route.revision) if start else None
        snapshot = known or await self._snapshot(repo, route.revision)
        names = self._names(snapshot, route.path, recursive=recursive)
        if names is None:
            raise EntryNotFound(
                f"{route.path} does not exist on {route.revision!r}", revision=snapshot.commit
            )
        limit = EXPANDED_PAGE_SIZE if expand else PAGE_SIZE
        asked = _number(request, "limit")
        limit = limit if asked is None else max(1, min(asked, limit))
        page = names[start : start + limit]
        answer = _json(answers.path_items(snapshot, page, expand=expand), snapshot)
        if start + limit < len(names):
            following = request.url.update_query(cursor=str(start + limit))
            answer.headers["Link"] = format_link_next(str(following))
        return answer

    def _names(self, snapshot: Snapshot, path: str, *, recursive: bool) -> list[str] | None:
        """``answers.tree_names``, put together once for all pages of one listing."""
        key = (snapshot.commit, path, recursive)
        if self._listed[0] != key:
            self._listed = key, answers.tree_names(snapshot, path, recursive=recursive)
        return self._listed[1]

    async def _paths_info(
        self, request: web.Request, repo: RepoId, route: Route
    ) -> web.StreamResponse:
        snapshot = await self._snapshot(repo, route.revision)
        paths, expand = await _asked_paths(request)
        return _json(answers.path_items(snapshot, paths, expand=expand), snapshot)

    async def _refs(self, request: web.Request, repo: RepoId, _: Route) -> web.StreamResponse:
        names = await asyncio.to_thread(self._library.revisions, repo)
        if not names:
            raise RepositoryNotFound("Repository not found")
        commits = {name: (await self._snapshot(repo, name)).commit for name in names}
        tags = self._library.config().tags.get(repo, frozenset())
        return web.json_response(
            answers.refs(commits, tags, pull_requests=_flag(request, "include_prs"))
        )

    async def _resolve(
        self, request: web.Request, repo: RepoId, route: Route
    ) -> web.StreamResponse:
        known = self._library.known_file(repo, route.revision, route.path)
        snapshot = known or await self._snapshot(repo, route.revision)
        file = snapshot.files.get(route.path)
        if file is None:
            raise EntryNotFound("Entry not found", revision=snapshot.commit)
        if not file.is_here:  # no EntryNotFound: clients would remember that there is no such file
            return _refuse(
                Refusal(404, None, f"{route.path} is not in this cache"), snapshot.commit
            )
        if file.entry.is_lfs:
            return self._to_content(request, snapshot, file)
        headers = {
            REPO_COMMIT: snapshot.commit,
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": _disposition(route.path),
        }
        return file_answer(request, file, headers)

    def _to_content(
        self, request: web.Request, snapshot: Snapshot, file: ServedFile
    ) -> web.StreamResponse:
        origin = f"{request.scheme}://{_hostname(request)}:{self._content_port}"
        # a client that counts a host's ports as one origin (huggingface_hub 1.3x) asks for the
        # metadata there, and needs the commit
        location = f"{origin}{self._signer.path(file.entry.etag)}&commit={snapshot.commit}"
        meta = FileMetadata(snapshot.commit, file.entry.etag, file.stamp.size, location)
        text = f"Found. Redirecting to {location}"
        return web.Response(status=302, text=text, headers=format_file_metadata(meta))

    async def _snapshot(self, repo: RepoId, revision: str) -> Snapshot:
        # One reading of a folder serves everyone who asks meanwhile: a first request may have
        # gigabytes to hash, and the clients that come with it must not hash them too.
        key = (repo, revision)
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(self._library.snapshot, repo, revision))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key))
        return await asyncio.shield(task)


class ContentOrigin:
    """Hands out LFS content to whoever bears an address signed by the endpoint."""

    def __init__(self, library: Library, signer: Signer) -> None:
        self._library = library
        self._signer = signer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.method not in _READS:
            return _refuse(Refusal(405, None, f"{request.method} is not for content"))
        sha256 = self._signer.digest(request.path, request.query_string)
        if sha256 is None:
            return _refuse(Refusal(403, None, "The address was not signed here, or has expired"))
        file = self._library.by_digest(sha256)
        if file is None:
            return _refuse(Refusal(404, None, "The content is no longer in the folder"))
        headers = {"Content-Type": "application/octet-stream"}
        commit = request.query.get("commit", "")
        if is_commit(commit):
            headers[REPO_COMMIT] = commit
        return file_answer(request, file, headers)


def _methods(route: Route) -> frozenset[str]:
    return frozenset({"POST"}) if route.kind == "paths-info" else _READS


def _refuse(refusal: Refusal, commit: str | None = None) -> web.Response:
    message = refusal.message.encode("ascii", "backslashreplace").decode("ascii")
    fields = {ERROR_CODE: refusal.code, ERROR_MESSAGE: message, REPO_COMMIT: commit}
    headers = {name: value for name, value in fields.items() if value is not None}
    return web.json_response({"error": refusal.message}, status=refusal.status, headers=headers)


def _not_found(error: NotFound, token: str | None) -> web.Response:
    if isinstance(error, EntryNotFound):
        return _refuse(Refusal(404, "EntryNotFound", error.message), error.revision)
    if isinstance(error, RevisionNotFound):
        return _refuse(Refusal(404, "RevisionNotFound", error.message))
    return _refuse(unknown_repo(token))


def _moved(request: web.Request, asked: RepoId, canonical: RepoId) -> web.Response:
    # the whole name, where names stand: one that is called "model" is in "/api/models" too
    place = _NAME_PLACE.format(re.escape(str(asked)))
    path = re.sub(place, lambda found: f"{found[1]}{canonical}", request.raw_path, count=1)
    text = f"Temporary Redirect. Redirecting to {path}"
    return web.Response(status=307, text=text, headers={"Location": path})


def _whoami(token: str | None) -> web.Response:
    if token is None:
        return _refuse(Refusal(401, None, "Invalid username or password."))
    return web.json_response(answers.user(token))


def _json(document: Any, snapshot: Snapshot) -> web.Response:
    return web.json_response(document, headers={REPO_COMMIT: snapshot.commit})


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in _TRUE


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else None


async def _asked_paths(request: web.Request) -> tuple[list[str], bool]:
    """The ``paths`` and ``expand`` of a paths-info request, sent as a form or as JSON."""
    if request.content_type == "application/json":
        try:
            sent = await request.json()
        except ValueError:
            sent = None
        if not isinstance(sent, dict) or not isinstance(sent.get("paths"), list):
            raise InvalidReference("The body is not a JSON object with a list of paths")
        return [str(path) for path in sent["paths"]], bool(sent.get("expand"))
    form = await request.post()
    expand = str(form.get("expand", "")).lower() in _TRUE
    return [str(path) for path in form.getall("paths", [])], expand


def _hostname(request: web.Request) -> str:
    host = urlsplit(f"//{request.host}").hostname or "localhost"
    return f"[{host}]" if ":" in host else host


def _disposition(filename: str) -> str:
    name = filename.rpartition("/")[2]
    return f"inline; filename*=UTF-8''{quote(name, safe='')}"
