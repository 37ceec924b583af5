"""``hubloader key``: a key for the cache of a CI."""

from __future__ import annotations

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit


@click.command(cls=SharedCommand, short_help="Print a cache key for a CI.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("--lock", type=click.Path(), metavar="PATH", help="The lock.  [default: the nearest]")
@click.pass_context
def command(context: click.Context, names: tuple[str, ...], lock: str | None) -> None:
    """Print a key that changes when, and only when, other bytes are locked.

    With NAME, only those entries count. Save the cache under it right after `hubloader sync`.
    """
    from hubloader.auto.locks import find_entries
    from hubloader.locking.project import find_lock
    from hubloader.locking.provenance import cache_key
    from hubloader.locking.values import Lock

    path = lock or find_lock()
    key = cache_key(Lock(find_entries(path, names or None)))
    emit(context, {"lock": path, "key": key}, [key])
