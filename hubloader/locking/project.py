"""models.toml: what people wrote, read strictly, and the few edits that commands make to it.

::

    [hub]                            # optional
    endpoint = "https://huggingface.co"

    [policy]                         # optional
    licenses = ["apache-2.0", "mit"] # others are refused
    deny = ["pickle", "remote-code"]
    max-bytes = "2GB"                # or a number: all models together
    formats = ["safetensors", "bin"] # in order of preference; others are refused

    [models.sentiment]
    repo = "org/name"
    revision = "main"                # branch, tag or commit
    type = "model"                   # model, dataset, space
    for = ["tokenizer", "torch"]     # or include = [...], exclude = [...]
    formats = ["safetensors"]        # instead of the policy's

``[tool.hubloader]`` of pyproject.toml may stand in for the file. Edits change the text and nothing
but the table they are about: comments and order stay, and what came out is read again before it is
written.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from hubloader.errors import HubloaderError, InvalidReference, NotFound
from hubloader.locking import _toml
from hubloader.locking.lockfile import LOCK_NAME, read_text
from hubloader.locking.values import (
    DEFAULT_USES,
    FORMATS,
    RISKS,
    USES,
    ModelSpec,
    Policy,
    Project,
    check_name,
)
from hubloader.names import check_revision, suggestion
from hubloader.types import DEFAULT_REVISION, RepoId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PROJECT_NAME",
    "add_entry",
    "find_lock",
    "find_project",
    "format_entry",
    "lock_path",
    "parse_project",
    "parse_size",
    "read_project",
    "remove_entry",
    "stands_in",
]

PROJECT_NAME = "models.toml"
_PYPROJECT = "pyproject.toml"
_TYPES = ("model", "dataset", "space")
_ENTRY_KEYS = {"repo", "revision", "type", "for", "include", "exclude", "formats"}
_POLICY_KEYS = {"licenses", "deny", "max-bytes", "formats"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", re.IGNORECASE)
_HEADER = re.compile(r"\s*\[")


class _Fault(Exception):
    """What is wrong with the file, in words."""


# where it is


def find_project(start: str | os.PathLike[str] | None = None) -> str:
    """Return the nearest models.toml, or pyproject.toml with our table, from ``start`` upwards.

    Raises:
        NotFound: there is none up to the root.

    """
    first = os.path.abspath(start or os.getcwd())
    for folder in _upwards(first):
        path = os.path.join(folder, PROJECT_NAME)
        if os.path.isfile(path):
            return path
        other = stands_in(folder)
        if other is not None:
            return other
    raise NotFound(
        f"there is no {PROJECT_NAME} in {first} or above",
        hint="run `hubloader init`, or `hubloader add org/name`",
        filename=PROJECT_NAME,
    )


def stands_in(folder: str) -> str | None:
    """Return the pyproject.toml in ``folder`` that has our table; None if there is none."""
    path = os.path.join(folder, _PYPROJECT)
    has_table = os.path.isfile(path) and _table_of(read_text(path, ""), path) is not None
    return path if has_table else None


def find_lock(start: str | os.PathLike[str] | None = None) -> str:
    """Return the nearest models.lock from ``start`` upwards.

    Raises:
        NotFound: there is none up to the root.

    """
    first = os.path.abspath(start or os.getcwd())
    for folder in _upwards(first):
        path = os.path.join(folder, LOCK_NAME)
        if os.path.isfile(path):
            return path
    raise NotFound(
        f"there is no {LOCK_NAME} in {first} or above",
        hint="run `hubloader lock`",
        filename=LOCK_NAME,
    )


def lock_path(project: str) -> str:
    """Return the lock that belongs to a project file: beside it, ``x.toml`` has ``x.lock``."""
    folder, name = os.path.split(project)
    stem = "models" if name == _PYPROJECT else os.path.splitext(name)[0]
    return os.path.join(folder, f"{stem}.lock")


def _upwards(folder: str) -> Iterable[str]:
    while True:
        yield folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent


# reading


def read_project(path: str | os.PathLike[str]) -> Project:
    """Read models.toml, or the table in pyproject.toml.

    Raises:
        NotFound: there is no such file.
        InvalidReference: it says something that cannot be meant; all faults of an entry's keys are
            named.

    """
    name = os.fspath(path)
    return parse_project(read_text(name, "run `hubloader init`"), name)


def parse_project(text: str, path: str = PROJECT_NAME) -> Project:
    """Read the text of models.toml; ``path`` says which file it is."""
    try:
        raw = _table_of(text, path)
        if raw is None:
            raise NotFound(f"{path} has no table [tool.hubloader]", hint="run `hubloader init`")
        return _project(raw, path)
    except (_Fault, HubloaderError) as error:
        if isinstance(error, NotFound):
            raise
        said = error.sentence() if isinstance(error, HubloaderError) else str(error)
        raise InvalidReference(f"{path}: {said}", hint=f"mend {path}", filename=path) from None


def _table_of(text: str, path: str) -> Mapping[str, Any] | None:
    try:
        document = _toml.parse(text)
    except (_toml.TomlError, RecursionError) as error:
        raise InvalidReference(
            f"{path} is not TOML: {error}", hint=f"mend {path}", filename=path
        ) from None
    if os.path.basename(path) != _PYPROJECT:
        return document
    tool = document.get("tool")
    table = tool.get("hubloader") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _project(raw: Mapping[str, Any], path: str) -> Project:
    _only(raw, {"hub", "policy", "models"}, "the file")
    hub, models = _section(raw, "hub"), _section(raw, "models")
    _only(hub, {"endpoint"}, "[hub]")
    endpoint = hub.get("endpoint")
    if endpoint is not None and not str(endpoint).startswith(("http://", "https://")):
        raise _Fault("the endpoint of [hub] does not begin with http:// or https://")
    policy = _policy(_section(raw, "policy"))
    specs = [_spec(name, each, policy) for name, each in models.items()]
    return Project(
        path=path,
        specs=tuple(sorted(specs, key=lambda spec: spec.name)),
        policy=policy,
        endpoint=None if endpoint is None else str(endpoint).rstrip("/"),
    )


def _policy(raw: Mapping[str, Any]) -> Policy:
    _only(raw, _POLICY_KEYS, "[policy]")
    licenses = _texts(raw, "licenses", "[policy]")
    limit = raw.get("max-bytes")
    return Policy(
        licenses=None if licenses is None else frozenset(licenses),
        deny=frozenset(_texts(raw, "deny", "[policy]", RISKS) or ()),
        max_bytes=None if limit is None else parse_size(limit),
        formats=_texts(raw, "formats", "[policy]", FORMATS),
    )


def _spec(name: str, raw: Any, policy: Policy) -> ModelSpec:
    label = f"[models.{name}]"
    if not isinstance(raw, dict):
        raise _Fault(f"{label} is no table")
    _only(raw, _ENTRY_KEYS, label)
    for key in ("repo", "revision", "type"):
        if not isinstance(raw.get(key, ""), str):
            raise _Fault(f"{key} of {label} is no text")
    repo_type = raw.get("type", "model")
    if repo_type not in _TYPES:
        raise _Fault(f"type of {label} is {repo_type!r}; it is one of {', '.join(_TYPES)}")
    if "repo" not in raw:
        raise _Fault(f"{label} has no repo")
    include, exclude = _texts(raw, "include", label), _texts(raw, "exclude", label)
    uses = _texts(raw, "for", label, USES)
    formats = _texts(raw, "formats", label, FORMATS)
    return ModelSpec(
        name=check_name(name),
        repo=RepoId.parse(raw["repo"], repo_type),
        revision=check_revision(raw.get("revision", DEFAULT_REVISION)),
        uses=_uses(uses, include, repo_type),
        include=tuple(sorted(set(include or ()))),
        exclude=tuple(sorted(set(exclude or ()))),
        formats=policy.formats if formats is None else formats,
    )


def _uses(
    uses: tuple[str, ...] | None, include: tuple[str, ...] | None, repo_type: str
) -> tuple[str, ...]:
    if uses is not None:
        return tuple(sorted(set(uses)))
    if include is not None:
        return ()
    return DEFAULT_USES if repo_type == "model" else ("all",)


def parse_size(given: Any) -> int:
    """Read a number of bytes: ``1048576``, ``"2GB"``, ``"1.5 GiB"``.

    Raises:
        InvalidReference: it is none.

    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    match = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None:
        raise InvalidReference(f"{given!r} is no size", hint='write "2GB", "500MiB" or a number')
    step = 1024 if match[3] else 1000
    return int(float(match[1]) * step ** " kmgt".index(match[2].lower() or " "))


