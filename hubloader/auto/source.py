"""The Hub's keywords and the default wiring of the whole library.

Below this layer every collaborator is a parameter. Here, once per ``Settings``, the client of the
endpoint and the store of the cache are made and kept together in a ``Session``, so that everything
one process loads shares connections and listings.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubloader.errors import HubloaderError, InvalidReference
from hubloader.settings import Settings, environment, is_implicit, read_token
from hubloader.types import DEFAULT_REVISION, Mode, Refresh

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from hubloader.hub.client import HubClient
    from hubloader.resolve.answers import Reachability
    from hubloader.resolve.session import Session
    from hubloader.transport.health import OriginHealth

__all__ = [
    "HubArguments",
    "asked_for",
    "connect",
    "mode_of",
    "session_for",
    "settings_for",
    "split_hub_arguments",
]

_MAX_SESSIONS = 64  # a process that goes through many caches or tokens forgets the oldest
_SETTINGS: dict[Hashable, Settings] = {}  # what a look-up would spend most of its time on
_SESSIONS: dict[Hashable, Session] = {}
_HEALTH: list[OriginHealth] = []
_REACHABILITY: dict[str, Reachability] = {}  # by endpoint: one warning for a whole process


@dataclass(frozen=True)
class HubArguments:
    """The keywords of every ``from_pretrained`` that say where files come from.

    Args:
        revision: branch, tag, ``refs/pr/N`` or commit; None for main.
        subfolder: folder inside the repository that holds the files.
        cache_dir: the hub folder itself; None for the environment's.
        token: a token, True to demand the stored one, False for none, None for it if there is one.
        local_files_only: use no network in this call.
        force_download: fetch again even what is cached.
        proxies: proxy by scheme (``{"https": "http://proxy:3128"}``).
        endpoint: the Hub, or a mirror; None for the environment's.
        trust_remote_code: True is refused: code out of a repository is never run.
        refresh: ``"always"``, ``"session"``, ``"never"`` or seconds; None for the environment's.
        lock: a models.lock: the name is one of its entries, which is loaded as it is locked, out of
            the cache alone.
        variant: the variant of the weights, such as ``"fp16"``.
        use_safetensors: True demands safetensors, False forbids them, None prefers them.

    """

    revision: str | None = None
    subfolder: str = ""
    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    force_download: bool = False
    proxies: Mapping[str, str] | None = None
    endpoint: str | None = None
    trust_remote_code: bool = False
    refresh: Refresh | str | float | None = None
    lock: str | os.PathLike[str] | None = None
    variant: str | None = None
    use_safetensors: bool | None = None


_NAMES = tuple(item.name for item in fields(HubArguments))


def split_hub_arguments(keywords: Mapping[str, Any]) -> tuple[HubArguments, dict[str, Any]]:
    """Take the keywords that say where files come from; the rest is the loader's own."""
    hub = {name: keywords[name] for name in _NAMES if name in keywords}
    rest = {name: value for name, value in keywords.items() if name not in hub}
    if hub.get("subfolder", "") is None:
        hub["subfolder"] = ""
    return HubArguments(**hub), rest


def settings_for(arguments: HubArguments) -> Settings:
    """Read the environment now; what an argument says wins.

    Raises:
        InvalidReference: a value of the environment, ``endpoint`` or ``refresh`` means nothing.

    """
    refresh, folder = arguments.refresh, arguments.cache_dir
    key = (environment(), folder, arguments.endpoint, refresh)
    settings = _SETTINGS.get(key)
    if settings is None:
        settings = Settings.from_env(
            cache_dir=None if folder is None else Path(folder).expanduser(),
            endpoint=_read("endpoint", arguments.endpoint),
            refresh=refresh if isinstance(refresh, Refresh) else _read("refresh", refresh),
        )
        if len(_SETTINGS) >= _MAX_SESSIONS:
            _SETTINGS.clear()
        _SETTINGS[key] = settings
    return settings


def _read(name: str, value: str | float | None) -> Any:
    """Read an argument by the rules that its environment variable has."""
    if value is None:
        return None
    reader = next(item.metadata["read"] for item in fields(Settings) if item.name == name)
    try:
        return reader(str(value))
    except ValueError as error:
        raise InvalidReference(f"{name}={value!r}: {error}", hint=f"mend {name}=") from None


@contextlib.contextmanager
def asked_for(name: str | os.PathLike[str], arguments: HubArguments) -> Iterator[None]:
    """Say, on any error of ours raised inside, what the user asked for: repository and revision.

    Fields that the error already carries stay.

    Args:
        name: as the user gave it.
        arguments: those of the same call.

    """
    try:
        yield
    except HubloaderError as error:
        repo_id, revision = _asked(os.fspath(name), arguments)
        error.repo_id = error.repo_id or repo_id
        error.revision = error.revision or revision
        raise


