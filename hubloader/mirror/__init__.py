"""A Hub endpoint over a folder of repositories, or over the Hub cache.

``hubloader serve`` on the command line, ``MirrorServer`` in programs and tests. Needs aiohttp: the
extra ``serve``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.errors import BackendUnavailable

if TYPE_CHECKING:
    from hubloader.mirror.server import LoggedRequest, MirrorServer

__all__ = ["LoggedRequest", "MirrorServer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from hubloader.mirror import server
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise BackendUnavailable(
            "serving needs aiohttp, which is not installed", hint="pip install 'hubloader[serve]'"
        ) from error
    return getattr(server, name)
