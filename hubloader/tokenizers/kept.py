"""Conversions that take long are done once: what came of them is kept where the files are.

A file set that can keep (the cache's) names its files' content by hashes, so that a conversion is
found again by what it was made of: those hashes, the class, the init arguments and the versions of
this library and the engine. Only a class with ``keep_conversion`` is kept: where reading what was
kept takes as long as converting, it would only take room. docs/adr says what was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import tokenizers

from hubloader import __version__
from hubloader.errors import CorruptFile, FormatError
from hubloader.tokenizers.classes import family_named
from hubloader.tokenizers.reading import engine_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubloader.tokenizers.selection import TokenizerSelection
    from hubloader.types import FileSet

__all__ = ["Keeper", "convert"]

# What a conversion does not depend on: it is looked at later, or only by calls.
_NOT_OF_THE_ENGINE = frozenset(
    {
        "add_bos_token",
        "add_eos_token",
        "chat_template",
        "clean_up_tokenization_spaces",
        "legacy_behaviour",
        "model_input_names",
        "model_max_length",
        "name_or_path",
        "padding_side",
        "split_special_tokens",
        "src_lang",
        "tgt_lang",
        "truncation_side",
    }
)


@runtime_checkable
class Keeper(Protocol):
    """A file set that can also keep what is worked out from its files."""

    def fingerprint(self, names: Iterable[str]) -> str | None:
        """Say by hashes what the files hold; None if that is not known."""

    def read_kept(self, name: str) -> bytes | None:
        """Give what was kept as ``name`` (64 hex digits), if it is there and whole."""

    def keep(self, name: str, content: bytes) -> None:
        """Keep ``content``, if it can be written."""


def convert(
    files: FileSet, selection: TokenizerSelection, settings: Mapping[str, Any]
) -> tokenizers.Tokenizer:
    """Make the engine from legacy files, or from what was kept of an earlier conversion.

    Args:
        files: the repository's files.
        selection: class, files and family.
        settings: the merged init arguments.

    Raises:
        CorruptFile: a file is damaged.
        UnsafeFile: converting it would exhaust the machine.
        UnknownTokenizer: they hold something that nothing here converts.

    """
    try:
        return _convert(files, selection, settings)
    except FormatError as error:
        if error.filename is not None:
            raise
        name = selection.files[0]
        message = f"{files.describe(name)}: {error.message}"
        raise type(error)(message, hint=error.hint, filename=name) from None


def _convert(
    files: FileSet, selection: TokenizerSelection, settings: Mapping[str, Any]
) -> tokenizers.Tokenizer:
    kind = selection.kind
    name = _name_of(files, selection, settings) if kind.keep_conversion else None
    if name is None or not isinstance(files, Keeper):
        return family_named(selection.family).build(files, kind, settings)
    kept = files.read_kept(name)
    if kept is not None:
        try:
            with engine_errors("a kept conversion"):
                return tokenizers.Tokenizer.from_buffer(kept)
        except CorruptFile:
            pass  # whole, but not of this engine's making: made anew below, and kept instead
    backend = family_named(selection.family).build(files, kind, settings)
    files.keep(name, backend.to_str().encode("utf-8"))
    return backend


def _name_of(
    files: FileSet, selection: TokenizerSelection, settings: Mapping[str, Any]
) -> str | None:
    content = files.fingerprint(selection.files) if isinstance(files, Keeper) else None
    if content is None:
        return None
    parts = [
        __version__,
        tokenizers.__version__,
        selection.family,
        selection.kind.name,
        content,
        *(f"{key}={settings[key]!r}" for key in sorted(settings) if key not in _NOT_OF_THE_ENGINE),
    ]
    import hashlib  # first use: most conversions are not kept

    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
