"""What to do about files that are not there: near names, or what there is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.names import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["about_missing"]

_WEIGHTS = (".safetensors", ".bin", ".h5", ".msgpack")
_MAX_NAMED = 8


def about_missing(missing: Iterable[str], here: Collection[str]) -> str:
    """Say what a repository or a folder has in place of what was asked for.

    Args:
        missing: file names, or "weights …" in words.
        here: every file there is.

    """
    asked = list(missing)
    if any(" " in name for name in asked):
        held = sorted(name for name in here if name.endswith(_WEIGHTS))
        if held:
            return f"it has {_some(held)}: check variant=, subfolder= and use_safetensors="
        return f"it has no file of weights at all ({', '.join(_WEIGHTS)}): check the name"
    near = [match for name in asked if (match := nearest(name, here, cutoff=0.7))]
    if near:
        return f"it has {', '.join(dict.fromkeys(near))}"
    return f"it has {_some(sorted(here))}" if here else "it has no files"


def _some(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    shown = ", ".join(names[:_MAX_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
