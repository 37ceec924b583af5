"""``hubloader info``: what a repository holds at a revision, and what of it is cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit
from hubloader.cli._text import size_of, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.types import Manifest, OnDisk


@click.command(cls=SharedCommand, short_help="Show what a repository holds.")
@click.argument("name", metavar="NAME[@REV]")
@click.pass_context
def command(context: click.Context, name: str) -> None:
    """Show what a repository holds at a revision, and what of it is in the cache.

    Nothing is downloaded. With --offline the cache alone is asked.
    """
    from hubloader.auto.source import HubArguments, mode_of, session_for, settings_for
    from hubloader.types import parse_model_ref

    arguments = HubArguments()
    settings = settings_for(arguments)
    session = session_for(settings)
    ref = parse_model_ref(name, repo_type=shared(context).named_type)
    manifest = session.resolve(ref, mode=mode_of(arguments, settings))
    disk = session.store.inspect(manifest, sorted(manifest.entries))
    emit(context, _document(manifest, disk), _lines(manifest, disk))


def _document(manifest: Manifest, disk: dict[str, OnDisk]) -> dict[str, object]:
    return {
        "repo_id": str(manifest.repo),
        "canonical": manifest.canonical,
        "repo_type": manifest.repo.repo_type,
        "revision": manifest.revision,
        "commit": manifest.commit,
        "complete": manifest.complete,
        "stale": manifest.stale,
        "files": [
            {
                "filename": filename,
                "size": entry.size,
                "git_sha1": entry.git_sha1,
                "sha256": entry.sha256,
                "cached": disk[filename].blob,
            }
            for filename, entry in sorted(manifest.entries.items())
        ],
    }


def _lines(manifest: Manifest, disk: dict[str, OnDisk]) -> Iterator[str]:
    renamed = manifest.canonical not in {None, str(manifest.repo)}
    yield f"{manifest.repo}@{manifest.revision}" + (f" ({manifest.canonical})" if renamed else "")
    yield f"commit {manifest.commit}"
    if manifest.stale:
        yield f"from the cache: {manifest.stale}"
    if not manifest.complete:
        yield "the list of files may not be complete"
    yield from table(
        (
            filename,
            "?" if entry.size is None else size_of(entry.size),
            "cached" if disk[filename].blob else "",
        )
        for filename, entry in sorted(manifest.entries.items())
    )
