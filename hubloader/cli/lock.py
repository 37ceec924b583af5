"""``hubloader lock``: resolve models.toml into models.lock."""

from __future__ import annotations

from typing import Any

import click

from hubloader.cli._locks import change_lines, changes_document, model_document, project_option
from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit
from hubloader.cli._transfer import transfer_options


@click.command(cls=SharedCommand, short_help="Resolve models.toml into models.lock.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@project_option
@click.option("--check", is_flag=True, help="Only tell whether the lock fits; exit 7 if not.")
@click.option("--upgrade", is_flag=True, help="Resolve NAME anew, or every model.")
@click.option(
    "--resolve-conflicts", is_flag=True, help="Mend a lock with the marks of a merge conflict."
)
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@click.option("--sign", type=click.Path(), metavar="KEY", help="Sign it, as models.lock.sig.")
@transfer_options
@click.pass_context
def command(context: click.Context, /, names: tuple[str, ...], **given: Any) -> None:
    """Resolve models.toml into models.lock: every model to a commit, and its files to hashes.

    What is locked stays as long as its entry does; --upgrade moves it to where its branch is now.
    --check needs no network: it compares the entries with the lock, and the lock with the policy.
    It does not check that the Hub still has the files.
    """
    from hubloader.auto.locks import lock

    if names and not given["upgrade"]:
        raise click.UsageError("NAME goes with --upgrade", context)
    for looks in ("check", "dry_run"):
        _refuse_together(context, given, looks)
    done = lock(
        given["project"],
        check=given["check"],
        upgrade=names or given["upgrade"],
        resolve_conflicts=given["resolve_conflicts"],
        dry_run=given["dry_run"],
        sign=given["sign"],
    )
    document = {
        "lock": done.path,
        "written": done.written,
        "models": [model_document(model) for model in done.lock.models],
        "changes": changes_document(done.changes),
    }
    count = len(done.lock.models)
    state = "is written" if done.written else "would change" if done.changes else "is up to date"
    lines = [*change_lines(done.changes), f"{done.path} {state} ({count} models)"]
    emit(context, document, lines)


def _refuse_together(context: click.Context, given: dict[str, Any], looks: str) -> None:
    """Refuse what an option that only looks would leave undone in silence."""
    acts = ("sign",) if looks == "dry_run" else ("sign", "upgrade", "resolve_conflicts", "dry_run")
    for each in acts:
        if given[looks] and given[each]:
            one, other = (f"--{name.replace('_', '-')}" for name in (looks, each))
            raise click.UsageError(f"{one} only looks: it does not go with {other}", context)
