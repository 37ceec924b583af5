"""``hubloader remove``: take models out of models.toml and models.lock."""

from __future__ import annotations

import click

from hubloader.cli._locks import change_lines, changes_document, project_option
from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit


@click.command(cls=SharedCommand, short_help="Take models out of models.toml and the lock.")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@project_option
@click.pass_context
def command(context: click.Context, names: tuple[str, ...], project: str | None) -> None:
    """Take models out of models.toml and models.lock, by their entry's name or repository.

    The cache keeps their files: `hubloader rm` and `hubloader prune` take them out of it.
    """
    from hubloader.auto.editing import remove

    done = remove(names, project)
    document = {
        "project": done.project,
        "lock": done.locked.path,
        "name": done.name,
        "changes": changes_document(done.locked.changes),
    }
    emit(context, document, change_lines(done.locked.changes))
