"""BLOOM (Le Scao et al., 2022): no positions, but the farther a key, the less it counts (ALiBi)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures._causal_config import CausalConfig
from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, amount, flag, share, size
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
from hubloader.nn.blocks import alibi_slopes, merge_heads
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.picking import token_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class BloomConfig(CausalConfig):
    """Source: transformers 5.23, ``configuration_bloom.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "n_embed": "hidden_size",
    }

    vocab_size: int = size(250880, most=MAX_ROWS)
    hidden_size: int = size(64)
    n_layer: int = size(2, least=0, most=MAX_LAYERS)
    n_head: int = size(8)
    layer_norm_epsilon: float = amount(1e-5, positive=False)
    apply_residual_connection_post_layernorm: bool = flag(False)
    hidden_dropout: float = share(0.0)
    attention_dropout: float = share(0.0)

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``n_layer``."""
        return self.n_layer

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``n_head``."""
        return self.n_head

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return "gelu_new"

    def faults(self) -> list[str]:
        """Heads divide the width."""
        return [*super().faults(), *self.must_divide("hidden_size", "n_head")]

    def beyond(self) -> list[str]:
        """Sums are made at once: in slices, transformers leaves out their biases."""
        sliced = self.extra.get("slow_but_exact") and self.extra.get("pretraining_tp", 1) != 1
        slices = ["slow_but_exact: sums in slices are not implemented here"] if sliced else []
        return [*super().beyond(), *slices]


class BloomAttention(Layer):
    """Every token looks back, at what is near more than at what is far."""

    def __init__(self, c: BloomConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(c.attention_dropout)
        self.heads, self.width = c.n_head, width // c.n_head

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn = self.nn
        q, k, v = split_fused(nn, self.query_key_value(x), self.heads, 1, self.width)
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, view.mask, view.bias, dropout=dropout, trace=view.trace)
        return self.dense(merge_heads(nn, context))


class BloomMLP(PlainMLP):
    """The feed-forward network."""

    names = ("dense_h_to_4h", "dense_4h_to_h")

    def __init__(self, c: BloomConfig) -> None:
        super().__init__(c, 4 * c.hidden_size)


class BloomBlock(Layer):
    """Norm and attention, norm and feed-forward network, each added to what came in."""

    def __init__(self, c: BloomConfig) -> None:
        super().__init__()
        nn, eps = self.nn, c.layer_norm_epsilon
        self.input_layernorm = nn.LayerNorm(c.hidden_size, eps=eps)
        self.self_attention = nn.make(BloomAttention, c)
        self.post_attention_layernorm = nn.LayerNorm(c.hidden_size, eps=eps)
        self.mlp = nn.make(BloomMLP, c)
        self.dropout = nn.Dropout(c.hidden_dropout)
        self.adds_normed = c.apply_residual_connection_post_layernorm

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        normed = self.input_layernorm(x)
        kept = normed if self.adds_normed else x
        x = kept + self.dropout(self.self_attention(normed, view))
        normed = self.post_attention_layernorm(x)
        return (normed if self.adds_normed else x) + self.dropout(self.mlp(normed))


class BloomModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    slopes: Tensor

    def __init__(self, c: BloomConfig) -> None:
        super().__init__()
        nn, eps = self.nn, c.layer_norm_epsilon
        self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size)
        self.word_embeddings_layernorm = nn.LayerNorm(c.hidden_size, eps=eps)
        self.h = nn.stack(BloomBlock, c.n_layer, c)
        self.ln_f = nn.LayerNorm(c.hidden_size, eps=eps)
        nn.buffer(self, "slopes", alibi_slopes(c.n_head))
        self.ahead = c.looks_ahead

    def bias(self, x: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Return what each head adds to a key's score, (B or 1, H, 1, T): more to later ones.

        That is as good as less to farther ones, since it is the same for all keys of a query.
        """
        nn = self.nn
        numbers = nn.cast_like(token_numbers(nn, x, attention_mask), self.slopes)
        return nn.cast_like(numbers[:, None, None, :] * self.slopes[None, :, None, None], x)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size); the last hidden states kept are normalised."""
        x = self.word_embeddings_layernorm(self.word_embeddings(input_ids))
        mask = causal_mask(self.nn, x, attention_mask, ahead=self.ahead)
        view = View(mask, trace, bias=self.bias(x, attention_mask))
        for block in self.h:
            trace.hidden(x)
            x = block(x, view)
        x = self.ln_f(x)
        trace.hidden(x)
        return x


class BloomForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    prefix = "transformer"
    model_class = BloomModel


ARCHITECTURE = record(
    "bloom",
    "Bloom",
    BloomConfig,
    BloomForSequenceClassification,
    tokens=TokenClassification,
    answers=QuestionAnswering,
)
