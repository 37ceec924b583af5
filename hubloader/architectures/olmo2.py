"""OLMo 2 (Walsh et al., 2024): LLaMA that normalises what a layer adds, not what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.architectures._config import MAX_ROWS, amount, flag, size, token
from hubloader.architectures._decoder import (
    Attention,
    Block,
    Decoder,
    DecoderForSequenceClassification,
    normalisation,
    record,
)
from hubloader.architectures._decoder_config import DecoderConfig

if TYPE_CHECKING:
    from hubloader.architectures._decoder import View
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class Olmo2Config(DecoderConfig):
    """Source: transformers 5.23, ``configuration_olmo2.py``."""

    vocab_size: int = size(50304, most=MAX_ROWS)
    pad_token_id: int | None = token(1)
    rms_norm_eps: float = amount(1e-5, positive=False)
    attention_bias: bool = flag(False)

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.attention_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.attention_bias


class Olmo2Attention(Attention):
    """Queries and keys are normalised, all heads at once."""

    def __init__(self, c: Olmo2Config, index: int) -> None:
        super().__init__(c, index)
        self.q_norm = normalisation(self.nn, c, self.heads * self.width)
        self.k_norm = normalisation(self.nn, c, self.groups * self.width)

    def normed(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Of all heads at once, (B, T, heads * D) and (B, T, groups * D)."""
        return self.q_norm(q), self.k_norm(k)


class Olmo2Block(Block):
    """Attention and norm, feed-forward network and norm, each added to what came in."""

    attention_class = Olmo2Attention

    def make_norms(self, c: Any) -> None:
        """Build the normalisations, by the checkpoint's names."""
        self.post_attention_layernorm = normalisation(self.nn, c)
        self.post_feedforward_layernorm = normalisation(self.nn, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = x + self.post_attention_layernorm(self.self_attn(x, view))
        return x + self.post_feedforward_layernorm(self.mlp(x))


class Olmo2Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = Olmo2Block


class Olmo2ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Olmo2Model


ARCHITECTURE = record("olmo2", "Olmo2", Olmo2Config, Olmo2ForSequenceClassification)
