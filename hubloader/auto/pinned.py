"""Downloads while a lock is in force (``HUBLOADER_LOCK``): the locked commit and files, no others.

``hf_hub_download`` and ``snapshot_download`` have huggingface_hub's parameters, so the variable
alone says it. Nobody is asked: what is locked was brought by ``hubloader sync``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.errors import EntryNotFound, LockOutOfDate
from hubloader.types import Mode, ModelRef, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubloader.cache.store import CacheStore
    from hubloader.locking.values import LockedModel
    from hubloader.settings import Settings
    from hubloader.types import RepoType

__all__ = ["Pin", "pin_of"]


@dataclass(frozen=True)
class Pin:
    """An entry of the lock that is in force, and the path of that lock."""

    model: LockedModel
    path: str

    @property
    def ref(self) -> ModelRef:
        """The locked commit."""
        return ModelRef(repo=self.model.repo, revision=self.model.commit)

    @property
    def mode(self) -> Mode:
        """What the network may be used for: nothing."""
        return Mode.CACHE_ONLY

    def narrowed(self, purpose: Purpose) -> Purpose:
        """The purpose, with the locked files in place of all files.

        Raises:
            EntryNotFound: it wants a file by its name that is not locked.

        """
        locked = [file.path for file in self.model.files]
        unlocked = sorted(set(purpose.exact) - set(locked))
        if unlocked:
            raise EntryNotFound(
                f"the lock's entry {self.model.name!r} has no {', '.join(unlocked)}",
                hint=f"{self.path} is in force (HUBLOADER_LOCK): it names the files that there are",
                repo_id=str(self.model.repo),
                revision=self.model.revision,
                filename=unlocked[0],
            )
        if purpose.exact:
            return purpose
        fitting = tuple(_fitting(locked, purpose.include, purpose.exclude))
        if not fitting:
            raise EntryNotFound(
                f"no file of the lock's entry {self.model.name!r} fits the patterns",
                hint=f"it has {', '.join(locked)}",
                repo_id=str(self.model.repo),
                revision=self.model.revision,
            )
        return Purpose(exact=fitting)

    def check(self, store: CacheStore, filenames: Iterable[str]) -> None:
        """Make sure that files of the snapshot are those of the lock.

        Raises:
            CacheMiss: what the snapshot has is not what was locked.
            IntegrityError: the same, of a file that git names by its sha1.

        """
        from hubloader.locking.desk import check_sha256

        names = frozenset(filenames)
        for name in sorted(names):
            store.path(self.model.manifest, name)
        check_sha256(store, self.model, names)


def pin_of(settings: Settings, name: str, revision: str | None, repo_type: RepoType) -> Pin | None:
    """The entry that ``name`` means in the lock that is in force; None if no lock is.

    Raises:
        LockOutOfDate: the lock has no such entry, or at another revision.

    """
    if settings.lockfile is None:
        return None
    from hubloader.locking.loading import find_locked
    from hubloader.locking.lockfile import read_lock

    path = os.fspath(settings.lockfile)
    lock = read_lock(path)
    model = find_locked(lock, name, path, revision=revision, repo_type=repo_type)
    if model is None:
        known = ", ".join(each.name for each in lock.models) or "nothing"
        raise LockOutOfDate(
            f"{path} has no model {name!r}; it has {known}",
            hint=f"run `hubloader add {name}`, or unset HUBLOADER_LOCK",
            repo_id=name,
        )
    return Pin(model, path)


def _fitting(
    names: list[str], include: tuple[str, ...] | None, exclude: tuple[str, ...] | None
) -> list[str]:
    from hubloader.resolve.needs import matches

    return [
        name
        for name in names
        if (include is None or matches(name, include)) and not matches(name, exclude or ())
    ]
