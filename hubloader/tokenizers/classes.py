"""What a tokenizer class of transformers stands for, as data, and how it is found by name.

Source: transformers 4.57.6, the ``*TokenizerFast`` classes and ``TOKENIZER_MAPPING_NAMES``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, cast

from hubloader.tokenizers import families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import tokenizers

    from hubloader.types import FileSet

__all__ = [
    "GENERIC",
    "Family",
    "FramingFamily",
    "TokenizerClass",
    "class_for_model_type",
    "class_named",
    "class_names",
    "family_named",
]


@dataclass(frozen=True)
class TokenizerClass:
    """A tokenizer class: what its calls return, its special tokens, and what it is built from.

    ``family`` names the module under ``families`` that reads ``legacy_files``; both are empty for a
    class that only tokenizer.json can express. ``options`` are the defaults of its own init
    arguments, ``legacy_options`` those that hold only where legacy files are converted.
    ``bert_flags``: three init arguments also set flags of tokenizer.json's normalizer.
    ``word_end``: what decoding turns into a space, where the engine's decoder does not.
    ``other_files``: any one of them may stand in for ``legacy_files``. ``framed_by``: init
    arguments that decide what stands around a text, of tokenizer.json's too. ``keep_conversion``:
    converting takes so much longer than reading a tokenizer.json that it is done once and kept.
    The last five are flags of special tokens that are given as text, where legacy files are
    converted: whether normalizers touch them, whether the mask takes the space before it, whether
    normalizers touch the mask, or the unknown token, and whether they leave the padding token alone
    whatever they do to others.
    """

    name: str
    family: str = ""
    legacy_files: tuple[str, ...] = ()
    model_input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    legacy_options: Mapping[str, Any] = field(default_factory=dict)
    padding_side: str = "right"
    bert_flags: bool = False
    word_end: str = ""
    specials_normalized: bool = False
    mask_lstrip: bool = False
    mask_normalized: bool = False
    unk_normalized: bool = False
    pad_exact: bool = False
    other_files: tuple[str, ...] = ()
    framed_by: frozenset[str] = frozenset()
    keep_conversion: bool = False


class Family(Protocol):
    """What a module under ``families`` offers.

    It may also have ``settle(kind, settings)``, which gives the init arguments with those worked
    out that depend on others. Where what stands around a text may be tokens that no vocabulary
    file holds, or a class has ``framed_by``, it is a ``FramingFamily``.
    """

    CLASSES: tuple[TokenizerClass, ...]
    CLASS_NAMES: frozenset[str]
    MODEL_TYPES: Mapping[str, str]

    def build(
        self, files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]
    ) -> tokenizers.Tokenizer:
        """Make the engine of ``kind`` from its legacy files and the merged init arguments."""


class FramingFamily(Family, Protocol):
    """A family that says what stands around a text once every token is in the engine."""

    def frame(
        self,
        engine: tokenizers.Tokenizer,
        kind: TokenizerClass,
        settings: Mapping[str, Any],
        *,
        target: bool = False,
    ) -> Any:
        """Give the engine's part that puts special tokens around texts, None for no such part.

        ``target``: it is for texts to be translated to; ``src_lang`` is then their language.
        """


GENERIC = TokenizerClass(
    name="PreTrainedTokenizerFast",
    model_input_names=("input_ids", "token_type_ids", "attention_mask"),
    keep_conversion=True,  # of tiktoken's and tekken's ranks, whose merges have to be worked out
)


# Looked through first: most repositories' classes are theirs, and no other family is imported then.
_COMMON = ("wordpiece", "byte_bpe")


def _families() -> Iterator[Family]:
    """Give the modules under ``families``, each imported when its turn comes."""
    yield from map(family_named, _COMMON)
    for module in sorted(pkgutil.iter_modules(families.__path__), key=attrgetter("name")):
        if module.name not in _COMMON:
            yield family_named(module.name)


@functools.cache
def family_named(name: str) -> Family:
    """The module under ``families`` of that name."""
    return cast("Family", importlib.import_module(f"{families.__name__}.{name}"))


def class_names() -> tuple[str, ...]:
    """Every class name that can be asked for, sorted, without the ``Fast`` spellings."""
    known = {name for family in _families() for name in family.CLASS_NAMES}
    return tuple(sorted({*known, GENERIC.name}))


def class_named(name: str) -> TokenizerClass | None:
    """Find a class by transformers' name, with or without ``Fast`` at its end."""
    if name == GENERIC.name:
        return GENERIC
    wanted = name.removesuffix("Fast")
    for family in _families():
        if wanted in family.CLASS_NAMES:
            return next(kind for kind in family.CLASSES if kind.name == wanted)
    return None


def class_for_model_type(model_type: str) -> TokenizerClass | None:
    """Find the class that transformers gives a ``model_type`` which declares none."""
    for family in _families():
        name = family.MODEL_TYPES.get(model_type)
        if name is not None:
            return class_named(name)
    return None
