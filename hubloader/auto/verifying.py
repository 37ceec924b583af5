"""``verify``: hash what is in the cache, or what a lock names; mend it if asked."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hubloader.auto.locks import desk_for, find_entries
from hubloader.errors import CacheMiss, HubloaderError, IntegrityError
from hubloader.types import DEFAULT_REVISION, Mode, parse_model_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubloader.cache.audit import AuditReport, Fault, Repair
    from hubloader.locking.desk import Desk
    from hubloader.resolve.progress import Progress
    from hubloader.types import Manifest, RepoId, RepoType

__all__ = ["cached", "error_of", "verify"]


def verify(
    names: Iterable[str] | None = None,
    *,
    lock: str | os.PathLike[str] | None = None,
    repair: bool = False,
    repo_type: RepoType = "model",
    progress: Callable[[Progress], Any] | None = None,
    **hub: Any,
) -> AuditReport:
    """Hash files in the cache and compare them with what was announced, or with what was locked.

    Without ``repair`` no network is used, and nothing is changed but that a bad file is trusted no
    more.

    Args:
        names: with ``lock`` its entries, else repositories (``org/name``, ``org/name@revision``);
            None for all of the cache. Base caches are read too.
        lock: a models.lock: its files have to be there, and to have its sha256.
        repair: set bad files aside and fetch them again.
        repo_type: model, dataset or space.
        progress: called with each event of a download.
        **hub: which cache, and where from, as for ``from_pretrained``.

    Returns:
        What was looked at, what is wrong, what was mended.

    Raises:
        NotFound: the lock has no such entry.
        CacheMiss: the cache has no such repository.
        HubloaderError: the repair failed.

    """
    from hubloader.cache.audit import AuditReport, audit_cache, audit_manifest

    desk = desk_for(hub, progress=progress)
    mend = _repair(desk) if repair else None
    reports: list[AuditReport] = []
    if lock is not None:
        for model in find_entries(lock, names):
            digests = {file.path: file.sha256 for file in model.files}
            reports.append(audit_manifest(desk.store, model.manifest, digests=digests, repair=mend))
    elif names is None:
        reports.append(audit_cache(desk.store, repair=mend))
    else:
        for name in names:
            repo, commit = cached(desk, name, repo_type, behind=True)
            commits = None if commit is None else {commit}
            reports.append(audit_cache(desk.store, {repo}, commits=commits, repair=mend))
    return AuditReport(
        files=sum(report.files for report in reports),
        bytes=sum(report.bytes for report in reports),
        faults=tuple(fault for report in reports for fault in report.faults),
        unknown=tuple(path for report in reports for path in report.unknown),
        repaired=tuple(fault for report in reports for fault in report.repaired),
    )


def error_of(fault: Fault, hint: str | None = None) -> HubloaderError:
    """The error that a bad file is: CacheMiss for one that is not there, else IntegrityError."""
    about = f"{fault.filename} of {fault.repo} (commit {fault.commit[:12]})"
    if fault.kind.name == "MISSING":
        error: HubloaderError = CacheMiss(
            f"{about} is not in the cache", missing=(fault.filename,), hint=hint
        )
    else:
        told = f": expected {fault.expected}, found {fault.actual}" if fault.actual else ""
        error = IntegrityError(
            f"{about} is bad: {fault.kind.value}{told}",
            expected=fault.expected,
            actual=fault.actual,
            hint=hint,
        )
    error.repo_id, error.revision, error.filename = str(fault.repo), fault.commit, fault.filename
    return error


def _repair(desk: Desk) -> Repair:
    def bring(manifest: Manifest, filenames: tuple[str, ...]) -> None:
        known = [name for name in filenames if name in manifest.entries]
        found = [desk.store.find(manifest, name) for name in known]
        # what is bad in a base cache stays there, and is believed there: it has to come anew
        below = any(each and each.layout.cache.root != desk.store.layout.root for each in found)
        forced = replace(desk, mode=Mode.FORCE) if below and desk.online else desk
        forced.bring(replace(manifest, revision=manifest.commit), known)

    return bring


def cached(
    desk: Desk, name: str, repo_type: RepoType, *, behind: bool = False
) -> tuple[RepoId, str | None]:
    """The repository that a name means in the cache, and the commit if it says a revision.

    Args:
        desk: the cache.
        name: ``org/name``, ``org/name@revision``.
        repo_type: model, dataset or space.
        behind: whether a base cache may have it; else it is the writable one.

    Raises:
        CacheMiss: the cache has no such thing.

    """
    ref = parse_model_ref(name, repo_type=repo_type, is_dir=lambda _: False)
    repo = None if ref.repo is None else desk.store.canonical(ref.repo)
    revision = ref.revision
    known = None if repo is None else desk.store.known_commit(repo, revision or DEFAULT_REVISION)
    layers = () if repo is None else desk.store.layers(repo)
    here = any(os.path.isdir(layer.folder) for layer in (layers if behind else layers[:1]))
    if repo is None or not here or (revision is not None and known is None):
        raise CacheMiss(
            f"{name} is not in the cache", hint="`hubloader ls` lists what is", repo_id=name
        )
    return repo, None if revision is None else known
