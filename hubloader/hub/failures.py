"""What an answer that is no success means: status and error headers become one of our errors.

One of the three places where foreign errors become ours. The first row that fits:

===============================================  ===================================================
answer                                           error
===============================================  ===================================================
407                                              ConnectFailed: the proxy wants a login
429                                              RateLimited
408, 5xx                                         ServerFailed
4xx from another origin than the endpoint        ServerFailed: the storage refused
"Access to this resource is disabled."           Forbidden
"Invalid credentials in Authorization header"    AuthenticationRequired: the token is not accepted
``X-Error-Code: RevisionNotFound``               RevisionNotFound
``EntryNotFound``                                EntryNotFound
``GatedRepo``                                    GatedRepository
``RepoNotFound``                                 RepositoryNotFound
401                                              AuthenticationRequired
403, 451                                         Forbidden
404, 405, 410, 501 without a code: of a listing  ListingUnavailable
404, 410 without a code: of a file               EntryNotFound
404, 410 without a code: of anything else        RepositoryNotFound
anything else                                    ServerFailed, or MalformedAnswer below 400
===============================================  ===================================================

Source: huggingface_hub 2.4.0 ``utils/_http.py`` (``hf_raise_for_status``), in its order but for the
rows that are about the network and not the Hub.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hubloader.errors import (
    AccessDenied,
    AuthenticationRequired,
    ConnectFailed,
    EntryNotFound,
    Forbidden,
    GatedRepository,
    HubloaderError,
    ListingUnavailable,
    MalformedAnswer,
    RateLimited,
    RepositoryNotFound,
    RevisionNotFound,
    ServerFailed,
)
from hubloader.hub.headers import ERROR_CODE, ERROR_MESSAGE, REQUEST_ID
from hubloader.transport.auth import Origin
from hubloader.transport.base import shown
from hubloader.transport.pacing import wait_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.hub.urls import HubUrls, RouteKind
    from hubloader.transport.base import Response

__all__ = ["Asked", "failure", "failure_of"]

_DISABLED = "Access to this resource is disabled."
_BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105  a message, not a token
_PROXY_LOGIN = 407
_UNAUTHORIZED = 401
_TOO_MANY = 429
_SERVER = 500
_NOT_IMPLEMENTED = 501
_NOT_THERE = frozenset({404, 410})
_NO_SUCH_ROUTE = frozenset({404, 405, 410, _NOT_IMPLEMENTED})
_REFUSED = frozenset({403, 451})
_MAX_BODY = 64 * 1024  # bytes of an error's body that are looked at
_MAX_SAID = 300  # characters of the server's words that are passed on
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Asked:
    """What the request that failed was about.

    Args:
        urls: the endpoint's addresses.
        kind: the route.
        page: the repository's page for people, "" when it was about none.
        signed: whether a token was at hand.

    """

    urls: HubUrls
    kind: RouteKind
    page: str = ""
    signed: bool = False


def failure_of(response: Response, asked: Asked) -> HubloaderError:
    """The error that ``response`` means; reads the beginning of its body, and closes it."""
    with response:
        body = _body(response)
    return failure(response.status, response.headers, body, url=response.url, asked=asked)


def failure(
    status: int, headers: Mapping[str, str], body: bytes, *, url: str, asked: Asked
) -> HubloaderError:
    """The error that an answer means; see the table above.

    Args:
        status: 300 to 599, or a success that has no place where it came.
        headers: looked up without regard to case.
        body: of the answer, or its beginning.
        url: what answered, after redirects.
        asked: what the request was about.

    """
    code = headers.get(ERROR_CODE, "")
    said = _said(headers, body)
    elsewhere = Origin.of(url) != Origin.of(asked.urls.endpoint)
    error = _of_network(status, headers, said, url, elsewhere=elsewhere)
    if error is None:
        error = _of_code(code, said, asked) or _of_status(status, said, url, asked)
    if isinstance(error, AccessDenied):
        error.said = said
    error.answered = status
    error.url = shown(url)
    error.request_id = headers.get(REQUEST_ID)
    return error


def _of_network(
    status: int, headers: Mapping[str, str], said: str, url: str, *, elsewhere: bool
) -> HubloaderError | None:
    host = Origin.of(url)
    wait = wait_asked(headers)
    if status == _PROXY_LOGIN:
        return ConnectFailed(
            "the proxy wants a login",
            hint="write user and password into HTTPS_PROXY",
            retryable=False,
        )
    if status == _TOO_MANY:
        when = "" if wait is None else f"; it asks for {wait:.0f} s of patience"
        return RateLimited(
            f"{host} had too many requests from here{when}",
            hint="wait, or log in: a token has a wider limit",
            retry_after=wait,
        )
    if status == 408 or (status >= _SERVER and status != _NOT_IMPLEMENTED):
        return ServerFailed(
            f"{host} failed with status {status}{_quoted(said)}",
            hint="try again later",
            status=status,
            retry_after=wait,
        )
    if elsewhere and status >= 400:
        return ServerFailed(
            f"the storage at {host} refused the address it was asked, with status {status}",
            hint="try again: addresses of the storage are good for a short time",
            status=status,
        )
    return None


def _of_code(code: str, said: str, asked: Asked) -> HubloaderError | None:
    if said == _DISABLED:
        return Forbidden("the Hub has disabled the repository", hint=f"see {asked.page}")
    if said.startswith(_BAD_TOKEN):
        return _bad_token(asked)
    make = _CODES.get(code)
    return None if make is None else make(asked, said)


def _of_status(status: int, said: str, url: str, asked: Asked) -> HubloaderError:
    if status == _UNAUTHORIZED:
        return _bad_token(asked)
    if status in _REFUSED:
        return Forbidden(
            f"{Origin.of(url)} does not allow it{_quoted(said)}",
            hint=f"check what the token may do; {_where_to_ask(asked)}",
        )
    if asked.kind in {"info", "tree"} and status in _NO_SUCH_ROUTE:
        return ListingUnavailable(
            f"{Origin.of(url)} does not list the repository (status {status})",
            hint="check the name; a mirror that lists nothing gives single files",
        )
    if status in _NOT_THERE:
        return (_no_file if asked.kind == "resolve" else _no_repository)(asked, said)
    if status < 400:
        return MalformedAnswer(f"{Origin.of(url)} answered with status {status}, out of place")
    return ServerFailed(
        f"{Origin.of(url)} answered with status {status}{_quoted(said)}", status=status
    )


def _no_revision(asked: Asked, said: str) -> HubloaderError:
    del asked, said
    return RevisionNotFound(
        "the repository has no such revision", hint="check the branch, tag or commit"
    )


def _no_file(asked: Asked, said: str) -> HubloaderError:
    del asked, said
    return EntryNotFound("the revision has no such file", hint="check the file's name")


def _gated(asked: Asked, said: str) -> HubloaderError:
    del said  # kept as a field: it says the same at length
    why = "this token has no access to it" if asked.signed else "it wants a token that has access"
    return GatedRepository(f"the repository is gated: {why}", hint=_where_to_ask(asked))


def _bad_token(asked: Asked) -> HubloaderError:
    if asked.signed:
        return AuthenticationRequired(
            "the endpoint does not accept the token",
            hint="check HF_TOKEN, or log in again with `hf auth login`",
        )
    return AuthenticationRequired(
        "the endpoint wants a token",
        hint="set HF_TOKEN, or log in with `hf auth login`",
    )


def _no_repository(asked: Asked, said: str) -> HubloaderError:
    del said
    hint = "check the name and the type (model, dataset, space)"
    if asked.signed:
        return RepositoryNotFound(
            "the Hub has no such repository", hint=f"{hint}, and that the token reaches it"
        )
    return RepositoryNotFound(
        "the Hub has no such repository",
        hint=f"{hint}; if it is private, set HF_TOKEN or log in with `hf auth login`",
    )


_CODES: Final[dict[str, Callable[[Asked, str], HubloaderError]]] = {
    "RevisionNotFound": _no_revision,
    "EntryNotFound": _no_file,
    "GatedRepo": _gated,
    "RepoNotFound": _no_repository,
}


def _where_to_ask(asked: Asked) -> str:
    where = f"ask for access at {asked.page}" if asked.page else "ask its owner for access"
    return where if asked.signed else f"{where}, then set HF_TOKEN or log in with `hf auth login`"


def _body(response: Response) -> bytes:
    # only words for the message are lost with it
    try:
        return response.read(_MAX_BODY)
    except HubloaderError:
        return b""


def _said(headers: Mapping[str, str], body: bytes) -> str:
    """The server's own words: a header, or the JSON it sent, cut and without control characters."""
    text = headers.get(ERROR_MESSAGE) or _json_error(body)
    return _CONTROL.sub(" ", text).strip()[:_MAX_SAID]


def _json_error(body: bytes) -> str:
    try:
        raw: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = raw.get("error") if isinstance(raw, dict) else None
    return error if isinstance(error, str) else ""


def _quoted(said: str) -> str:
    return f": {said}" if said else ""
