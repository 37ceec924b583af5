"""Make a cache hold what a lock names: those bytes, at those commits, and nothing is deleted.

For each entry: what is missing is fetched by its commit; the lock's sha256 is compared, also of the
files that git names by sha1; the listing and the absence marks are kept, so that other libraries
ask nobody; then the refs: ``refs/hubloader/<name>`` always (a commit without a ref would be deleted
by ``hf cache prune``), ``refs/<revision>`` only where there is none, or when that is asked for.

With everything there, nothing is asked and nothing is written.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.errors import (
    AccessDenied,
    CacheReadOnly,
    DiskFull,
    HubError,
    HubloaderError,
    NotFound,
    TransportError,
    about,
)
from hubloader.locking.desk import check_sha256, refuse_missing
from hubloader.locking.several import as_one
from hubloader.resolve.manifest import content_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hubloader.locking.desk import Desk
    from hubloader.locking.values import Lock, LockedModel
    from hubloader.resolve.plan import Plan

__all__ = ["SyncedModel", "env_of", "own_ref", "plan_lock", "set_refs", "sync_lock"]


@dataclass(frozen=True)
class SyncedModel:
    """One entry that is in the cache now. ``fetched_bytes`` is what had to come."""

    name: str
    repo_id: str
    repo_type: str
    revision: str
    commit: str
    path: Path
    files: tuple[str, ...]
    size: int
    fetched_bytes: int


def own_ref(name: str) -> str:
    """The ref that keeps an entry's commit."""
    return f"hubloader/{name}"


def plan_lock(desk: Desk, lock: Lock) -> tuple[tuple[LockedModel, Plan], ...]:
    """Decide about every file of a lock.

    Raises:
        CacheMiss: files are missing, and the network is off; every entry's are named.
        DiskFull: all together there is not enough room.

    """
    plans = tuple((m, desk.plan(m.manifest, [f.path for f in m.files])) for m in lock.models)
    misses: list[HubloaderError] = []
    for _, plan in plans:
        try:
            refuse_missing(plan)
        except HubloaderError as error:  # noqa: PERF203  # every entry is named
            misses.append(error)
    if misses:
        raise as_one(misses)
    _refuse_without_room(desk, plans)
    return plans


def _refuse_without_room(desk: Desk, plans: Sequence[tuple[LockedModel, Plan]]) -> None:
    contents = {
        (model.repo, file.entry.etag): file.fetch
        for model, plan in plans
        for file in plan.downloads
    }
    desk.store.check_room(sum(contents.values()), len(contents), f" for {len(plans)} models")


def sync_lock(desk: Desk, lock: Lock, *, move_refs: bool = False) -> tuple[SyncedModel, ...]:
    """Bring what the lock names.

    Args:
        desk: the cache and the Hub.
        lock: what is wanted.
        move_refs: move ``refs/<revision>`` to the locked commits.

    Raises:
        CacheMiss, DiskFull: as ``plan_lock``; nothing was fetched.
        IntegrityError: bytes are not those that were locked.
        HubloaderError: entries that could not be had; all were tried, the others are there.

    """
    done: list[SyncedModel] = []
    failures: list[HubloaderError] = []
    for model, plan in plan_lock(desk, lock):
        try:
            with about(repo_id=str(model.repo), revision=model.revision):
                done.append(_sync(desk, model, plan, move_refs=move_refs))
        except HubloaderError as error:  # noqa: PERF203  # every entry is tried
            failures.append(error)
            if isinstance(error, (DiskFull, CacheReadOnly)):
                break  # the others would only find the same
    if failures:
        raise as_one(failures)
    return tuple(done)


def _sync(desk: Desk, model: LockedModel, plan: Plan, *, move_refs: bool) -> SyncedModel:
    store, manifest, fetched = desk.store, model.manifest, 0
    if not plan.idle:
        fetched = _bring(desk, model, plan)
    check_sha256(store, model)
    if not (plan.idle and _is_noted(desk, model, move=move_refs)):
        with contextlib.ExitStack() as rest:
            if plan.idle:
                # all that is needed is there: a disk that takes no note is no failure
                rest.enter_context(contextlib.suppress(CacheReadOnly, DiskFull))
            rest.enter_context(store.batch())
            store.mark_absent(manifest, model.absent)
            set_refs(desk, model, move=move_refs)
    store.mark_used(model.repo, model.commit)
    return SyncedModel(
        name=model.name,
        repo_id=str(model.repo),
        repo_type=model.repo.repo_type,
        revision=model.revision,
        commit=model.commit,
        path=store.snapshot_path(model.repo, model.commit),
        files=tuple(file.path for file in model.files),
        size=model.size,
        fetched_bytes=fetched,
    )


def _bring(desk: Desk, model: LockedModel, plan: Plan) -> int:
    """Fetch what is missing; return how many bytes came."""
    from hubloader.resolve.progress import Fetched  # first use: a download

    store, manifest, fetched = desk.store, model.manifest, Fetched()
    with store.using(model.repo), store.batch():
        now = desk.plan(manifest, manifest.entries)  # an entry before may have brought some
        desk.carry_out(now, also=fetched)
        if plan.downloads:
            _keep_listing(desk, model)
    return fetched.count


def _is_noted(desk: Desk, model: LockedModel, *, move: bool) -> bool:
    """Whether the refs and the absence marks are there already."""
    store, repo, revision, commit = desk.store, model.repo, model.revision, model.commit
    if store.read_ref(repo, own_ref(model.name)) != commit:
        return False
    at = commit if revision == commit else store.read_ref(repo, revision)
    if at is None or (move and at != commit):
        return False
    marks = (store.layout.repo(repo).absent_mark(commit, name) for name in model.absent)
    return all(map(os.path.isfile, marks))


def _keep_listing(desk: Desk, model: LockedModel) -> None:
    """Keep what the whole commit holds, so that nobody has to ask; a mirror may not tell it."""
    known = desk.store.read_manifest(model.repo, model.revision, model.commit)
    if known is not None and known.complete:
        return
    try:
        listed = desk.client().list_revision(model.repo, model.commit)
    except (HubError, TransportError, NotFound, AccessDenied):
        return  # the locked bytes are here and right: that is what counts
    agrees = all(
        (entry := listed.entries.get(file.path)) is not None
        and content_key(entry) == content_key(file.entry)
        for file in model.files
    )
    if agrees:
        desk.store.write_manifest(listed)


def set_refs(desk: Desk, model: LockedModel, *, move: bool = False) -> None:
    """Name an entry's commit: by our own ref, and by its revision if that is free or ``move``."""
    store, repo, revision = desk.store, model.repo, model.revision
    store.set_ref(repo, own_ref(model.name), model.commit)
    if revision != model.commit and (move or store.read_ref(repo, revision) is None):
        store.set_ref(repo, revision, model.commit)


def env_of(desk: Desk, lock_path: str) -> dict[str, str]:
    """The variables with which a later stage finds the synced cache and asks nobody."""
    settings = desk.settings
    env = {"HF_HOME": os.path.abspath(settings.home)}  # the later stage may run elsewhere
    if settings.cache_dir != settings.home / "hub":
        env["HF_HUB_CACHE"] = os.path.abspath(settings.cache_dir)
    return {**env, "HF_HUB_OFFLINE": "1", "HUBLOADER_LOCK": lock_path}
