"""How a file of a project or a site comes to be there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(target: str) -> Iterator[str]:
    """Give the path of a draft beside ``target``, which takes its place when the block ends well.

    A block that fails leaves ``target`` as it was, and no draft.
    """
    draft = f"{target}.{os.getpid()}.tmp"
    try:
        yield draft
        os.replace(draft, target)
    finally:
        with contextlib.suppress(FileNotFoundError):  # its usual end: it has become the target
            os.unlink(draft)
