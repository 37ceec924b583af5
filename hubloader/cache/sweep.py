"""Delete what dead writers left in a repository, and nobody will go on with."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hubloader.cache.owner import Liveness, Owner, liveness, this_process
from hubloader.cache.partial import owner_of, remove_partial
from hubloader.cache.reading import names_in

if TYPE_CHECKING:
    from hubloader.cache.layout import RepoLayout

__all__ = ["sweep"]

_FORGOTTEN = 24 * 3600.0  # seconds after which a stranger's draft is nobody's


def sweep(layout: RepoLayout) -> None:
    """Delete what the dead left and nobody will go on with.

    Small or empty partials, drafts, and large partials of a content that is here by now.
    """
    for folder in (layout.partials, layout.tmp, layout.cache.tmp):
        if os.path.islink(folder):  # what lies behind it is not ours to delete
            continue
        for name in names_in(folder):
            path = os.path.join(folder, name)
            large = folder == layout.partials and os.path.lexists(os.path.join(path, "data"))
            # the next writer of that content goes on with a large one
            if large and not os.path.lexists(layout.blob(name.partition(".")[0])):
                continue
            if _is_garbage(path) or (large and owner_of(path) is None):
                remove_partial(path)


def _is_garbage(path: str) -> bool:
    parts = [Owner.parse(part) for part in os.path.basename(path).split(".")]
    owner = next((part for part in parts if part is not None), None)
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return False
    if owner is None:
        return False
    alive = liveness(owner, this_process())
    forgotten = abs(time.time() - facts.st_mtime) > _FORGOTTEN
    return alive is Liveness.DEAD or (alive is Liveness.UNKNOWN and forgotten)
