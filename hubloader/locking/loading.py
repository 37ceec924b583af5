"""Load what a lock names: those bytes or an error, and no question to anyone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.errors import CacheMiss, EntryNotFound, LockOutOfDate, about
from hubloader.locking.desk import check_sha256, refuse_missing
from hubloader.names import check_filename
from hubloader.resolve.needs import needs
from hubloader.types import DEFAULT_REVISION

if TYPE_CHECKING:
    from pathlib import Path

    from hubloader.locking.desk import Desk
    from hubloader.locking.values import Lock, LockedModel
    from hubloader.types import FileSet, Purpose, RepoType

__all__ = ["LockedFiles", "find_locked", "open_locked"]


def find_locked(
    lock: Lock, name: str, path: str, *, revision: str | None = None, repo_type: RepoType = "model"
) -> LockedModel | None:
    """The entry that ``name`` means, None if the lock has none.

    Raises:
        LockOutOfDate: the entry is of another revision than the one asked for.
        InvalidReference: several entries are of that repository.

    """
    bare, at, inline = name.partition("@")
    asked = inline if at else revision
    model = lock.find(bare, repo_type)
    if model is None:
        return None
    fits = asked is None or asked in {model.revision, model.commit}
    if not fits:
        raise LockOutOfDate(
            f"{path} has {model.name!r} at revision {model.revision!r}, not {asked!r}",
            hint=f"leave the revision ({DEFAULT_REVISION!r} or any) out: the lock says which",
            repo_id=str(model.repo),
            revision=asked,
        )
    return model


def open_locked(desk: Desk, model: LockedModel, purpose: Purpose) -> FileSet:
    """The files of a locked entry, all checked.

    Raises:
        CacheMiss: some of those that the purpose needs are not in the cache; all are named.
        EntryNotFound: the lock does not name what the purpose cannot do without.
        IntegrityError: a file is another than the one that was locked.

    """
    manifest = model.manifest
    wanted = needs(manifest, purpose)
    if wanted.missing:
        raise EntryNotFound(
            f"the lock's entry {model.name!r} has no {', '.join(wanted.missing)}",
            hint=f'add the use to "for" of [models.{model.name}], then run `hubloader sync`',
            repo_id=str(model.repo),
            revision=model.revision,
        )
    desk.store.lease(model.repo, model.commit)
    plan = desk.plan(manifest, [file.path for file in model.files])
    needed = desk.plan(manifest, wanted.wanted)
    refuse_missing(needed)
    if not needed.idle:
        with desk.store.batch():
            desk.carry_out(needed)
    here = frozenset(file.filename for file in plan.files)
    check_sha256(desk.store, model, here)
    desk.store.mark_used(model.repo, model.commit)
    return LockedFiles(desk, model, here, purpose.subfolder)


class LockedFiles:
    """The files of a locked entry, as far as they are in the cache.

    Args:
        desk: the cache; its network is off.
        model: the entry.
        here: the files that are in the cache.
        subfolder: the folder that names are relative to; "" for the root.

    """

    def __init__(
        self, desk: Desk, model: LockedModel, here: frozenset[str], subfolder: str = ""
    ) -> None:
        self._desk = desk
        self._model = model
        self._here = here
        self._prefix = f"{subfolder}/" if subfolder else ""
        self._locked = {file.path for file in model.files}

    @property
    def commit(self) -> str:
        """The locked commit."""
        return self._model.commit

    def names(self) -> frozenset[str]:
        """Every locked file that is in the cache, relative to the subfolder."""
        prefix = self._prefix
        return frozenset(n.removeprefix(prefix) for n in self._here if n.startswith(prefix))

    def exists(self, name: str) -> bool:
        """Whether the file is locked, and in the cache."""
        return self._prefix + name in self._here

    def path(self, name: str) -> Path:
        """Where the file is.

        Raises:
            EntryNotFound: the lock does not name it.
            CacheMiss: it is not in the cache.

        """
        filename = self._prefix + check_filename(name)
        with about(repo_id=str(self._model.repo), revision=self._model.revision):
            self._refuse(filename)
        return self._desk.bring(self._model.manifest, [filename])[filename]

    def _refuse(self, filename: str) -> None:
        if filename not in self._locked:
            raise EntryNotFound(
                f"the lock's entry {self._model.name!r} has no {filename}",
                filename=filename,
                hint="a locked load reads the locked files and no others",
            )
        if filename not in self._here:
            raise CacheMiss(
                f"{filename} of the lock's entry {self._model.name!r} is not in the cache",
                missing=(filename,),
                filename=filename,
                hint="run `hubloader sync --frozen`",
            )

    def describe(self, name: str = "") -> str:
        """The file, or the whole entry, in words for messages."""
        model = self._model
        place = f"{model.repo}@{model.revision} (locked as {model.name!r})"
        return f"{self._prefix}{name} of {place}" if name else place
