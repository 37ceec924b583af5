"""What architectures share: heads, masks, positions, buckets, rotation, activations.

Everything is written in the kit's ops, so it runs on every framework; tables are numpy's, made
when a model is built and handed to ``Kit.buffer``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hubloader.errors import UnfitLength

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from hubloader.nn.layer import Kit, Tensor

__all__ = [
    "ACTIVATIONS",
    "activate",
    "alibi_slopes",
    "backward_mask",
    "check_length",
    "each_block",
    "in_blocks",
    "key_mask",
    "log_bucket_table",
    "mean_of_tokens",
    "merge_heads",
    "positions_after_padding",
    "relative_distances",
    "repeat_heads",
    "rotary_frequencies",
    "rotary_tables",
    "rotate",
    "rotate_pairs",
    "split_heads",
    "t5_bucket_table",
    "window_mask",
    "with_neighbours",
]

ACTIVATIONS: Mapping[str, Callable[[Kit, Tensor], Tensor]] = {
    "gelu": lambda nn, x: nn.gelu(x),
    "gelu_python": lambda nn, x: nn.gelu(x),
    "gelu_10": lambda nn, x: nn.clip(nn.gelu(x), -10, 10),
    "gelu_new": lambda nn, x: nn.gelu_tanh(x),
    "gelu_fast": lambda nn, x: nn.gelu_tanh(x),
    "gelu_pytorch_tanh": lambda nn, x: nn.gelu_tanh(x),
    "gelu_python_tanh": lambda nn, x: nn.gelu_tanh(x),
    "gelu_accurate": lambda nn, x: nn.gelu_tanh(x),
    "quick_gelu": lambda nn, x: x * nn.sigmoid(1.702 * x),
    "relu": lambda nn, x: nn.relu(x),
    "relu2": lambda nn, x: nn.relu(x) * nn.relu(x),
    "relu6": lambda nn, x: nn.clip(x, 0, 6),
    "leaky_relu": lambda nn, x: nn.relu(x) - 0.01 * nn.relu(-x),
    "hardswish": lambda nn, x: x * nn.clip(x + 3.0, 0, 6) / 6.0,
    "sqrtsoftplus": lambda nn, x: nn.softplus(x) ** 0.5,
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
    """Which keys each query may look at: bool, broadcasts to (B, H, T, T); None for all.

    Args:
        nn: the kit.
        attention_mask: (B, T), nonzero is a token; or a mask that is whole already: (B, T, T) or
            (B, 1 or H, T, T), nonzero attends, and of floats 0 attends and the very negative not,
            as where it is added to the scores.

    """
    if attention_mask is None:
        return None
    rank = len(attention_mask.shape)
    if rank == 4 and "float" in str(attention_mask.dtype):
        mask = attention_mask > _SHUT
    elif rank == 4:
        mask = nn.cast_bool(attention_mask)
    elif rank == 3:
        mask = nn.cast_bool(attention_mask)[:, None]
    else:
        rows, keys = nn.shape(attention_mask)  # not by [:, None]: TFLite slices no booleans
        mask = nn.reshape(nn.cast_bool(attention_mask), (rows, 1, 1, keys))
    return None if nn.masks_nothing(mask) else mask


_SHUT = -1000.0  # what is added to a score to take a key away is lower by far in every dtype


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
    count = nn.sum(mask, 1)
    return nn.sum(hidden * mask, 1) / (count + 1 - nn.clip(count, 0, 1))


def backward_mask(nn: Kit, like: Tensor, mask: Tensor | None, window: int | None = None) -> Tensor:
    """Let a query see real keys up to its own place: bool, broadcasts to (B, 1, T, T).

    Args:
        nn: the kit.
        like: (B, T, ...), for its length and place.
        mask: what ``key_mask`` gave.
        window: tokens that a query sees at most, itself among them; None: all behind it.

    """
    position = nn.arange(nn.shape(like)[1], like)
    distance = position[:, None] - position[None, :]
    behind = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    behind = behind[None, None]
    return behind if mask is None else behind & mask


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


def positions_after_padding(nn: Kit, input_ids: Tensor, padding_idx: int, rows: int) -> Tensor:
    """Fairseq's positions: pads sit at ``padding_idx``, tokens count up from there.

    Args:
        nn: the kit.
        input_ids: (B, T).
        padding_idx: the id of padding, and its row.
        rows: how many the table of positions has.

    Returns:
        (B, T).

    Raises:
        UnfitLength: a text has more tokens than there are rows behind that of padding.

    Source: transformers 5.23, ``modeling_roberta.py``, ``create_position_ids_from_input_ids``.

    """
    real = nn.cast_int(input_ids != padding_idx)
    check_length(nn, input_ids, rows - padding_idx - 1, real)
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


def t5_bucket_table(
    buckets: int, max_distance: int, *, both_ways: bool = True
) -> NDArray[np.int64]:
    """T5's buckets: exact near zero, log-spaced further out.

    Args:
        buckets: how many, half for each direction.
        max_distance: tokens; from here on all is one bucket.
        both_ways: False where a query looks back alone, for which all buckets are then.

    Returns:
        The bucket of query position minus key position, from -max_distance to max_distance:
        (2 * max_distance + 1,).

    Source: transformers 5.23, ``modeling_mpnet.py``, ``relative_position_bucket``.

    """
    import numpy as np  # first use: a model is being built

    signed = np.arange(-max_distance, max_distance + 1)
    half = buckets // 2 if both_ways else buckets
    exact = half // 2
    distance = np.abs(signed) if both_ways else np.maximum(signed, 0)
    far = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    far = far / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)
    far = np.minimum(exact + far.astype(np.int64), half - 1)
    bucket: NDArray[np.int64] = np.where(distance < exact, distance, far)
    return bucket + (signed < 0) * half if both_ways else bucket


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


def rotate_pairs(nn: Kit, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each two neighbouring numbers of x (B, H, T, D) by their position's angle.

    Args:
        nn: the kit.
        x: (B, H, T, D).
        tables: cosines and sines, both (T, D // 2): one angle for each pair.

    """
    cos, sin = tables
    b, h, t, d = nn.shape(x)
    pairs = nn.reshape(x, (b, h, t, d // 2, 2))
    left, right = pairs[..., 0], pairs[..., 1]
    turned = [left * cos - right * sin, right * cos + left * sin]
    return nn.reshape(nn.concat([part[..., None] for part in turned], -1), (b, h, t, d))


def repeat_heads(nn: Kit, x: Tensor, times: int) -> Tensor:
    """Give each head to as many neighbouring queries': (B, H, T, D) -> (B, H * times, T, D)."""
    if times == 1:
        return x
    b, heads, t, width = nn.shape(x)
    return nn.reshape(nn.concat([x[:, :, None]] * times, 2), (b, heads * times, t, width))


def alibi_slopes(heads: int) -> NDArray[np.float32]:
    """How much each head's scores grow from one key to the next (Press et al., 2021): (heads,).

    Source: transformers 5.23, ``modeling_bloom.py``.
    """
    import numpy as np  # first use: a model is being built

    whole = 2 ** math.floor(math.log2(heads))
    base = np.float32(2 ** -(2 ** -(math.log2(whole) - 3)))
    slopes: NDArray[np.float32] = base ** np.arange(1, 1 + whole, dtype=np.float32)
    if whole == heads:
        return slopes
    between = np.float32(2 ** -(2 ** -(math.log2(2 * whole) - 3)))
    more = min(whole, heads - whole)
    odd = between ** np.arange(1, 1 + 2 * more, 2, dtype=np.float32)
    return np.concatenate([slopes, odd])


def in_blocks(nn: Kit, x: Tensor, width: int) -> Tensor:
    """Cut tokens into blocks, zeros after the last: (B, H, T, D) -> (B, H, n, width, D).

    Args:
        nn: the kit.
        x: (B, H, T, D), of known length, and longer than a block.
        width: tokens of a block.

    """
    b, h, t, d = nn.shape(x)
    lacking = -t % width
    whole = nn.concat([x, nn.zeros_like(x[:, :, :lacking])], 2) if lacking else x
    return nn.reshape(whole, (b, h, (t + lacking) // width, width, d))


def with_neighbours(nn: Kit, x: Tensor) -> Tensor:
    """Each block with those beside it: (B, H, n, width, D) -> (B, H, n, 3 * width, D).

    Zeros stand where there is none.
    """
    nothing = nn.zeros_like(x[:, :, :1])
    before = nn.concat([nothing, x[:, :, :-1]], 2)
    after = nn.concat([x[:, :, 1:], nothing], 2)
    return nn.concat([before, x, after], 3)


def each_block(nn: Kit, x: Tensor) -> Tensor:
    """Make a text of its own of every block: (B, H, n, width, D) -> (B * n, H, width, D)."""
    b, h, n, width, d = nn.shape(x)
    return nn.reshape(nn.transpose(x, (0, 2, 1, 3, 4)), (b * n, h, width, d))


def check_length(nn: Kit, like: Tensor, limit: int, counted: Tensor | None = None) -> None:
    """Refuse a sequence that is longer than the positions that there are, where both are known.

    Args:
        nn: the kit.
        like: (B, T, ...), for its length.
        limit: how many positions there are for tokens.
        counted: (B, T) int, 1 for a token that takes a position, 0 for padding; None: all do.

    Raises:
        UnfitLength: it is.

    """
    length = nn.shape(like)[1]
    if not isinstance(length, int) or length <= limit:
        return
    if counted is not None and nn.masks_nothing(nn.sum(counted, 1) <= limit):
        return
    raise UnfitLength(
        f"a sequence of {length} tokens is longer than the {limit} positions that this model has",
        hint="truncate it, with truncation=True in the tokenizer's call",
    )
