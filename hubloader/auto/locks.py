"""``lock`` and ``sync``: what the commands of these names do, for programs; and loading by lock."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hubloader.auto.source import HubArguments, mode_of, session_for, settings_for
from hubloader.errors import IntegrityError, InvalidReference, LockOutOfDate, NotFound
from hubloader.names import suggestion
from hubloader.settings import setting_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from hubloader.locking.desk import Desk
    from hubloader.locking.diff import LockDiff
    from hubloader.locking.syncing import SyncedModel
    from hubloader.locking.values import Lock, LockedModel, Project
    from hubloader.resolve.progress import Progress
    from hubloader.settings import Settings
    from hubloader.types import FileSet, Purpose, RepoType

__all__ = [
    "Locked",
    "Synced",
    "changing",
    "desk_for",
    "find_entries",
    "lock",
    "lock_alone",
    "locked_files",
    "sync",
]

_NOT_HERE = frozenset({"lock", "revision", "subfolder", "variant", "use_safetensors"})


@dataclass(frozen=True)
class Locked:
    """What ``lock`` found.

    ``path`` is the lock, ``changes`` what is different in it from before, ``written`` whether the
    file was written.
    """

    path: str
    lock: Lock
    changes: LockDiff
    written: bool


@dataclass(frozen=True)
class Synced:
    """What ``sync`` did: every entry is in the cache now.

    ``changes`` are those made to the lock before (nothing with ``locked`` or ``frozen``). ``env``
    are the variables with which a later stage finds the cache and asks nobody.
    """

    path: str
    models: tuple[SyncedModel, ...]
    changes: LockDiff
    env: dict[str, str]

    @property
    def fetched_bytes(self) -> int:
        """What had to come over the network."""
        return sum(model.fetched_bytes for model in self.models)


def lock(
    project: str | os.PathLike[str] | None = None,
    *,
    check: bool = False,
    upgrade: bool | str | Iterable[str] = False,
    resolve_conflicts: bool = False,
    dry_run: bool = False,
    sign: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], Any] | None = None,
    **hub: Any,
) -> Locked:
    """Resolve models.toml into models.lock; what is locked and did not change stays.

    Args:
        project: models.toml, or a pyproject.toml with a table for us; None for the nearest, from
            the current folder upwards.
        check: only tell whether the lock fits; needs no network.
        upgrade: the entries to resolve anew: True for all, or names.
        resolve_conflicts: take a lock with the marks of a merge conflict: entries on which both
            sides do not differ are kept, the others resolved anew.
        dry_run: write nothing.
        sign: a private key: the lock's signature is written beside it, as ``models.lock.sig``.
        progress: called with each event of a download.
        **hub: where from, as for ``from_pretrained``: ``cache_dir``, ``token``, ``endpoint`` …

    Raises:
        LockOutOfDate: with ``check``, the lock does not fit; the message says what.
        PolicyRefused, UnsafeFile: the policy forbids what would be locked.
        HubloaderError: an entry could not be resolved; the lock is as it was.

    """
    from hubloader.locking.diff import diff_locks
    from hubloader.locking.project import find_project, lock_path, read_project

    where = os.fspath(project or find_project())
    if not check:
        with changing(where):
            return lock_alone(
                where,
                upgrade=upgrade,
                resolve_conflicts=resolve_conflicts,
                dry_run=dry_run,
                sign=sign,
                progress=progress,
                **hub,
            )
    asked = read_project(where)
    path = lock_path(asked.path)
    before = _before(path, conflicts=resolve_conflicts)
    _refuse_outdated(asked, before, path)
    _refuse_by_policy(asked, before)
    return Locked(path, before, diff_locks(before, before), written=False)


def changing(project: str) -> AbstractContextManager[None]:
    """Keep other processes from changing the models of a project meanwhile."""
    from hubloader.locking.turns import my_turn
    from hubloader.settings import Settings

    return my_turn(project, limit=Settings.from_env().wait_lock)


def lock_alone(
    project: str,
    *,
    upgrade: bool | str | Iterable[str] = False,
    resolve_conflicts: bool = False,
    dry_run: bool = False,
    sign: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], Any] | None = None,
    **hub: Any,
) -> Locked:
    """Lock as ``lock`` does, for who keeps the others from ``changing`` the project."""
    from hubloader.locking.diff import diff_locks
    from hubloader.locking.lockfile import write_lock, write_text
    from hubloader.locking.project import lock_path, read_project
    from hubloader.locking.resolving import lock_project

    asked = read_project(project)
    path = lock_path(asked.path)
    before = _before(path, conflicts=resolve_conflicts)
    desk = desk_for(hub, endpoint=asked.endpoint, progress=progress)
    after = lock_project(desk, asked, before, _chosen(upgrade, asked))
    _refuse_by_policy(asked, after)
    written = False if dry_run else write_lock(path, after)
    if sign is not None and not dry_run:
        from hubloader.locking.provenance import sign_lock

        write_text(signature_path(path), sign_lock(after, sign))
    return Locked(path, after, diff_locks(before, after), written)


def sync(
    path: str | os.PathLike[str] | None = None,
    *,
    locked: bool = False,
    frozen: bool = False,
    names: Iterable[str] | None = None,
    set_refs: bool = False,
    verify_key: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], Any] | None = None,
    **hub: Any,
) -> Synced:
    """Bring what models.lock names into the cache; entries that changed are locked first.

    Args:
        path: models.toml (with ``frozen`` also models.lock); None for the nearest.
        locked: refuse a lock that does not fit models.toml instead of mending it.
        frozen: take the lock as it is, without reading models.toml.
        names: the entries to bring; None for all.
        set_refs: move ``refs/<revision>`` to the locked commits, also where there is one.
        verify_key: a public key: a lock that it did not sign is refused, and none is changed.
        progress: called with each event of a download.
        **hub: where from, as for ``from_pretrained``.

    Raises:
        LockOutOfDate: with ``locked``, the lock does not fit.
        CacheMiss: something is missing, and the network is off.
        IntegrityError: bytes are not those that were locked.
        HubloaderError: entries that could not be had; all were tried.

    """
    from hubloader.locking.diff import LockDiff
    from hubloader.locking.project import find_project, lock_path, read_project
    from hubloader.locking.syncing import env_of, sync_lock

    if locked and frozen:
        raise InvalidReference("locked and frozen exclude each other: frozen does not look")
    changes, endpoint = LockDiff(), None
    locked = locked or (verify_key is not None and not frozen)
    if frozen:
        where, wanted = _frozen_lock(path)
    else:
        asked = read_project(path or find_project())
        where, endpoint = lock_path(asked.path), asked.endpoint
        wanted = _before(where)
        if locked:
            _refuse_outdated(asked, wanted, where)
        else:
            mended = lock(asked.path, progress=progress, **hub)
            wanted, changes = mended.lock, mended.changes
        _refuse_by_policy(asked, wanted)
    if verify_key is not None:
        _refuse_unsigned(wanted, where, verify_key)
    desk = desk_for(hub, endpoint=endpoint, progress=progress)
    done = sync_lock(desk, _only(wanted, names, where), move_refs=set_refs)
    return Synced(where, done, changes, env_of(desk, os.path.abspath(where)))


def locked_files(
    name: str | os.PathLike[str],
    purpose: Purpose,
    arguments: HubArguments,
    settings: Settings,
    repo_type: RepoType = "model",
) -> FileSet | None:
    """The files of the lock's entry ``name``; None for a folder that no entry is called like.

    Raises:
        LockOutOfDate: the lock has no such entry, or at another revision.
        CacheMiss: it is not in the cache; nobody is asked.

    """
    from hubloader.locking.loading import find_locked, open_locked
    from hubloader.locking.lockfile import read_lock

    path = os.fspath(arguments.lock or settings.lockfile or "")
    wanted = os.fspath(name)
    lock = read_lock(path)
    model = find_locked(lock, wanted, path, revision=arguments.revision, repo_type=repo_type)
    if model is None and os.path.isdir(os.path.expanduser(wanted)):
        return None
    if model is None:
        known = ", ".join(each.name for each in lock.models) or "nothing"
        raise LockOutOfDate(
            f"{path} has no model {wanted!r}; it has {known}",
            hint=f"run `hubloader add {wanted}`, or load it without the lock",
            repo_id=wanted,
        )
    desk = _desk(settings, replace(arguments, local_files_only=True), None)
    return open_locked(desk, model, purpose)


def desk_for(
    hub: dict[str, Any],
    *,
    endpoint: str | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> Desk:
    """The cache and the endpoint of a call.

    Args:
        hub: the keywords that say where from.
        endpoint: models.toml's: used where neither a keyword nor the environment says one.
        progress: called with each event of a download.

    """
    from dataclasses import fields

    known = {item.name for item in fields(HubArguments)} - _NOT_HERE
    for keyword in hub:
        if keyword not in known:
            near = suggestion(keyword, known, otherwise=f"; known are {sorted(known)}")
            raise TypeError(f"unexpected keyword {keyword!r}{near}")
    arguments = HubArguments(**hub)
    if arguments.endpoint is None and setting_sources()["endpoint"] is None:
        arguments = replace(arguments, endpoint=endpoint)
    return _desk(settings_for(arguments), arguments, progress)


def _desk(
    settings: Settings, arguments: HubArguments, progress: Callable[[Progress], Any] | None
) -> Desk:
    from hubloader.locking.desk import Desk

    session = session_for(settings, token=arguments.token, proxies=arguments.proxies)
    return Desk(
        settings=settings,
        store=session.store,
        client=session.client,
        tracker=partial(session.tracker, progress),
        mode=mode_of(arguments, settings),
    )


def _before(path: str, *, conflicts: bool = False) -> Lock:
    """The lock as it is; an empty one where there is none."""
    from hubloader.locking.conflicts import has_conflict, merge_sides
    from hubloader.locking.lockfile import parse_lock, read_text
    from hubloader.locking.values import Lock

    try:
        text = read_text(path, "")
    except NotFound:
        return Lock()
    if conflicts and has_conflict(text):
        return merge_sides(text)
    return parse_lock(text, path)


def _frozen_lock(path: str | os.PathLike[str] | None) -> tuple[str, Lock]:
    from hubloader.locking.lockfile import read_lock
    from hubloader.locking.project import find_lock, lock_path

    where = find_lock() if path is None else os.fspath(path)
    if where.endswith(".toml"):
        where = lock_path(where)
    return where, read_lock(where)


def find_entries(
    path: str | os.PathLike[str], names: Iterable[str] | None = None
) -> tuple[LockedModel, ...]:
    """The entries of the lock at ``path`` that are called so; all for None.

    Raises:
        NotFound: there is no such lock, or no such entry in it.

    """
    from hubloader.locking.lockfile import read_lock

    return _only(read_lock(path), names, os.fspath(path)).models


def _refuse_outdated(project: Project, lock: Lock, path: str) -> None:
    from hubloader.locking.resolving import outdated

    reasons = outdated(project, lock)
    if reasons:
        raise LockOutOfDate(
            f"{path} does not fit {project.path}: {'; '.join(reasons)}",
            hint="run `hubloader lock` and commit the result",
            filename=path,
        )


def signature_path(path: str) -> str:
    """Return where the signature of the lock at ``path`` is."""
    return f"{path}.sig"


def _refuse_unsigned(lock: Lock, path: str, key: str | os.PathLike[str]) -> None:
    from hubloader.locking.lockfile import read_text
    from hubloader.locking.provenance import verify_signature

    try:
        text = read_text(signature_path(path), "")
    except NotFound:
        raise IntegrityError(
            f"{path} is not signed: there is no {signature_path(path)}",
            hint="sign it with `hubloader lock --sign KEY`",
            filename=path,
        ) from None
    verify_signature(lock, text, key)


def _refuse_by_policy(project: Project, lock: Lock) -> None:
    from hubloader.locking.policy import refusals
    from hubloader.locking.several import as_one

    found = refusals(lock, project.policy)
    if found:
        raise as_one(found)


def _chosen(upgrade: bool | str | Iterable[str], project: Project) -> Callable[[str], bool]:
    if isinstance(upgrade, bool):
        return lambda _: upgrade
    names = {upgrade} if isinstance(upgrade, str) else set(upgrade)
    unknown = sorted(name for name in names if project.spec(name) is None)
    if unknown:
        has = ", ".join(spec.name for spec in project.specs) or "none"
        raise NotFound(f"{project.path} has no model {unknown[0]!r}", hint=f"it has {has}")
    return names.__contains__


def _only(lock: Lock, names: Iterable[str] | None, path: str) -> Lock:
    from hubloader.locking.values import Lock

    if names is None:
        return lock
    chosen = [(name, lock.named(name)) for name in names]
    unknown = [name for name, model in chosen if model is None]
    if unknown:
        raise NotFound(f"{path} has no model {unknown[0]!r}")
    return Lock(tuple(model for _, model in chosen if model is not None))
