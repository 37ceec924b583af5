"""Init arguments of SentencePiece classes that depend on others, as each ``__init__`` has it.

Source: transformers 4.57.6, the ``__init__`` of each slow and fast class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.tokenizers.sentencepiece_languages import (
    MBART50_LANGUAGES,
    MBART_LANGUAGES,
    NLLB_LANGUAGES,
)
from hubloader.tokenizers.sentencepiece_recipes import MADE_UP, count_of, pegasus_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hubloader.tokenizers.classes import TokenizerClass

__all__ = ["settle"]


def settle(kind: TokenizerClass, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Work out the init arguments that depend on others, as the class's ``__init__`` does."""
    settled = dict(settings)
    change = _SETTLED.get(kind.name)
    if change is not None:
        settled["additional_special_tokens"] = change(settled)
    if kind.name == "SeamlessM4TTokenizer":
        for name in ("src_lang", "tgt_lang"):
            settled[name] = _between_bars(settled.get(name))
    return settled


def _settle_t5(settings: Mapping[str, Any]) -> list[Any]:
    given = settings.get("additional_special_tokens")
    if given is not None and any("<extra_id_" in str(token) for token in given):
        return list(given)
    count = count_of(settings, "extra_ids", 100)
    return [*(given or ()), *(f"<extra_id_{number}>" for number in range(count))]


def _settle_pegasus(settings: Mapping[str, Any]) -> list[Any]:
    given, sent = settings.get("additional_special_tokens"), settings["mask_token_sent"]
    offset = pegasus_offset(settings)
    if given is None:
        first = [] if sent is None else [sent]
        return first + [f"<unk_{number}>" for number in range(2, offset)]
    known = {str(token) for token in given}
    first = [] if sent is None or str(sent) in known else [sent]
    found = [*first, *given]
    return found + [f"<unk_{number}>" for number in range(len(found), offset - 1)]


def _between_bars(language: Any) -> Any:
    """Write a language of SeamlessM4T as its token."""
    return f"__{language}__" if isinstance(language, str) and "__" not in language else language


def _settle_nllb(settings: Mapping[str, Any]) -> list[Any]:
    given = settings.get("additional_special_tokens")
    return list(NLLB_LANGUAGES if given is None else given)


def _settle_mbart(settings: Mapping[str, Any]) -> list[Any]:
    given = settings.get("additional_special_tokens") or ()
    return [*MBART_LANGUAGES, *(token for token in given if str(token) not in MBART_LANGUAGES)]


def _settle_after(more: Sequence[str]) -> Callable[[Mapping[str, Any]], list[Any]]:
    def settle_list(settings: Mapping[str, Any]) -> list[Any]:
        given = list(settings.get("additional_special_tokens") or ())
        known = {str(token) for token in given}
        return given + [token for token in more if token not in known]

    return settle_list


_SETTLED: Mapping[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "MBart50Tokenizer": _settle_after(MBART50_LANGUAGES),
    "MBartTokenizer": _settle_mbart,
    "MT5Tokenizer": _settle_t5,
    "NllbTokenizer": _settle_nllb,
    "PegasusTokenizer": _settle_pegasus,
    "T5Tokenizer": _settle_t5,
    "XGLMTokenizer": _settle_after(MADE_UP),
}
