"""TOML: reading it with the standard library's parser, writing the few forms that we write."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TomlError", "array", "parse", "string"]

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser, as a package
    import tomli as tomllib

TomlError = tomllib.TOMLDecodeError
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n"}
_ESCAPES |= {"\f": "\\f", "\r": "\\r"}


def parse(text: str) -> dict[str, Any]:
    """Read a document.

    Raises:
        TomlError: it is none; its message says where.

    """
    document: dict[str, Any] = tomllib.loads(text)
    return document


def string(text: str) -> str:
    """A basic string: the one way in which we write a text."""
    return f'"{"".join(map(_escaped, text))}"'


def array(texts: Iterable[str]) -> str:
    """An array of strings on one line."""
    return f"[{', '.join(map(string, texts))}]"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character < " " or character == "\x7f":
        return f"\\u{ord(character):04x}"
    return character
