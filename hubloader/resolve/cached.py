"""What the cache knows of a revision, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.errors import CacheMiss

if TYPE_CHECKING:
    from hubloader.cache.store import CacheStore
    from hubloader.errors import HubloaderError
    from hubloader.types import Manifest, RepoId

__all__ = ["CachedRevisions", "Resolved", "will_do"]


@dataclass(frozen=True)
class Resolved:
    """A commit and what it holds.

    ``new``: the listing came from the Hub just now and is not kept on disk yet. ``listable``: False
    when the endpoint lists nothing and each file has to be asked for. ``piecemeal``: the endpoint
    lists nothing, or names alone, so that what it tells of single files is worth keeping.
    ``failure``: why a cached revision stands in for the Hub's answer.
    """

    manifest: Manifest
    new: bool = False
    listable: bool = True
    failure: HubloaderError | None = None
    piecemeal: bool = False


class CachedRevisions:
    """The revisions that a cache knows.

    Args:
        store: the cache.
        endpoint: whose answers about single files count.

    """

    def __init__(self, store: CacheStore, endpoint: str) -> None:
        self._store = store
        self._endpoint = endpoint

    def offline(self, repo: RepoId, revision: str) -> Resolved:
        """Return what is known where nobody may be asked.

        Raises:
            CacheMiss: nothing is.

        """
        cached = self.find(repo, revision, guess=True)
        if cached is None:
            raise CacheMiss(
                f"{repo} at revision {revision!r} is not in the cache, and the network is off",
                hint=f"run `hubloader prefetch {repo}@{revision}` with a network, or go online "
                "(HF_HUB_OFFLINE, local_files_only)",
                repo_id=str(repo),
                revision=revision,
            )
        if cached.listable and not cached.piecemeal:
            return cached
        return replace(cached, listable=True, piecemeal=False)

    def find(self, repo: RepoId, revision: str, *, guess: bool = False) -> Resolved | None:
        """Return what is known of the revision, under this name or the canonical one.

        Args:
            repo: the repository.
            revision: branch, tag or commit.
            guess: take the one cached repository of a one-part name for it: only where nobody can
                be asked, or nobody answered.

        """
        cached = self._cached_as(repo, revision)
        if cached is not None:
            return cached
        home = self._store.canonical(repo, guess=guess)
        return None if home == repo else self._cached_as(home, revision)

    def _cached_as(self, home: RepoId, revision: str) -> Resolved | None:
        commit = self._store.known_commit(home, revision)
        manifest = None if commit is None else self._store.read_manifest(home, revision, commit)
        return None if manifest is None else self._with_told(manifest)

    def _with_told(self, manifest: Manifest) -> Resolved:
        """Add what the endpoint told of single files, where the cache has no listing."""
        if manifest.complete:
            return Resolved(manifest)
        told = self._store.read_told(manifest.repo, manifest.commit, self._endpoint)
        if told is None:
            return Resolved(manifest)
        entries = {**manifest.entries, **told.entries}
        absent = manifest.absent.union(told.absent) - entries.keys()
        manifest = replace(manifest, entries=entries, absent=absent, complete=told.listed)
        return Resolved(manifest, listable=told.listed, piecemeal=True)


def will_do(resolved: Resolved, exact: tuple[str, ...]) -> bool:
    """Whether it answers what is wanted: it is whole, has all that was named, or can be asked on.

    Of an endpoint that lists nothing, what is not known yet is asked for file by file.
    """
    manifest = resolved.manifest
    if manifest.complete or not resolved.listable:
        return True
    return bool(exact) and manifest.entries.keys() >= set(exact)
