"""The Hub, as the rest of hubloader sees it: list a revision, describe a file, open a file.

Each method is one request (``list_revision`` takes one more for each page of a large tree); what
redirects and retries add happens below, in ``transport``. Answers are checked here: what comes out
is what was asked for, or one of our errors that names repository, revision and file.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hubloader.errors import MalformedAnswer, about
from hubloader.hub.endpoint import Endpoint
from hubloader.hub.file_answers import (
    OK,
    PARTIAL,
    check_body,
    describes_file,
    names_commit,
    refuse_web_page,
)
from hubloader.hub.headers import FileMetadata, format_etag, format_range, parse_file_metadata
from hubloader.hub.listing import Info, Refs, parse_json_object, parse_refs
from hubloader.hub.revision import survey
from hubloader.hub.urls import HubUrls
from hubloader.names import is_commit
from hubloader.transport.auth import Credential, Origin, authorised
from hubloader.transport.base import Headers, Request, Timeouts, shown
from hubloader.transport.health import OriginHealth, SharedPauses
from hubloader.transport.redirects import Redirecting, RedirectPolicy
from hubloader.transport.retry import Retrying, RetryPolicy
from hubloader.types import CommitHash, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.transport.base import Response, Transport
    from hubloader.types import RepoId

__all__ = ["HubClient"]

_NOT_FOUND = 404
_NO_SUCH_METHOD: Final = frozenset({405, 501})
_TIMEOUTS: Final = Timeouts()
_RETRY: Final = RetryPolicy()


class HubClient:
    """Speaks the Hub's protocol to one endpoint, from any number of threads.

    Args:
        transport: sends single requests; redirects, retries and the token are added here.
        endpoint: the Hub or a mirror of it, with a path of its own where it has one.
        token: sent to the endpoint's origin, and to nothing else.
        user_agent: sent with every request.
        timeouts: of requests that are given none.
        headers: further headers, for the endpoint's origin alone.
        retry: what is tried again, and for how long.
        min_rate: bytes per second below which a file's body counts as stalled, taken over
            ``timeouts.idle``; 0 for no floor.
        clock: counts seconds.
        sleep: waits seconds.
        health: what the process knows of the origins; None to begin knowing nothing.
        pauses: where other processes tell of the pauses they were asked for; None for no others.

    """

    def __init__(  # noqa: PLR0913  one wiring, in one place, with a default for each part
        self,
        transport: Transport,
        *,
        endpoint: str,
        token: str | None = None,
        user_agent: str = "hubloader",
        timeouts: Timeouts = _TIMEOUTS,
        headers: Mapping[str, str] | None = None,
        retry: RetryPolicy = _RETRY,
        min_rate: float = 1024.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        health: OriginHealth | None = None,
        pauses: SharedPauses | None = None,
    ) -> None:
        self.health = health or OriginHealth(clock)
        self.urls = HubUrls(endpoint)
        self._knows_head = True  # until it says otherwise
        self._credential = Credential.bound(endpoint, token)
        policy = RedirectPolicy(self._credential)
        self._at = Endpoint(
            transport=Retrying(
                Redirecting(transport, policy),
                retry,
                clock=clock,
                sleep=sleep,
                health=self.health,
                pauses=pauses,
            ),
            urls=self.urls,
            home=Origin.of(endpoint),
            headers=Headers({"User-Agent": user_agent}).merged(headers or {}),
            timeouts=timeouts,
            signed=token is not None,
            min_rate=min_rate,
            clock=clock,
        )

    @property
    def endpoint(self) -> str:
        """The address of the Hub, without a slash at its end."""
        return self.urls.endpoint

    def list_revision(
        self, repo: RepoId, revision: str, *, timeouts: Timeouts | None = None
    ) -> Manifest:
        """Ask what a revision is and holds.

        Where the endpoint tells names and nothing else, the entries have no size and no hash.

        Args:
            repo: a model, dataset or space; a renamed one is found, and ``Manifest.canonical``
                then has its name of today.
            revision: branch, tag, ``refs/pr/N``, commit or short commit.
            timeouts: of each request; with a ``total``, the call takes no longer and is tried once.

        Raises:
            RepositoryNotFound: no such repository, or the token does not reach it.
            RevisionNotFound: no such revision.
            ListingUnavailable: the endpoint lists nothing; ``head_file`` may still work.
            AccessDenied: it is there, and not handed out.
            HubError: the endpoint failed, or sent what cannot be true.
            TransportError: no answer came.

        """
        with about(repo_id=str(repo), revision=revision):
            return self._at.within(
                timeouts,
                lambda limits: survey(self._at, repo, revision, limits)[0],
                "asking for the files",
            )

    def survey(self, repo: RepoId, revision: str) -> tuple[Manifest, Info]:
        """Ask what a revision is and holds, as ``list_revision``, and what the card says of it.

        Raises:
            HubloaderError: as ``list_revision``.

        """
        with about(repo_id=str(repo), revision=revision):
            return survey(self._at, repo, revision, self._at.timeouts)

    def head_commit(
        self,
        repo: RepoId,
        revision: str,
        *,
        filename: str = "config.json",
        timeouts: Timeouts | None = None,
    ) -> CommitHash:
        """Ask which commit a branch is now: one small request, of the kind that may come often.

        Args:
            repo: a model, dataset or space.
            revision: branch, tag or ``refs/pr/N``.
            filename: any file; that it is there is not needed.
            timeouts: of the request; with a ``total``, the call takes no longer and is tried once.

        Raises:
            RepositoryNotFound: no such repository.
            RevisionNotFound: no such revision.
            MalformedAnswer: the endpoint does not say commits.
            HubError: the endpoint failed.
            TransportError: no answer came.

        """

        def ask(limits: Timeouts) -> CommitHash:
            with self._head(repo, revision, filename, limits, names_commit) as response:
                commit = parse_file_metadata(response.status, response.headers).commit
                if commit is not None and (response.status < 400 or response.status == _NOT_FOUND):
                    return commit
                self._at.expect(response, repo, "resolve", success=range(200, 400))
            raise MalformedAnswer(
                f"{self._at.home} does not say which commit {revision!r} is",
                hint="give a full commit as the revision",
                url=shown(response.url),
            )

        with about(repo_id=str(repo), revision=revision):
            return self._at.within(timeouts, ask, "asking whether the branch moved")

    def head_file(
        self, repo: RepoId, revision: str, filename: str, *, timeouts: Timeouts | None = None
    ) -> FileMetadata:
        """Ask what one file is: for endpoints that list nothing.

        ``commit`` is the asked revision, when that is a full commit and the endpoint does not say.

        Raises:
            EntryNotFound: no such file.
            RepositoryNotFound: no such repository.
            RevisionNotFound: no such revision.
            AccessDenied: it is there, and not handed out.
            HubError: the endpoint failed, or sent what cannot be true.
            TransportError: no answer came.

        """

        def ask(limits: Timeouts) -> FileMetadata:
            with self._head(repo, revision, filename, limits, describes_file) as response:
                self._at.expect(response, repo, "resolve", success=range(200, 400))
                meta = parse_file_metadata(response.status, response.headers)
                if meta.commit is None and meta.etag is None:
                    refuse_web_page(response)
            if meta.commit is not None and is_commit(revision) and meta.commit != revision:
                raise MalformedAnswer(f"{self._at.home} answered about the commit {meta.commit}")
            if meta.commit is None and is_commit(revision):
                return replace(meta, commit=CommitHash(revision))
            return meta

        with about(repo_id=str(repo), revision=revision, filename=filename):
            return self._at.within(timeouts, ask, "asking about the file")

    def open_file(
        self,
        repo: RepoId,
        commit: str,
        filename: str,
        *,
        start: int = 0,
        end: int | None = None,
        if_range: str | None = None,
        timeouts: Timeouts | None = None,
        repeat: bool = True,
    ) -> Response:
        """Open the bytes of a file, as they are.

        Every call begins at the endpoint, so that a signed address of the storage is always fresh.
        The body is checked against nothing here, neither size nor hash.

        Args:
            repo: a model, dataset or space.
            commit: the commit, or another revision.
            filename: the file.
            start: the first byte wanted.
            end: the byte after the last one wanted; None: the file's end.
            if_range: the ``ETag`` header of the answer that earlier bytes came from; when the
                content behind it changed, the whole file comes. Use that header and no hash: a
                storage has etags of its own.
            timeouts: of the request.
            repeat: whether a request that failed is sent again; False for a caller whose own loop
                does that, for broken bodies too.

        Returns:
            An answer with status 206 (the bytes asked for), or 200: the whole file, also when a
            range was asked, from a server that knows none or when the content changed.

        Raises:
            EntryNotFound: no such file.
            RepositoryNotFound: no such repository.
            RevisionNotFound: no such revision.
            AccessDenied: it is there, and not handed out.
            ServerFailed: with status 416, no such range.
            MalformedAnswer: other bytes than those asked for came, or encoded ones.
            TransportError: no answer came.

        """
        headers = {"Accept-Encoding": "identity", "X-HF-Download-Counter": "1"}
        ranged = start > 0 or end is not None
        if ranged:
            headers["Range"] = format_range(start, end)
        if ranged and if_range is not None:
            headers["If-Range"] = if_range if '"' in if_range else format_etag(if_range)
        url = self.urls.resolve(repo, commit, filename)
        with about(repo_id=str(repo), revision=commit, filename=filename), ExitStack() as undo:
            response = self._at.transport.send(
                Request(
                    "GET",
                    url,
                    self._at.headers.merged(headers),
                    timeouts=timeouts or self._at.timeouts,
                    repeat=repeat,
                )
            )
            undo.callback(response.close)
            self._at.expect(response, repo, "resolve", success=range(OK, PARTIAL + 1))
            check_body(response, start, end, ranged=ranged)
            undo.pop_all()
        return self._at.floored(response)

    def xet_token_request(self, repo: RepoId, commit: str) -> tuple[str, Mapping[str, str]]:
        """Say where huggingface_hub's Xet client gets its token, and with which headers.

        The address is the endpoint's own, never one that an answer named.
        """
        url = self.urls.xet_read_token(repo, commit)
        return url, authorised(self._at.headers, url, self._credential)

    def refs(self, repo: RepoId, *, pull_requests: bool = False) -> Refs:
        """Ask for the branches and tags; and for the pull requests, if wanted.

        Raises:
            RepositoryNotFound: no such repository.
            AccessDenied: it is there, and not handed out.
            HubError: the endpoint failed, or sent what cannot be true.
            TransportError: no answer came.

        """
        with about(repo_id=str(repo)):
            url = self.urls.refs(repo, pull_requests=pull_requests)
            return parse_refs(self._at.get_json(url, repo, "refs", self._at.timeouts).body)

    def whoami(self) -> Mapping[str, Any]:
        """Ask whose token it is: the Hub's JSON, with ``name`` among its keys.

        Raises:
            AuthenticationRequired: there is no token, or it is not accepted.
            HubError: the endpoint failed, or sent what cannot be true.
            TransportError: no answer came.

        """
        told = self._at.get_json(self.urls.whoami(), None, "whoami", self._at.timeouts)
        answer = parse_json_object(told.body)
        if not isinstance(answer.get("name"), str):
            raise MalformedAnswer(f"{self._at.home} does not say whose token it is")
        return answer

    def close(self) -> None:
        """Close the connections that are kept."""
        self._at.transport.close()

    def _head(
        self,
        repo: RepoId,
        revision: str,
        filename: str,
        timeouts: Timeouts,
        stop: Callable[[Response], bool],
    ) -> Response:
        url, identity = self.urls.resolve(repo, revision, filename), {"Accept-Encoding": "identity"}
        if self._knows_head:
            response = self._at.send("HEAD", url, identity, timeouts, stop)
            if response.status not in _NO_SUCH_METHOD:
                return response
            response.close()
            self._knows_head = False
        # the same headers, and a body that nobody reads
        return self._at.send("GET", url, identity, timeouts, stop)
