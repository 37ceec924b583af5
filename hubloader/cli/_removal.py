"""How the commands that delete show what goes, and what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._report import emit
from hubloader.cli._text import size_of

if TYPE_CHECKING:
    from hubloader.cache.prune import PrunePlan, Removal

__all__ = ["carry_out_or_show", "keep_option"]

keep_option = click.option(
    "--keep",
    multiple=True,
    type=click.Path(),
    metavar="LOCK|NAME[@REV]",
    help="What this lock names stays, or this repository, or this revision of it.",
)


def carry_out_or_show(context: click.Context, plan: PrunePlan, *, dry_run: bool) -> None:
    """Delete what the plan chose, or show it."""
    from hubloader.auto.cleaning import remove

    removed, freed, leftovers = plan.removals, plan.size, len(plan.leftovers)
    kept: tuple[tuple[Removal, str], ...] = ()
    if not dry_run:
        done = remove(plan)
        removed, kept, freed, leftovers = done.removed, done.kept, done.freed, done.leftovers
    document = {
        "dry_run": dry_run,
        "removed": [_document(each) for each in removed],
        "kept": [{**_document(each), "why": why} for each, why in kept],
        "leftovers": leftovers,
        "freed": freed,
    }
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {_name(each)}: {each.reason.value}" for each in removed]
    lines += [f"kept {_name(each)}: {why}" for each, why in kept]
    if leftovers:
        lines.append(f"{verb} {leftovers} leftovers")
    lines.append(f"{'would free' if dry_run else 'freed'} {size_of(freed)}")
    emit(context, document, lines)


def _name(removal: Removal) -> str:
    return f"{removal.repo}@{removal.commit[:12]}"


def _document(removal: Removal) -> dict[str, Any]:
    return {
        "repo_id": str(removal.repo),
        "repo_type": removal.repo.repo_type,
        "commit": removal.commit,
        "refs": list(removal.refs),
        "files": removal.files,
        "freed": removal.freed,
        "last_used": removal.last_used,
        "reason": removal.reason.name.lower(),
    }