def _section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = raw.get(name, {})
    if not isinstance(section, dict):
        raise _Fault(f"[{name}] is no table")
    return section


def _texts(
    raw: Mapping[str, Any], key: str, label: str, allowed: Iterable[str] | None = None
) -> tuple[str, ...] | None:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _Fault(f"{key} of {label} is no list of texts")
    strange = [each for each in value if allowed is not None and each not in allowed]
    if strange:
        raise _Fault(f"{key} of {label} has {strange[0]!r}; known are {', '.join(allowed or ())}")
    return tuple(value)


def _only(raw: Mapping[str, Any], known: set[str], label: str) -> None:
    unknown = sorted(raw.keys() - known)
    if unknown:
        near = suggestion(unknown[0], known, otherwise=f"; known are {sorted(known)}")
        raise _Fault(f"{label} has the unknown key {unknown[0]!r}{near}")


# edits


def format_entry(spec: ModelSpec, table: str = "models") -> str:
    """Write an entry as a table; what is a default is left out, but for the revision and uses."""
    string, array = _toml.string, _toml.array
    lines = [f"[{table}.{_key(spec.name)}]", f"repo = {string(str(spec.repo))}"]
    if spec.repo.repo_type != "model":
        lines.append(f"type = {string(spec.repo.repo_type)}")
    lines.append(f"revision = {string(spec.revision)}")
    if spec.uses:
        lines.append(f"for = {array(spec.uses)}")
    if spec.include:
        lines.append(f"include = {array(spec.include)}")
    if spec.exclude:
        lines.append(f"exclude = {array(spec.exclude)}")
    return "\n".join(lines) + "\n"


