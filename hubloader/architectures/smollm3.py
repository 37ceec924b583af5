"""SmolLM3 (Bakouch et al., 2025): LLaMA, every fourth layer of which knows no positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    checked,
    flag,
    optional,
    size,
    token,
)
from hubloader.architectures._decoder import Decoder, DecoderForSequenceClassification, record
from hubloader.architectures._decoder_config import FULL, SLIDING, DecoderConfig, layer_types
from hubloader.architectures._heads import QuestionAnswering, ScoredTokens


def _flags_fault(value: Any) -> str | None:
    if value is None or (isinstance(value, (list, tuple)) and all(x in {0, 1} for x in value)):
        return None
    return f"{value!r} is not a list of 0 and 1"


@dataclass(frozen=True, kw_only=True)
class SmolLM3Config(DecoderConfig):
    """Source: transformers 5.23, ``configuration_smollm3.py``."""

    default_theta: ClassVar[float] = 2_000_000.0

    vocab_size: int = size(128256, most=MAX_ROWS)
    hidden_size: int = size(2048)
    num_hidden_layers: int = size(36, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(16)
    num_key_value_heads: int | None = optional(size(4), 4)
    max_position_embeddings: int = size(32768, most=MAX_ROWS)
    pad_token_id: int | None = token(128004)
    use_sliding_window: bool = flag(False)
    sliding_window: int | None = optional(size(4096, least=0, most=MAX_ROWS))
    no_rope_layers: tuple[int, ...] | None = checked(None, _flags_fault)
    no_rope_layer_interval: int = size(4)
    layer_types: tuple[str, ...] | None = layer_types()
    attention_bias: bool = flag(False)
    mlp_bias: bool = flag(False)

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.attention_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.attention_bias

    @property
    def window(self) -> int | None:
        """Tokens that a query sees in layers without positions, itself among them."""
        return self.sliding_window

    @property
    def kinds(self) -> tuple[str, ...]:
        """A window, if there is one, is for layers without positions."""
        if self.layer_types is not None:
            return self.layer_types
        windowed = self.use_sliding_window and self.sliding_window is not None
        layers = range(self.num_hidden_layers)
        return tuple(SLIDING if windowed and not self.rotates(i) else FULL for i in layers)

    def rotates(self, layer: int) -> bool:
        """Whether a layer's heads are turned; the list says 1 where they are, despite its name."""
        if self.no_rope_layers is not None:
            return bool(self.no_rope_layers[layer])
        return (layer + 1) % self.no_rope_layer_interval != 0

    def faults(self) -> list[str]:
        """Every layer is in the list of those with positions, if there is one."""
        given = self.no_rope_layers
        if given is not None and len(given) != self.num_hidden_layers:
            return [f"no_rope_layers: {len(given)} for {self.num_hidden_layers} layers"]
        return super().faults()


class SmolLM3Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""


class SmolLM3ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = SmolLM3Model


ARCHITECTURE = record(
    "smollm3",
    "SmolLM3",
    SmolLM3Config,
    SmolLM3ForSequenceClassification,
    tokens=ScoredTokens,
    answers=QuestionAnswering,
    answers_in="transformer",
)
