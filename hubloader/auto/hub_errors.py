"""Errors that are hubloader's and huggingface_hub's at once.

Code written for huggingface_hub's download functions catches its classes; the class that is both is
made when the error is raised, so that nothing imports huggingface_hub before.

===========================================  ==================================================
ours                                         is also huggingface_hub's
===========================================  ==================================================
InvalidReference                             HFValidationError
RepositoryNotFound                           RepositoryNotFoundError
GatedRepository                              GatedRepoError
AuthenticationRequired, with no answer       LocalTokenNotFoundError
behind it
RevisionNotFound                             RevisionNotFoundError
EntryNotFound                                RemoteEntryNotFoundError; LocalEntryNotFoundError of
                                             one file while the network is off
AuthenticationRequired, Forbidden,           HfHubHTTPError
RateLimited, ServerFailed
MalformedAnswer, ListingUnavailable          FileMetadataError
CacheMiss                                    LocalEntryNotFoundError; IncompleteSnapshotError when
                                             it names files that are missing of a snapshot;
                                             DryRunError where a snapshot cannot be foretold
===========================================  ==================================================

Source: huggingface_hub 2.4.0 ``errors.py``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from hubloader import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.errors import HubloaderError

__all__ = ["both", "raising_both"]

_F = TypeVar("_F", bound="Callable[..., Any]")

# ours, huggingface_hub's, the status of the answer behind it (None: it is no HTTP error there)
_PAIRS: tuple[tuple[type[HubloaderError], str, int | None], ...] = (
    (errors.InvalidReference, "HFValidationError", None),
    (errors.RepositoryNotFound, "RepositoryNotFoundError", 404),
    (errors.RevisionNotFound, "RevisionNotFoundError", 404),
    (errors.EntryNotFound, "RemoteEntryNotFoundError", 404),
    (errors.GatedRepository, "GatedRepoError", 403),
    (errors.AuthenticationRequired, "HfHubHTTPError", 401),
    (errors.Forbidden, "HfHubHTTPError", 403),
    (errors.RateLimited, "HfHubHTTPError", 429),
    (errors.ServerFailed, "HfHubHTTPError", 500),
    (errors.MalformedAnswer, "FileMetadataError", None),
    (errors.ListingUnavailable, "FileMetadataError", None),
    (errors.CacheMiss, "LocalEntryNotFoundError", None),
)
_REMADE = frozenset({"response", "_request", "server_message"})  # by _add_answer


def raising_both(function: _F) -> _F:
    """Let what ``function`` raises be huggingface_hub's error too."""

    @functools.wraps(function)
    def wrapped(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except errors.HubloaderError as error:
            raise both(error).with_traceback(error.__traceback__) from error.__cause__

    return wrapped  # type: ignore[return-value]  # it takes and gives what the function does


def both(
    error: HubloaderError, *, snapshot_path: str | None = None, theirs: str = ""
) -> HubloaderError:
    """The same error as an instance of both libraries' classes; ``error`` where there is no pair.

    Args:
        error: ours.
        snapshot_path: the folder that is incomplete, of a snapshot's CacheMiss.
        theirs: huggingface_hub's class, where it is another than usual.

    """
    if hasattr(error, "_hubloader_class"):
        return error
    pair = next((pair for pair in _PAIRS if isinstance(error, pair[0])), None)
    if pair is None:
        return error
    theirs, status = (theirs, None) if theirs else pair[1:]
    if isinstance(error, errors.AuthenticationRequired) and error.url is None:
        theirs, status = "LocalTokenNotFoundError", None  # token=True, and none is stored
    if snapshot_path is not None and isinstance(error, errors.CacheMiss):
        theirs = "IncompleteSnapshotError"
    state = {**error.__dict__, "filename": error.filename, "snapshot_path": snapshot_path}
    if status is not None:
        state["answered"] = error.answered or getattr(error, "status", status)
    return _revive(type(error), theirs, error.args, state)


def _revive(
    ours: type[HubloaderError], theirs: str, args: tuple[Any, ...], state: dict[str, Any]
) -> HubloaderError:
    kind: type[HubloaderError] = _twin_class(ours, theirs)  # type: ignore[arg-type]  # OSError's stub
    error: HubloaderError = kind.__new__(kind, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    if "answered" in state:
        _add_answer(error, state["answered"])
    return error


@functools.cache
def _twin_class(ours: type[HubloaderError], theirs: str) -> type[HubloaderError]:
    import huggingface_hub.errors

    def reduce(error: HubloaderError, *_protocol: int) -> tuple[Any, ...]:
        state = {**error.__dict__, "filename": error.filename}
        kept = {name: value for name, value in state.items() if name not in _REMADE}
        return _revive, (ours, theirs, error.args, kept)

    members = {
        "__module__": ours.__module__,
        "__doc__": ours.__doc__,
        "__reduce__": reduce,
        "__reduce_ex__": reduce,  # huggingface_hub's own would come first
    }
    bases = (ours, getattr(huggingface_hub.errors, theirs))
    return type(ours.__name__, bases, {**members, "_hubloader_class": ours})


def _add_answer(error: Any, status: int) -> None:
    """Give the error the ``response`` that code written for huggingface_hub looks at."""
    from importlib import import_module

    import huggingface_hub.errors

    # httpx before 2.0 of huggingface_hub, httpx2 after: the one its errors were made with
    module: Any = huggingface_hub.errors
    http = import_module(module.Response.__module__.partition(".")[0])
    request = http.Request("GET", error.url or "https://huggingface.co")
    headers = {"X-Request-Id": error.request_id} if error.request_id else {}
    error.response = http.Response(status, headers=headers, request=request)
    error.request = request
    error.server_message = error.message
