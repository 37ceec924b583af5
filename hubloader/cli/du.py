"""``hubloader du``: what takes the room in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit
from hubloader.cli._text import size_of, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.cache.report import RepoReport


@click.command(cls=SharedCommand, short_help="Show what takes the room in the cache.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.pass_context
def command(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the bytes that each repository takes, the largest first; what is shared counts once.

    Leftovers are unfinished downloads and contents that no revision names: `hubloader prune`.
    """
    from hubloader.cache.report import scan
    from hubloader.settings import Settings

    report = scan(Settings.from_env().cache_dir)
    wanted = shared(context).repo_type
    repos = [
        each
        for each in report.repos
        if wanted in {None, each.repo.repo_type} and (not names or str(each.repo) in names)
    ]
    _refuse_unknown(names, repos)
    rows = sorted(
        (_document(each) for each in repos), key=lambda row: (-row["size"], row["repo_id"])
    )
    rows = [row for row in rows if row["size"] or names]
    total = sum(row["size"] for row in rows)
    document = {"cache_dir": report.root, "size": total, "repositories": rows}
    emit(context, document, _lines(rows, total))


def _refuse_unknown(names: tuple[str, ...], repos: list[RepoReport]) -> None:
    from hubloader.errors import CacheMiss

    unknown = sorted(set(names) - {str(each.repo) for each in repos})
    if unknown:
        raise CacheMiss(f"{unknown[0]} is not in the cache", repo_id=unknown[0])


def _document(each: RepoReport) -> dict[str, Any]:
    loose = {"orphan", "incomplete"}  # kinds that lie among the contents, and count as such already
    beside = sum(left.size for left in each.leftovers if left.kind not in loose)
    return {
        "repo_id": str(each.repo),
        "repo_type": each.repo.repo_type,
        "revisions": len(each.revisions),
        "size": each.size + beside,
        "leftovers": sum(left.size for left in each.leftovers),
    }


def _lines(rows: list[dict[str, Any]], total: int) -> Iterator[str]:
    shown = [
        (
            size_of(row["size"]),
            row["repo_id"]
            if row["repo_type"] == "model"
            else f"{row['repo_type']} {row['repo_id']}",
            f"{row['revisions']} revision{'' if row['revisions'] == 1 else 's'}",
            f"{size_of(row['leftovers'])} of leftovers" if row["leftovers"] else "",
        )
        for row in rows
    ]
    yield from table([*shown, (size_of(total), "in all", "", "")])
