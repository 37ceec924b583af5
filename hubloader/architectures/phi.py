"""Phi (Gunasekar et al., 2023): attention and feed-forward network side by side, after one norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    flag,
    share,
    size,
)
from hubloader.architectures._decoder import (
    Attention,
    Block,
    Decoder,
    DecoderForSequenceClassification,
    PlainMLP,
    normalisation,
    record,
)
from hubloader.architectures._decoder_config import DecoderConfig
from hubloader.architectures._heads import ScoredTokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.architectures._decoder import View
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class PhiConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_phi.py``."""

    norm = "mean"
    default_share: ClassVar[float] = 0.5

    vocab_size: int = size(51200, most=MAX_ROWS)
    hidden_size: int = size(2048)
    intermediate_size: int = size(8192)
    num_hidden_layers: int = size(24, least=0, most=MAX_LAYERS)
    hidden_act: str = activation("gelu_new")
    layer_norm_eps: float = amount(1e-5, positive=False)
    qk_layernorm: bool = flag(False)
    resid_pdrop: float = share(0.0)
    embd_pdrop: float = share(0.0)

    @property
    def norm_eps(self) -> float:
        """What keeps a normalisation from dividing by 0."""
        return self.layer_norm_eps

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return True

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return True

    @property
    def embedding_dropout(self) -> float:
        """Share of the embeddings to drop while training."""
        return self.embd_pdrop

    @property
    def residual_dropout(self) -> float:
        """Share of what a layer adds to drop while training."""
        return self.resid_pdrop

    def share_of(self, given: Mapping[str, Any]) -> float:
        """Which share of a head's numbers is turned."""
        return self.partial_share(given)


class PhiAttention(Attention):
    """LLaMA's under another name, with norms for queries and keys if the config says so."""

    output_name = "dense"

    def __init__(self, c: PhiConfig, index: int) -> None:
        super().__init__(c, index)
        self.normalises = c.qk_layernorm
        if self.normalises:
            self.q_layernorm = normalisation(self.nn, c, c.head_width)
            self.k_layernorm = normalisation(self.nn, c, c.head_width)

    def normed_heads(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Of each head, (B, heads, T, D) and (B, groups, T, D)."""
        return (self.q_layernorm(q), self.k_layernorm(k)) if self.normalises else (q, k)


class PhiBlock(Block):
    """Norm; attention and feed-forward network of the same, both added."""

    attention_class = PhiAttention
    mlp_class = PlainMLP

    def make_norms(self, c: Any) -> None:
        """Build the one normalisation."""
        self.input_layernorm = normalisation(self.nn, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        normed = self.input_layernorm(x)
        seen = self.dropout(self.self_attn(normed, view))
        return seen + self.dropout(self.mlp(normed)) + x


class PhiModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = PhiBlock
    norm_name = "final_layernorm"


class PhiForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = PhiModel


ARCHITECTURE = record(
    "phi",
    "Phi",
    PhiConfig,
    PhiForSequenceClassification,
    tokens=ScoredTokens,
)
