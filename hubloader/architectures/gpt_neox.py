"""GPT-NeoX (Black et al., 2022), Pythia's too: both halves of a layer side by side, two norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    flag,
    optional,
    share,
    size,
)
from hubloader.architectures._decoder import (
    DecoderForSequenceClassification,
    PlainMLP,
    View,
    causal_mask,
    record,
    split_fused,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._heads import QuestionAnswering, TokenClassification
from hubloader.architectures._rope_config import RotaryConfig
from hubloader.nn.blocks import merge_heads
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.rotary import Rotary, turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor, Trace
    from hubloader.nn.rotary import Rope


@dataclass(frozen=True, kw_only=True)
class GPTNeoXConfig(RotaryConfig):
    """Source: transformers 5.23, ``configuration_gpt_neox.py``."""

    default_share = 0.25

    vocab_size: int = size(50432, most=MAX_ROWS)
    hidden_size: int = size(6144)
    num_hidden_layers: int = size(44, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(64)
    intermediate_size: int = size(24576)
    hidden_act: str = activation("gelu")
    attention_dropout: float = share(0.0)
    hidden_dropout: float = share(0.0)
    classifier_dropout: float = share(0.1)
    max_position_embeddings: int = size(2048, most=MAX_ROWS)
    layer_norm_eps: float = amount(1e-5, positive=False)
    use_parallel_residual: bool = flag(True)
    attention_bias: bool = flag(True)
    rotary_pct: float | None = optional(amount(0.25))
    rotary_emb_base: float | None = optional(amount(10_000.0))

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return self.hidden_act

    @property
    def default_theta(self) -> float:  # type: ignore[override]  # here a key says it
        """The base of the angles, by this family's name."""
        return self.rotary_emb_base or 10_000.0

    def rope_from(self, given: Mapping[str, Any], theta: float | None = None) -> Rope:
        """Read one flat table; outside of it the base goes by this family's name alone."""
        return super().rope_from({"rope_theta": self.default_theta, **given}, theta)

    def share_of(self, given: Mapping[str, Any]) -> float:
        """Which share of a head's numbers is turned, by this family's name."""
        own = given.get("partial_rotary_factor") or self.rotary_pct or self.default_share
        return float(own)

    def faults(self) -> list[str]:
        """Heads divide the width and have pairs to turn."""
        found = [*super().faults(), *self.must_divide("hidden_size", "num_attention_heads")]
        return found or self.rope_faults(self.hidden_size // self.num_attention_heads)

    def beyond(self) -> list[str]:
        """Heads are as wide as they are turned for."""
        width = self.hidden_size // self.num_attention_heads
        return [*super().beyond(), *self.width_beyond(self.extra.get("head_dim"), width)]


class GPTNeoXAttention(Layer):
    """Every token looks back, with turned heads, whose inputs lie head by head."""

    def __init__(self, c: GPTNeoXConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.query_key_value = nn.Linear(width, 3 * width, bias=c.attention_bias)
        self.dense = nn.Linear(width, width, bias=c.attention_bias)
        self.dropout = nn.Dropout(c.attention_dropout)
        self.heads, self.width = c.num_attention_heads, width // c.num_attention_heads

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn = self.nn
        q, k, v = split_fused(nn, self.query_key_value(x), self.heads, 1, self.width)
        q, k = turn(nn, q, view.angles), turn(nn, k, view.angles)
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, view.mask, dropout=dropout, trace=view.trace)
        return self.dense(merge_heads(nn, context))


class GPTNeoXMLP(PlainMLP):
    """The feed-forward network."""

    names = ("dense_h_to_4h", "dense_4h_to_h")


class GPTNeoXLayer(Layer):
    """Attention and feed-forward network, each after its norm, one after the other or not."""

    def __init__(self, c: GPTNeoXConfig) -> None:
        super().__init__()
        nn = self.nn
        self.input_layernorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.attention = nn.make(GPTNeoXAttention, c)
        self.mlp = nn.make(GPTNeoXMLP, c)
        self.dropout = nn.Dropout(c.hidden_dropout)
        self.parallel = c.use_parallel_residual

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        seen = self.dropout(self.attention(self.input_layernorm(x), view))
        given = x if self.parallel else x + seen
        made = self.dropout(self.mlp(self.post_attention_layernorm(given)))
        return made + seen + x


class GPTNeoXModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    def __init__(self, c: GPTNeoXConfig) -> None:
        super().__init__()
        nn = self.nn
        self.embed_in = nn.Embedding(c.vocab_size, c.hidden_size)
        self.emb_dropout = nn.Dropout(c.hidden_dropout)
        self.layers = nn.stack(GPTNeoXLayer, c.num_hidden_layers, c)
        self.final_layer_norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.rotary = nn.make(Rotary, c.rope(), c.hidden_size // c.num_attention_heads)
        self.ahead = c.looks_ahead

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size); the last hidden states kept are normalised."""
        x = self.emb_dropout(self.embed_in(input_ids))
        mask = causal_mask(self.nn, x, attention_mask, ahead=self.ahead)
        view = View(mask, trace, self.rotary(x))
        for layer in self.layers:
            trace.hidden(x)
            x = layer(x, view)
        x = self.final_layer_norm(x)
        trace.hidden(x)
        return x


class GPTNeoXForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    prefix = "gpt_neox"
    model_class = GPTNeoXModel


ARCHITECTURE = record(
    "gpt_neox",
    "GPTNeoX",
    GPTNeoXConfig,
    GPTNeoXForSequenceClassification,
    ignored_unexpected=(r"\.attention\.(masked_)?bias$",),
    tokens=TokenClassification,
    answers=QuestionAnswering,
)
