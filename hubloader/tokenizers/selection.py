"""Which class a repository's tokenizer is of, and what it is built from: a pure choice.

tokenizer.json is taken as it is wherever there is one. Without it, the family of the declared
class, or of the model's type, reads its legacy files.

Source: transformers 4.57.6 ``get_fast_tokenizer_file`` for a tokenizer.json in several versions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hubloader.errors import RemoteCodeRefused, UnknownTokenizer
from hubloader.tokenizers.classes import (
    GENERIC,
    TokenizerClass,
    class_for_model_type,
    class_named,
)

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from hubloader.tokenizers.config import TokenizerConfig

__all__ = ["TOKENIZER_FILE", "TokenizerSelection", "select_tokenizer"]

TOKENIZER_FILE = "tokenizer.json"
_VERSIONED = re.compile(r"tokenizer\.(\d+(?:\.\d+)*)\.json")
_SPEAKS = (4, 57, 6)  # the version of transformers whose tokenizers are made here


class TokenizerSelection(NamedTuple):
    """The class, the files it is built from, and why: ``reasons`` are sentences for people.

    ``family`` names the module that converts legacy files, "" where a tokenizer.json is run.
    """

    kind: TokenizerClass
    files: tuple[str, ...]
    reasons: tuple[str, ...]
    family: str = ""

    @property
    def from_tokenizer_json(self) -> bool:
        """Whether a tokenizer.json is run as it is (else: legacy files are converted)."""
        return not self.family


def select_tokenizer(
    names: AbstractSet[str], config: TokenizerConfig, *, asked: str | None = None
) -> TokenizerSelection:
    """Choose class and files.

    Args:
        names: the files there are.
        config: what they say.
        asked: the class that the caller loads through, where it is a particular one.

    Raises:
        UnknownTokenizer: there is no tokenizer.json, and no family here reads what there is.
        RemoteCodeRefused: only code of the repository's own could make the tokenizer.

    """
    kind, why = _choose_class(config, asked)
    if config.wants_code is not None:
        why = (*why, f"the repository has code of its own ({config.wants_code}), never run here")
    file = _tokenizer_file(names, config)
    if file is not None:
        return TokenizerSelection(
            kind or GENERIC,
            (file,),
            (*why, f"there is a {file}: it is run as it is"),
        )
    if kind is None or not kind.family:
        from hubloader.tokenizers.families.ranked import ranked_file  # first use: it reads formats

        ranked = ranked_file(names)
        if ranked is not None and (kind is None or kind is GENERIC):
            why = (*why, f"there is no tokenizer.json: {ranked} is converted")
            return TokenizerSelection(GENERIC, (ranked,), why, "ranked")
        raise _unknown(names, config, kind)
    missing = [name for name in kind.legacy_files if name not in names]
    other = next((name for name in kind.other_files if name in names), None)
    if missing and other is not None:
        why = (*why, f"there is no tokenizer.json: {other} is converted")
        return TokenizerSelection(kind, (other,), why, kind.family)
    if missing:
        raise UnknownTokenizer(
            f"there is no tokenizer.json, and no {' and no '.join(missing)}, "
            f"which {kind.name} is built from",
            hint="the files there are: " + (", ".join(sorted(names)[:20]) or "none"),
        )
    return TokenizerSelection(
        kind,
        kind.legacy_files,
        (*why, f"there is no tokenizer.json: {', '.join(kind.legacy_files)} is converted"),
        kind.family,
    )


def _tokenizer_file(names: AbstractSet[str], config: TokenizerConfig) -> str | None:
    """Of several versions the newest that is spoken here; one that is not there is no choice."""
    listed = config.values.get("fast_tokenizer_files")
    found: list[tuple[tuple[int, ...], str]] = [
        (tuple(map(int, match[1].split("."))), name)
        for name in (listed if isinstance(listed, (list, tuple)) else ())
        if isinstance(name, str) and name in names and (match := _VERSIONED.fullmatch(name))
    ]
    spoken = [name for version, name in sorted(found) if version <= _SPEAKS]
    if spoken:
        return spoken[-1]
    return TOKENIZER_FILE if TOKENIZER_FILE in names else None


def _choose_class(
    config: TokenizerConfig, asked: str | None
) -> tuple[TokenizerClass | None, tuple[str, ...]]:
    if asked is not None:
        kind = class_named(asked)
        return kind, (f"the caller asked for {asked}",)
    if config.declared is not None:
        kind = class_named(config.declared)
        known = "" if kind else ", which is not known here"
        return kind, (f"the repository declares {config.declared}{known}",)
    if config.model_type is not None:
        kind = class_for_model_type(config.model_type)
        if kind is not None:
            return kind, (f"models of type {config.model_type} use {kind.name}",)
        return None, (f"models of type {config.model_type} have no class of their own here",)
    return None, ("neither tokenizer_config.json nor config.json names a class",)


def _unknown(
    names: AbstractSet[str], config: TokenizerConfig, kind: TokenizerClass | None
) -> UnknownTokenizer | RemoteCodeRefused:
    if config.wants_code is not None and kind is None:
        return RemoteCodeRefused(
            f"the tokenizer is code of the repository's own ({config.wants_code}), "
            "and hubloader never runs code out of a repository",
            hint="look for a revision or a copy of it that has a tokenizer.json",
        )
    if kind is not None or config.declared is not None:
        name = kind.name if kind is not None else config.declared
        what = f"nothing here converts the legacy files of {name}"
    elif config.model_type is not None:
        what = f"nothing here makes a tokenizer for models of type {config.model_type!r}"
    else:
        what = "no file says which class of tokenizer it is"
    return UnknownTokenizer(
        f"there is no tokenizer.json, and {what}",
        hint="save it once with transformers (save_pretrained writes tokenizer.json), or load it "
        "through its class; the files there are: " + (", ".join(sorted(names)[:20]) or "none"),
    )
