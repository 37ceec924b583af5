"""The disk: huggingface_hub's cache layout, read and written so that it cannot be corrupted.

Knows no HTTP. Nothing outside this package opens, renames or deletes inside the cache.
"""

from __future__ import annotations

from hubloader.cache.layout import CacheLayout, RepoLayout, colliding_names
from hubloader.cache.store import CacheStore

__all__ = ["CacheLayout", "CacheStore", "RepoLayout", "colliding_names"]
