"""Falcon (Almazrouei et al., 2023), in its old form and its new, with turned heads or ALiBi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

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
    is_whole,
    record,
    split_fused,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._heads import QuestionAnswering, TokenClassification
from hubloader.architectures._rope_config import RotaryConfig
from hubloader.nn.blocks import alibi_slopes, check_length, merge_heads, repeat_heads
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.picking import token_numbers
from hubloader.nn.rotary import Rotary, turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class FalconConfig(RotaryConfig):
    """Source: transformers 5.23, ``configuration_falcon.py``."""

    aliases: ClassVar[Mapping[str, str]] = {"n_embed": "hidden_size"}

    vocab_size: int = size(65024, most=MAX_ROWS)
    hidden_size: int = size(4544)
    num_hidden_layers: int = size(32, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(71)
    num_ln_in_parallel_attn: int | None = optional(size(1, most=2))
    layer_norm_epsilon: float = amount(1e-5, positive=False)
    hidden_dropout: float = share(0.0)
    attention_dropout: float = share(0.0)
    num_kv_heads: int | None = optional(size(1))
    alibi: bool = flag(False)
    new_decoder_architecture: bool = flag(False)
    multi_query: bool = flag(True)
    parallel_attn: bool = flag(True)
    bias: bool = flag(False)
    max_position_embeddings: int = size(2048, most=MAX_ROWS)
    ffn_hidden_size: int | None = optional(size(4544))
    activation: str = activation("gelu")

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return self.activation

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def groups(self) -> int:
        """Heads of keys and values, each for as many queries' heads."""
        if self.new_decoder_architecture:
            return self.num_kv_heads or self.num_attention_heads
        return 1 if self.multi_query else self.num_attention_heads

    @property
    def parallel_norms(self) -> int:
        """Norms of a layer whose halves are side by side."""
        if self.num_ln_in_parallel_attn is None and self.new_decoder_architecture:
            return 2
        return self.num_ln_in_parallel_attn or 1

    def faults(self) -> list[str]:
        """Heads divide the width, and groups the heads; a form has the norms that belong to it."""
        found = [*super().faults(), *self.must_divide("hidden_size", "num_attention_heads")]
        if self.num_attention_heads % self.groups:
            found.append("num_attention_heads: no multiple of num_kv_heads")
        if self.new_decoder_architecture and not self.parallel_attn:
            found.append("parallel_attn: the new form has it")
        if self.parallel_norms == 2 and not self.new_decoder_architecture:
            found.append("num_ln_in_parallel_attn: the old form has one norm")
        return found or ([] if self.alibi else self.rope_faults(self.head_width))


class FalconAttention(Layer):
    """Every token looks back; several heads, or all, may share keys and values."""

    def __init__(self, c: FalconConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.heads, self.groups, self.width = c.num_attention_heads, c.groups, c.head_width
        rows = (self.heads + 2 * self.groups) * self.width
        self.query_key_value = nn.Linear(width, rows, bias=c.bias)
        self.dense = nn.Linear(width, width, bias=c.bias)
        # With turned heads none is dropped, in training either: so it is in transformers.
        self.dropout = nn.Dropout(c.attention_dropout if c.alibi else 0.0)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, times = self.nn, self.heads // self.groups
        q, k, v = split_fused(nn, self.query_key_value(x), self.groups, times, self.width)
        q, k = turn(nn, q, view.angles), turn(nn, k, view.angles)
        k, v = repeat_heads(nn, k, times), repeat_heads(nn, v, times)
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, view.mask, view.bias, dropout=dropout, trace=view.trace)
        return self.dense(merge_heads(nn, context))


class FalconMLP(PlainMLP):
    """The feed-forward network."""

    names = ("dense_h_to_4h", "dense_4h_to_h")

    def __init__(self, c: FalconConfig) -> None:
        super().__init__(c, c.ffn_hidden_size or 4 * c.hidden_size, bias=c.bias)


