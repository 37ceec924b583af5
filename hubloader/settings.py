"""Environment and defaults become one frozen ``Settings``, once per call.

The only module that reads the environment. ``HF_*`` variables mean what they mean to
huggingface_hub; hubloader's own begin with ``HUBLOADER_``, and each is a field here. A field's
``env`` metadata names its variables in the order they are looked at, and ``doc`` what it does:
``docs/reference/settings.md`` is generated from them.

Source: huggingface_hub 2.4.0 ``constants.py``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubloader.errors import AuthenticationRequired, InvalidReference
from hubloader.types import Refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, MutableMapping

__all__ = [
    "DEFAULT_ENDPOINT",
    "Settings",
    "environment",
    "export_settings",
    "is_implicit",
    "read_token",
    "setting_sources",
]

DEFAULT_ENDPOINT = "https://huggingface.co"
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
_FALSE = frozenset({"0", "OFF", "NO", "FALSE"})
Durability = Literal["full", "batch", "none"]
Verify = Literal["size", "always"]
LogFormat = Literal["text", "json"]
LinkMode = Literal["auto", "symlink", "hardlink", "copy"]


def _flag(text: str) -> bool:
    return text.strip().upper() in _TRUE


def _endpoint(text: str) -> str:
    scheme, colon, rest = text.strip().partition("://")
    if not colon or scheme.lower() not in {"http", "https"}:
        raise ValueError("an endpoint begins with http:// or https://")
    return f"{scheme.lower()}://{rest.rstrip('/')}"


def _refresh(text: str) -> Refresh | float:
    words = [each.value for each in Refresh]
    if text.lower() in words:
        return Refresh(text.lower())
    try:
        return _seconds(text)
    except ValueError:
        raise ValueError(
            f"it is none of {', '.join(map(repr, words))}, and no number of seconds"
        ) from None


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError("a number of seconds is not negative")
    return value


def _patience(text: str) -> float | None:
    """Seconds; 0 leaves the default, as in huggingface_hub: no server answers in no time."""
    return _seconds(text) or None


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("a count is at least 1")
    return value


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text.lower()

    return read


def _link_mode(text: str) -> str:
    """A way by its name; or, as HF_HUB_DISABLE_SYMLINKS has it, whether links are to be avoided."""
    if text.strip().upper() in _TRUE | _FALSE:
        return "hardlink" if _flag(text) else "auto"
    return _one_of("auto", "symlink", "hardlink", "copy")(text)


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(_path(part) for part in text.split(os.pathsep) if part)


def _path(text: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(text)))


def _setting(default: Any, doc: str, *env: str, read: Callable[[str], Any] = str) -> Any:
    return field(default=default, metadata={"env": env, "doc": doc, "read": read})


@dataclass(frozen=True)
class Settings:
    """Everything a call depends on besides its arguments. Times are seconds, sizes bytes."""

    endpoint: str = _setting(
        DEFAULT_ENDPOINT, "the Hub, or a mirror of it", "HF_ENDPOINT", read=_endpoint
    )
    home: Path = _setting(Path(), "where huggingface_hub keeps its state", "HF_HOME", read=_path)
    cache_dir: Path = _setting(
        Path(), "the Hub cache", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", read=_path
    )
    base_caches: tuple[Path, ...] = _setting(
        (), "read-only caches behind the cache, looked up in order", "HUBLOADER_BASE_CACHES",
        read=_paths,
    )  # fmt: skip
    token: str | None = field(
        default=None,
        repr=False,
        metadata={
            "env": ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
            "doc": "the token sent to the endpoint",
            "read": lambda text: "".join(text.split()) or None,
        },
    )
    token_path: Path = _setting(
        Path(), "the file that `hf auth login` keeps the token in", "HF_TOKEN_PATH", read=_path
    )
    oidc_resource: str | None = _setting(
        None, "whose token a CI job's identity is exchanged for, in place of a stored one",
        "HF_OIDC_RESOURCE",
    )  # fmt: skip
    implicit_token: bool = _setting(
        True, "send the stored token without being told (1 switches that off)",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN", read=lambda text: not _flag(text),
    )  # fmt: skip
    offline: bool = _setting(
        False, "open no socket", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", read=_flag
    )
    refresh: Refresh | float = _setting(
        Refresh.SESSION, "when to ask whether a branch moved: always, session, never, or seconds",
        "HUBLOADER_REFRESH", read=_refresh,
    )  # fmt: skip
    refresh_timeout: float = _setting(
        2.0, "how long to ask that while something is cached", "HF_HUB_ETAG_TIMEOUT",
        "HUBLOADER_REFRESH_TIMEOUT", read=_patience,
    )  # fmt: skip
    connect_timeout: float = _setting(
        5.0, "how long to wait for a connection", "HUBLOADER_CONNECT_TIMEOUT", read=_patience
    )
    idle_timeout: float = _setting(
        30.0, "how long a server may be silent inside an answer", "HF_HUB_DOWNLOAD_TIMEOUT",
        "HUBLOADER_IDLE_TIMEOUT", read=_patience,
    )  # fmt: skip
    retry_budget: float = _setting(
        120.0, "how long to go on trying one file, all retries together", "HUBLOADER_RETRY_BUDGET",
        read=_seconds,
    )  # fmt: skip
    connect_budget: float = _setting(
        5.0, "how long to go on trying a server to which no connection can be made",
        "HUBLOADER_CONNECT_BUDGET", read=_seconds,
    )  # fmt: skip
    max_attempts: int = _setting(
        6, "how often one request is tried without getting further", "HUBLOADER_MAX_ATTEMPTS",
        read=_count,
    )  # fmt: skip
    retry_delay: float = _setting(
        0.5, "how long to wait before the second try; each further wait is twice as long",
        "HUBLOADER_RETRY_DELAY", read=_seconds,
    )  # fmt: skip
    min_rate: float = _setting(
        1024.0, "bytes per second below which a connection counts as dead", "HUBLOADER_MIN_RATE",
        read=_seconds,
    )  # fmt: skip
    max_workers: int = _setting(32, "connections at a time", "HUBLOADER_MAX_WORKERS", read=_count)
    lock_timeout: float = _setting(
        30.0, "how long to wait for another process that makes no progress",
        "HUBLOADER_LOCK_TIMEOUT", read=_seconds,
    )  # fmt: skip
    wait_lock: float | None = _setting(
        None, "how long to wait for another process in all; unset: while it makes progress",
        "HUBLOADER_WAIT_LOCK", read=_seconds,
    )  # fmt: skip
    limit_rate: float = _setting(
        0.0, "bytes per second that all downloads of a call together may take; 0 for no limit",
        "HUBLOADER_LIMIT_RATE", read=_seconds,
    )  # fmt: skip
    xet: bool = _setting(
        False, "fetch Xet files by huggingface_hub's Xet client, where hf_xet is installed",
        "HUBLOADER_XET", read=_flag,
    )  # fmt: skip
    durability: Durability = _setting(
        "batch", "when data is forced to the disk: full, batch, none", "HUBLOADER_DURABILITY",
        read=_one_of("full", "batch", "none"),
    )  # fmt: skip
    verify: Verify = _setting(
        "size", "how cached files are checked at use: size (and once by hash), always",
        "HUBLOADER_VERIFY", read=_one_of("size", "always"),
    )  # fmt: skip
    link_mode: LinkMode = _setting(
        "auto", "how a snapshot names a blob: auto, symlink, hardlink, copy "
        "(1 for hardlink, so that no symbolic links are made)",
        "HUBLOADER_LINK_MODE", "HF_HUB_DISABLE_SYMLINKS", read=_link_mode,
    )  # fmt: skip
    shared_cache: str = _setting(
        "off", "whose files in the cache are believed: off (everyone's), strict (one's own and "
        "root's), strict:UID,UID", "HUBLOADER_SHARED_CACHE",
    )  # fmt: skip
    progress: bool = _setting(
        True, "show progress (1 switches it off)", "HF_HUB_DISABLE_PROGRESS_BARS",
        read=lambda text: not _flag(text),
    )  # fmt: skip
    log_format: LogFormat = _setting(
        "text", "how progress is written where there is no terminal: text, json",
        "HUBLOADER_LOG_FORMAT", read=_one_of("text", "json"),
    )  # fmt: skip
    github_actions: bool = _setting(
        False, "fold progress into a group of GitHub's log", "GITHUB_ACTIONS", read=_flag
    )
    gitlab_ci: bool = _setting(
        False, "fold progress into a section of GitLab's log", "GITLAB_CI", read=_flag
    )
    step_summary: Path | None = _setting(
        None, "the page of a step of GitHub's: a table of what came is added to it",
        "GITHUB_STEP_SUMMARY", read=_path,
    )  # fmt: skip
    user_agent_origin: str = _setting(
        "", "added to the user agent as origin/…", "HF_HUB_USER_AGENT_ORIGIN"
    )
    telemetry: bool = _setting(
        True, "name the versions of Python and the library in the user agent (1 switches it off)",
        "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK",
        read=lambda text: not _flag(text),
    )  # fmt: skip
    lockfile: Path | None = _setting(
        None, "a models.lock: names are loaded at what it says", "HUBLOADER_LOCK", read=_path
    )
    source_date: int = _setting(
        0, "the time of files that are written for image layers, seconds since the epoch",
        "SOURCE_DATE_EPOCH", read=lambda text: int(_seconds(text)),
    )  # fmt: skip
    debug: bool = _setting(
        False, "show tracebacks of expected errors", "HUBLOADER_DEBUG", read=_flag
    )

    @property
    def public_endpoint(self) -> str:
        """The endpoint as messages and notes may have it: without the user and password in it."""
        scheme, _, rest = self.endpoint.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read ``environ`` (default: the process's) now; ``overrides`` that are not None win.

        Raises:
            InvalidReference: a variable holds something it cannot mean.

        """
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for item in fields(cls):
            given = overrides.pop(item.name, None)
            value = given if given is not None else _from_env(item.metadata, env)
            if value is not None:
                values[item.name] = value
        if overrides:
            raise TypeError(f"unknown settings: {', '.join(sorted(overrides))}")
        return replace(cls(**values), **_derived(values, env))


