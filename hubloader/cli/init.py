"""``hubloader init``: begin a models.toml."""

from __future__ import annotations

import os

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit

_TEXT = """\
# What this project needs of the Hub. `hubloader add org/name` adds a model, `hubloader lock` writes
# models.lock, `hubloader sync` fetches what it names.
"""
_ATTRIBUTES = "models.lock -merge linguist-generated\n"


@click.command(cls=SharedCommand, short_help="Begin a models.toml.")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@click.pass_context
def command(context: click.Context, folder: str) -> None:
    """Begin a models.toml in DIR, with an empty lock beside it.

    In a git checkout, .gitattributes is told not to merge the lock line by line.
    """
    from hubloader.errors import InvalidReference
    from hubloader.locking.lockfile import write_lock, write_text
    from hubloader.locking.project import PROJECT_NAME, lock_path, stands_in
    from hubloader.locking.values import Lock

    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, PROJECT_NAME)
    if os.path.exists(path):
        raise InvalidReference(f"there is a {path} already", hint="add models to it")
    other = stands_in(folder)
    if other is not None:
        raise InvalidReference(
            f"{other} has a [tool.hubloader], which a {PROJECT_NAME} beside it would hide",
            hint="`hubloader add` adds models to it",
        )
    write_text(path, _TEXT)
    lock = lock_path(path)
    if not os.path.exists(lock):
        write_lock(lock, Lock())
    marked = _mark_for_git(folder)
    emit(
        context,
        {"project": path, "lock": lock, "gitattributes": marked},
        [f"wrote {path} and {lock}", *(["wrote .gitattributes"] if marked else [])],
    )


def _mark_for_git(folder: str) -> bool:
    if not os.path.isdir(os.path.join(folder, ".git")):
        return False
    path = os.path.join(folder, ".gitattributes")
    text = ""
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    if _ATTRIBUTES in text:
        return False
    from hubloader.locking.lockfile import write_text

    gap = "" if not text or text.endswith("\n") else "\n"
    return write_text(path, f"{text}{gap}{_ATTRIBUTES}")