class FalconDecoderLayer(Layer):
    """Attention and feed-forward network, after one norm, or two, or one after the other."""

    def __init__(self, c: FalconConfig) -> None:
        super().__init__()
        nn = self.nn
        self.self_attention = nn.make(FalconAttention, c)
        self.mlp = nn.make(FalconMLP, c)
        self.parallel = c.parallel_attn
        self.two_norms = self.parallel and c.parallel_norms == 2
        names = ["ln_attn", "ln_mlp"] if self.two_norms else ["input_layernorm"]
        for name in names if self.parallel else [*names, "post_attention_layernorm"]:
            setattr(self, name, nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon))
        self.attention_dropout = nn.Dropout(c.attention_dropout)
        self.hidden_dropout = nn.Dropout(c.hidden_dropout)

    if TYPE_CHECKING:
        ln_attn: Layer
        ln_mlp: Layer
        input_layernorm: Layer
        post_attention_layernorm: Layer

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        first = self.ln_attn(x) if self.two_norms else self.input_layernorm(x)
        seen = self.self_attention(first, view)
        if not self.parallel:
            x = x + self.attention_dropout(seen)
            return x + self.hidden_dropout(self.mlp(self.post_attention_layernorm(x)))
        second = self.ln_mlp(x) if self.two_norms else first
        return x + self.hidden_dropout(self.mlp(second) + seen)


class FalconModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    steps: Tensor

    def __init__(self, c: FalconConfig) -> None:
        super().__init__()
        nn = self.nn
        self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size)
        self.h = nn.stack(FalconDecoderLayer, c.num_hidden_layers, c)
        self.ln_f = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)
        self.ahead = c.looks_ahead
        self.rotary = None if c.alibi else nn.make(Rotary, c.rope(), c.head_width)
        if c.alibi:
            nn.buffer(self, "steps", _steps(c))
            self.longest = c.max_position_embeddings

    def view(self, x: Tensor, attention_mask: Tensor | None, trace: Trace) -> View:
        """Return what the layers see."""
        nn = self.nn
        mask = causal_mask(nn, x, attention_mask, ahead=self.ahead)
        if self.rotary is not None:
            return View(mask, trace, self.rotary(x))
        counts = attention_mask is not None and not is_whole(attention_mask)
        check_length(nn, x, self.longest, nn.cast_int(attention_mask) if counts else None)
        numbers = token_numbers(nn, x, attention_mask)
        steps = nn.transpose(nn.take(self.steps, numbers), (0, 2, 1))  # (B or 1, H, T)
        return View(mask, trace, bias=nn.cast_like(steps[:, :, None, :], x))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size); the last hidden states kept are normalised."""
        x = self.word_embeddings(input_ids)
        view = self.view(x, attention_mask, trace)
        for layer in self.h:
            trace.hidden(x)
            x = layer(x, view)
        x = self.ln_f(x)
        trace.hidden(x)
        return x


def _steps(c: FalconConfig) -> NDArray[np.float32]:
    """What each head adds to a key's score, by the key's number: (tokens, heads).

    As rounded as in training: slopes and their multiples are bfloat16. It is added once, as by
    transformers' sdpa attention; its eager one adds it twice.
    """
    import numpy as np  # first use: a model is being built

    slopes = _bfloat16(alibi_slopes(c.num_attention_heads))
    numbers = _bfloat16(np.arange(c.max_position_embeddings, dtype=np.float32))
    scale = np.float32(c.head_width**0.5)
    steps: NDArray[np.float32] = _bfloat16(numbers[:, None] * slopes[None, :]) / scale
    return steps


def _bfloat16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest numbers that have a bfloat16, of two the even one."""
    import numpy as np  # first use

    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    kept: NDArray[np.float32] = (rounded & np.uint32(0xFFFF0000)).view(np.float32)
    return kept


class FalconForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    prefix = "transformer"
    model_class = FalconModel


ARCHITECTURE = record(
    "falcon",
    "Falcon",
    FalconConfig,
    FalconForSequenceClassification,
    tokens=TokenClassification,
    answers=QuestionAnswering,
)
