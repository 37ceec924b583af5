"""Qwen3 (Yang et al., 2025): LLaMA whose queries and keys are normalised head by head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.architectures._config import flag, size
from hubloader.architectures._decoder import (
    Attention,
    Block,
    Decoder,
    DecoderForSequenceClassification,
    normalisation,
    record,
)
from hubloader.architectures._heads import QuestionAnswering, ScoredTokens
from hubloader.architectures._qwen_config import QwenConfig

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class Qwen3Config(QwenConfig):
    """Source: transformers 5.23, ``configuration_qwen3.py``."""

    head_dim: int = size(128)
    attention_bias: bool = flag(False)

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.attention_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.attention_bias


class Qwen3Attention(Attention):
    """Queries and keys are normalised before they are turned."""

    def __init__(self, c: Qwen3Config, index: int) -> None:
        super().__init__(c, index)
        self.q_norm = normalisation(self.nn, c, c.head_width)
        self.k_norm = normalisation(self.nn, c, c.head_width)

    def normed_heads(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Of each head, (B, heads, T, D) and (B, groups, T, D)."""
        return self.q_norm(q), self.k_norm(k)


class Qwen3Block(Block):
    """LLaMA's, with such attention."""

    attention_class = Qwen3Attention


class Qwen3Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = Qwen3Block


class Qwen3ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Qwen3Model


ARCHITECTURE = record(
    "qwen3",
    "Qwen3",
    Qwen3Config,
    Qwen3ForSequenceClassification,
    tokens=ScoredTokens,
    answers=QuestionAnswering,
    answers_in="transformer",
)
