"""``hubloader doctor``: what is wrong, and how to mend it."""

from __future__ import annotations

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit

_SIGNS = {"ok": "ok     ", "warning": "warning", "error": "error  "}


@click.command(cls=SharedCommand, short_help="Find what is wrong, and say how to mend it.")
@click.pass_context
def command(context: click.Context) -> int:
    """Look at the cache, the disk, the settings and the way to the Hub.

    Exit code 1 if something is wrong. Nothing is changed.
    """
    from hubloader.auto.doctor import examine

    findings = examine()
    document = {
        "healthy": all(finding.level != "error" for finding in findings),
        "findings": [
            {
                "check": finding.check,
                "level": finding.level,
                "message": finding.message,
                "mend": finding.mend or None,
            }
            for finding in findings
        ],
    }
    lines = []
    for finding in findings:
        lines.append(f"{_SIGNS[finding.level]} {finding.message}")
        if finding.mend and finding.level != "ok":
            lines.append(f"        {finding.mend}")
    errors = [
        {
            "kind": "Finding",
            "message": finding.message,
            "hint": finding.mend or None,
            "repo_id": None,
            "revision": None,
            "filename": None,
        }
        for finding in findings
        if finding.level == "error"
    ]
    emit(context, document, lines, errors=errors)
    return 1 if errors else 0
