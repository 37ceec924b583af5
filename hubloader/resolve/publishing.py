"""What a load leaves in the cache beside its files: listing, absences, alias, and the ref, last."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hubloader.errors import CacheReadOnly, DiskFull
from hubloader.types import Mode, RepoId

if TYPE_CHECKING:
    from hubloader.cache.store import CacheStore
    from hubloader.resolve.work import Work

__all__ = ["mark_absent", "may_publish", "publish"]


def may_publish(work: Work) -> bool:
    """Whether what is known of the commit was learnt from the Hub, and may be said of it."""
    return work.resolved.failure is None and work.mode is not Mode.CACHE_ONLY


def publish(store: CacheStore, work: Work, endpoint: str) -> None:
    """Keep the listing and the absences, and move the ref: when the files are there.

    Args:
        store: the cache.
        work: what was carried out.
        endpoint: who told it.

    Raises:
        DiskFull, CacheReadOnly, CacheError: it could not be kept beside files that came.

    """
    if not may_publish(work):
        return
    # nothing came, so nothing is lost: a disk that takes no note is no failure
    idle = () if work.plan.downloads else (CacheReadOnly, DiskFull)
    with contextlib.suppress(*idle):
        _note(store, work, endpoint)


def _note(store: CacheStore, work: Work, endpoint: str) -> None:
    manifest = work.manifest
    if work.resolved.new:
        store.write_manifest(manifest)
        _remember_alias(store, work)
    if work.resolved.piecemeal:
        store.write_told(manifest, endpoint)
    mark_absent(store, work)
    if manifest.revision != manifest.commit:
        store.set_ref(manifest.repo, manifest.revision, manifest.commit)


def mark_absent(store: CacheStore, work: Work) -> None:
    """Keep which files were looked for and are not of the commit, as far as its listing says."""
    manifest = work.manifest
    known = (*work.needs.absent, *(n for n in work.needs.missing if " " not in n))
    if manifest.complete and known and work.mode is not Mode.CACHE_ONLY:
        with contextlib.suppress(CacheReadOnly, DiskFull):
            store.mark_absent(manifest, known)


def _remember_alias(store: CacheStore, work: Work) -> None:
    manifest = work.manifest
    if manifest.canonical is not None and manifest.canonical != str(work.asked):
        canonical = RepoId.parse(manifest.canonical, work.asked.repo_type)
        store.remember_alias(work.asked, canonical)
