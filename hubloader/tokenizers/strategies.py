"""What a call's padding and truncation arguments mean together: a pure decision.

Source: transformers 4.57.6 ``_get_padding_truncation_strategies``; 5.23 decides alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader import notices

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Padding", "Strategies", "choose_strategies"]

_PADDING = ("longest", "max_length", "do_not_pad")
_TRUNCATION = ("only_first", "only_second", "longest_first", "do_not_truncate")
_MAX_WIDTH = 1 << 20  # the engine aborts the process where there is no memory for a row
_NO_LIMIT = int(1e20)  # a model_max_length above this means that nobody set one


class Padding(NamedTuple):
    """How rows are filled up.

    ``length`` is the width to reach, None for the longest row's; ``multiple`` rounds it up.
    """

    length: int | None
    multiple: int | None
    side: str
    pad_id: int
    pad_type_id: int
    pad_token: str

    def width(self, longest: int) -> int:
        """The width that rows are filled up to, where the longest has ``longest``.

        Raises:
            ValueError: it was asked for rows of more than 2**20 tokens.

        """
        asked = max(self.length or 0, self.multiple or 0)
        if asked > _MAX_WIDTH:
            raise ValueError(
                f"rows cannot be padded to {asked} tokens: {_MAX_WIDTH} are the most. Check "
                "max_length, pad_to_multiple_of and the tokenizer's model_max_length"
            )
        width = longest if self.length is None else self.length
        if self.multiple and width % self.multiple:
            width += self.multiple - width % self.multiple
        return width


class Strategies(NamedTuple):
    """The outcome: words of transformers, and the length that both go by (None: no limit)."""

    padding: str
    truncation: str
    max_length: int | None


def choose_strategies(
    padding: Any,
    truncation: Any,
    max_length: int | None,
    *,
    model_max_length: int,
    warn: Callable[[str, str], None],
) -> Strategies:
    """Decide what is padded and cut, and to which length.

    Args:
        padding: True, False, or a word (or an enum of it).
        truncation: True, False, None, or a word (or an enum of it).
        max_length: the call's own limit, None if it names none.
        model_max_length: the limit that stands in for it.
        warn: called with a key and a sentence for what is said once.

    Raises:
        ValueError: a word that is none of transformers'.

    """
    if max_length is not None and padding is False and truncation is None:
        truncation = "longest_first"
    pads = _word(padding, "longest", "do_not_pad", _PADDING, "PaddingStrategy")
    cuts = _word(truncation, "longest_first", "do_not_truncate", _TRUNCATION, "TruncationStrategy")
    if padding is True and max_length is not None and cuts == "do_not_truncate":
        notices.warn(
            "`max_length` is ignored when `padding`=`True` and there is no truncation strategy. "
            "To pad to max length, use `padding='max_length'`."
        )
    if max_length is not None:
        return Strategies(pads, cuts, max_length)
    limit = model_max_length if model_max_length <= _NO_LIMIT else None
    if limit is None and pads == "max_length":
        warn("pad", "Asking to pad to max_length but no maximum length is provided and the model "
             "has no predefined maximum length. Default to no padding.")  # fmt: skip
        pads = "do_not_pad"
    if limit is None and cuts != "do_not_truncate":
        warn("truncate", "Asking to truncate to max_length but no maximum length is provided and "
             "the model has no predefined maximum length. Default to no truncation.")  # fmt: skip
        cuts = "do_not_truncate"
    needed = pads == "max_length" or cuts != "do_not_truncate"
    if needed and limit is not None and limit < 0:
        raise ValueError(f"the tokenizer's model_max_length is {limit}: it cannot be below 0")
    return Strategies(pads, cuts, limit if needed else None)


def _word(value: Any, true: str, false: str, allowed: tuple[str, ...], title: str) -> str:
    if value is True:
        return true
    if value is False or value is None:
        return false
    word = getattr(value, "value", value)
    if word not in allowed:
        raise ValueError(f"{value} is not a valid {title}, please select one of {sorted(allowed)}")
    return str(word)
