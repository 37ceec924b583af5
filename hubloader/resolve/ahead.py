"""Import what a download needs while the answer about it is still on its way.

Nothing waits for it: who needs a module that is being imported waits for that one alone.
"""

from __future__ import annotations

import threading

__all__ = ["import_ahead"]


def import_ahead() -> None:
    """Begin to import what follows a listing; returns at once."""
    threading.Thread(target=_import, daemon=True, name="hubloader-imports").start()


def _import() -> None:
    # in the order of their use
    import filelock  # noqa: F401  to have it ready

    import hubloader.cache.changes
    import hubloader.resolve.engine  # noqa: F401  to have it ready
