"""Weights on disk become named arrays: one file, one reader, nothing executed, nothing copied.

A reader is a ``WeightFile`` (``base.py``); ``registry.py`` chooses it, by the project's order of
preference and the file's first bytes, never by what the repository says about itself.
"""

from __future__ import annotations

from hubloader.formats.base import Naming, WeightFile
from hubloader.formats.registry import WeightChoice, WeightPolicy, choose_weights, open_weights
from hubloader.formats.safetensors import save_safetensors
from hubloader.formats.sharded import save_sharded

__all__ = [
    "Naming",
    "WeightChoice",
    "WeightFile",
    "WeightPolicy",
    "choose_weights",
    "open_weights",
    "save_safetensors",
    "save_sharded",
]