def _asked(name: str, arguments: HubArguments) -> tuple[str, str | None]:
    """Which repository and revision a name means; a folder, and a lock's entry, has none."""
    text = os.path.expanduser(name)
    is_hub = text.startswith("hf://") or not (
        os.path.isdir(text) or text.startswith((".", "/")) or "\\" in text
    )
    if not is_hub:
        return name, arguments.revision
    repo_id, at, inline = text.removeprefix("hf://").partition("@")
    if at:
        return repo_id, inline
    locked = arguments.lock is not None
    return repo_id, arguments.revision or (None if locked else DEFAULT_REVISION)


def mode_of(arguments: HubArguments, settings: Settings) -> Mode:
    """What the network may be used for: offline wins over a forced download.

    Raises:
        InvalidReference: one call asks for a download and for no network, as in huggingface_hub.

    """
    if arguments.force_download and arguments.local_files_only:
        raise InvalidReference(
            "force_download=True and local_files_only=True cannot both be: one fetches again, the "
            "other uses no network",
            hint="leave one of them out",
        )
    if settings.offline or arguments.local_files_only:
        return Mode.CACHE_ONLY
    return Mode.FORCE if arguments.force_download else Mode.ONLINE


def session_for(
    settings: Settings,
    *,
    token: str | bool | None = None,
    proxies: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    user_agent: str = "",
) -> Session:
    """The process's one session for these settings, token, proxies and headers.

    Raises:
        AuthenticationRequired: ``token=True`` and none is stored.

    """
    from hubloader.cache.store import CacheStore
    from hubloader.resolve.answers import Reachability
    from hubloader.resolve.session import Session

    secret = read_token(settings, token)
    lent = settings.oidc_resource if is_implicit(settings, token) else None
    key = (settings, secret, lent, _frozen(proxies), _frozen(headers), user_agent)
    session = _SESSIONS.get(key)
    if session is None:
        store = CacheStore(
            settings.cache_dir,
            base_caches=settings.base_caches,
            durability=settings.durability,
            verify=settings.verify,
            link_mode=settings.link_mode,
            shared=settings.shared_cache,
        )

        def wiring() -> HubClient:
            from hubloader.auto.tokens import token_to_send  # first use: a warm load sends none

            sent = token_to_send(settings, token, secret)
            return connect(
                settings, token=sent, proxies=proxies, headers=headers, user_agent=user_agent
            )

        reachability = _REACHABILITY.setdefault(settings.endpoint, Reachability())
        asker = partial(_asker, *key[1:-1], settings.endpoint)
        made = Session(settings, wiring, store, reachability=reachability, asker=asker)
        session = _SESSIONS.setdefault(key, made)  # of two threads at once, one wins
        for oldest in list(_SESSIONS)[:-_MAX_SESSIONS]:
            _SESSIONS.pop(oldest, None)
    return session


def _asker(*parts: object) -> str:
    """A digest of all that an answer of the endpoint may depend on, the token among it."""
    import hashlib  # first use: a warm load asks for no listing

    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _frozen(mapping: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    items = getattr(mapping or {}, "items", None)
    pairs = sorted(items()) if items is not None else None
    if pairs is None or not all(isinstance(text, (str, bytes, type(None))) for _, text in pairs):
        raise InvalidReference(
            f"proxies and headers are mappings of texts, not {type(mapping).__name__}",
            hint='give proxies={"https": "http://proxy:3128"}',
        )
    return tuple(pairs)


def connect(
    settings: Settings,
    *,
    token: str | None = None,
    proxies: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    user_agent: str = "",
) -> HubClient:
    """Make the client of the endpoint.

    Args:
        settings: endpoint, timeouts, retries.
        token: sent to the endpoint's origin alone.
        proxies: proxy by scheme; they win over the environment's.
        headers: further headers, for the endpoint's origin alone.
        user_agent: put before hubloader's own.

    """
    from hubloader.cache.layout import CacheLayout
    from hubloader.cache.pauses import Pauses
    from hubloader.hub.client import HubClient
    from hubloader.resolve.patience import patience
    from hubloader.transport.base import Timeouts
    from hubloader.transport.http import HttpTransport

    return HubClient(
        HttpTransport(pool_size=settings.max_workers, proxies=dict(proxies or {})),
        endpoint=settings.endpoint,
        token=token,
        user_agent=_user_agent(settings, user_agent),
        timeouts=Timeouts(connect=settings.connect_timeout, idle=settings.idle_timeout),
        headers=headers,
        retry=patience(settings),
        min_rate=settings.min_rate,
        health=_health(),
        pauses=Pauses(CacheLayout(settings.cache_dir)),
    )


def _health() -> OriginHealth:
    """What the process knows of servers: one for all its clients."""
    from hubloader.transport.health import OriginHealth

    if not _HEALTH:
        _HEALTH.append(OriginHealth())
    return _HEALTH[0]


def _user_agent(settings: Settings, first: str) -> str:
    import platform

    from hubloader import __version__

    parts = [first] if first else []
    parts.append(f"hubloader/{__version__}")
    if settings.telemetry:
        parts.append(f"python/{platform.python_version()}")
    if settings.user_agent_origin:
        parts.append(f"origin/{settings.user_agent_origin}")
    return "; ".join(parts)


def _after_fork() -> None:
    for session in _SESSIONS.values():
        session.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
