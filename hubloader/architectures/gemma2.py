"""Gemma 2 (Riviere et al., 2024): Gemma with norms on both sides, half its layers near-sighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    optional,
    size,
)
from hubloader.architectures._decoder import (
    Block,
    Decoder,
    DecoderForSequenceClassification,
    normalisation,
    record,
)
from hubloader.architectures._decoder_config import FULL, SLIDING, layer_types
from hubloader.architectures._heads import ScoredTokens
from hubloader.architectures.gemma import GemmaConfig

if TYPE_CHECKING:
    from hubloader.architectures._decoder import View
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class Gemma2Config(GemmaConfig):
    """Source: transformers 5.23, ``configuration_gemma2.py``."""

    hidden_size: int = size(2304)
    intermediate_size: int = size(9216)
    num_hidden_layers: int = size(26, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(8)
    num_key_value_heads: int | None = optional(size(4), 4)
    hidden_activation: str = activation("gelu_pytorch_tanh")
    query_pre_attn_scalar: float = amount(256)
    sliding_window: int | None = optional(size(4096, most=MAX_ROWS), 4096)
    layer_types: tuple[str, ...] | None = layer_types()
    attn_logit_softcapping: float | None = optional(amount(50.0), 50.0)

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return self.hidden_activation

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return float(self.query_pre_attn_scalar**-0.5)

    @property
    def softcap(self) -> float | None:
        """What scores stay within."""
        return self.attn_logit_softcapping

    @property
    def window(self) -> int | None:
        """Tokens that a query sees in some layers, itself among them."""
        return self.sliding_window

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every second layer looks back to the beginning."""
        if self.layer_types is not None:
            return self.layer_types
        return tuple(FULL if i % 2 else SLIDING for i in range(self.num_hidden_layers))


class Gemma2Block(Block):
    """Norm before and after attention, norm before and after the feed-forward network."""

    def make_norms(self, c: Any) -> None:
        """Build the normalisations, by the checkpoint's names."""
        super().make_norms(c)
        self.pre_feedforward_layernorm = normalisation(self.nn, c)
        self.post_feedforward_layernorm = normalisation(self.nn, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), view))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class Gemma2Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = Gemma2Block


class Gemma2ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Gemma2Model


ARCHITECTURE = record(
    "gemma2",
    "Gemma2",
    Gemma2Config,
    Gemma2ForSequenceClassification,
    takes_besides=(),
    tokens=ScoredTokens,
)
