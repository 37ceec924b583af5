"""``hubloader path``: where the cache keeps a repository, or a file of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit

if TYPE_CHECKING:
    from pathlib import Path

    from hubloader.types import ModelRef


@click.command(cls=SharedCommand, short_help="Print where the cache keeps a file.")
@click.argument("name", metavar="NAME[@REV]")
@click.argument("filename", metavar="[FILE]", required=False)
@click.pass_context
def command(context: click.Context, name: str, filename: str | None) -> None:
    """Print where the cache keeps a file, or the snapshot of a revision.

    The network is not used: what is not cached is an error.
    """
    from hubloader.types import parse_model_ref

    ref = parse_model_ref(name, repo_type=shared(context).named_type)
    path = _folder(ref) if filename is None else _file(ref, filename)
    emit(context, {"path": str(path)}, [str(path)])


def _file(ref: ModelRef, filename: str) -> Path:
    from hubloader.auto.source import HubArguments, session_for, settings_for
    from hubloader.resolve.files import DirectoryFiles
    from hubloader.types import Mode, Purpose

    if ref.path is not None:
        return DirectoryFiles(ref.path).path(filename).absolute()
    session = session_for(settings_for(HubArguments()))
    files = session.files(ref, Purpose(exact=(filename,)), mode=Mode.CACHE_ONLY)
    return files.path(filename)


def _folder(ref: ModelRef) -> Path:
    from pathlib import Path

    from hubloader.auto.source import HubArguments, session_for, settings_for
    from hubloader.errors import CacheMiss
    from hubloader.types import Mode

    if ref.path is not None:
        return Path(ref.path).absolute()
    session = session_for(settings_for(HubArguments()))
    manifest = session.resolve(ref, mode=Mode.CACHE_ONLY)
    folder = session.store.snapshot_path(manifest.repo, manifest.commit)
    if not folder.is_dir():
        raise CacheMiss(
            f"no file of {manifest.repo}@{manifest.revision} is in the cache",
            repo_id=str(manifest.repo),
            revision=manifest.revision,
            hint=f"run `hubloader prefetch {manifest.repo}@{manifest.revision}`",
        )
    return folder
