"""Several things failed: one error that leads with the gravest and carries them all."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from hubloader.errors import gravity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubloader.errors import HubloaderError

__all__ = ["as_one"]


def as_one(failures: Sequence[HubloaderError]) -> HubloaderError:
    """One error for several; its ``failures`` are they, in the order given."""
    if len(failures) == 1:
        return failures[0]
    parts = [part for failure in failures for part in failure.failures or (failure,)]
    gravest = min(parts, key=gravity)
    error = copy.copy(gravest)
    error.message = f"{len(parts)} failed: " + "; ".join(part.sentence() for part in parts)
    error.args = (error.message,)
    error.repo_id = error.revision = error.filename = None
    error.failures = tuple(parts)
    error.__cause__ = gravest
    return error
