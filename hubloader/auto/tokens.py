"""Tokens that end: a login in the browser, which is renewed, and a CI job's, which is exchanged.

huggingface_hub does both and is asked at the first request of a session, where there is such a
token and nowhere else: importing it takes longer than the request. Where it finds nothing to renew
the stored token is sent as it is.

Source: huggingface_hub 2.4.0 ``utils/_auth.py`` (``get_token``), ``_oidc.py``.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hubloader.errors import AuthenticationRequired
from hubloader.settings import is_implicit

if TYPE_CHECKING:
    from hubloader.settings import Settings

__all__ = ["token_to_send"]

_SOON: Final = 24 * 3600.0  # seconds before its end from which huggingface_hub renews a login


def token_to_send(settings: Settings, given: str | bool | None, secret: str | None) -> str | None:
    """Return ``secret``, or the token that stands in for it now.

    Args:
        settings: where an implicit token comes from.
        given: the ``token`` argument of the call.
        secret: what was read for it.

    Raises:
        AuthenticationRequired: a CI job's identity could not be exchanged for a token.

    """
    implicit = is_implicit(settings, given)
    if implicit and settings.oidc_resource:
        return _exchanged(settings.oidc_resource)
    stored = implicit and secret is not None and settings.token is None
    if stored and _ends_soon(settings.token_path, secret or ""):
        return _renewed(settings.token_path) or secret
    return secret


def _exchanged(resource: str) -> str | None:
    import huggingface_hub
    import huggingface_hub.errors

    theirs: Any = huggingface_hub.errors
    http: Any = import_module(theirs.Response.__module__.partition(".")[0])  # httpx, or httpx2
    refusals = (getattr(theirs, "OIDCError", OSError), http.HTTPError, OSError, ValueError)
    try:
        return huggingface_hub.get_token()
    except refusals as error:
        raise AuthenticationRequired(
            f"no token could be had for {resource!r}, which HF_OIDC_RESOURCE names: {error}",
            hint="let the job have an identity (GitHub: `permissions: id-token: write`), or unset "
            "HF_OIDC_RESOURCE",
        ) from error


def _ends_soon(token_path: Path, secret: str) -> bool:
    """Whether the stored token is of a login that can be renewed, and has to be."""
    try:
        text = token_path.with_name("stored_tokens").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if "refresh_token" not in text:  # told without the parser
        return False
    import configparser  # first use: few logins are renewed

    logins = configparser.ConfigParser(interpolation=None)
    try:
        logins.read_string(text)
        of_token = [login for login in logins.values() if login.get("hf_token") == secret]
        return any(
            login.get("refresh_token") and float(login["expires_at"]) - _SOON <= time.time()
            for login in of_token
        )
    except (configparser.Error, KeyError, ValueError):
        return False


def _renewed(token_path: Path) -> str | None:
    import huggingface_hub.constants

    if Path(huggingface_hub.constants.HF_TOKEN_PATH) != token_path:  # as it was at its import
        return None
    return huggingface_hub.get_token()
