"""``hubloader serve``: a folder of repositories, or the cache, as a Hub endpoint."""

from __future__ import annotations

from errno import EADDRINUSE
from typing import TYPE_CHECKING

import click

from hubloader.cli._options import SharedCommand, shared
from hubloader.cli._report import emit

if TYPE_CHECKING:
    from hubloader.mirror.cache_library import CacheLibrary


@click.command(
    cls=SharedCommand, short_help="Serve a folder of repositories, or the cache, as a Hub."
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(),
    help="DIR/<org>/<name>/… is the branch main of a model.  [default: the cache is served]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--content-port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Where large files are sent from; 0 takes a free one.",
)
@click.pass_context
def command(
    context: click.Context, root: str | None, host: str, port: int, content_port: int
) -> None:
    """Serve a folder of repositories, or the cache, as a Hub endpoint, until interrupted.

    Clients of the Hub find it with HF_ENDPOINT set to the printed URL. DIR/<org>/<name>/… is the
    branch main of a model, DIR/<org>/<name>@<revision>/… another branch or tag,
    DIR/datasets/<org>/<name>/… a dataset. DIR/hub.json may name aliases, gated and private
    repositories, and tokens.

    Of the cache everybody who reaches the address may read everything, gated models too.
    """
    from hubloader.mirror import MirrorServer

    access_log = None
    if shared(context).verbose:
        import logging

        access_log = logging.getLogger("hubloader.serve")
    server = MirrorServer(
        _cache() if root is None else root,
        host,
        port,
        content_port=content_port,
        access_log=access_log,
    )
    try:
        server.serve_forever(lambda url: emit(context, {"url": url}, [f"listening on {url}"]))
    except OSError as error:
        if error.strerror is None:  # one of ours, which says itself what is wrong
            raise
        from hubloader.errors import HubloaderError

        raise HubloaderError(
            f"cannot listen on {error.filename or host}: {error.strerror}",
            hint="give another --port, or 0 for a free one" if error.errno == EADDRINUSE else None,
        ) from error


def _cache() -> CacheLibrary:
    from hubloader.auto.source import HubArguments, session_for, settings_for
    from hubloader.mirror.cache_library import CacheLibrary

    return CacheLibrary(session_for(settings_for(HubArguments())).store)
