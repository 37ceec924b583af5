"""``hubloader sbom``: a bill of materials of what is locked."""

from __future__ import annotations

import json

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit


@click.command(cls=SharedCommand, short_help="Write a bill of materials (CycloneDX).")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("--lock", type=click.Path(), metavar="PATH", help="The lock.  [default: the nearest]")
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="PATH", help="A file.")
@click.pass_context
def command(
    context: click.Context, names: tuple[str, ...], lock: str | None, output: str | None
) -> None:
    """Write what is locked as CycloneDX 1.6: models, commits, files with their hashes, licences.

    The same lock gives the same document: it has no time in it. Without -o it goes to stdout.
    """
    from hubloader import __version__
    from hubloader.auto.locks import find_entries
    from hubloader.locking.lockfile import write_text
    from hubloader.locking.project import find_lock
    from hubloader.locking.provenance import bill_of_materials
    from hubloader.locking.values import Lock

    document = bill_of_materials(
        Lock(find_entries(lock or find_lock(), names or None)), __version__
    )
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if output is None:
        emit(context, {"sbom": document}, [text])
        return
    write_text(output, f"{text}\n")
    count = len(document["components"])
    emit(context, {"path": output, "models": count}, [f"{output}: {count} models"])
