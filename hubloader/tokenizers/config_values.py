"""What the init arguments of a tokenizer may be, whether a file or a caller gives them.

What is wrong is told in plain TypeError and ValueError: whoever has the values says whose they are.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_MAX_LENGTH",
    "SPECIAL_TOKEN_NAMES",
    "check_roles",
    "check_values",
    "limit_from",
    "listed_tokens",
    "token_from",
]

NO_MAX_LENGTH = int(1e30)  # transformers' word for a model_max_length that nobody set

SPECIAL_TOKEN_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_NUMBER = ((int, float), "a number")
_SWITCH = (bool, "true or false")
_TYPES: Mapping[str, tuple[Any, str]] = {
    "add_bos_token": _SWITCH,
    "add_prefix_space": _SWITCH,
    "additional_special_tokens": (list, "a list of tokens"),
    "clean_up_tokenization_spaces": _SWITCH,
    "do_lower_case": _SWITCH,
    "mask_token_sent": (str, "a token"),
    "max_len": _NUMBER,
    "model_input_names": (list, "a list of names"),
    "model_max_length": _NUMBER,
    "pad_token_type_id": (int, "a whole number"),
    "padding_side": (str, "a word"),
    "split_special_tokens": _SWITCH,
    "strip_accents": _SWITCH,
    "tokenize_chinese_chars": _SWITCH,
    "trim_offsets": _SWITCH,
    "truncation_side": (str, "a word"),
}
_SIDES = ("padding_side", "truncation_side")
_MOST_SPECIAL = 1 << 16  # each is added to the engine, which takes its time


def token_from(value: Any) -> AddedToken | str | None:
    """Read a token as the files write it: text, or an object with ``content``; None for neither."""
    if isinstance(value, (str, AddedToken)):
        return value
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = {name: bool(value[name]) for name in _FLAGS if name in value}
        return AddedToken(value["content"], **flags)
    return None


def listed_tokens(values: Mapping[str, Any]) -> set[str]:
    """Give the special tokens that files list with their flags: the engine has them in any case."""
    return {str(value) for value in values.values() if isinstance(value, AddedToken)}


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse values that would fail later, and far from here, with another library's words.

    Raises:
        TypeError: one is of a type that cannot be meant; None is always allowed.
        ValueError: a side is neither right nor left.

    """
    for key, (allowed, words) in _TYPES.items():
        value = values.get(key)
        if value is not None and not isinstance(value, allowed):
            raise TypeError(f"{key} is {value!r}, not {words}")
    for key in ("max_len", "model_max_length"):
        limit_from(values.get(key))
    for key in _SIDES:
        if values.get(key) not in {None, "left", "right"}:
            raise ValueError(
                f"{key} should be selected between 'right' and 'left', not {values[key]!r}"
            )
    names = values.get("model_input_names") or ["input_ids"]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"model_input_names is {names!r}, not a list of names")
    _check_special_tokens(values)


def _check_special_tokens(values: Mapping[str, Any]) -> None:
    for key in SPECIAL_TOKEN_NAMES:
        if values.get(key) is not None and token_from(values[key]) is None:
            raise TypeError(f"{key} is not a token: {values[key]!r}")
    _check_tokens("additional_special_tokens", values.get("additional_special_tokens"))
    extra = values.get("extra_special_tokens")
    if isinstance(extra, dict):
        _check_tokens("extra_special_tokens", [item for item in extra.values() if item is not None])
    elif extra is None or isinstance(extra, (list, tuple)):
        _check_tokens("extra_special_tokens", extra)
    else:
        raise TypeError(
            f"extra_special_tokens is {extra!r}, not a list or an object (dict) of tokens"
        )


def limit_from(value: Any) -> int:
    """Read a ``model_max_length``: None, and what is endless, is that nobody set one.

    Raises:
        TypeError: it is no whole number.

    """
    if value is None or value == math.inf:
        return NO_MAX_LENGTH
    try:
        number = int(value) if isinstance(value, float) else operator.index(value)
    except (OverflowError, TypeError, ValueError):
        number = None
    if number is None or number != value:
        raise TypeError(f"model_max_length is {value!r}, not a whole number")
    return number


def _check_tokens(key: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{key} is {value!r}, not a list of tokens")
    if len(value) > _MOST_SPECIAL:
        raise ValueError(f"{key}: {len(value)} tokens are more than {_MOST_SPECIAL}")
    for item in value:
        if token_from(item) is None:
            raise TypeError(f"{key} holds {item!r}, which is not a token")


def check_roles(values: Mapping[str, Any]) -> None:
    """Refuse roles that no model has: a file decides no other names of attributes.

    Raises:
        ValueError: a role of ``extra_special_tokens`` is not called ``..._token``.

    """
    extra = values.get("extra_special_tokens")
    for role in extra if isinstance(extra, dict) else ():
        if not (role.isidentifier() and role.endswith("_token")):
            raise ValueError(
                f"extra_special_tokens has the role {role!r}, not a name like image_token"
            )