def add_entry(text: str, spec: ModelSpec, path: str = PROJECT_NAME) -> str:
    """Return the file's text with an entry more, or with the entry of that name replaced."""
    if parse_project(text, path).spec(spec.name) is not None:
        text = remove_entry(text, spec.name, path)
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    changed = f"{text.rstrip()}\n{gap[:1]}" if text.strip() else ""
    changed += format_entry(spec, _tables(path))
    if parse_project(changed, path).spec(spec.name) is None:  # inline tables, and the like
        raise _cannot_edit(path)
    return changed


def remove_entry(text: str, name: str, path: str = PROJECT_NAME) -> str:
    """Return the file's text without an entry.

    Raises:
        NotFound: it has no such entry.
        InvalidReference: the entry is written in a way that this cannot take out.

    """
    before = parse_project(text, path)
    if before.spec(name) is None:
        names = ", ".join(spec.name for spec in before.specs) or "none"
        raise NotFound(f"{path} has no model {name!r}", hint=f"it has {names}")
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if _opens(line, name, path)), None)
    if start is None:
        raise _cannot_edit(path)
    end = next((i for i in range(start + 1, len(lines)) if _HEADER.match(lines[i])), len(lines))
    while end > start + 1 and lines[end - 1].lstrip().startswith("#"):
        end -= 1  # the comment above the next table is the next table's
    above = start
    while above > 0 and lines[above - 1].lstrip().startswith("#"):
        above -= 1
    start = above or start  # the one above this table is this one's; at the top, the file's
    changed = "".join([*lines[:start], *lines[end:]]).rstrip("\n")
    changed = f"{changed}\n" if changed else ""
    after = parse_project(changed, path)
    if {s.name for s in after.specs} != {s.name for s in before.specs} - {name}:
        raise _cannot_edit(path)
    return changed


def _opens(line: str, name: str, path: str) -> bool:
    """Whether a line is the header of the entry's table, however it is spaced and quoted."""
    if not _HEADER.match(line):
        return False
    try:
        header = _toml.parse(line)
    except _toml.TomlError:
        return False
    for part in _tables(path).split("."):
        inner = header.get(part)
        header = inner if isinstance(inner, dict) else {}
    return header == {name: {}}


def _tables(path: str) -> str:
    return "tool.hubloader.models" if os.path.basename(path) == _PYPROJECT else "models"


def _key(name: str) -> str:
    return _toml.string(name) if "." in name else name


def _cannot_edit(path: str) -> InvalidReference:
    return InvalidReference(
        f"{path} is written in a way that this command cannot edit",
        hint="edit it by hand: give each model a table of its own, [models.name]",
        filename=path,
    )
