"""models.lock as text: one writer, whose bytes depend on nothing but the content, and one reader.

Entries are sorted by name, files by the bytes of their path, every list is sorted; a file is one
line, so that a diff shows which files changed. Reading is strict: a key that is not known, a hash
that is none, or an entry whose ``tree`` is not that of its files (two branches merged line by line
give such a lock) is refused. What was read and is written again is the same to the byte.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, HubloaderError, IntegrityError, NotFound
from hubloader.locking import _toml
from hubloader.locking.drafts import replacing
from hubloader.locking.values import Lock, LockedFile, LockedModel, check_name
from hubloader.names import check_filename, check_revision, is_commit, is_etag
from hubloader.types import CommitHash, RepoId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "LOCK_NAME",
    "format_lock",
    "parse_entry",
    "parse_lock",
    "read_lock",
    "read_text",
    "write_lock",
    "write_text",
]

LOCK_NAME = "models.lock"
VERSION = 1
_MARKS = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
_TYPES = ("model", "dataset", "space")
_MAX_FILE = 256 * 1024 * 1024  # bytes: more is no lock
_KEYS = {
    "name": str,
    "type": str,
    "repo": str,
    "spec": str,
    "revision": str,
    "commit": str,
    "tree": str,
    "license": str,
    "gated": bool,
    "risk": list,
    "absent": list,
    "files": list,
}
_FILE_KEYS = {"path": str, "size": int, "sha256": str}


class _Fault(Exception):
    """What is wrong with the text, in words."""


def format_lock(lock: Lock) -> str:
    """Write a lock."""
    lines = [f"version = {VERSION}", ""]
    for model in lock.models:
        lines += [*_entry_lines(model), ""]
    return "\n".join(lines)


def _entry_lines(model: LockedModel) -> Iterator[str]:
    string, array = _toml.string, _toml.array
    yield "[[model]]"
    yield f"name = {string(model.name)}"
    yield f"type = {string(model.repo.repo_type)}"
    yield f"repo = {string(str(model.repo))}"
    yield f"spec = {string(model.spec)}"
    yield f"revision = {string(model.revision)}"
    yield f"commit = {string(model.commit)}"
    yield f"tree = {string(model.tree)}"
    yield f"license = {string(model.license)}"
    yield f"gated = {str(model.gated).lower()}"
    yield f"risk = {array(sorted(model.risk))}"
    yield f"absent = {array(sorted(model.absent))}"
    yield "files = ["
    for file in sorted(model.files, key=lambda file: file.path.encode()):
        git = f", git_sha1 = {string(file.git_sha1)}" if file.git_sha1 else ""
        yield (
            f"  {{ path = {string(file.path)}, size = {file.size}{git}, "
            f"sha256 = {string(file.sha256)} }},"
        )
    yield "]"


def parse_lock(text: str, path: str = LOCK_NAME) -> Lock:
    """Read a lock.

    Args:
        text: the file's content.
        path: where it is, for messages.

    Raises:
        CorruptFile: it is no lock, or one of a newer version.
        IntegrityError: an entry's ``tree`` is not that of its files.

    """
    if any(line.startswith(_MARKS) for line in text.splitlines()):
        raise CorruptFile(
            f"{path} has the marks of a merge conflict",
            hint="run `hubloader lock --resolve-conflicts`",
            filename=path,
        )
    try:
        raw = _toml.parse(text)
        _refuse_newer(raw, path)
        return _document(raw, path)
    except (_Fault, _toml.TomlError, RecursionError) as error:
        raise CorruptFile(
            f"{path} cannot be read: {error}",
            hint="it is written by `hubloader lock`: take it back from version control, or delete "
            "it and lock again",
            filename=path,
        ) from None


def parse_entry(raw: Any, path: str = LOCK_NAME) -> LockedModel:
    """Read one entry alone: a table of a lock.

    Raises:
        CorruptFile, IntegrityError: as ``parse_lock``.

    """
    try:
        if not isinstance(raw, dict):
            raise _not_a_table()
        return _entry(raw, path)
    except _Fault as error:
        raise CorruptFile(f"{path} cannot be read: {error}", filename=path) from None


def _not_a_table() -> _Fault:
    return _Fault("its models are no tables")


def _refuse_newer(raw: Mapping[str, Any], path: str) -> None:
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise CorruptFile(
            f"{path} has the version {version}, and this program reads {VERSION}",
            hint="a newer hubloader wrote it: update hubloader here",
            filename=path,
        )


def _document(raw: Mapping[str, Any], path: str) -> Lock:
    if raw.get("version") != VERSION:
        raise _Fault(f"its version is {raw.get('version')!r}, this program reads {VERSION}")
    _only(raw, {"version", "model"}, "the lock")
    entries = raw.get("model", [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise _not_a_table()
    lock = Lock(tuple(_entry(each, path) for each in entries))
    names = [model.name for model in lock.models]
    if len(set(names)) != len(names):
        raise _Fault("two entries have one name")
    return lock


def _entry(raw: Mapping[str, Any], path: str) -> LockedModel:
    label = f"the entry {raw.get('name')!r}"
    _typed(raw, _KEYS, label)
    _only(raw, set(_KEYS), label)
    if raw["type"] not in _TYPES:
        raise _Fault(f"{label} has the type {raw['type']!r}")
    if not is_commit(raw["commit"]):
        raise _Fault(f"{label} has no commit of 40 hex digits")
    try:
        model = LockedModel(
            name=check_name(raw["name"]),
            repo=RepoId.parse(raw["repo"], raw["type"]),
            spec=raw["spec"],
            revision=check_revision(raw["revision"]),
            commit=CommitHash(raw["commit"]),
            files=tuple(sorted((_file(each) for each in raw["files"]), key=_by_bytes)),
            license=raw["license"],
            gated=raw["gated"],
            risk=_texts(raw["risk"]),
            absent=tuple(map(check_filename, _texts(raw["absent"]))),
        )
    except HubloaderError as error:
        raise _Fault(f"{label}: {error.sentence()}") from None
    if len({file.path for file in model.files}) != len(model.files):
        raise _Fault(f"{label} names a file twice")
    if model.tree != raw["tree"]:
        raise IntegrityError(
            f"{label} of {path} is not whole: its files make the tree {model.tree}",
            expected=raw["tree"],
            actual=model.tree,
            hint="two branches were merged line by line, or a line was edited: take one side from "
            "version control, or delete the entry and run `hubloader lock`",
            repo_id=raw["repo"],
        )
    return model


def _file(raw: Any) -> LockedFile:
    if not isinstance(raw, dict):
        raise _Fault("a file is no table")
    label = f"the file {raw.get('path')!r}"
    _typed(raw, _FILE_KEYS, label)
    _only(raw, {*_FILE_KEYS, "git_sha1"}, label)
    git_sha1 = raw.get("git_sha1")
    if git_sha1 is not None and not (isinstance(git_sha1, str) and is_commit(git_sha1)):
        raise _Fault(f"{label} has no git_sha1 of 40 hex digits")
    if len(raw["sha256"]) != 64 or not is_etag(raw["sha256"]):
        raise _Fault(f"{label} has no sha256 of 64 hex digits")
    if not 0 <= raw["size"] < 2**63:
        raise _Fault(f"{label} has the size {raw['size']}")
    return LockedFile(check_filename(raw["path"]), raw["size"], raw["sha256"], git_sha1)


def _by_bytes(file: LockedFile) -> bytes:
    return file.path.encode()


def _typed(raw: Mapping[str, Any], kinds: Mapping[str, type], label: str) -> None:
    for key, kind in kinds.items():
        value = raw.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _Fault(f"{label} has no {key}")


def _only(raw: Mapping[str, Any], known: set[str], label: str) -> None:
    unknown = sorted(raw.keys() - known)
    if unknown:
        raise _Fault(f"{label} has the unknown key {unknown[0]!r}")


def _texts(raw: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(each, str) for each in raw):
        raise _Fault("a list holds something that is no text")
    return tuple(sorted(raw))


def read_lock(path: str | os.PathLike[str]) -> Lock:
    """Read the lock at ``path``.

    Raises:
        NotFound: there is none.
        CorruptFile, IntegrityError: as ``parse_lock``.

    """
    return parse_lock(read_text(path, "run `hubloader lock`"), os.fspath(path))


def read_text(path: str | os.PathLike[str], hint: str) -> str:
    """Read a text file of the project.

    Raises:
        NotFound: there is none; ``hint`` says what to do.
        CorruptFile: it is too large, or no UTF-8.

    """
    name = os.fspath(path)
    try:
        with open(name, encoding="utf-8", newline="") as file:
            text = file.read(_MAX_FILE)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFound(f"there is no {name}", hint=hint, filename=name) from None
    except UnicodeDecodeError:
        raise CorruptFile(f"{name} is not UTF-8", hint="save it as UTF-8", filename=name) from None
    return text.replace("\r\n", "\n")


def write_lock(path: str | os.PathLike[str], lock: Lock) -> bool:
    """Write the lock at ``path``, all of it or nothing; False when it says that already."""
    text = format_lock(lock)
    return write_text(path, text)


def write_text(path: str | os.PathLike[str], text: str) -> bool:
    """Replace a text file of the project in one step; False when it says that already."""
    name = os.fspath(path)
    try:
        with open(name, encoding="utf-8", newline="") as file:
            if file.read() == text:
                return False
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    with replacing(name) as draft, open(draft, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return True
