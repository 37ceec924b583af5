"""``train_new_from_iterator``: the same pipeline with a vocabulary learnt from other texts.

Source: transformers 4.57.6 ``PreTrainedTokenizerFast.train_new_from_iterator``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import tokenizers
from tokenizers import AddedToken, pre_tokenizers, trainers

from hubloader.tokenizers.config_values import SPECIAL_TOKEN_NAMES
from hubloader.tokenizers.panics import panics_as_errors
from hubloader.tokenizers.reading import engine_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hubloader.tokenizers.special_tokens import SpecialTokens

__all__ = ["renamed_roles", "train_engine"]

_TRAINERS: Mapping[str, Any] = {
    "BPE": trainers.BpeTrainer,
    "Unigram": trainers.UnigramTrainer,
    "WordLevel": trainers.WordLevelTrainer,
    "WordPiece": trainers.WordPieceTrainer,
}
_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")


@panics_as_errors
def train_engine(
    engine: tokenizers.Tokenizer,
    texts: Iterable[Any],
    *,
    length: int | None,
    new: Sequence[str | AddedToken],
    renamed: Mapping[str, str],
    options: Mapping[str, Any],
) -> tokenizers.Tokenizer:
    """Make an engine with the parts of another and a vocabulary of its own.

    Args:
        engine: the other one; it is not changed.
        texts: the corpus: texts, or batches of them.
        length: how many there are, for the bar.
        new: special tokens that it has besides the other's.
        renamed: the other's special tokens that are called otherwise.
        options: the trainer's, ``vocab_size`` among them.

    Raises:
        ValueError: the model is of no kind that can be trained, a token that stands around texts is
            not in the new vocabulary, or that has no room for every character.

    """
    parts = json.loads(engine.to_str())
    added, frame = parts.pop("added_tokens"), parts.pop("post_processor")
    kind = parts["model"]["type"]
    if kind not in _TRAINERS:
        raise ValueError(f"a {kind} model cannot be trained, only one of {', '.join(_TRAINERS)}")
    unknown = _empty(parts["model"], renamed)
    special = [_token(entry, renamed) for entry in added if entry["special"] or kind == "Unigram"]
    trainer = _TRAINERS[kind](
        special_tokens=[*special, *new], **_defaults(parts, unknown), **options
    )
    with engine_errors("the tokenizer without its vocabulary"):
        trained = tokenizers.Tokenizer.from_str(json.dumps(parts))
    trained.train_from_iterator(texts, trainer=trainer, length=length)
    if frame is None:
        return trained
    whole = json.loads(trained.to_str())
    whole["post_processor"] = _reframed(frame, trained, renamed)
    with engine_errors("the trained tokenizer"):
        return tokenizers.Tokenizer.from_str(json.dumps(whole))


def _empty(model: dict[str, Any], renamed: Mapping[str, str]) -> str | None:
    """Take the vocabulary out; returns the unknown token where the vocabulary held it."""
    named = model.get("unk_token")
    if named is not None:
        model["unk_token"] = renamed.get(named, named)
    if model["type"] != "Unigram":
        model["vocab"] = {}
        if "merges" in model:
            model["merges"] = []
        return None
    if model["unk_id"] is None:
        return None
    text = model["vocab"][model["unk_id"]][0]
    unknown: str = renamed.get(text, text)
    model["unk_id"], model["vocab"] = 0, [[unknown, 0.0]]
    return unknown


def _token(entry: Mapping[str, Any], renamed: Mapping[str, str]) -> AddedToken:
    flags = {name: value for name, value in entry.items() if name not in {"id", "special"}}
    return AddedToken(**{**flags, "content": renamed.get(entry["content"], entry["content"])})


def _defaults(parts: Mapping[str, Any], unknown: str | None) -> dict[str, Any]:
    """What the trainer has to know of the pipeline."""
    model, found = parts["model"], dict[str, Any]()
    if model["type"] == "BPE":
        found.update({name: model[name] for name in _AFFIXES if model[name] is not None})
    if unknown is not None:
        found["unk_token"] = unknown
    first = parts["pre_tokenizer"] or {}
    if any(
        step["type"] == "ByteLevel" for step in (first, *first.get("pretokenizers", ())) if step
    ):
        found["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    return found


def _reframed(
    frame: dict[str, Any], engine: tokenizers.Tokenizer, renamed: Mapping[str, str]
) -> dict[str, Any]:
    """Give what stands around texts its ids in the new vocabulary."""
    changed = dict(frame)
    if "special_tokens" in frame:
        changed["special_tokens"] = {
            key: {
                **entry,
                "tokens": [renamed.get(text, text) for text in entry["tokens"]],
                "ids": [_id_of(engine, renamed.get(text, text)) for text in entry["tokens"]],
            }
            for key, entry in frame["special_tokens"].items()
        }
    for role in ("cls", "sep"):
        if role in frame:
            text = renamed.get(frame[role][0], frame[role][0])
            changed[role] = [text, _id_of(engine, text)]
    return changed


def _id_of(engine: tokenizers.Tokenizer, text: str) -> int:
    index: int | None = engine.token_to_id(text)
    if index is None:
        raise ValueError(f"{text!r} stands around texts and is not in the new vocabulary")
    return index


def renamed_roles(
    tokenizer: SpecialTokens, new: Sequence[str | AddedToken], renamed: Mapping[str, str]
) -> dict[str, Any]:
    """Give a tokenizer's init arguments, its special tokens called as in the new vocabulary."""
    settings = dict(tokenizer.init_kwargs)
    roles = tokenizer.special_tokens_map_extended
    for name in SPECIAL_TOKEN_NAMES:
        token = roles.get(name)
        if isinstance(token, AddedToken):
            flags = {flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip")}
            text = renamed.get(token.content, token.content)
            settings[name] = AddedToken(text, **flags, normalized=token.normalized, special=True)
        elif token is not None:
            settings[name] = renamed.get(token, token)
    more = [*tokenizer.additional_special_tokens, *new]
    if more:
        settings["additional_special_tokens"] = more
    return settings
