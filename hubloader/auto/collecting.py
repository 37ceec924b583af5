"""When Python's cycle collector may run: not while a model is being built.

A model is thousands of small objects made at once, and none of them garbage. Making them is what
sets the collector off, and a full collection walks everything that the framework's import left
behind: 100 ms of a first load that takes 17 ms without (``scripts/bench/load.py`` shows both). The
collection comes later, when something has been thrown away.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["uncollected"]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Hold the collector back; a process that runs without it keeps running without it.

    Several threads may be here at once: the first one out lets it run again, which costs the others
    time and nothing else.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
