"""``hubloader rm``: take repositories, or revisions of them, out of the cache."""

from __future__ import annotations

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._removal import carry_out_or_show, keep_option


@click.command(cls=SharedCommand, short_help="Take repositories out of the cache.")
@click.argument("names", metavar="NAME[@REV]…", nargs=-1, required=True)
@keep_option
@click.option("--dry-run", is_flag=True, help="Show what would go.")
@click.pass_context
def command(
    context: click.Context, names: tuple[str, ...], keep: tuple[str, ...], dry_run: bool
) -> None:
    """Take repositories, or one revision of them, out of the cache.

    What a process uses stays, and is named.
    """
    from hubloader.auto.cleaning import plan_removal

    plan = plan_removal(names, keep=keep, repo_type=shared(context).named_type)
    carry_out_or_show(context, plan, dry_run=dry_run)
