"""What decoders' configs have in common: sizes, heads in groups, windows, rotary positions.

Fields are config.json's keys; the properties beneath say what ``_decoder.py`` builds from them.

Source: transformers 5.23, the families' ``configuration_*.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Beyond,
    activation,
    amount,
    checked,
    optional,
    share,
    size,
)
from hubloader.architectures._rope_config import FULL, SLIDING, RotaryConfig

__all__ = ["FULL", "SLIDING", "DecoderConfig", "layer_types"]


def _kinds_fault(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(kind, str) for kind in value):
        return f"{value!r} is not a list of {FULL} and {SLIDING}"
    other = set(value) - {FULL, SLIDING}
    return Beyond(f"{min(other)!r} is not implemented here") if other else None


def layer_types() -> Any:
    """How far each layer looks, in a list of ``full_attention`` and ``sliding_attention``."""
    return checked(None, _kinds_fault)


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(RotaryConfig):
    """The keys of LLaMA and its relatives; a family's own defaults stand in its file."""

    norm: ClassVar[Literal["root", "raised root", "mean"]] = "root"
    """RMSNorm, RMSNorm whose weights are counted from 1, or LayerNorm."""

    vocab_size: int = size(32000, most=MAX_ROWS)
    hidden_size: int = size(4096)
    intermediate_size: int = size(11008)
    num_hidden_layers: int = size(32, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(32)
    num_key_value_heads: int | None = optional(size(32))
    head_dim: int | None = optional(size(128))
    hidden_act: str = activation("silu")
    max_position_embeddings: int = size(2048, most=MAX_ROWS)
    rms_norm_eps: float = amount(1e-6, positive=False)
    attention_dropout: float = share(0.0)

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def groups(self) -> int:
        """Heads of keys and values, each for as many queries' heads."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return self.hidden_act

    @property
    def norm_eps(self) -> float:
        """What keeps a normalisation from dividing by 0."""
        return self.rms_norm_eps

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return float(self.head_width**-0.5)

    @property
    def softcap(self) -> float | None:
        """What scores stay within."""
        return None

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return False

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return False

    @property
    def mlp_bias(self) -> bool:
        """Whether the feed-forward network has them."""
        return False

    @property
    def embedding_dropout(self) -> float:
        """Share of the embeddings to drop while training."""
        return 0.0

    @property
    def residual_dropout(self) -> float:
        """Share of what a layer adds to drop while training."""
        return 0.0

    @property
    def embedding_scale(self) -> float:
        """What words' embeddings are multiplied by."""
        return 1.0

    @property
    def window(self) -> int | None:
        """Tokens that a query sees in layers of kind ``SLIDING``, itself among them."""
        return None

    @property
    def reach(self) -> int | None:
        """Tokens that it then sees on either side, in layers of kind ``SLIDING``."""
        return self.window

    @property
    def kinds(self) -> tuple[str, ...]:
        """How far each layer looks."""
        return (FULL,) * self.num_hidden_layers

    def rotates(self, layer: int) -> bool:
        """Whether a layer's heads are turned."""
        del layer
        return True

    def faults(self) -> list[str]:
        """Heads fit the width and their groups; every layer has a kind, and a window if so."""
        found = super().faults()
        if self.head_dim is None:
            found += self.must_divide("hidden_size", "num_attention_heads")
        if self.num_attention_heads % self.groups:
            found.append("num_attention_heads: no multiple of num_key_value_heads")
        found += self.must_have_row("pad_token_id", "vocab_size")
        if len(self.kinds) != self.num_hidden_layers:
            found.append(f"layer_types: {len(self.kinds)} for {self.num_hidden_layers} layers")
        if SLIDING in self.kinds and not self.window:
            found.append("sliding_window: layers look through one, and it is not given")
        return found or self.rope_faults(self.head_width, tuple(sorted({FULL, *self.kinds})))
