"""``hubloader export``: carry what is in the cache elsewhere."""

from __future__ import annotations

from typing import Any

import click

from hubloader.cli._locks import model_document
from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit
from hubloader.cli._text import size_of


@click.command(cls=SharedCommand, short_help="Carry what is in the cache elsewhere.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("-o", "--output", required=True, metavar="PATH", help="The bundle or folder.")
@click.option("--lock", "by_lock", is_flag=True, help="What the nearest models.lock names.")
@click.option("--lock-file", type=click.Path(), metavar="PATH", help="What this lock names.")
@click.option(
    "--format", type=click.Choice(["tar", "dir", "nginx"]), default="tar", show_default=True
)
@click.option(
    "--have",
    multiple=True,
    type=click.Path(),
    metavar="LIST",
    help="Leave out contents that the other side has: its models.lock, or a list of sha256.",
)
@click.option("--listen", default="8080", show_default=True, help="nginx's address or port.")
@click.pass_context
def command(context: click.Context, /, names: tuple[str, ...], **given: Any) -> None:
    """Write repositories of the cache, or what a lock names, to a bundle, a folder or for nginx.

    A bundle is a tar with an index of hashes; `hubloader import` verifies it on the way in. A
    broken export goes on where it stopped. `-o -` writes the bundle to stdout. With --lock, NAME is
    an entry of it.
    """
    from hubloader.auto.exporting import export
    from hubloader.locking.project import find_lock

    if not (names or given["by_lock"] or given["lock_file"]):
        raise click.UsageError("give names, --lock or --lock-file", context)
    if given["output"] == "-" and given["format"] != "tar":
        raise click.UsageError("only a bundle can be written to stdout", context)
    if given["output"] == "-" and shared(context).json:
        raise click.UsageError("-o - and --json both want stdout", context)
    lock = given["lock_file"] or (find_lock() if given["by_lock"] else None)
    done = export(
        given["output"],
        names or None,
        lock=lock,
        format=given["format"],
        have=given["have"],
        listen=given["listen"],
        repo_type=shared(context).named_type,
    )
    if done.path == "-":
        return
    count = len(done.lock.models)
    emit(
        context,
        {
            "path": done.path,
            "size": done.size,
            "models": [model_document(model) for model in done.lock.models],
        },
        [f"{done.path}: {count} model{'' if count == 1 else 's'}, {size_of(done.size)}"],
    )
