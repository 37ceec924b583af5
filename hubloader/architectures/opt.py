"""OPT (Zhang et al., 2022): learned positions, counted over what is no padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.architectures._causal_config import CausalConfig
from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    flag,
    optional,
    share,
    size,
    token,
)
from hubloader.architectures._decoder import (
    DecoderForSequenceClassification,
    View,
    causal_mask,
    is_whole,
    record,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._heads import QuestionAnswering
from hubloader.nn.blocks import activate, check_length, merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

_OFFSET = 2  # rows of the table of positions before the first token's


@dataclass(frozen=True, kw_only=True)
class OPTConfig(CausalConfig):
    """Source: transformers 5.23, ``configuration_opt.py``."""

    vocab_size: int = size(50272, most=MAX_ROWS)
    hidden_size: int = size(768)
    num_hidden_layers: int = size(12, least=0, most=MAX_LAYERS)
    ffn_dim: int = size(3072)
    max_position_embeddings: int = size(2048, most=MAX_ROWS)
    do_layer_norm_before: bool = flag(True)
    _remove_final_layer_norm: bool = flag(False)
    word_embed_proj_dim: int | None = optional(size(768))
    dropout: float = share(0.1)
    attention_dropout: float = share(0.0)
    num_attention_heads: int = size(12)
    activation_function: str = activation("relu")
    pad_token_id: int | None = token(1)
    enable_bias: bool = flag(True)
    layer_norm_elementwise_affine: bool = flag(True)

    @property
    def embedding_width(self) -> int:
        """The width of words' embeddings, and of what comes out."""
        return self.word_embed_proj_dim or self.hidden_size

    @property
    def score_width(self) -> int:
        """Of what the classifier looks at."""
        return self.embedding_width

    @property
    def normalises_last(self) -> bool:
        """Whether the last hidden states are normalised."""
        return self.do_layer_norm_before and not self._remove_final_layer_norm

    def faults(self) -> list[str]:
        """Heads divide the width; the padding token has a row."""
        return [
            *super().faults(),
            *self.must_divide("hidden_size", "num_attention_heads"),
            *self.must_have_row("pad_token_id", "vocab_size"),
        ]

    def beyond(self) -> list[str]:
        """Norms have weights."""
        bare = ["layer_norm_elementwise_affine: norms without weights are not implemented here"]
        return [*super().beyond(), *([] if self.layer_norm_elementwise_affine else bare)]


class OPTAttention(Layer):
    """Every token looks back."""

    def __init__(self, c: OPTConfig) -> None:
        super().__init__()
        nn, width, bias = self.nn, c.hidden_size, c.enable_bias
        self.k_proj = nn.Linear(width, width, bias=bias)
        self.v_proj = nn.Linear(width, width, bias=bias)
        self.q_proj = nn.Linear(width, width, bias=bias)
        self.out_proj = nn.Linear(width, width, bias=bias)
        self.dropout = nn.Dropout(c.attention_dropout)
        self.heads = c.num_attention_heads

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, view.mask, dropout=dropout, trace=view.trace)
        return self.out_proj(merge_heads(nn, context))


class OPTDecoderLayer(Layer):
    """Attention, then the feed-forward network, each with its norm before or after."""

    def __init__(self, c: OPTConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.self_attn = nn.make(OPTAttention, c)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, c.ffn_dim, bias=c.enable_bias)
        self.fc2 = nn.Linear(c.ffn_dim, width, bias=c.enable_bias)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(c.dropout)
        self.act, self.before = c.activation_function, c.do_layer_norm_before

    def network(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.fc2(activate(self.nn, self.act, self.fc1(x)))

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        if self.before:
            x = x + self.dropout(self.self_attn(self.self_attn_layer_norm(x), view))
            return x + self.dropout(self.network(self.final_layer_norm(x)))
        x = self.self_attn_layer_norm(x + self.dropout(self.self_attn(x, view)))
        return self.final_layer_norm(x + self.dropout(self.network(x)))


class OPTDecoder(Layer):
    """The body, one level down in the checkpoint's names."""

    def __init__(self, c: OPTConfig) -> None:
        super().__init__()
        nn, width, narrow = self.nn, c.hidden_size, c.embedding_width
        self.embed_tokens = nn.Embedding(c.vocab_size, narrow, padding_idx=c.pad_token_id)
        self.embed_positions = nn.Embedding(c.max_position_embeddings + _OFFSET, width)
        self.project_in = nn.Linear(narrow, width, bias=False) if narrow != width else None
        self.project_out = nn.Linear(width, narrow, bias=False) if narrow != width else None
        self.final_layer_norm = nn.LayerNorm(width) if c.normalises_last else None
        self.layers = nn.stack(OPTDecoderLayer, c.num_hidden_layers, c)
        self.length, self.ahead = c.max_position_embeddings, c.looks_ahead

    def positions(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(B, T) -> (T,) or (B, T): rows of the table; padding has one of its own."""
        nn = self.nn
        if attention_mask is None or is_whole(attention_mask):
            check_length(nn, input_ids, self.length)
            return nn.arange(nn.shape(input_ids)[1], input_ids) + _OFFSET
        real = nn.cast_int(attention_mask)
        check_length(nn, input_ids, self.length, real)
        return nn.cumsum(real, 1) * real + (_OFFSET - 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, trace: Trace) -> Tensor:
        """(B, T) -> (B, T, width of the embeddings)."""
        x = self.embed_tokens(input_ids)
        if self.project_in is not None:
            x = self.project_in(x)
        x = x + self.embed_positions(self.positions(input_ids, attention_mask))
        view = View(causal_mask(self.nn, x, attention_mask, ahead=self.ahead), trace)
        for layer in self.layers:
            trace.hidden(x)
            x = layer(x, view)
        if self.final_layer_norm is not None:
            x = self.final_layer_norm(x)
        if self.project_out is not None:
            x = self.project_out(x)
        trace.hidden(x)
        return x


class OPTModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, width of the embeddings)."""

    def __init__(self, c: OPTConfig) -> None:
        super().__init__()
        self.decoder = self.nn.make(OPTDecoder, c)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, width of the embeddings)."""
        return self.decoder(input_ids, attention_mask, trace)


class OPTForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = OPTModel


ARCHITECTURE = record(
    "opt",
    "OPT",
    OPTConfig,
    OPTForSequenceClassification,
    answers=QuestionAnswering,
)
