"""Warnings, told about the line of the user's that caused them."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn"]

_PACKAGE = __name__.partition(".")[0]


def warn(sentence: str, category: type[Warning] = UserWarning) -> None:
    """Warn, pointing at the nearest caller outside this package.

    A fixed ``stacklevel`` would be right for one way through the code only.
    """
    level, frame = 1, sys._getframe()  # noqa: SLF001 - documented; inspect would read source files
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, category, stacklevel=level)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == _PACKAGE
