"""How a file of a project or a site comes to be there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["replacing"]

_KEPT = 60  # characters of a name, which may itself be as long as the disk allows


@contextlib.contextmanager
def replacing(target: str) -> Iterator[str]:
    """Give the path of a draft beside ``target``, which takes its place when the block ends well.

    A block that fails leaves ``target`` as it was, and no draft.
    """
    folder, name = os.path.split(target)
    draft = os.path.join(folder, f"{name[:_KEPT]}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, target)
    finally:
        with contextlib.suppress(FileNotFoundError):  # its usual end: it has become the target
            os.unlink(draft)
