"""Rotary positions: how fast each pair of a head's numbers turns from token to token.

A model that was stretched to longer texts turns some pairs more slowly; ``Rope.kind`` says which,
by transformers' names. Tables are numpy's, made when a model is built.

Source: transformers 5.23, ``modeling_rope_utils.py``; in float32, as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.nn.blocks import rotary_frequencies
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hubloader.nn.layer import Kit, Tensor

__all__ = ["ROPE_KINDS", "Angles", "Rope", "Rotary", "frequency_tables", "turn"]

_ENDLESS = 2**31 - 1


@dataclass(frozen=True)
class Rope:
    """How a family turns its heads.

    Args:
        theta: the base of the angles: the larger, the slower the last pair.
        share: of a head's numbers, the first ones, that are turned at all.
        kind: how it was stretched to longer texts; a key of ``ROPE_KINDS``.
        settings: the kind's own, by transformers' names.
        longest: tokens that the model is for.
        pairs: a pair is two neighbours, as in GPT-J; else it is one of each half.

    """

    theta: float = 10_000.0
    share: float = 1.0
    kind: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    longest: int = 2048
    pairs: bool = False

    @property
    def native(self) -> int:
        """Tokens that the model was trained on, before it was stretched."""
        return int(self.settings.get("original_max_position_embeddings") or self.longest)

    @property
    def factor(self) -> float:
        """How many times as long its texts became."""
        return float(self.settings.get("factor") or self.longest / self.native)


class Angles(NamedTuple):
    """Cosines and sines of every position: both (T, dim)."""

    cos: Tensor
    sin: Tensor
    dim: int
    pairs: bool


class Rotary(Layer):
    """The angles of every position of a batch; tables, no parameters."""

    frequencies: Tensor

    def __init__(self, rope: Rope, head_width: int) -> None:
        super().__init__()
        self.rope = rope
        self.dim = int(head_width * rope.share)
        tables, self.strength = frequency_tables(rope, self.dim)
        self.nn.buffer(self, "frequencies", tables)

    def at_length(self, positions: Tensor) -> Tensor:
        """Positions (T,) -> (dim // 2,): the frequencies for a text of that length."""
        nn, rope, table = self.nn, self.rope, self.frequencies
        if rope.kind == "longrope":
            return nn.take(table, nn.cast_int(positions[-1:] >= rope.native))[0]
        if rope.kind == "dynamic":
            tokens = nn.cast_like(nn.clip(positions[-1:] + 1, rope.longest, _ENDLESS), table)
            growth = rope.factor * tokens / rope.longest - (rope.factor - 1)
            return 1.0 / (rope.theta * growth ** (self.dim / (self.dim - 2))) ** table[0]
        return table[0]

    def forward(self, like: Tensor) -> Angles:
        """(B, T, ...) float, for its length, dtype and place."""
        nn = self.nn
        tokens = nn.shape(like)[1]
        positions = nn.arange(tokens, like)
        frequencies = self.at_length(positions)
        angles = nn.cast_like(positions, frequencies)[:, None] * frequencies[None, :]
        if self.rope.pairs:
            angles = nn.concat([angles[:, :, None], angles[:, :, None]], 2)
            angles = nn.reshape(angles, (tokens, self.dim))
        else:
            angles = nn.concat([angles, angles], -1)
        cos, sin = nn.cos(angles) * self.strength, nn.sin(angles) * self.strength
        return Angles(nn.cast_like(cos, like), nn.cast_like(sin, like), self.dim, self.rope.pairs)


def turn(nn: Kit, x: Tensor, angles: Angles | None) -> Tensor:
    """Turn the first ``angles.dim`` numbers of each head x (B, H, T, D) by its position.

    Without angles nothing is turned.
    """
    if angles is None:
        return x
    dim = angles.dim
    if nn.shape(x)[-1] > dim:
        return nn.concat([turn(nn, x[..., :dim], angles), x[..., dim:]], -1)
    if angles.pairs:
        halves = [-x[..., 1::2][..., None], x[..., ::2][..., None]]
        crossed = nn.reshape(nn.concat(halves, -1), nn.shape(x))
    else:
        left, right = nn.split(x, 2)
        crossed = nn.concat([-right, left], -1)
    return x * angles.cos + crossed * angles.sin


def frequency_tables(rope: Rope, dim: int) -> tuple[NDArray[Any], float]:
    """Angles per position, and what cosines and sines are multiplied by.

    Args:
        rope: how heads are turned.
        dim: how many numbers of a head are.

    Returns:
        One row of (dim // 2,), or two: for short texts and for long ones. Of ``dynamic``, whose
        frequencies depend on the length, the exponents of ``theta``.

    """
    return ROPE_KINDS[rope.kind](rope, dim)


def _default(rope: Rope, dim: int) -> tuple[NDArray[Any], float]:
    return rotary_frequencies(dim, rope.theta)[None], 1.0


def _linear(rope: Rope, dim: int) -> tuple[NDArray[Any], float]:
    import numpy as np  # first use: a model is being built

    return rotary_frequencies(dim, rope.theta)[None] / np.float32(rope.factor), 1.0


def _dynamic(_: Rope, dim: int) -> tuple[NDArray[Any], float]:
    import numpy as np  # first use: a model is being built

    return (np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim))[None], 1.0


