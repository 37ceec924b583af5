"""``hubloader verify``: hash what is in the cache, or what a lock names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import SeveralFailed, emit
from hubloader.cli._text import size_of

if TYPE_CHECKING:
    from hubloader.cache.audit import AuditReport, Fault


@click.command(cls=SharedCommand, short_help="Hash what is in the cache, or what a lock names.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option(
    "--lock", type=click.Path(), metavar="PATH", help="Check what this lock names, by its sha256."
)
@click.option("--repair", is_flag=True, help="Fetch bad and missing files again.")
@click.pass_context
def command(context: click.Context, names: tuple[str, ...], lock: str | None, repair: bool) -> None:
    """Read every file in the cache, or of NAME, and compare its hash with what was announced.

    With --lock, NAME is an entry of the lock; its files have to be there, and to have its sha256.
    No network is used, but by --repair.
    """
    from hubloader.auto.verifying import error_of, verify
    from hubloader.settings import Settings

    report = verify(
        names or None,
        lock=lock or Settings.from_env().lockfile,
        repair=repair,
        repo_type=shared(context).named_type,
    )
    if not (report.faults and shared(context).json):
        emit(context, _document(report), _lines(report))
    if report.faults:
        hint = None if repair else "run it again with --repair"
        raise SeveralFailed([error_of(fault, hint) for fault in report.faults])


def _document(report: AuditReport) -> dict[str, Any]:
    return {
        "files": report.files,
        "bytes": report.bytes,
        "repaired": [_fault(fault) for fault in report.repaired],
        "unknown": list(report.unknown),
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "repo_id": str(fault.repo),
        "commit": fault.commit,
        "filename": fault.filename,
        "path": fault.path,
    }


def _lines(report: AuditReport) -> list[str]:
    lines = [f"repaired {each.filename} of {each.repo}" for each in report.repaired]
    lines += [f"unknown {path}: nobody announced a hash" for path in report.unknown]
    good = report.files - len(report.faults) - len(report.unknown)
    return [*lines, f"{good} of {report.files} files are good ({size_of(report.bytes)} read)"]
