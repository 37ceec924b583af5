"""Which token of each text: the last, the last of a kind, a number for each.

Written in the kit's ops, so it runs on every framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubloader.nn.layer import Kit, Tensor

__all__ = ["is_known", "last_marked", "last_token", "take_tokens", "token_numbers"]


def take_tokens(nn: Kit, x: Tensor, index: Tensor) -> Tensor:
    """Take one token of each text: x (B, T, ...) at int index (B,) -> (B, ...).

    Or several of each: at int index (B, S) -> (B, S, ...).
    """
    b, t, *rest = nn.shape(x)
    first = nn.cast_int(nn.arange(b, x)) * t
    if len(index.shape) > 1:
        first = first[:, None]
    return nn.take(nn.reshape(x, (-1, *rest)), first + nn.cast_int(index))


def last_token(nn: Kit, hidden: Tensor, input_ids: Tensor, padding: int | None) -> Tensor:
    """Take each text's last token that is no padding, wherever the padding is.

    Args:
        nn: the kit.
        hidden: (B, T, width).
        input_ids: (B, T).
        padding: its id; None: there is none, and every text ends where the batch does.

    Returns:
        (B, width); of the first token, for a text of nothing but padding.

    Raises:
        ValueError: there are several texts, and no padding is known.

    """
    if padding is None:
        rows = nn.shape(input_ids)[0]
        if isinstance(rows, int) and rows != 1:
            raise ValueError(
                "Cannot handle batch sizes > 1 if no padding token is defined: set pad_token_id in "
                "the model's config to the tokenizer's"
            )
        return hidden[:, -1]
    return take_tokens(nn, hidden, _last_of(nn, nn.cast_int(input_ids != padding)))


def last_marked(nn: Kit, hidden: Tensor, input_ids: Tensor, mark: int | None) -> Tensor:
    """Take each text's last token of one kind: where an encoder-decoder's text ends.

    Args:
        nn: the kit.
        hidden: (B, T, width).
        input_ids: (B, T).
        mark: the id to look for.

    Returns:
        (B, width).

    Raises:
        ValueError: texts differ in how many they have, as far as that is known, or have none.

    """
    if mark is None:
        raise ValueError("the model's config has no eos_token_id, by whose last one it classifies")
    marked = nn.cast_int(input_ids == mark)
    counts = nn.sum(marked, 1)
    if is_known(nn, nn.sum(nn.cast_int(counts != counts[:1]), 0) > 0):
        raise ValueError("All examples must have the same number of <eos> tokens.")
    if is_known(nn, counts == 0):
        raise ValueError("Each example must contain at least one <eos> token.")
    return take_tokens(nn, hidden, _last_of(nn, marked))


def _last_of(nn: Kit, marked: Tensor) -> Tensor:
    """Marked (B, T), 0 or 1 -> the place of each row's last 1: (B,); 0 where there is none."""
    before = nn.cumsum(marked, 1) - marked
    up_to_it = nn.cast_int(nn.sum(marked, 1)[:, None] > before)
    return nn.clip(nn.sum(up_to_it, 1) - 1, 0, 2**31 - 1)


def token_numbers(nn: Kit, like: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Number each text's tokens from 0, padding as 0: (B, T) int, or (1, T) where none is padding.

    Args:
        nn: the kit.
        like: (B, T, ...), for its length and place.
        attention_mask: (B, T), 1 is a token.

    """
    if attention_mask is None or len(attention_mask.shape) > 2:
        return nn.arange(nn.shape(like)[1], like)[None]
    real = nn.cast_int(attention_mask)
    return (nn.cumsum(real, 1) - 1) * real


def is_known(nn: Kit, condition: Tensor) -> bool:
    """Whether a boolean tensor holds everywhere; False inside a graph, which knows no data."""
    return nn.masks_nothing(condition)
