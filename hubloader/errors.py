"""Every exception that hubloader raises.

::

    HubloaderError
    ├─ InvalidReference (ValueError)         bad repo id, revision, file name, ambiguous source
    ├─ NotFound (FileNotFoundError)
    │   ├─ RepositoryNotFound   ├─ RevisionNotFound   └─ EntryNotFound
    ├─ AccessDenied (PermissionError)
    │   ├─ AuthenticationRequired   ├─ GatedRepository   └─ Forbidden
    ├─ CacheMiss (FileNotFoundError)         not on disk, and the network was off or unreachable
    ├─ TransportError (ConnectionError)
    │   ├─ ConnectFailed  ├─ TimedOut (TimeoutError)  ├─ Interrupted  └─ RedirectRefused
    ├─ HubError (OSError)                    the server answered, but not usefully
    │   ├─ RateLimited  ├─ ServerFailed  ├─ MalformedAnswer  └─ ListingUnavailable
    ├─ CacheError (OSError)
    │   ├─ LockTimeout (TimeoutError)  ├─ IntegrityError  ├─ DiskFull  └─ CacheReadOnly
    ├─ FormatError (ValueError)
    │   ├─ UnsafeFile  ├─ CorruptFile (OSError)  └─ UnsupportedDtype
    ├─ UnfitLength (IndexError, ValueError)  a model cannot take texts of that length
    ├─ LockOutOfDate (ValueError)
    ├─ PolicyRefused (ValueError)
    │   └─ RemoteCodeRefused
    └─ AssemblyError
        ├─ UnknownArchitecture (ValueError)
        │   └─ UnsupportedArchitecture
        ├─ UnknownTokenizer (ValueError)
        ├─ UnsupportedTask (ValueError)  ├─ BackendUnavailable (ImportError)
        └─ WeightsMismatch (RuntimeError)

A class exists because a caller can do something different about it. Each also derives from the
built-in that a newcomer would catch, carries the repository, revision and file it is about as
attributes, and knows the exit code of the command line.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

    from hubloader.types import LoadReport

__all__ = [
    "AccessDenied",
    "AssemblyError",
    "AuthenticationRequired",
    "BackendUnavailable",
    "CacheError",
    "CacheMiss",
    "CacheReadOnly",
    "ConnectFailed",
    "CorruptFile",
    "DiskFull",
    "EntryNotFound",
    "Forbidden",
    "FormatError",
    "GatedRepository",
    "HubError",
    "HubloaderError",
    "IntegrityError",
    "Interrupted",
    "InvalidReference",
    "ListingUnavailable",
    "LockOutOfDate",
    "LockTimeout",
    "MalformedAnswer",
    "NotFound",
    "PolicyRefused",
    "RateLimited",
    "RedirectRefused",
    "RemoteCodeRefused",
    "RepositoryNotFound",
    "RevisionNotFound",
    "ServerFailed",
    "TimedOut",
    "TransportError",
    "UnfitLength",
    "UnknownArchitecture",
    "UnknownTokenizer",
    "UnsafeFile",
    "UnsupportedArchitecture",
    "UnsupportedDtype",
    "UnsupportedTask",
    "WeightsMismatch",
    "about",
    "gravity",
]

_GRAVEST_FIRST: Final = (5, 9, 4, 3, 2, 7, 8, 6, 10, 1, 75)  # told in docs/reference/errors.md


class HubloaderError(Exception):
    """Base of all errors here.

    Args:
        message: one sentence: what happened, to which thing.
        hint: what to do about it, where there is a way out.
        repo_id: the repository concerned, as the user named it.
        revision: the branch, tag or commit concerned.
        filename: the POSIX path inside the repository.
        url: the address that was asked.
        request_id: the Hub's ``X-Request-Id``, to quote in a report.

    Where one error speaks for several files, ``failures`` holds the error of each.
    """

    exit_code = 1
    usual_hint: str | None = None  # what to do, where the raiser knows nothing better
    failures: tuple[HubloaderError, ...] = ()
    answered: int | None = None  # the status of the answer that the error is about

    message: str
    hint: str | None
    repo_id: str | None
    revision: str | None
    filename: Any  # str | None; OSError declares it as Any
    url: str | None
    request_id: str | None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        repo_id: str | None = None,
        revision: str | None = None,
        filename: str | None = None,
        url: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.repo_id = repo_id
        self.revision = revision
        self.filename = filename
        self.url = url
        self.request_id = request_id

    def __str__(self) -> str:
        text = self.sentence()
        return f"{text}\nhint: {self.hint}" if self.hint else text

    def sentence(self) -> str:
        """The message, with the repository, revision and file it does not name itself."""
        named = (("", self.repo_id), ("revision ", self.revision), ("file ", self.filename))
        missing = [f"{word}{value}" for word, value in named if value and value not in self.message]
        return f"{self.message} ({', '.join(missing)})" if missing else self.message

    def __reduce__(self) -> tuple[Callable[..., HubloaderError], tuple[Any, ...]]:
        return _revive, (type(self), self.args, {**self.__dict__, "filename": self.filename})


def _revive(
    cls: type[HubloaderError], args: tuple[Any, ...], state: Mapping[str, Any]
) -> HubloaderError:
    error = cls.__new__(cls, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


@contextlib.contextmanager
def about(
    *, repo_id: str | None = None, revision: str | None = None, filename: str | None = None
) -> Iterator[None]:
    """Say, on any error of ours raised inside, which repository, revision and file it is about.

    Fields that the error already carries stay.
    """
    try:
        yield
    except HubloaderError as error:
        error.repo_id = error.repo_id or repo_id
        error.revision = error.revision or revision
        error.filename = error.filename or filename
        raise


def gravity(failure: BaseException) -> int:
    """Rank an error among several: the one with the lowest number leads and gives the exit code.

    What comes first is what trying again cannot mend; an error of nobody's here has exit code 1.
    """
    code = getattr(failure, "exit_code", 1)
    return _GRAVEST_FIRST.index(code) if code in _GRAVEST_FIRST else len(_GRAVEST_FIRST)


class InvalidReference(HubloaderError, ValueError):
    """A repository id, revision or file name that cannot be one, or an ambiguous source."""

    exit_code = 2


class NotFound(HubloaderError, FileNotFoundError):
    """The Hub, or the folder, has no such thing."""

    exit_code = 3


class RepositoryNotFound(NotFound):
    """No such repository, or it is private and the token does not reach it."""


class RevisionNotFound(NotFound):
    """The repository is there, the branch, tag or commit is not."""


class EntryNotFound(NotFound):
    """The revision is there, the file is not in it."""


class AccessDenied(HubloaderError, PermissionError):
    """The Hub knows the thing and does not hand it out. ``said`` is the Hub's own text, or ""."""

    exit_code = 4
    said: str = ""


