"""What a model card says of itself: the licence in the front matter of README.md.

Source: the Hub's documentation, "Model Cards", metadata; there it is YAML. Read here are the forms
that cards use for a licence: a word, a list in brackets, a list of lines.
"""

from __future__ import annotations

import re

__all__ = ["card_licenses"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_LICENSE = re.compile(r"^license:[ \t]*(.*(?:\n[ \t]*-[ \t].*)*)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_LONGEST = 64 * 1024  # bytes of a card that may be front matter


def card_licenses(path: str) -> tuple[str, ...]:
    """The licences that the card at ``path`` names, () for none or no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST)
    except FileNotFoundError:
        return ()
    front = _FRONT_MATTER.match(text)
    found = _LICENSE.search(front[1]) if front else None
    return tuple(_WORD.findall(found[1])) if found else ()
