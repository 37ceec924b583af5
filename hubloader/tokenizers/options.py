"""The arguments of a call besides its texts: their names, defaults, and what they may be.

They are looked at once for each set of arguments, when its plan is made. Arguments that are equal
mean the same, as plans are found by them: 1 is True, 8.0 is 8.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from hubloader.names import suggestion

__all__ = ["CallOptions", "checked", "named", "whole_number"]


class CallOptions(NamedTuple):
    """The arguments of a call besides its texts, with transformers' names and defaults."""

    add_special_tokens: bool = True
    padding: Any = False
    truncation: Any = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: Any = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None


_SWITCHES = ("add_special_tokens", "is_split_into_words", "split_special_tokens")
_NUMBERS = ("max_length", "stride", "pad_to_multiple_of")
# In which order the older calls take them by position, after the texts. Source: transformers 4.57.
_CALLED_WITH = CallOptions._fields
_PREPARED_WITH = tuple(name for name in _CALLED_WITH[:-1] if name != "is_split_into_words")
_ORDERS = {
    "encode": ("add_special_tokens", "padding", "truncation", "max_length", "stride",
               "padding_side", "return_tensors"),
    "encode_plus": _CALLED_WITH[:-1],
    "batch_encode_plus": _CALLED_WITH,
    "prepare_for_model": (*_PREPARED_WITH, "prepend_batch_axis"),
}  # fmt: skip


def named(call: str, positional: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Give the arguments of an older call by their names.

    Raises:
        TypeError: there are more than it takes, or one is given twice.

    """
    order = _ORDERS[call]
    if len(positional) > len(order):
        raise TypeError(f"{call} takes {len(order)} arguments after its texts, not more")
    found = dict(zip(order, positional))  # noqa: B905 - the later ones have their defaults
    twice = sorted(found.keys() & given.keys())
    if twice:
        raise TypeError(f"{call} was given {', '.join(twice)} twice")
    return {**found, **given}


def checked(options: CallOptions) -> CallOptions:
    """Give options whose numbers are whole and whose switches are True, False or None.

    Raises:
        TypeError: one is of a type that cannot be meant.
        ValueError: a number is below 0.

    """
    changes: dict[str, Any] = {}
    for name in _SWITCHES:
        value = getattr(options, name)
        if value is not None or name != "split_special_tokens":
            changes[name] = _switch(name, value)
    for name in _NUMBERS:
        value = getattr(options, name)
        if value is not None or name == "stride":
            changes[name] = whole_number(name, value)
    for name in ("padding", "truncation"):
        if _is_switch(getattr(options, name)):
            changes[name] = bool(getattr(options, name))
    side = options.padding_side
    if side not in {None, "left", "right"}:
        raise ValueError(f"padding_side is {side!r}: it is 'right' or 'left'")
    return options._replace(**changes)


def whole_number(name: str, value: Any) -> int:
    """Read a whole number of any library, or a float without a fraction.

    Raises:
        TypeError: it is none.
        ValueError: it is below 0.

    """
    try:
        number = int(value) if isinstance(value, float) else operator.index(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number != value:
        raise TypeError(f"{name} is {value!r}, not a whole number")
    if number < 0:
        raise ValueError(f"{name} is {number}: it cannot be below 0")
    return number


def _switch(name: str, value: Any) -> bool:
    if not _is_switch(value):
        raise TypeError(f"{name} is {value!r}, not True or False")
    return bool(value)


def _is_switch(value: Any) -> bool:
    try:
        return value in {True, False}
    except TypeError:  # it cannot be hashed
        return False


def unknown_argument(name: str) -> str:
    """Say that a call has no such argument, and which one was meant."""
    return f"a tokenizer's call has no argument {name!r}{suggestion(name, CallOptions._fields)}"
