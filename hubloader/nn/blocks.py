"""What architectures share: heads, masks, positions, buckets, rotation, activations.

Everything is written in the kit's ops, so it runs on every framework; tables are numpy's, made
when a model is built and handed to ``Kit.buffer``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from hubloader.nn.layer import Kit, Tensor

__all__ = [
    "ACTIVATIONS",
    "activate",
    "check_length",
    "key_mask",
    "log_bucket_table",
    "mean_of_tokens",
    "merge_heads",
    "positions_after_padding",
    "relative_distances",
    "rotary_frequencies",
    "rotary_tables",
    "rotate",
    "split_heads",
    "t5_bucket_table",
    "window_mask",
]

ACTIVATIONS: Mapping[str, Callable[[Kit, Tensor], Tensor]] = {
    "gelu": lambda nn, x: nn.gelu(x),
    "gelu_python": lambda nn, x: nn.gelu(x),
    "gelu_new": lambda nn, x: nn.gelu_tanh(x),
    "gelu_fast": lambda nn, x: nn.gelu_tanh(x),
    "gelu_pytorch_tanh": lambda nn, x: nn.gelu_tanh(x),
    "gelu_python_tanh": lambda nn, x: nn.gelu_tanh(x),
    "gelu_accurate": lambda nn, x: nn.gelu_tanh(x),
    "quick_gelu": lambda nn, x: x * nn.sigmoid(1.702 * x),
    "relu": lambda nn, x: nn.relu(x),
    "relu2": lambda nn, x: nn.relu(x) * nn.relu(x),
    "sigmoid": lambda nn, x: nn.sigmoid(x),
    "silu": lambda nn, x: nn.silu(x),
    "swish": lambda nn, x: nn.silu(x),
    "mish": lambda nn, x: x * nn.tanh(nn.softplus(x)),
    "tanh": lambda nn, x: nn.tanh(x),
    "linear": lambda _, x: x,
}
"""By transformers' names. Source: transformers 5.23, ``activations.py``."""


def activate(nn: Kit, name: str, x: Tensor) -> Tensor:
    """Apply the activation that a config names."""
    return ACTIVATIONS[name](nn, x)


