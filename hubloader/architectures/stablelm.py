"""StableLM (Bellagente et al., 2024): LLaMA with LayerNorm, a quarter of each head turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import MAX_ROWS, amount, flag, optional, share, size
from hubloader.architectures._decoder import (
    Attention,
    Block,
    Decoder,
    DecoderForSequenceClassification,
    normalisation,
    record,
)
from hubloader.architectures._decoder_config import DecoderConfig
from hubloader.architectures._heads import ScoredTokens
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.architectures._decoder import View
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class StableLmConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_stablelm.py``."""

    norm = "mean"
    default_share: ClassVar[float] = 0.25

    vocab_size: int = size(50304, most=MAX_ROWS)
    hidden_size: int = size(2560)
    intermediate_size: int = size(6912)
    num_key_value_heads: int | None = optional(size(32), 32)
    max_position_embeddings: int = size(4096, most=MAX_ROWS)
    layer_norm_eps: float = amount(1e-5, positive=False)
    use_qkv_bias: bool = flag(False)
    qk_layernorm: bool = flag(False)
    use_parallel_residual: bool = flag(False)
    hidden_dropout: float = share(0.0)

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def norm_eps(self) -> float:
        """What keeps a normalisation from dividing by 0."""
        return self.layer_norm_eps

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.use_qkv_bias

    @property
    def residual_dropout(self) -> float:
        """Share of what the feed-forward network adds to drop while training."""
        return self.hidden_dropout

    def share_of(self, given: Mapping[str, Any]) -> float:
        """Which share of a head's numbers is turned."""
        return self.partial_share(given)

    def beyond(self) -> list[str]:
        """Heads are as wide as they are turned for."""
        return [*super().beyond(), *self.width_beyond(self.head_dim, self.head_width)]


class HeadNorms(Layer):
    """A LayerNorm without bias for each head."""

    def __init__(self, heads: int, width: int, eps: float) -> None:
        super().__init__()
        nn = self.nn
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=eps, bias=False) for _ in range(heads)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, heads, T, D) -> the same shape."""
        normed = [norm(x[:, i : i + 1]) for i, norm in enumerate(self.norms)]
        return self.nn.concat(normed, 1)


class StableLmAttention(Attention):
    """LLaMA's, with norms for queries and keys if the config says so."""

    def __init__(self, c: StableLmConfig, index: int) -> None:
        super().__init__(c, index)
        nn, eps = self.nn, c.layer_norm_eps
        self.normalises = c.qk_layernorm
        if self.normalises:
            self.q_layernorm = nn.make(HeadNorms, self.heads, self.width, eps)
            self.k_layernorm = nn.make(HeadNorms, self.groups, self.width, eps)

    def normed_heads(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Of each head, (B, heads, T, D) and (B, groups, T, D)."""
        return (self.q_layernorm(q), self.k_layernorm(k)) if self.normalises else (q, k)


class StableLmBlock(Block):
    """LLaMA's, or both parts side by side after one norm."""

    attention_class = StableLmAttention

    def make_norms(self, c: Any) -> None:
        """Build the normalisations, by the checkpoint's names."""
        self.input_layernorm = normalisation(self.nn, c)
        self.parallel = c.use_parallel_residual
        if not self.parallel:
            self.post_attention_layernorm = normalisation(self.nn, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        normed = self.input_layernorm(x)
        x = x + self.self_attn(normed, view)
        normed = normed if self.parallel else self.post_attention_layernorm(x)
        return x + self.dropout(self.mlp(normed))


class StableLmModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = StableLmBlock


class StableLmForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = StableLmModel


ARCHITECTURE = record(
    "stablelm",
    "StableLm",
    StableLmConfig,
    StableLmForSequenceClassification,
    tokens=ScoredTokens,
)