def environment() -> Hashable:
    """Return a value that is another once the environment is: settings read under it still hold."""
    # the bytes beneath os.environ, where there are such: decoding them all takes 50 microseconds
    raw: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
    return tuple(raw.items())


def _from_env(metadata: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    for variable in metadata["env"]:
        text = env.get(variable, "")
        if text:
            try:
                return metadata["read"](text)
            except ValueError as error:
                raise InvalidReference(
                    f"the environment variable {variable} is {text!r}: {error}",
                    hint=f"mend or unset {variable}",
                ) from None
    return None


def _derived(values: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    cache_root = env.get("XDG_CACHE_HOME", "") or os.path.join(os.path.expanduser("~"), ".cache")
    home: Path = values.get("home") or _path(os.path.join(cache_root, "huggingface"))
    return {
        "home": home,
        "cache_dir": values.get("cache_dir") or home / "hub",
        "token_path": values.get("token_path") or home / "token",
    }


def export_settings(
    values: Mapping[str, Any], environ: MutableMapping[str, str] | None = None
) -> None:
    """Write settings as the variables that say them: for this process and those it starts.

    A program whose whole run has one setting (the command line with ``--offline``) says it once,
    and every library in the process hears it.

    Args:
        values: by field name; what is None is left as it is. Flags, texts and paths only.
        environ: where to (default: the process's).

    """
    env = os.environ if environ is None else environ
    for item in fields(Settings):
        value = values.get(item.name)
        if isinstance(value, bool):
            env[item.metadata["env"][0]] = str(int(value != item.default))
        elif value is not None:
            env[item.metadata["env"][0]] = str(value)


def setting_sources(environ: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Tell which variable each field of ``Settings`` is read from; None: its default holds."""
    env = os.environ if environ is None else environ
    return {
        item.name: next((name for name in item.metadata["env"] if env.get(name)), None)
        for item in fields(Settings)
    }


def read_token(settings: Settings, token: str | bool | None = None) -> str | None:
    """Choose the token of one call.

    Args:
        settings: where the implicit token comes from: the environment, then the stored file.
        token: a token; False for none; True to demand the implicit one; None for it if allowed.

    Raises:
        AuthenticationRequired: True was given and no token is stored.
        InvalidReference: what is stored is no text.

    """
    if isinstance(token, str):
        return token
    if not is_implicit(settings, token):
        return None
    found = settings.token or _stored_token(settings.token_path)
    if token is True and not found and not settings.oidc_resource:
        raise AuthenticationRequired(
            "token=True needs a stored token, and there is none",
            hint="set HF_TOKEN, or log in with `hf auth login`",
        )
    return found


def is_implicit(settings: Settings, token: str | bool | None) -> bool:
    """Whether a call with this ``token`` sends the one it was not given."""
    return token is True or (token is None and settings.implicit_token)


def _stored_token(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)  # mostly not there: said sooner than open() does
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None
    try:
        with open(descriptor, encoding="utf-8") as file:
            return "".join(file.read().split()) or None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidReference(
            f"the stored token in {str(path)!r} cannot be read: {why}",
            hint="mend HF_TOKEN_PATH, or log in again with `hf auth login`",
        ) from None  # its text may hold the token
