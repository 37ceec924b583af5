"""Several things failed: one error that leads with the gravest and carries them all."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubloader.errors import HubloaderError

__all__ = ["as_one"]

_GRAVEST_FIRST: Final = (5, 9, 4, 3, 2, 7, 8, 6, 10, 1, 75)  # the order of the exit codes


def as_one(failures: Sequence[HubloaderError]) -> HubloaderError:
    """One error for several; its ``failures`` are they, in the order given."""
    if len(failures) == 1:
        return failures[0]
    parts = [part for failure in failures for part in failure.failures or (failure,)]
    gravest = min(parts, key=_gravity)
    error = copy.copy(gravest)
    error.message = f"{len(parts)} failed: " + "; ".join(part.sentence() for part in parts)
    error.args = (error.message,)
    error.repo_id = error.revision = error.filename = None
    error.failures = tuple(parts)
    error.__cause__ = gravest
    return error


def _gravity(error: HubloaderError) -> int:
    code = error.exit_code
    return _GRAVEST_FIRST.index(code) if code in _GRAVEST_FIRST else len(_GRAVEST_FIRST)
