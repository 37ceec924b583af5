"""Who may see what: a pure decision, in the Hub's own answers.

=====================  ==================  =======================  =============================
repository             no token            a token without access   a token with access
=====================  ==================  =======================  =============================
public                 yes                 yes                      yes
gated, its listing     yes                 yes                      yes
gated, its files       401 ``GatedRepo``   403 ``GatedRepo``        yes
private, or not there  401 ``RepoNotFound``  404 ``RepoNotFound``   yes, or 404 ``RepoNotFound``
=====================  ==================  =======================  =============================

Where ``hub.json`` names tokens, any other token gets 401 everywhere. A private repository answers
exactly as one that is not there.

Source: the Hub's answers, as huggingface_hub 2.4.0 tells them apart (``utils/_http.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubloader.mirror.config import MirrorConfig
    from hubloader.types import RepoId

__all__ = ["Refusal", "bearer_token", "refuse_files", "refuse_repo", "refuse_token", "unknown_repo"]

_BEARER = "bearer "


@dataclass(frozen=True)
class Refusal:
    """An answer that hands out nothing: a status, ``X-Error-Code`` (None: none), a sentence."""

    status: int
    code: str | None
    message: str


def bearer_token(authorization: str | None) -> str | None:
    """The token in an ``Authorization`` header, or None."""
    if authorization is None or not authorization.lower().startswith(_BEARER):
        return None
    return authorization[len(_BEARER) :].strip() or None


def refuse_token(config: MirrorConfig, token: str | None) -> Refusal | None:
    """Whether the token itself is refused, whatever it was sent for."""
    if token is None or config.tokens is None or token in config.tokens:
        return None
    return Refusal(401, None, "Invalid credentials in Authorization header")


def refuse_repo(config: MirrorConfig, repo: RepoId, token: str | None) -> Refusal | None:
    """Whether the repository must not even be known to be there."""
    if repo in config.private and not (token is not None and config.reaches(token, repo)):
        return unknown_repo(token)
    return None


def refuse_files(config: MirrorConfig, repo: RepoId, token: str | None) -> Refusal | None:
    """Whether the files of a visible repository are refused."""
    if repo not in config.gated:
        return None
    restricted = f"Access to {repo.repo_type} {repo} is restricted"
    if token is None:
        return Refusal(
            401,
            "GatedRepo",
            f"{restricted}. You must have access to it and be authenticated to access it. "
            "Please log in.",
        )
    if config.reaches(token, repo):
        return None
    return Refusal(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")


def unknown_repo(token: str | None) -> Refusal:
    """The answer for a repository that is not there, for this caller."""
    if token is None:
        return Refusal(401, "RepoNotFound", "Invalid username or password.")
    return Refusal(404, "RepoNotFound", "Repository not found")
