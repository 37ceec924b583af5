"""``hubloader add``: put a model into models.toml, and lock it."""

from __future__ import annotations

from typing import Any

import click

from hubloader.cli._locks import change_lines, changes_document, project_option
from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit
from hubloader.cli._transfer import transfer_options


@click.command(cls=SharedCommand, short_help="Add a model to models.toml, and lock it.")
@click.argument("name", metavar="NAME[@REV]")
@project_option
@click.option("--as", "entry", metavar="ENTRY", help="What to call it.  [default: from NAME]")
@click.option(
    "--for",
    "uses",
    multiple=True,
    type=click.Choice(["tokenizer", "torch", "tf", "numpy", "all"]),
    help="What the files are for; may be repeated.  [default: tokenizer, torch]",
)
@click.option("--include", multiple=True, metavar="PATTERN", help="These files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave these files out.")
@transfer_options
@click.pass_context
def command(context: click.Context, /, name: str, **given: Any) -> None:
    """Add a model to models.toml (begun here if there is none), and lock it.

    If it cannot be locked, models.toml is left as it was.
    """
    from hubloader.auto.editing import add

    done = add(
        name,
        given["project"],
        entry=given["entry"],
        uses=given["uses"] or None,
        include=given["include"],
        exclude=given["exclude"],
        repo_type=shared(context).named_type,
    )
    document = {
        "project": done.project,
        "lock": done.locked.path,
        "name": done.name,
        "changes": changes_document(done.locked.changes),
    }
    lines = [*change_lines(done.locked.changes), f"{done.project} has {done.name!r}"]
    emit(context, document, lines)
