"""Which of the many forms of text a call was given, and the items that the engine takes for it.

Source: transformers 4.57.6 ``_call_one``; the messages are its own.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_texts", "refused_id", "refused_text"]

_IDS = 1 << 32  # the engine counts them in 32 bits

_WRONG_TYPE = (
    "text input must be of type `str` (single example), `list[str]` (batch or single pretokenized "
    "example) or `list[list[str]]` (batch of pretokenized examples)."
)


def read_texts(text: Any, pair: Any, *, split_into_words: bool) -> tuple[list[Any], bool]:
    """Tell one text from a batch.

    Args:
        text: a text, a list of words, or a batch of either; pairs may stand in a batch.
        pair: the second text of a pair, or the batch of them, or None.
        split_into_words: whether a list of text is one text in words.

    Returns:
        The engine's items, and whether they were a batch.

    Raises:
        ValueError: it is nothing of the kind, or the two batches differ in length.
        TypeError: one second text for a batch of first ones.

    """
    if not _could_be_text(text) or (pair is not None and not _could_be_text(pair)):
        raise ValueError(_WRONG_TYPE)
    if not _is_batch(text, split_into_words=split_into_words):
        return [(text, pair) if pair else text], False
    if isinstance(pair, str):
        raise TypeError(
            "when tokenizing batches of text, `text_pair` must be a list or tuple with the same "
            "length as `text`."
        )
    if pair is None:
        return list(text), True
    if len(text) != len(pair):
        raise ValueError(
            f"batch length of `text`: {len(text)} does not match batch length of `text_pair`: "
            f"{len(pair)}."
        )
    return list(zip(text, pair, strict=True)), True


def refused_text(items: list[Any]) -> str | None:
    """Say which of the engine's items holds what is no text; None if all are."""
    for number, item in enumerate(items):
        for part in _parts(item):
            where = f"text {number} of the batch" if len(items) > 1 else "the text"
            if not isinstance(part, str):
                return f"{where} holds a {type(part).__name__}, not a str"
            try:
                part.encode("utf-8")
            except UnicodeEncodeError as error:
                return f"{where} cannot be encoded: {error}"
    return None


def refused_id(ids: Any) -> str | None:
    """Say which of ``ids`` is no id of a token; None if all could be."""
    if not isinstance(ids, (list, tuple)):
        return _refusal(ids)
    return next((words for words in map(_refusal, ids) if words is not None), None)


def _refusal(index: Any) -> str | None:
    try:
        number = operator.index(index)
    except TypeError:
        return f"{index!r} is no id of a token: ids are whole numbers"
    if 0 <= number < _IDS:
        return None
    masked = "; -100 marks labels that no loss counts: leave those out" if number == -100 else ""
    return f"{number} is no id of a token: ids go from 0 to {_IDS - 1}{masked}"


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, (list, tuple)):
        for part in item:
            yield from _parts(part)
    else:
        yield item


def _is_batch(text: Any, *, split_into_words: bool) -> bool:
    if not isinstance(text, (list, tuple)):
        return False
    return not split_into_words or (len(text) > 0 and isinstance(text[0], (list, tuple)))


def _could_be_text(value: Any) -> bool:
    if isinstance(value, str):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    if not value or isinstance(value[0], str):
        return True
    first = value[0]
    return isinstance(first, (list, tuple)) and (not first or isinstance(first[0], str))
