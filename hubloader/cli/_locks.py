"""What the commands about models.toml and models.lock share: an option, and how changes print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._text import size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.locking.diff import LockDiff, ModelChange
    from hubloader.locking.values import LockedModel

__all__ = ["change_lines", "changes_document", "model_document", "project_option"]

_SHORT = 12  # digits of a commit that people compare

project_option = click.option(
    "-f",
    "--file",
    "project",
    type=click.Path(dir_okay=False),
    metavar="PATH",
    help="The models.toml (or pyproject.toml).  [default: the nearest, upwards from here]",
)


def model_document(model: LockedModel) -> dict[str, Any]:
    """An entry as JSON."""
    return {
        "name": model.name,
        "repo_id": str(model.repo),
        "repo_type": model.repo.repo_type,
        "revision": model.revision,
        "commit": model.commit,
        "tree": model.tree,
        "license": model.license,
        "gated": model.gated,
        "risk": list(model.risk),
        "size": model.size,
        "files": [file.path for file in model.files],
    }


def changes_document(changes: LockDiff) -> list[dict[str, Any]]:
    """The differences of two locks as JSON."""
    return [
        {
            "name": each.name,
            "change": _kind(each),
            "repo_id": str((each.new or each.old).repo),  # type: ignore[union-attr]  # one is there
            "changed": {name: {"old": old, "new": new} for name, old, new in each.facts},
            "added": list(each.added),
            "removed": list(each.removed),
            "modified": list(each.modified),
            "bytes_added": each.bytes_added,
            "bytes_removed": each.bytes_removed,
            "files": [file.path for file in each.new.files] if each.new else [],
        }
        for each in changes.changes
    ]


def change_lines(changes: LockDiff) -> Iterator[str]:
    """The differences of two locks as lines."""
    for each in changes.changes:
        model = each.new or each.old
        if model is not None:
            sign = {"added": "+", "removed": "-", "changed": "~"}[_kind(each)]
            yield f"{sign} {each.name} ({model.repo}@{model.revision} {model.commit[:_SHORT]})"
        for name, old, new in each.facts:
            yield f"    {name}: {_shown(name, old)} -> {_shown(name, new)}"
        if each.old is not None and each.new is not None:
            yield from (f"    + {name}" for name in each.added)
            yield from (f"    - {name}" for name in each.removed)
            yield from (f"    ~ {name}" for name in each.modified)
        yield f"    {_bytes(each)}"


def _kind(change: ModelChange) -> str:
    if change.old is None:
        return "added"
    return "removed" if change.new is None else "changed"


def _bytes(change: ModelChange) -> str:
    count = len(change.new.files) if change.new else 0
    files = f"{count} file{'' if count == 1 else 's'}, " if change.old is None else ""
    return f"{files}+{size_of(change.bytes_added)}, -{size_of(change.bytes_removed)}"


def _shown(name: str, value: object) -> str:
    if name == "commit":
        return str(value)[:_SHORT]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"
