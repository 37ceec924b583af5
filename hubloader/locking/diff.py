"""What changed between two locks: commits, files, bytes, licences. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubloader.locking.values import Lock, LockedModel

__all__ = ["LockDiff", "ModelChange", "diff_locks"]


@dataclass(frozen=True)
class ModelChange:
    """One entry that is not what it was; ``old`` is None for a new one, ``new`` for one gone.

    ``added``, ``removed`` and ``modified`` are names of files. ``bytes_added`` are those of the
    contents that the old entry did not have, ``bytes_removed`` of those it alone had.
    """

    name: str
    old: LockedModel | None
    new: LockedModel | None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    bytes_added: int = 0
    bytes_removed: int = 0

    @property
    def facts(self) -> tuple[tuple[str, object, object], ...]:
        """What else changed: (repo, revision, commit, license, gated or risk; before; after)."""
        if self.old is None or self.new is None:
            return ()
        pairs = (
            ("repo", str(self.old.repo), str(self.new.repo)),
            ("revision", self.old.revision, self.new.revision),
            ("commit", str(self.old.commit), str(self.new.commit)),
            ("license", self.old.license, self.new.license),
            ("gated", self.old.gated, self.new.gated),
            ("risk", list(self.old.risk), list(self.new.risk)),
        )
        return tuple(pair for pair in pairs if pair[1] != pair[2])


@dataclass(frozen=True)
class LockDiff:
    """All entries that are not what they were, by name."""

    changes: tuple[ModelChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


def diff_locks(old: Lock, new: Lock) -> LockDiff:
    """Compare two locks."""
    names = sorted({model.name for model in (*old.models, *new.models)})
    pairs = [(name, old.named(name), new.named(name)) for name in names]
    return LockDiff(tuple(_change(*pair) for pair in pairs if pair[1] != pair[2]))


def _change(name: str, old: LockedModel | None, new: LockedModel | None) -> ModelChange:
    before = {file.path: file for file in old.files} if old else {}
    after = {file.path: file for file in new.files} if new else {}
    contents = [{f.sha256: f.size for f in files.values()} for files in (before, after)]
    both = before.keys() & after.keys()
    return ModelChange(
        name,
        old,
        new,
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        modified=tuple(sorted(p for p in both if before[p].sha256 != after[p].sha256)),
        bytes_added=sum(size for key, size in contents[1].items() if key not in contents[0]),
        bytes_removed=sum(size for key, size in contents[0].items() if key not in contents[1]),
    )
