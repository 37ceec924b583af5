"""``hubloader diff``: what changed between two locks."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import click

from hubloader.cli._locks import change_lines, changes_document, project_option
from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit

if TYPE_CHECKING:
    from hubloader.locking.values import Lock


@click.command(cls=SharedCommand, short_help="Show what changed between two locks.")
@click.argument("old", metavar="[LOCK]", required=False)
@project_option
@click.pass_context
def command(context: click.Context, old: str | None, project: str | None) -> None:
    """Show what is different in models.lock from LOCK: commits, files, bytes, licences.

    LOCK is a file or a git revision; by default HEAD, so that `hubloader diff` shows what a commit
    would change.
    """
    from hubloader.locking.diff import diff_locks
    from hubloader.locking.lockfile import read_lock
    from hubloader.locking.project import find_lock, lock_path

    path = find_lock() if project is None else lock_path(project)
    before = read_lock(old) if old and os.path.isfile(old) else _of_git(path, old or "HEAD")
    changes = diff_locks(before, read_lock(path))
    lines = list(change_lines(changes)) or [f"no difference from {old or 'HEAD'}"]
    emit(context, {"lock": path, "changes": changes_document(changes)}, lines)


def _of_git(path: str, revision: str) -> Lock:
    from hubloader.errors import NotFound
    from hubloader.locking.lockfile import parse_lock

    folder, name = os.path.split(os.path.abspath(path))
    try:
        shown = subprocess.run(  # noqa: S603  # no shell, and git takes "REV:./name" as one word
            ["git", "-C", folder, "show", "--end-of-options", f"{revision}:./{name}"],  # noqa: S607  # the user's git
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        shown = None
    if shown is None or shown.returncode != 0:
        raise NotFound(
            f"there is no lock {revision!r}: no such file, and git has no {name} at that revision",
            hint="give a lock file, or a revision that has one",
        )
    return parse_lock(shown.stdout.decode("utf-8", errors="replace"), f"{revision}:{name}")
