"""``add`` and ``remove``: edit models.toml, and lock what it says then; both or neither."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.auto.locks import Locked, changing, lock_alone
from hubloader.errors import InvalidReference, NotFound
from hubloader.types import DEFAULT_REVISION, parse_model_ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubloader.locking.values import ModelSpec, Project
    from hubloader.types import RepoType

__all__ = ["Edited", "add", "entry_name", "remove"]


@dataclass(frozen=True)
class Edited:
    """What an edit did: ``project`` is the file, ``name`` the entries, ``locked`` what follows."""

    project: str
    name: str
    locked: Locked


def add(
    name: str,
    project: str | os.PathLike[str] | None = None,
    *,
    entry: str | None = None,
    uses: Iterable[str] | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    repo_type: RepoType = "model",
    **hub: Any,
) -> Edited:
    """Put a model into models.toml and lock it; an entry of that name is replaced.

    Args:
        name: a Hub name, with ``@revision`` if wished.
        project: models.toml; None for the nearest, or a new one here.
        entry: what to call it; None for the last part of its name.
        uses: what the files are for; None for the defaults.
        include: patterns of files.
        exclude: patterns of files to leave out.
        repo_type: model, dataset or space.
        **hub: where from, as for ``lock``.

    Raises:
        InvalidReference: a name that can be none, or one that another repository has.
        HubloaderError: it could not be locked; models.toml is as it was.

    """
    from hubloader.locking.project import PROJECT_NAME, add_entry, find_project, parse_project

    try:
        path = os.fspath(project or find_project())
    except NotFound:
        path = os.path.abspath(PROJECT_NAME)
    spec = _spec(name, entry, uses, include, exclude, repo_type)
    with changing(path):
        text = _text(path)
        _refuse_clash(parse_project(text, path), spec, given=entry is not None)
        return Edited(path, spec.name, _lock_with(path, text, add_entry(text, spec, path), hub))


def remove(
    names: Iterable[str], project: str | os.PathLike[str] | None = None, **hub: Any
) -> Edited:
    """Take models out of models.toml and the lock.

    Args:
        names: entries, or repositories that one entry is of.
        project: models.toml; None for the nearest.
        **hub: as for ``lock``.

    Raises:
        NotFound: there is no such entry.

    """
    from hubloader.locking.project import find_project, parse_project, remove_entry

    path = os.fspath(project or find_project())
    gone = []
    with changing(path):
        text = changed = _text(path)
        for name in names:
            here = parse_project(changed, path)
            of_repo = [spec.name for spec in here.specs if str(spec.repo) == name]
            chosen = of_repo[0] if len(of_repo) == 1 and here.spec(name) is None else name
            changed = remove_entry(changed, chosen, path)
            gone.append(chosen)
        return Edited(path, ", ".join(gone), _lock_with(path, text, changed, hub))


def _lock_with(path: str, old: str, new: str, hub: dict[str, Any]) -> Locked:
    from hubloader.locking.lockfile import write_text

    existed = os.path.exists(path)
    write_text(path, new)
    try:
        return lock_alone(path, **hub)
    except BaseException:
        if existed:
            write_text(path, old)
        else:
            os.unlink(path)
        raise


def _text(path: str) -> str:
    from hubloader.locking.lockfile import read_text

    try:
        return read_text(path, "")
    except NotFound:
        return ""


def _spec(
    name: str,
    entry: str | None,
    uses: Iterable[str] | None,
    include: Iterable[str],
    exclude: Iterable[str],
    repo_type: RepoType,
) -> ModelSpec:
    from hubloader.locking.values import DEFAULT_USES, ModelSpec, check_name

    ref = parse_model_ref(name, repo_type=repo_type, is_dir=lambda _: False)
    if ref.repo is None:
        raise InvalidReference(f"{name!r} is no repository on the Hub")
    patterns = tuple(include)
    default = () if patterns else DEFAULT_USES if repo_type == "model" else ("all",)
    return ModelSpec(
        name=check_name(entry or entry_name(ref.repo.name)),
        repo=ref.repo,
        revision=ref.revision or DEFAULT_REVISION,
        uses=tuple(sorted(uses)) if uses is not None else default,
        include=patterns,
        exclude=tuple(exclude),
    )


def entry_name(name: str) -> str:
    """The last part of a repository's name, without what an entry's name cannot have."""
    return re.sub(r"[^A-Za-z0-9_\-]+", "-", name).strip("-_").lower()


def _refuse_clash(project: Project, spec: ModelSpec, *, given: bool) -> None:
    there = project.spec(spec.name)
    if there is not None and there.repo != spec.repo and not given:
        raise InvalidReference(
            f"{project.path} has a model {spec.name!r} already: {there.repo}",
            hint="give the new one a name with --as",
        )