class AuthenticationRequired(AccessDenied):
    """No token was sent, or the Hub does not accept it."""


class GatedRepository(AccessDenied):
    """Access has to be asked for on the repository's page."""


class Forbidden(AccessDenied):
    """The token is good and does not reach this repository."""


class CacheMiss(HubloaderError, FileNotFoundError):
    """Something is not on disk, and the network was off or could not be reached.

    ``missing`` names every file that is not there; ``offline`` tells whether the network was
    switched off (exit code 6) or failed (75; ``__cause__`` says how).
    """

    def __init__(
        self, message: str, *, missing: tuple[str, ...] = (), offline: bool = True, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.missing = missing
        self.offline = offline

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # the one whose code depends on why
        """6 while offline, 75 when the network failed."""
        return 6 if self.offline else 75


class TransportError(HubloaderError, ConnectionError):
    """No usable answer came back: worth trying again."""

    exit_code = 75


class ConnectFailed(TransportError):
    """Name, route, proxy or TLS: no connection was made. ``retryable`` is False for TLS."""

    def __init__(self, message: str, *, retryable: bool = True, **context: Any) -> None:
        super().__init__(message, **context)
        self.retryable = retryable


class TimedOut(TransportError, TimeoutError):
    """The server was silent, or slower than the floor, for too long.

    ``connecting`` tells that there was not even a connection.
    """

    def __init__(self, message: str, *, connecting: bool = False, **context: Any) -> None:
        super().__init__(message, **context)
        self.connecting = connecting


class Interrupted(TransportError):
    """The connection ended inside a body: ``received`` of ``expected`` bytes had come."""

    def __init__(
        self, message: str, *, received: int = 0, expected: int | None = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.received = received
        self.expected = expected


class RedirectRefused(TransportError):
    """A redirect that must not be followed: a loop, a downgrade to http, a forbidden target."""


class HubError(HubloaderError, OSError):
    """The server answered, but not usefully."""

    exit_code = 75


class RateLimited(HubError):
    """Status 429. ``retry_after`` is in seconds, None when the Hub did not say."""

    def __init__(self, message: str, *, retry_after: float | None = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.retry_after = retry_after


class ServerFailed(HubError):
    """A 5xx, or another status nobody expects here. ``status`` is the number.

    ``retry_after`` is in seconds, None when the server did not say.
    """

    def __init__(
        self, message: str, *, status: int, retry_after: float | None = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.status = status
        self.retry_after = retry_after


class MalformedAnswer(HubError):
    """A success status with a body or header that cannot be true."""


class ListingUnavailable(HubError):
    """The endpoint does not list the repository; single files may still be had."""


class CacheError(HubloaderError, OSError):
    """The disk, or what lies on it."""


class LockTimeout(CacheError, TimeoutError):
    """Another process held a lock longer than allowed: ``holder`` says who, ``waited`` how long."""

    exit_code = 10

    def __init__(
        self, message: str, *, holder: str | None = None, waited: float = 0.0, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.holder = holder
        self.waited = waited


class IntegrityError(CacheError):
    """Bytes whose hash or size is not the announced one. ``expected`` and ``actual`` tell."""

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        actual: str | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.expected = expected
        self.actual = actual


class DiskFull(CacheError):
    """No room: ``needed`` and ``free`` are bytes, None where unknown."""

    exit_code = 8

    def __init__(
        self, message: str, *, needed: int | None = None, free: int | None = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.needed = needed
        self.free = free


class CacheReadOnly(CacheError):
    """The cache cannot be written, and something had to be."""


class FormatError(HubloaderError, ValueError):
    """A file that cannot be used."""


class UnsafeFile(FormatError):
    """A file that would run code, reach outside itself, or exhaust the machine."""

    exit_code = 9


class CorruptFile(FormatError, OSError):
    """A file whose content is not what its name says."""

    usual_hint = "fetch it again with force_download=True, or ask its author to mend it"

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """Make it by its widest base: a ValueError's own way is not safe for an OSError."""
        return OSError.__new__(cls, *args)


class UnsupportedDtype(FormatError):
    """A number format that the backend cannot hold."""


class UnfitLength(HubloaderError, IndexError, ValueError):
    """A model was given texts of a length that it cannot take: longer than its positions."""


class LockOutOfDate(HubloaderError, ValueError):
    """models.lock does not say what models.toml asks."""

    exit_code = 7


class PolicyRefused(HubloaderError, ValueError):
    """A rule of the project or of hubloader forbids it."""

    exit_code = 9


class RemoteCodeRefused(PolicyRefused):
    """The repository wants its own code run; hubloader never does."""


class AssemblyError(HubloaderError):
    """The files are there; the object could not be made of them."""


class UnknownArchitecture(AssemblyError, ValueError):
    """Nobody here implements ``model_type``; ``close_matches`` are the nearest names."""

    def __init__(
        self,
        message: str,
        *,
        model_type: str | None = None,
        close_matches: tuple[str, ...] = (),
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.model_type = model_type
        self.close_matches = close_matches


class UnsupportedArchitecture(UnknownArchitecture):
    """The architecture is here, and the config asks for a variant of it that is not."""


class UnknownTokenizer(AssemblyError, ValueError):
    """No tokenizer.json, and no family here reads the legacy files."""


class UnsupportedTask(AssemblyError, ValueError):
    """The architecture is known, this head of it is not."""


class BackendUnavailable(AssemblyError, ImportError):
    """The framework is not installed; the hint says the extra that brings it."""


class WeightsMismatch(AssemblyError, RuntimeError):
    """The checkpoint does not fit the model; ``report`` lists every tensor."""

    def __init__(self, message: str, *, report: LoadReport | None = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.report = report
