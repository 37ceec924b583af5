"""Which strings may be a repository id, a revision, a commit, an etag or a file name.

Everything here comes from users, servers and files inside repositories. None of it becomes a path,
a URL or a name on disk before it passed one of these functions.

Source: the rules are those of huggingface_hub 2.4 (``utils/_validators.py``, ``_local_folder.py``),
made stricter where a name could leave its folder on any platform.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from hubloader.errors import InvalidReference

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "check_filename",
    "check_repo_id",
    "check_revision",
    "is_commit",
    "is_etag",
    "is_short_commit",
    "nearest",
    "several",
    "suggestion",
]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPO_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,94}[A-Za-z0-9_])?")
_WINDOWS_DEVICE = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REVISION_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_MAX_COMPONENT = 255  # bytes: NAME_MAX of every file system in use
_MAX_FILENAME = 2048  # bytes: leaves room for the cache folder below PATH_MAX (4096)
_MAX_REVISION = 512  # characters


def is_commit(text: str) -> bool:
    """Whether ``text`` is a full commit: 40 lower-case hex digits."""
    return _COMMIT.fullmatch(text) is not None


def is_short_commit(text: str) -> bool:
    """Whether ``text`` could be an abbreviated commit: 7 to 39 lower-case hex digits."""
    return _SHORT_COMMIT.fullmatch(text) is not None


def is_etag(text: str) -> bool:
    """Whether ``text`` may name a blob: a git sha1 (40 hex digits) or a sha256 (64)."""
    return _ETAG.fullmatch(text) is not None


def check_repo_id(text: str) -> tuple[str | None, str]:
    """Split a repository id into namespace (None for a legacy one-part name) and name.

    Raises:
        InvalidReference: it is not ``name`` or ``namespace/name`` in the Hub's alphabet.

    """
    _refuse_what_is_no_text(text, "a repository id")
    parts = text.split("/")
    well_formed = (
        len(parts) <= 2
        and all(_REPO_PART.fullmatch(part) for part in parts)
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )
    if not well_formed:
        raise InvalidReference(
            f"{text!r} is not a repository id",
            hint="write 'name' or 'namespace/name': letters, digits, '-', '_' and '.', at most 96 "
            "characters each, no '--' or '..', no '.git' at the end",
            repo_id=text,
        )
    return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])


def check_revision(text: str) -> str:
    """Return ``text`` if git could have a branch, tag, ref or commit of that name.

    Raises:
        InvalidReference: it could not, or it would leave the folder of refs.

    """
    _refuse_what_is_no_text(text, "a revision")
    bad = (
        not text
        or len(text) > _MAX_REVISION
        or _REVISION_FORBIDDEN.search(text) is not None
        or text.startswith(("/", "-"))
        or text.endswith(("/", ".", ".lock"))
        or any(part.startswith(".") or part.endswith(".lock") for part in text.split("/"))
    )
    if bad:
        raise InvalidReference(
            f"{text!r} is not a revision",
            hint="give a branch, a tag, 'refs/pr/N' or a commit",
            revision=text,
        )
    return text


def check_filename(text: str) -> str:
    """Return ``text`` if it is a POSIX path that stays inside a repository on every platform.

    Raises:
        InvalidReference: it is empty, absolute, or has a part that could leave the folder, be a
            device, or not be stored.

    """
    _refuse_what_is_no_text(text, "a file name")
    reason = _filename_fault(text)
    if reason is not None:
        raise InvalidReference(f"{text!r} is not a file name: {reason}", filename=text)
    return text


def _refuse_what_is_no_text(given: object, what: str) -> None:
    if not isinstance(given, str):
        raise InvalidReference(f"{what} is text, and {given!r:.80} is a {type(given).__name__}")


@functools.lru_cache(maxsize=4096)  # a load asks about the same few names again and again
def _filename_fault(text: str) -> str | None:
    if not text:
        return "it is empty"
    if _CONTROL.search(text):
        return "it holds control characters"
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if len(encoded) > _MAX_FILENAME:
        return f"it is longer than {_MAX_FILENAME} bytes"
    if text.startswith("/") or "\\" in text:
        return "it is absolute, or holds a backslash"
    faults = (_component_fault(part) for part in text.split("/"))
    return next((fault for fault in faults if fault), None)


def _component_fault(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return f"it holds the part {part!r}"
    if len(part.encode("utf-8")) > _MAX_COMPONENT:
        return f"a part is longer than {_MAX_COMPONENT} bytes"
    if ":" in part:
        return "it holds a colon (a drive or a stream on Windows)"
    if part.endswith((" ", ".")):
        return "a part ends with a space or a dot, which Windows drops"
    if _WINDOWS_DEVICE.fullmatch(part):
        return f"{part!r} is a device on Windows"
    return None


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of ``known`` that ``name`` was probably meant to be; None if none is like it.

    Args:
        name: what was written.
        known: what could have been.
        cutoff: how alike they have to be, from 0 (anything) to 1 (the same).

    """
    import difflib  # only on the way to an error

    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def several(given: Iterable[str] | str | None) -> tuple[str, ...] | None:
    """Return the names or patterns that were given; a single one is no row of letters."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


def suggestion(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """The end of a sentence about an unknown name: ``: did you mean 'revision'?``.

    Args:
        name: what was written.
        known: what could have been.
        otherwise: the end where nothing is like it.

    """
    near = nearest(name, known)
    return otherwise if near is None else f": did you mean {near!r}?"