def split_heads(nn: Kit, x: Tensor, heads: int) -> Tensor:
    """(B, T, H*D) -> (B, H, T, D)."""
    b, t, width = nn.shape(x)
    return nn.transpose(nn.reshape(x, (b, t, heads, width // heads)), (0, 2, 1, 3))


def merge_heads(nn: Kit, x: Tensor) -> Tensor:
    """(B, H, T, D) -> (B, T, H*D)."""
    b, h, t, d = nn.shape(x)
    return nn.reshape(nn.transpose(x, (0, 2, 1, 3)), (b, t, h * d))


def key_mask(nn: Kit, attention_mask: Tensor | None) -> Tensor | None:
    """(B, T), nonzero is a token -> bool (B, 1, 1, T); None where nothing is masked."""
    if attention_mask is None:
        return None
    mask = nn.cast_bool(attention_mask)[:, None, None, :]
    return None if nn.masks_nothing(mask) else mask


def mean_of_tokens(nn: Kit, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Average the hidden states of the tokens that are no padding.

    Args:
        nn: the kit.
        hidden: (B, T, width).
        attention_mask: (B, T), nonzero is a token; None: all are.

    Returns:
        (B, width); zeros for a text of nothing but padding.

    """
    if attention_mask is None:
        mask = nn.zeros_like(hidden[:, :, :1]) + 1
    else:
        mask = nn.cast_like(nn.cast_bool(attention_mask), hidden)[:, :, None]
    return nn.sum(hidden * mask, 1) / nn.clip(nn.sum(mask, 1), 1, 2**31 - 1)


def window_mask(nn: Kit, like: Tensor, reach: int, mask: Tensor | None) -> Tensor:
    """Let a query see real keys at most ``reach`` tokens away: bool, broadcasts to (B, 1, T, T).

    Args:
        nn: the kit.
        like: (B, T, ...), for its length and place.
        reach: tokens.
        mask: what ``key_mask`` gave.

    """
    position = nn.arange(nn.shape(like)[1], like)
    distance = position[:, None] - position[None, :]
    near = ((distance <= reach) & (distance >= -reach))[None, None]
    return near if mask is None else near & mask


def positions_after_padding(nn: Kit, input_ids: Tensor, padding_idx: int) -> Tensor:
    """Fairseq's positions: pads sit at ``padding_idx``, tokens count up from there. (B, T).

    Source: transformers 5.23, ``modeling_roberta.py``, ``create_position_ids_from_input_ids``.
    """
    real = nn.cast_int(input_ids != padding_idx)
    return nn.cumsum(real, 1) * real + padding_idx


def relative_distances(nn: Kit, like: Tensor, most: int) -> Tensor:
    """Query position minus key position, cut to ±``most`` and raised by it: a row of a table.

    Args:
        nn: the kit.
        like: (B, T, ...), for its length and place.
        most: distance from which on the table says nothing new.

    Returns:
        (T, T) int from 0 to 2 * most.

    """
    position = nn.arange(nn.shape(like)[1], like)
    return nn.clip(position[:, None] - position[None, :], -most, most) + most


def t5_bucket_table(buckets: int, max_distance: int) -> NDArray[np.int64]:
    """T5's buckets, both ways: exact near zero, log-spaced further out.

    Args:
        buckets: how many, half for each direction.
        max_distance: tokens; from here on all is one bucket.

    Returns:
        The bucket of query position minus key position, from -max_distance to max_distance:
        (2 * max_distance + 1,).

    Source: transformers 5.23, ``modeling_mpnet.py``, ``relative_position_bucket``.

    """
    import numpy as np  # first use: a model is being built

    signed = np.arange(-max_distance, max_distance + 1)
    half = buckets // 2
    exact = half // 2
    distance = np.abs(signed)
    far = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    far = far / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)
    far = np.minimum(exact + far.astype(np.int64), half - 1)
    bucket: NDArray[np.int64] = np.where(distance < exact, distance, far) + (signed < 0) * half
    return bucket


def log_bucket_table(buckets: int, max_position: int, reach: int) -> NDArray[np.int64]:
    """DeBERTa's buckets: exact up to ``buckets // 2``, log-spaced up to ``max_position``.

    Args:
        buckets: position buckets in each direction.
        max_position: tokens; where the last bucket ends.
        reach: tokens; how far the table goes.

    Returns:
        The bucket of query position minus key position, from -reach to reach: (2 * reach + 1,).

    Source: transformers 5.23, ``modeling_deberta_v2.py``, ``make_log_bucket_position``; in
    float32, as there: in float64 some distances fall into the next bucket.

    """
    import numpy as np  # first use: a model is being built

    signed = np.arange(-reach, reach + 1)
    mid = buckets // 2
    if mid >= max_position - 1:  # nothing is far enough to be bucketed
        return signed
    near = np.abs(signed) < mid
    magnitude = np.where(near, mid - 1, np.abs(signed)).astype(np.float32)
    scale = np.log(np.float32((max_position - 1) / mid))
    far = np.ceil(np.log(magnitude / np.float32(mid)) / scale * np.float32(mid - 1)) + mid
    table: NDArray[np.int64] = np.where(magnitude <= mid, signed, far * np.sign(signed)).astype(
        np.int64
    )
    return table


def rotary_frequencies(dim: int, theta: float) -> NDArray[np.float32]:
    """Angle per position of each pair of numbers: (dim // 2,)."""
    import numpy as np  # first use: a model is being built

    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    inverse: NDArray[np.float32] = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    return inverse


def rotary_tables(nn: Kit, frequencies: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position's angles, both (T, D), in the dtype of ``like``.

    Args:
        nn: the kit.
        frequencies: what ``rotary_frequencies`` gave, as a buffer.
        like: (B, T, ...) float.

    """
    positions = nn.cast_like(nn.arange(nn.shape(like)[1], like), frequencies)
    angles = positions[:, None] * frequencies[None, :]
    angles = nn.concat([angles, angles], -1)
    return nn.cast_like(nn.cos(angles), like), nn.cast_like(nn.sin(angles), like)


def rotate(nn: Kit, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each half-and-half pair of x (B, H, T, D) by its position's angle."""
    cos, sin = tables
    left, right = nn.split(x, 2)
    return x * cos + nn.concat([-right, left], -1) * sin


def check_length(nn: Kit, input_ids: Tensor, limit: int) -> None:
    """Refuse a sequence that is longer than the learned positions, where its length is known.

    Raises:
        IndexError: it is.

    """
    length = nn.shape(input_ids)[1]
    if isinstance(length, int) and length > limit:
        raise IndexError(
            f"a sequence of {length} tokens is longer than the {limit} positions that this model "
            "has: truncate it, with truncation=True in the tokenizer's call"
        )
