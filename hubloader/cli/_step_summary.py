"""The page that GitHub shows of a job's step: what came, as a table of Markdown.

Source: GitHub Actions "Workflow commands", "Adding a job summary" (``GITHUB_STEP_SUMMARY``).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hubloader.errors import HubloaderError

__all__ = ["write_step_summary"]


def write_step_summary(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    failures: Iterable[HubloaderError] = (),
) -> None:
    """Add a table, and what failed, to the summary of the step, where there is one.

    Args:
        title: of the table.
        columns: their names.
        rows: of the table.
        failures: a line each, below it.

    """
    from hubloader.settings import Settings

    path = Settings.from_env().step_summary
    if path is None:
        return
    lines = [f"### {title}", "", _row(columns), _row("---" for _ in columns)]
    lines += [_row(map(_escaped, row)) for row in rows]
    lines += ["", *(f"- error: {_escaped(failure.sentence())}" for failure in failures), ""]
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:  # what was asked for is done: a page about it is no reason to fail
        warnings.warn(f"{path} cannot be written: {error.strerror}", stacklevel=2)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
