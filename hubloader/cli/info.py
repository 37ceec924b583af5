"""``hubloader info``: what a repository holds at a revision, and what of it is cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit
from hubloader.cli._text import size_of, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubloader.auto.tokenizer import TokenizerChoice
    from hubloader.cache.store import CacheStore
    from hubloader.types import Manifest, OnDisk


@click.command(cls=SharedCommand, short_help="Show what a repository holds.")
@click.argument("name", metavar="NAME[@REV]")
@click.pass_context
def command(context: click.Context, name: str) -> None:
    """Show what a repository holds at a revision, and what of it is in the cache.

    For a model also which tokenizer it has, and why that one: told from the two JSON files that
    decide it, if they are in the cache.

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
    choice = _tokenizer(session.store, manifest, disk)
    emit(context, _document(manifest, disk, choice), _lines(manifest, disk, choice))


def _tokenizer(
    store: CacheStore, manifest: Manifest, disk: dict[str, OnDisk]
) -> TokenizerChoice | None:
    if manifest.repo.repo_type != "model":
        return None
    from hubloader.auto.tokenizer import explain_tokenizer

    at_hand: dict[str, Path] = {
        name: store.pointer_path(manifest.repo, manifest.commit, name)
        for name in ("config.json", "tokenizer_config.json")
        if name in disk and disk[name].blob
    }
    there = {name: path for name, path in at_hand.items() if path.is_file()}
    return explain_tokenizer(frozenset(manifest.entries), there)


def _document(
    manifest: Manifest, disk: dict[str, OnDisk], choice: TokenizerChoice | None
) -> dict[str, object]:
    return {
        "tokenizer": None
        if choice is None
        else {"class": choice.kind, "files": choice.files, "reasons": choice.reasons},
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


def _lines(
    manifest: Manifest, disk: dict[str, OnDisk], choice: TokenizerChoice | None
) -> Iterator[str]:
    renamed = manifest.canonical not in {None, str(manifest.repo)}
    yield f"{manifest.repo}@{manifest.revision}" + (f" ({manifest.canonical})" if renamed else "")
    yield f"commit {manifest.commit}"
    if manifest.stale:
        yield f"from the cache: {manifest.stale}"
    if not manifest.complete:
        yield "the list of files may not be complete"
    if choice is not None:
        built = f"{choice.kind} from {', '.join(choice.files)}" if choice.kind else "not told"
        yield f"tokenizer: {built}: {'; '.join(choice.reasons)}"
    yield from table(
        (
            filename,
            "?" if entry.size is None else size_of(entry.size),
            "cached" if disk[filename].blob else "",
        )
        for filename, entry in sorted(manifest.entries.items())
    )
