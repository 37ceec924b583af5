"""What a ModernBERT's config.json may say: sizes, how far layers look, rotary positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Beyond,
    Config,
    activation,
    amount,
    checked,
    flag,
    optional,
    share,
    size,
    token,
    word,
)

__all__ = ["GLOBAL", "LOCAL", "ModernBertConfig"]

GLOBAL, LOCAL = "full_attention", "sliding_attention"


def _types_fault(value: Any) -> str | None:
    lists = isinstance(value, (list, tuple)) and all(kind in (GLOBAL, LOCAL) for kind in value)
    if value is None or lists:
        return None
    return f"{value!r} is not a list of {GLOBAL} and {LOCAL}"


def _rope_fault(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not set(value) <= {GLOBAL, LOCAL}:
        return f"{value!r} is not a table of {GLOBAL} and {LOCAL}"
    for rope in value.values():
        theta = rope.get("rope_theta", 1.0) if isinstance(rope, Mapping) else None
        if not isinstance(theta, (int, float)) or isinstance(theta, bool) or not theta > 0:
            return f"{rope!r} has no rope_theta above 0"
    kinds = (rope.get("rope_type", rope.get("type", "default")) for rope in value.values())
    other = next((kind for kind in kinds if kind != "default"), None)
    if other is not None:
        return Beyond(f"rotary positions of type {other!r} are not implemented here")
    return None


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(Config):
    """Source: transformers 5.23, ``configuration_modernbert.py``."""

    vocab_size: int = size(50368, most=MAX_ROWS)
    hidden_size: int = size(768)
    intermediate_size: int = size(1152)
    num_hidden_layers: int = size(22, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(12)
    hidden_activation: str = activation("gelu")
    max_position_embeddings: int = size(8192, most=MAX_ROWS)
    norm_eps: float = amount(1e-5, positive=False)
    norm_bias: bool = flag(False)
    pad_token_id: int | None = token(50283)
    attention_bias: bool = flag(False)
    attention_dropout: float = share(0.0)
    layer_types: tuple[str, ...] | None = checked(None, _types_fault)
    global_attn_every_n_layers: int = size(3)
    rope_parameters: Mapping[str, Any] | None = checked(None, _rope_fault)
    global_rope_theta: float = amount(160_000.0)
    local_rope_theta: float = amount(10_000.0)
    local_attention: int = size(128, most=MAX_ROWS)
    sliding_window: int | None = optional(size(64, least=0, most=MAX_ROWS // 2))
    embedding_dropout: float = share(0.0)
    mlp_bias: bool = flag(False)
    mlp_dropout: float = share(0.0)
    classifier_pooling: str = word("cls", ("cls", "mean"))
    classifier_dropout: float = share(0.0)
    classifier_bias: bool = flag(False)
    classifier_activation: str = activation("gelu")

    @property
    def reaches(self) -> tuple[str, ...]:
        """How far each layer's attention goes."""
        if self.layer_types is not None:
            return self.layer_types
        every = self.global_attn_every_n_layers
        return tuple(LOCAL if i % every else GLOBAL for i in range(self.num_hidden_layers))

    @property
    def near(self) -> int:
        """Tokens that a local layer sees on either side."""
        return self.local_attention // 2 if self.sliding_window is None else self.sliding_window

    def theta(self, reach: str) -> float:
        """Return the base of the rotary angles, for layers of one reach."""
        rope = (self.rope_parameters or {}).get(reach) or {}
        old = self.global_rope_theta if reach == GLOBAL else self.local_rope_theta
        return float(rope.get("rope_theta", old))

    def faults(self) -> list[str]:
        """Heads divide the width into even parts; every layer has a reach."""
        found = [
            *super().faults(),
            *self.must_divide("hidden_size", "num_attention_heads"),
            *self.must_have_row("pad_token_id", "vocab_size"),
        ]
        if self.hidden_size // self.num_attention_heads % 2:
            found.append("num_attention_heads: rotary positions need heads of even width")
        if len(self.reaches) != self.num_hidden_layers:
            found.append(f"layer_types: {len(self.reaches)} for {self.num_hidden_layers} layers")
        return found

    def beyond(self) -> list[str]:
        """Rotary positions are not stretched."""
        scaled = self.extra.get("rope_scaling")
        return [
            *super().beyond(),
            *([f"rope_scaling: {scaled!r} is not implemented here"] if scaled else []),
        ]
