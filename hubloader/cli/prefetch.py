"""``hubloader prefetch``: bring what some use needs into the cache, before it is needed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import SeveralFailed, emit
from hubloader.cli._step_summary import write_step_summary
from hubloader.cli._text import size_of, table
from hubloader.cli._transfer import transfer_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.auto.prefetch import Prefetched
    from hubloader.errors import HubloaderError


@click.command(cls=SharedCommand, short_help="Bring what a use needs into the cache.")
@click.argument("names", metavar="NAME[@REV]…", nargs=-1, required=True)
@click.option(
    "--for",
    "uses",
    multiple=True,
    type=click.Choice(["tokenizer", "torch", "tf", "numpy", "all"]),
    help="What the files are for; may be repeated.  [default: tokenizer, torch]",
)
@click.option("--include", multiple=True, metavar="PATTERN", help="Bring these files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave these files out.")
@click.option("--variant", metavar="NAME", help="Bring these weights: fp16 for *.fp16.safetensors.")
@click.option("--dry-run", is_flag=True, help="Show files and bytes, fetch nothing.")
@transfer_options
@click.pass_context
def command(context: click.Context, /, names: tuple[str, ...], **given: Any) -> None:
    """Bring what a use needs of each repository into the cache.

    Every name is tried; what fails is reported at the end. Patterns are those of huggingface_hub:
    `*` also matches `/`.
    """
    from hubloader.errors import HubloaderError
    from hubloader.types import parse_model_ref

    repo_type, dry_run = shared(context).named_type, given["dry_run"]
    for name in names:
        parse_model_ref(name, repo_type=repo_type)  # what cannot be a name is said before the work

    def attempt(name: str) -> Prefetched | HubloaderError:
        from hubloader.auto.prefetch import prefetch

        chosen = {key: given[key] or None for key in ("uses", "include", "exclude", "variant")}
        try:
            return prefetch(name, repo_type=repo_type, dry_run=dry_run, **chosen)
        except HubloaderError as error:
            return error

    results = [attempt(name) for name in names]
    for each in results:
        if not isinstance(each, HubloaderError) and each.unmatched:
            patterns = ", ".join(each.unmatched)
            warnings.warn(f"no file of {each.repo_id} fits {patterns}", stacklevel=2)
    failures = [result for result in results if isinstance(result, HubloaderError)]
    done = [result for result in results if not isinstance(result, HubloaderError)]
    rows = [_row(each, dry_run=dry_run) for each in done]
    write_step_summary(
        "hubloader prefetch", ("repository", "commit", "files", "size", "state"), rows, failures
    )
    if not (failures and shared(context).json):
        document = {"dry_run": dry_run, "repositories": [_document(each) for each in done]}
        emit(context, document, _lines(done, rows))
    if failures:
        raise SeveralFailed(failures)


def _document(each: Prefetched) -> dict[str, object]:
    planned = [
        {"path": file.filename, "size": file.size, "fetched_bytes": file.fetch_bytes}
        for file in each.planned
    ]
    return {
        "repo_id": each.repo_id,
        "revision": each.revision,
        "commit": each.commit,
        "path": str(each.path),
        "files": list(each.files),
        "size": each.size,
        "fetched_bytes": each.fetched_bytes,
        **({"plan": planned} if planned else {}),
    }


def _lines(done: list[Prefetched], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A line for each repository, and of a dry run those of its files below it."""
    for each, line in zip(done, table(rows), strict=True):
        yield line
        yield from (f"  {file}" for file in table(_file_rows(each)))


def _file_rows(each: Prefetched) -> Iterator[tuple[str, str, str]]:
    for file in each.planned:
        size = "" if file.size is None else size_of(file.size)
        yield file.filename, size, "would be fetched" if file.fetch else "is there"


def _row(each: Prefetched, *, dry_run: bool) -> tuple[str, ...]:
    verb = "would fetch" if dry_run else "fetched"
    return (
        f"{each.repo_id}@{each.revision}",
        each.commit[:12],
        f"{len(each.files)} file{'' if len(each.files) == 1 else 's'}",
        size_of(each.size),
        f"{verb} {size_of(each.fetched_bytes)}" if each.fetched_bytes else "all was there",
    )
