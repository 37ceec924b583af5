"""The command that brings what is missing in the cache, to be told to the user."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hubloader.types import Purpose, RepoId

__all__ = ["prefetch_command"]

_MAX_NAMED = 6  # files that are named one by one; for more, what they are for says it shorter


def prefetch_command(
    repo: RepoId, revision: str, purpose: Purpose | None, missing: Iterable[str] = ()
) -> str:
    """Write the ``hubloader prefetch`` that brings what is missing, as a shell takes it.

    Args:
        repo: the repository, as it was asked for.
        revision: as it was asked for.
        purpose: what the files are wanted for, where that is known.
        missing: names in the repository; one with a space is words ("weights for torch").

    """
    names = list(missing)
    if purpose is not None and purpose.later:
        purpose = replace(purpose, uses=purpose.uses | purpose.later, later=frozenset())
    named = bool(names) and not any(" " in name for name in names)
    if named and (purpose is None or not purpose.uses or len(names) <= _MAX_NAMED):
        options = [f"--include={name}" for name in names]
    else:
        options = list(_options(purpose))
    words = ["hubloader", "prefetch", f"{repo}@{revision}"]
    if repo.repo_type != "model":
        words += ["--repo-type", repo.repo_type]
    return shlex.join([*words, *options])


def _options(purpose: Purpose | None) -> Iterator[str]:
    if purpose is None:
        return
    prefix = f"{purpose.subfolder}/" if purpose.subfolder else ""
    patterns = [*(purpose.include or ()), *(prefix + name for name in purpose.exact)]
    if prefix and purpose.uses:
        patterns.append(f"{prefix}*")
    elif "config" in purpose.uses:
        patterns.append("config.json")
    whole = purpose.uses <= {"all"}  # patterns narrow that down, beside other uses they add
    if not (prefix or (whole and patterns)):
        yield from (
            f"--for={use}" for use in sorted(purpose.uses - {"config"}) or _everything(patterns)
        )
        if purpose.variant:
            yield f"--variant={purpose.variant}"
    yield from (f"--include={pattern}" for pattern in patterns)
    yield from (f"--exclude={pattern}" for pattern in purpose.exclude or ())


def _everything(patterns: list[str]) -> list[str]:
    return [] if patterns else ["all"]
