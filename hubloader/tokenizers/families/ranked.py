"""Vocabularies of ranked byte strings that no class claims: tiktoken's files and tekken.json.

transformers makes its generic class of them, as here.

Source: transformers 4.57.6 ``convert_slow_tokenizer``, its last branches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.tokenizers.ranked_bytes import build_ranked, special_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenizers import Tokenizer

    from hubloader.tokenizers.classes import TokenizerClass
    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build", "ranked_file"]

CLASSES: tuple[TokenizerClass, ...] = ()
CLASS_NAMES: frozenset[str] = frozenset()
MODEL_TYPES: dict[str, str] = {}

_NAMES = ("tekken.json", "tiktoken.model", "tokenizer.model")


def ranked_file(names: Iterable[str]) -> str | None:
    """Choose the file that is read here, out of those there are; None if there is none."""
    there = set(names)
    more = sorted(name for name in there if name.endswith(".tiktoken") and "/" not in name)
    return next((name for name in (*_NAMES, *more) if name in there), None)


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a tiktoken vocabulary or a tekken.json; raises as ``build_ranked``."""
    del kind
    name = ranked_file(files.names())
    if name is None:
        raise AssertionError("selection calls this only where there is such a file")
    return build_ranked(files, name, special_of(options))
