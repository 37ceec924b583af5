"""``hubloader prune``: make the cache smaller, the least recently used first."""

from __future__ import annotations

import re

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._removal import carry_out_or_show, keep_option

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command(cls=SharedCommand, short_help="Make the cache smaller.")
@click.option("--max-size", metavar="SIZE", help="What may stay: 50GB, 500MiB.")
@click.option("--older-than", metavar="AGE", help="What was not loaded for so long: 30d, 12h.")
@click.option("--detached", is_flag=True, help="Also revisions that no branch or tag names.")
@keep_option
@click.option("--dry-run", is_flag=True, help="Show what would go.")
@click.pass_context
def command(  # one option each
    context: click.Context,
    max_size: str | None,
    older_than: str | None,
    detached: bool,
    keep: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Take out of the cache what was used least recently, and what dead processes left.

    What --keep names stays, and so does what a process uses, or a ref below
    refs/hubloader/pin/ names.
    """
    from hubloader.auto.cleaning import plan_prune
    from hubloader.locking.project import parse_size

    plan = plan_prune(
        max_size=None if max_size is None else parse_size(max_size),
        older_than=None if older_than is None else _age(older_than),
        detached=detached,
        keep=keep,
        repo_type=shared(context).named_type,
    )
    carry_out_or_show(context, plan, dry_run=dry_run)


def _age(text: str) -> float:
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(
            f"{text!r} is no age: write 30d, 12h, 90m", param_hint="'--older-than'"
        )
    return float(match[1]) * _SECONDS[match[2]]