def _llama3(rope: Rope, dim: int) -> tuple[NDArray[Any], float]:
    import numpy as np  # first use: a model is being built

    slow, fast = float(rope.settings["low_freq_factor"]), float(rope.settings["high_freq_factor"])
    own = rotary_frequencies(dim, rope.theta)
    length = np.float32(2 * math.pi) / own  # of a whole turn, in tokens
    far = np.where(length > rope.native / slow, own / np.float32(rope.factor), own)
    between = (np.float32(rope.native) / length - np.float32(slow)) / np.float32(fast - slow)
    blended = (1 - between) * far / np.float32(rope.factor) + between * far
    medium = (length >= rope.native / fast) & (length <= rope.native / slow)
    return np.where(medium, blended, far).astype(np.float32)[None], 1.0


def _yarn(rope: Rope, dim: int) -> tuple[NDArray[Any], float]:
    import numpy as np  # first use: a model is being built

    settings = rope.settings

    def pair_that_turns(times: float) -> float:
        return dim * math.log(rope.native / (times * 2 * math.pi)) / (2 * math.log(rope.theta))

    low = pair_that_turns(settings.get("beta_fast") or 32)
    high = pair_that_turns(settings.get("beta_slow") or 1)
    if settings.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high += 0.001 if low == high else 0
    ramp = (np.arange(dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    kept = 1 - np.clip(ramp, 0, 1)
    own = np.float32(rope.theta) ** (np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim))
    slowed = 1 / (np.float32(rope.factor) * own)
    table = (slowed * (1 - kept) + 1 / own * kept).astype(np.float32)
    return table[None], _yarn_strength(rope)


def _yarn_strength(rope: Rope) -> float:
    settings, factor = rope.settings, rope.factor

    def strength(scale: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0

    if settings.get("attention_factor") is not None:
        return float(settings["attention_factor"])
    above, below = settings.get("mscale"), settings.get("mscale_all_dim")
    return strength(above) / strength(below) if above and below else strength(1.0)


def _longrope(rope: Rope, dim: int) -> tuple[NDArray[Any], float]:
    import numpy as np  # first use: a model is being built

    strength = rope.settings.get("attention_factor")
    if strength is None:
        growth = 0.0 if rope.factor <= 1 else math.log(rope.factor) / math.log(rope.native)
        strength = math.sqrt(1 + growth)
    own = np.float32(rope.theta) ** (np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim))
    factors = [rope.settings["short_factor"], rope.settings["long_factor"]]
    table: NDArray[Any] = 1 / (np.array(factors, np.float32) * own)
    return table, float(strength)


ROPE_KINDS: Mapping[str, Callable[[Rope, int], tuple[NDArray[Any], float]]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
"""By transformers' names."""
