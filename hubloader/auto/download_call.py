"""What a call of a download function means: which session, which reference, told to whom."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hubloader import notices
from hubloader.auto.pinned import Pin, pin_of
from hubloader.auto.source import HubArguments, mode_of, session_for, settings_for
from hubloader.errors import InvalidReference
from hubloader.names import check_revision
from hubloader.settings import setting_sources
from hubloader.types import Mode, ModelRef, Purpose, RepoId

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from hubloader.auto.local_folder import LocalFolder
    from hubloader.resolve.files import SnapshotFiles
    from hubloader.resolve.plan import Plan
    from hubloader.resolve.progress import Progress
    from hubloader.resolve.session import Session
    from hubloader.types import Manifest, RepoType

__all__ = ["Call", "ignoring_legacy", "into", "kind_of", "understand"]

_F = TypeVar("_F", bound="Callable[..., Any]")

# arguments of huggingface_hub before 1.0, which it takes and ignores: what is the case instead
_LEGACY = {
    "proxies": "set HTTPS_PROXY or HTTP_PROXY",
    "resume_download": "a download always goes on where it stopped",
    "force_filename": "a file keeps its name of the repository",
    "local_dir_use_symlinks": "a folder gets files, never links",
}


def ignoring_legacy(function: _F) -> _F:
    """Let ``function`` be called with huggingface_hub's older arguments: a warning for each.

    Source: huggingface_hub 2.4.0 ``utils/_validators.py`` (smoothly_deprecate_legacy_arguments).
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **keywords: Any) -> Any:
        for name in _LEGACY.keys() & keywords.keys():
            if keywords.pop(name) is not None:
                notices.warn(f"{function.__name__} ignores {name}: {_LEGACY[name]}")
        return function(*args, **keywords)

    return wrapped  # type: ignore[return-value]  # it takes more, and gives what the function does


@dataclass(frozen=True)
class Call:
    """One call of a download function, understood; ``pin`` where a lock says what it gets."""

    session: Session
    ref: ModelRef
    mode: Mode
    progress: Callable[[Progress], Any] | None
    pin: Pin | None = None

    def files(self, purpose: Purpose) -> SnapshotFiles:
        """Bring files, as ``Session.files`` does."""
        if self.pin is not None:
            purpose = self.pin.narrowed(purpose)
        files = self.session.files(self.ref, purpose, mode=self.mode, progress=self.progress)
        if self.pin is not None:
            self.pin.check(self.session.store, purpose.exact)
        return files

    def plan(self, purpose: Purpose) -> Plan:
        """Tell what that would do."""
        if self.pin is not None:
            purpose = self.pin.narrowed(purpose)
        return self.session.plan(self.ref, purpose, mode=self.mode)

    def wanted(self, purpose: Purpose) -> tuple[Manifest, tuple[str, ...]]:
        """Tell which files are meant, and of which commit."""
        if self.pin is not None:
            purpose = self.pin.narrowed(purpose)
        return self.session.wanted(self.ref, purpose, mode=self.mode)


def kind_of(repo_type: str | None) -> RepoType:
    """The type of repository that is meant.

    Raises:
        InvalidReference: there is no such type.

    """
    if repo_type is None:
        return "model"
    if repo_type not in {"model", "dataset", "space"}:
        raise InvalidReference(
            f"{repo_type!r} is no type of repository", hint="give 'model', 'dataset' or 'space'"
        )
    return cast("RepoType", repo_type)


def understand(
    repo_id: str,
    repo_type: str | None,
    revision: str | None,
    options: Mapping[str, Any],
) -> Call:
    """Read what a download function was given; ``options`` are its other parameters, by name.

    Raises:
        InvalidReference: something that cannot be meant.
        AuthenticationRequired: a token is demanded, and none is stored.

    """
    repo = RepoId.parse(repo_id, kind_of(repo_type))
    revision = getattr(revision, "resolved", revision)  # huggingface_hub's ResolvedRevision
    if revision is not None:
        check_revision(revision)
    arguments = HubArguments(
        cache_dir=options["cache_dir"],
        token=options["token"],
        local_files_only=options["local_files_only"],
        force_download=options["force_download"],
        endpoint=options["endpoint"],
    )
    settings = settings_for(arguments)
    workers = options.get("max_workers")
    if workers is not None:
        if workers < 1:
            raise InvalidReference(f"max_workers is {workers}", hint="give 1 or more, or leave it")
        settings = replace(settings, max_workers=workers)
    if options["etag_timeout"] is not None and not setting_sources()["refresh_timeout"]:
        settings = replace(settings, refresh_timeout=float(options["etag_timeout"]))
    session = session_for(
        settings,
        token=arguments.token,
        headers=options["headers"],
        user_agent=_user_agent(options),
    )
    progress = _progress(options["tqdm_class"])
    pin = pin_of(settings, repo_id, revision, repo.repo_type)
    if pin is not None:
        return Call(session, pin.ref, pin.mode, progress, pin)
    ref = ModelRef(repo=repo, revision=revision)
    return Call(session, ref, mode_of(arguments, settings), progress)


def into(call: Call, local_dir: str | os.PathLike[str] | None) -> tuple[Call, LocalFolder | None]:
    """The call as it is, or one that fetches into the user's own folder."""
    if local_dir is None:
        return call, None
    from hubloader.auto.local_folder import LocalFolder  # first use

    folder = LocalFolder(local_dir)
    return replace(call, session=folder.session(call.session)), folder


def _user_agent(options: Mapping[str, Any]) -> str:
    """What the caller's library is, in the words of a user agent."""
    parts = []
    if options["library_name"]:
        version = options["library_version"]
        parts.append(f"{options['library_name']}/{version}" if version else options["library_name"])
    given = options["user_agent"]
    if isinstance(given, dict):
        parts += [f"{key}/{value}" for key, value in given.items()]
    elif given:
        parts.append(str(given))
    return "; ".join(parts)


def _progress(tqdm_class: Any) -> Callable[[Progress], Any] | None:
    if tqdm_class is None:
        return None
    from hubloader.resolve.progress import Bars

    return Bars(tqdm_class=tqdm_class)
