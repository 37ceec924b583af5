"""XLNet (Yang et al., 2019): relative positions, and a summary of the last token.

Texts are padded on the left, so that the last token is the one that was trained to tell of all.
The memory of earlier texts, and the permutations it was trained with, are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from hubloader.architectures._beams import BeamAnswers
from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    amount,
    flag,
    optional,
    share,
    size,
    token,
    word,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import (
    ENCODER,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import (
    QuestionAnswering,
    SummaryMultipleChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures._summary import SequenceSummary, activation_or_none, summary_type
from hubloader.nn.blocks import activate, merge_heads, rotary_frequencies, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Kit, Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class XLNetConfig(Config):
    """Source: transformers 5.23, ``configuration_xlnet.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "n_token": "vocab_size",
    }

    vocab_size: int = size(32000, most=MAX_ROWS)
    d_model: int = size(1024)
    n_layer: int = size(24, least=0, most=MAX_LAYERS)
    n_head: int = size(16)
    d_inner: int = size(4096)
    d_head: int | None = optional(size(64))
    ff_activation: str = activation("gelu")
    attn_type: str = word("bi", ("bi", "uni"))
    layer_norm_eps: float = amount(1e-12, positive=False)
    dropout: float = share(0.1)
    clamp_len: int = size(-1, least=-1, most=MAX_ROWS)
    bi_data: bool = flag(False)
    same_length: bool = flag(False)
    start_n_top: int = size(5)
    end_n_top: int = size(5)
    pad_token_id: int | None = token(5)
    summary_type: str = summary_type("last")
    summary_use_proj: bool = flag(True)
    summary_activation: str | None = activation_or_none("tanh")
    summary_first_dropout: float = share(0.0)
    summary_last_dropout: float = share(0.1)
    summary_proj_to_labels: bool = flag(False)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``d_model``."""
        return self.d_model

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``n_head``."""
        return self.n_head

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``n_layer``."""
        return self.n_layer

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.d_model // self.n_head

    @property
    def decodes(self) -> bool:
        """Never: ``attn_type`` says it here, and the layers know it."""
        return False

    def faults(self) -> list[str]:
        """Heads divide the width, which is made of sines and cosines."""
        found = [*super().faults(), *self.must_divide("d_model", "n_head")]
        if self.d_head not in {None, self.head_width}:
            found.append(f"d_head: {self.d_head} is not d_model / n_head")
        if self.d_model % 2:
            found.append(f"d_model: {self.d_model} is not even")
        if self.summary_proj_to_labels and self.num_labels != self.d_model:
            found.append("summary_proj_to_labels: the labels' projection would not fit")
        return found

    def beyond(self) -> list[str]:
        """What only training needed."""
        asked = {"bi_data": self.bi_data, "same_length": self.same_length}
        told = [f"{key}: it is not implemented here" for key, value in asked.items() if value]
        return [*super().beyond(), *told]


class View(NamedTuple):
    """What all layers look through.

    Args:
        mask: bool, broadcasts to (B, 1, T, T); None for all.
        distances: sines and cosines of every distance, from T down to 1 - T: (2 * T, d_model).
        rows: which of them each query and key take: (T, T).
        other: 1 where query and key are of different segments: (B, 1, T, T), or None.

    """

    mask: Tensor | None
    distances: Tensor
    rows: Tensor
    other: Tensor | None


def _flat(nn: Kit, weight: Tensor) -> Tensor:
    """(d_model, n_head, d_head) -> (d_model, n_head * d_head)."""
    n, *rest = nn.shape(weight)
    return nn.reshape(weight, (n, rest[0] * rest[1]))


class XLNetAttention(Layer):
    """Content, distance and segment each make a score."""

    if TYPE_CHECKING:
        q: Tensor
        k: Tensor
        v: Tensor
        o: Tensor
        r: Tensor
        r_r_bias: Tensor
        r_s_bias: Tensor
        r_w_bias: Tensor
        seg_embed: Tensor

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        nn, heads, width = self.nn, c.n_head, c.head_width
        for name in ("q", "k", "v", "o", "r"):
            nn.weight(self, name, (c.d_model, heads, width))
        for name in ("r_r_bias", "r_s_bias", "r_w_bias"):
            nn.weight(self, name, (heads, width))
        nn.weight(self, "seg_embed", (2, heads, width))
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.dropout)
        self.heads, self.scale = heads, width**-0.5

    def bias(self, q: Tensor, view: View) -> Tensor:
        """What distances and segments add to the scores: q (B, H, T, D) -> (B, H, T, T)."""
        nn = self.nn
        keys = split_heads(nn, (view.distances @ _flat(nn, self.r))[None], self.heads)
        by_distance = (q + self.r_r_bias[None, :, None]) @ nn.transpose(keys, (0, 1, 3, 2))
        scores = nn.take_along(by_distance, view.rows)
        if view.other is not None:
            segments = nn.transpose(self.seg_embed, (1, 2, 0))[None]  # (1, H, D, 2)
            kinds = (q + self.r_s_bias[None, :, None]) @ segments  # (B, H, T, 2): same, other
            same, other = kinds[..., :1], kinds[..., 1:]
            scores = scores + same + view.other * (other - same)
        return scores * self.scale

    def forward(self, x: Tensor, view: View, trace: Trace) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        nn = self.nn
        q, k, v = (split_heads(nn, x @ _flat(nn, w), self.heads) for w in (self.q, self.k, self.v))
        context = nn.attention(
            *(q + self.r_w_bias[None, :, None], k, v, view.mask, self.bias(q, view)),
            dropout=self.dropout.p if self.training else 0.0,
            scale=self.scale,
            trace=trace,
        )
        out = merge_heads(nn, context) @ nn.transpose(_flat(nn, self.o), (1, 0))
        return self.layer_norm(self.dropout(out) + x)


class XLNetFeedForward(Layer):
    """Wider, bent, and back; normalised after the residual."""

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        nn = self.nn
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.layer_1 = nn.Linear(c.d_model, c.d_inner)
        self.layer_2 = nn.Linear(c.d_inner, c.d_model)
        self.dropout = nn.Dropout(c.dropout)
        self.activation = c.ff_activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        wide = self.dropout(activate(self.nn, self.activation, self.layer_1(x)))
        return self.layer_norm(self.dropout(self.layer_2(wide)) + x)


class XLNetLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        self.rel_attn = self.nn.make(XLNetAttention, c)
        self.ff = self.nn.make(XLNetFeedForward, c)

    def forward(self, x: Tensor, view: View, trace: Trace) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        return self.ff(self.rel_attn(x, view, trace))


class XLNetModel(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, d_model).

    A token always sees itself, padding too.
    """

    frequencies: Tensor

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        nn = self.nn
        nn.weight(self, "mask_emb", (1, 1, c.d_model))  # of what a permutation hides: not used here
        self.word_embedding = nn.Embedding(c.vocab_size, c.d_model)
        self.layer = nn.stack(XLNetLayer, c.n_layer, c)
        self.dropout = nn.Dropout(c.dropout)
        nn.buffer(self, "frequencies", rotary_frequencies(c.d_model, 10_000.0))
        self.looks_back, self.farthest = c.attn_type == "uni", c.clamp_len

    def mask(self, like: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """Which keys a query may look at: bool, broadcasts to (B, 1, T, T), or None for all."""
        nn = self.nn
        place = nn.arange(nn.shape(like)[1], like)
        distance = (place[:, None] - place[None, :])[None, None]
        mask = None
        if attention_mask is not None:
            real = nn.cast_bool(attention_mask)[:, None, None, :]
            mask = None if nn.masks_nothing(real) else real
        if self.looks_back:
            mask = distance >= 0 if mask is None else mask & (distance >= 0)
        return None if mask is None else mask | (distance == 0)

    def view(self, x: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> View:
        """Return what all layers look through."""
        nn = self.nn
        tokens = nn.shape(x)[1]
        distances = tokens - nn.arange(2 * tokens, x)
        if self.farthest > 0:
            distances = nn.clip(distances, -self.farthest, self.farthest)
        angles = nn.cast_like(distances, self.frequencies)[:, None] * self.frequencies[None, :]
        table = nn.cast_like(nn.concat([nn.sin(angles), nn.cos(angles)], -1), x)
        place = nn.arange(tokens, x)
        other = None
        if token_type_ids is not None:
            differ = token_type_ids[:, :, None] != token_type_ids[:, None, :]
            other = nn.cast_like(differ, x)[:, None]
        rows = tokens - place[:, None] + place[None, :]
        return View(self.mask(x, attention_mask), self.dropout(table), rows, other)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, d_model)."""
        x = self.dropout(self.word_embedding(input_ids))
        view = self.view(x, attention_mask, token_type_ids)
        trace.hidden(x)
        for layer in self.layer:
            x = layer(x, view, trace)
            trace.hidden(x)
        return self.dropout(x)


class XLNetForSequenceClassification(Layer):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        self.transformer = self.nn.make(XLNetModel, c)
        self.sequence_summary = self.nn.make(SequenceSummary, c)
        self.logits_proj = self.nn.Linear(c.d_model, c.num_labels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, num_labels)."""
        hidden = self.transformer(input_ids, attention_mask, token_type_ids, trace=trace)
        return self.logits_proj(self.sequence_summary(hidden))


ARCHITECTURE = Architecture(
    model_type="xlnet",
    config=XLNetConfig,
    prefix="transformer",
    class_prefix="XLNet",
    suffixes={QUESTION_ANSWERING: "ForQuestionAnsweringSimple"},
    tasks={
        ENCODER: XLNetModel,
        SEQUENCE_CLASSIFICATION: XLNetForSequenceClassification,
        **heads(
            __name__,
            "XLNet",
            XLNetModel,
            "transformer",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            choices=SummaryMultipleChoice,
            beams=BeamAnswers,
        ),
    },
)
