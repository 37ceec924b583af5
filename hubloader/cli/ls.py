"""``hubloader ls``: what is in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit
from hubloader.cli._text import size_of, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hubloader.cache.report import RepoReport


@click.command(cls=SharedCommand, short_help="List what is in the cache.")
@click.pass_context
def command(context: click.Context) -> None:
    """List the repositories in the cache, with their revisions and sizes."""
    from hubloader.cache.report import scan
    from hubloader.settings import Settings

    report = scan(Settings.from_env().cache_dir)
    wanted = shared(context).repo_type
    repos = [
        each
        for each in report.repos
        if wanted in {None, each.repo.repo_type}
        and (each.revisions or each.size or each.partial or each.warnings)  # not an empty folder
    ]
    document = {
        "cache_dir": report.root,
        "size": sum(each.size + each.partial for each in repos),
        "repositories": [_document(each) for each in repos],
        "warnings": list(report.warnings),
    }
    emit(context, document, _lines(repos, report.warnings))


def _document(each: RepoReport) -> dict[str, object]:
    return {
        "repo_id": str(each.repo),
        "repo_type": each.repo.repo_type,
        "size": each.size,
        "partial": each.partial,
        "revisions": [
            {
                "commit": revision.commit,
                "refs": list(revision.refs),
                "files": revision.files,
                "size": revision.size,
                "last_used": revision.last_used,
            }
            for revision in each.revisions
        ],
        "warnings": list(each.warnings),
    }


def _lines(repos: Sequence[RepoReport], warnings: Sequence[str]) -> Iterator[str]:
    yield from table(row for each in repos for row in _rows(each))
    for warning in (*warnings, *(text for each in repos for text in each.warnings)):
        yield f"warning: {warning}"


def _rows(each: RepoReport) -> Iterator[tuple[str, ...]]:
    kind = "" if each.repo.repo_type == "model" else f"{each.repo.repo_type} "
    name = f"{kind}{each.repo}"
    for revision in each.revisions:
        refs = ", ".join(revision.refs) or "-"
        count = f"{revision.files} files"
        yield name, revision.commit[:12], refs, count, size_of(revision.size)
    if each.partial:
        yield name, "", "unfinished", "", size_of(each.partial)
