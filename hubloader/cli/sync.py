"""``hubloader sync``: bring what models.lock names into the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._locks import change_lines, changes_document, project_option
from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit
from hubloader.cli._step_summary import write_step_summary
from hubloader.cli._text import size_of, table
from hubloader.cli._transfer import transfer_options
from hubloader.errors import HubloaderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.auto.locks import Synced

_TITLE = "hubloader sync"
_COLUMNS = ("model", "repository", "commit", "size", "state")


@click.command(cls=SharedCommand, short_help="Bring what models.lock names into the cache.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@project_option
@click.option("--locked", is_flag=True, help="Exit 7 if the lock does not fit models.toml.")
@click.option("--frozen", is_flag=True, help="Take the lock as it is; models.toml is not read.")
@click.option("--set-refs", is_flag=True, help="Move branches in the cache to the locked commits.")
@click.option("--prune", is_flag=True, help="Remove other revisions of the lock's repositories.")
@click.option(
    "--keep",
    multiple=True,
    type=click.Path(),
    metavar="LOCK|NAME[@REV]",
    help="--prune keeps what this names.",
)
@click.option("--to", type=click.Path(file_okay=False), metavar="DIR", help="Copy to a folder.")
@click.option("--layer-plan", is_flag=True, help="With --to: group the files for image layers.")
@click.option("--layer-size", default="10GB", show_default=True, help="The most in one layer.")
@click.option("--print-env", is_flag=True, help="Print the variables that a later stage needs.")
@click.option(
    "--verify-key", type=click.Path(), metavar="KEY", help="Refuse a lock that it did not sign."
)
@transfer_options
@click.pass_context
def command(context: click.Context, /, names: tuple[str, ...], **given: Any) -> None:
    """Bring what models.lock names into the cache; entries that changed are locked first.

    Three switches, each for itself: --locked refuses a lock that does not fit models.toml, --frozen
    does not read models.toml, --offline opens no socket. Nothing is deleted without --prune. With
    everything there, nothing is asked.
    """
    from hubloader.auto.locks import sync

    if given["layer_plan"] and not given["to"]:
        raise click.UsageError("--layer-plan goes with --to", context)
    if given["keep"] and not given["prune"]:
        raise click.UsageError("--keep goes with --prune", context)
    try:
        done = sync(
            given["project"],
            locked=given["locked"],
            frozen=given["frozen"],
            names=names or None,
            set_refs=given["set_refs"],
            verify_key=given["verify_key"],
        )
    except HubloaderError as error:
        write_step_summary(_TITLE, _COLUMNS, (), error.failures or (error,))
        raise
    document: dict[str, Any] = {
        "lock": done.path,
        "models": [_document(model) for model in done.models],
        "changes": changes_document(done.changes),
        "fetched_bytes": done.fetched_bytes,
        "env": done.env,
    }
    document |= _further(done, given)
    write_step_summary(_TITLE, _COLUMNS, _rows(done))
    emit(context, document, _lines(done, document, print_env=given["print_env"]))


def _further(done: Synced, given: dict[str, Any]) -> dict[str, Any]:
    """What --prune, --to and --layer-plan add."""
    told: dict[str, Any] = {}
    if given["prune"]:
        from hubloader.auto.cleaning import plan_others, remove

        gone = remove(plan_others(done.path, keep=given["keep"]))
        told["pruned"] = [f"{each.repo}@{each.commit}" for each in gone.removed]
    if given["to"]:
        from hubloader.auto.exporting import copy_to

        names = [model.name for model in done.models]
        copied = copy_to(done.path, given["to"], names=names)
        told["to"] = {"path": given["to"], "written": list(copied)}
        if given["layer_plan"]:
            from hubloader.auto.exporting import layer_plan

            told["layers"] = layer_plan(done.path, given["layer_size"], names=names)
    return told


def _document(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "repo_id": model.repo_id,
        "repo_type": model.repo_type,
        "revision": model.revision,
        "commit": model.commit,
        "path": str(model.path),
        "files": list(model.files),
        "size": model.size,
        "fetched_bytes": model.fetched_bytes,
    }


def _rows(done: Synced) -> list[tuple[str, ...]]:
    return [
        (
            model.name,
            f"{model.repo_id}@{model.revision}",
            model.commit[:12],
            size_of(model.size),
            f"fetched {size_of(model.fetched_bytes)}" if model.fetched_bytes else "was there",
        )
        for model in done.models
    ]


def _lines(done: Synced, document: dict[str, Any], *, print_env: bool) -> Iterator[str]:
    if print_env:
        yield from (f"{name}={value}" for name, value in done.env.items())
        for model in done.models:
            note = f"note: snapshot_download({model.repo_id!r}) finds the locked files with "
            click.echo(f"{note}allow_patterns={list(model.files)}", err=True)
        return
    yield from change_lines(done.changes)
    if done.models:
        yield from table(_rows(done))
    yield from (f"removed {each}" for each in document.get("pruned", ()))
    if "to" in document:
        yield f"{document['to']['path']}: wrote {len(document['to']['written'])} files"
    for number, layer in enumerate(document.get("layers", ()), start=1):
        yield f"layer {number}: {len(layer['files'])} files, {size_of(layer['size'])}"
