"""A lock with the marks of a merge conflict: its two sides, and what both agree on.

git merges lines, a lock is made of entries. An entry that both sides have in the same form, or that
one side alone has, is kept. One that differs is dropped, to be resolved anew, and so is one that
lines of both sides made: its ``tree`` is not that of its files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.errors import HubloaderError
from hubloader.locking import _toml
from hubloader.locking.lockfile import parse_entry
from hubloader.locking.values import Lock

if TYPE_CHECKING:
    from hubloader.locking.values import LockedModel

__all__ = ["has_conflict", "merge_sides", "sides"]

_OURS, _BASE, _THEIRS, _END = "<<<<<<<", "|||||||", "=======", ">>>>>>>"


def has_conflict(text: str) -> bool:
    """Whether the text has marks of a conflict."""
    return any(line.startswith((_OURS, _END)) for line in text.splitlines())


def sides(text: str) -> tuple[str, str]:
    """The text as each of the two sides has it; the common ancestor of a diff3 is left out."""
    ours: list[str] = []
    theirs: list[str] = []
    taking: tuple[list[str], ...] = (ours, theirs)
    for line in text.splitlines(keepends=True):
        if line.startswith(_OURS):
            taking = (ours,)
        elif line.startswith(_BASE):
            taking = ()
        elif line.startswith(_THEIRS):
            taking = (theirs,)
        elif line.startswith(_END):
            taking = (ours, theirs)
        else:
            for side in taking:
                side.append(line)
    return "".join(ours), "".join(theirs)


def merge_sides(text: str) -> Lock:
    """The entries on which the two sides of a conflict do not differ."""
    ours, theirs = map(_entries, sides(text))
    kept = [
        ours.get(name) or theirs[name]
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name, theirs.get(name)) == theirs.get(name, ours.get(name))
    ]
    return Lock(tuple(kept))


def _entries(text: str) -> dict[str, LockedModel]:
    """Every whole entry of a side; a name that stands twice is no entry."""
    try:
        raw = _toml.parse(text).get("model", [])
    except (_toml.TomlError, RecursionError):
        return {}
    found: dict[str, LockedModel] = {}
    twice: set[str] = set()
    for each in raw if isinstance(raw, list) else []:
        try:
            model = parse_entry(each)
        except HubloaderError:
            continue
        if model.name in found:
            twice.add(model.name)
        found[model.name] = model
    return {name: model for name, model in found.items() if name not in twice}
