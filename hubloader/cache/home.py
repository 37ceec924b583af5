"""Make the folder of a repository, and the cache around it, as huggingface_hub's scan expects them.

A repository's folder without ``snapshots`` in it is a damaged one to that scan: both are made in
one step.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubloader.cache import disk

if TYPE_CHECKING:
    from hubloader.cache.layout import CacheLayout, RepoLayout

__all__ = ["make_home", "make_root"]

_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by huggingface_hub.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)  # huggingface_hub's own words: either library may have made the cache


def make_root(cache: CacheLayout) -> None:
    """Make the cache's own folder, with its tag."""
    disk.make_folders(cache.root)
    if not os.path.lexists(cache.tag):
        disk.append(cache.tag, _TAG)


def make_home(layout: RepoLayout) -> list[str]:
    """Make a repository's folder, if it is not there; return the folders that changed."""
    if os.path.isdir(layout.snapshots):
        return []
    make_root(layout.cache)
    return disk.make_nested(layout.folder, layout.snapshots, tmp=layout.cache.tmp)
