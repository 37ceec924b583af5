"""MobileBERT (Sun et al., 2020): BERT as deep and much narrower, between bottlenecks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubloader.architectures import bert
from hubloader.architectures._config import (
    MAX_LAYERS,
    Config,
    activation,
    flag,
    share,
    size,
    word,
)
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM, Transform, ties_words
from hubloader.architectures.bert import (
    BertConfig,
    BertEmbeddings,
    BertEncoder,
    BertForSequenceClassification,
    BertModel,
)
from hubloader.nn.blocks import activate, merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

_EPS = 1e-5  # of two of the norms, whatever the config says


@dataclass(frozen=True, kw_only=True)
class MobileBertConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_mobilebert.py``."""

    hidden_size: int = size(512)
    num_hidden_layers: int = size(24, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(4)
    intermediate_size: int = size(512)
    hidden_act: str = activation("relu")
    hidden_dropout_prob: float = share(0.0)
    embedding_size: int = size(128)
    trigram_input: bool = flag(True)
    use_bottleneck: bool = flag(True)
    intra_bottleneck_size: int = size(128)
    use_bottleneck_attention: bool = flag(False)
    key_query_shared_bottleneck: bool = flag(True)
    num_feedforward_networks: int = size(4, most=MAX_LAYERS)
    normalization_type: str = word("no_norm", ("no_norm", "layer_norm"))
    classifier_activation: bool = flag(True)

    @property
    def inner_size(self) -> int:
        """The width between the bottlenecks."""
        return self.intra_bottleneck_size if self.use_bottleneck else self.hidden_size

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    def faults(self) -> list[str]:
        """Heads divide the inner width, and what attention is given is as wide."""
        found = Config.faults(self) + self.must_have_row("pad_token_id", "vocab_size")
        if self.inner_size % self.num_attention_heads:
            found.append(f"num_attention_heads: they do not divide {self.inner_size}")
        narrowed = self.use_bottleneck_attention or self.key_query_shared_bottleneck
        if self.use_bottleneck and not narrowed and self.inner_size != self.hidden_size:
            found.append("key_query_shared_bottleneck: queries and keys would be too wide")
        return found


class NoNorm(Layer):
    """Scale and shift, as a norm does in the end."""

    weight: Tensor
    bias: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.nn.weight(self, "weight", (width,))
        self.nn.weight(self, "bias", (width,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        return x * self.weight + self.bias


def _norm(nn: Any, c: MobileBertConfig, width: int, eps: float) -> Any:
    if c.normalization_type == "no_norm":
        return nn.make(NoNorm, width)
    return nn.LayerNorm(width, eps=eps)


class MobileBertEmbeddings(BertEmbeddings):
    """Each word with its neighbours, projected; positions and token types added."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__(c)
        nn, narrow = self.nn, c.embedding_size
        self.word_embeddings = nn.Embedding(c.vocab_size, narrow, padding_idx=c.pad_token_id)
        self.trigrams = c.trigram_input
        self.embedding_transformation = nn.Linear(
            narrow * (3 if self.trigrams else 1), c.hidden_size
        )
        self.projects = self.trigrams or narrow != c.hidden_size
        self.LayerNorm = _norm(nn, c, c.hidden_size, _EPS)

    def add_up(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        nn = self.nn
        if token_type_ids is None:
            token_type_ids = nn.zeros_like(input_ids)
        x = self.word_embeddings(input_ids)
        if self.trigrams:
            nothing = nn.zeros_like(x[:, :1])
            around = nn.concat([nothing, x, nothing], 1)
            x = nn.concat([around[:, 2:], x, around[:, :-2]], -1)
        if self.projects:
            x = self.embedding_transformation(x)
        x = x + self.position_embeddings(self.positions(input_ids))
        return x + self.token_type_embeddings(token_type_ids)


class Narrowed(Layer):
    """Project and normalise; with a residual, add it in between."""

    def __init__(self, n_in: int, n_out: int, c: MobileBertConfig, eps: float) -> None:
        super().__init__()
        self.dense = self.nn.Linear(n_in, n_out)
        self.LayerNorm = _norm(self.nn, c, n_out, eps)
        self.dropout = self.nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(B, T, n_in) -> (B, T, n_out)."""
        x = self.dense(x)
        return self.LayerNorm(x if residual is None else x + residual)


class Dropped(Narrowed):
    """The same, and some of the projected is dropped in training."""

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(B, T, n_in) -> (B, T, n_out)."""
        x = self.dropout(self.dense(x))
        return self.LayerNorm(x if residual is None else x + residual)


class MobileBertSelfAttention(Layer):
    """Every token looks at every other."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        inner = c.inner_size
        self.query = self.nn.Linear(inner, inner)
        self.key = self.nn.Linear(inner, inner)
        self.value = self.nn.Linear(inner if c.use_bottleneck_attention else c.hidden_size, inner)
        self.dropout = self.nn.Dropout(c.attention_probs_dropout_prob)
        self.heads = c.num_attention_heads

    def forward(self, asked: Tensor, given: Tensor, mask: Tensor | None, trace: Trace) -> Tensor:
        """Queries and keys of the one, values of the other: (B, T, inner)."""
        nn = self.nn
        projected = (self.query(asked), self.key(asked), self.value(given))
        q, k, v = (split_heads(nn, part, self.heads) for part in projected)
        dropout = self.dropout.p if self.training else 0.0
        return merge_heads(nn, nn.attention(q, k, v, mask, dropout=dropout, trace=trace))


class MobileBertAttention(Layer):
    """Self-attention and its residual."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        ends = Narrowed if c.use_bottleneck else Dropped
        self.self = self.nn.make(MobileBertSelfAttention, c)
        self.output = self.nn.make(ends, c.inner_size, c.inner_size, c, c.layer_norm_eps)

    def forward(
        self, asked: Tensor, given: Tensor, residual: Tensor, mask: Tensor | None, trace: Trace
    ) -> Tensor:
        """(B, T, …) -> (B, T, inner)."""
        return self.output(self.self(asked, given, mask, trace), residual)


class MobileBertIntermediate(Layer):
    """The wide half of a feed-forward network."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.inner_size, c.intermediate_size)
        self.activation = c.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, inner) -> (B, T, intermediate_size)."""
        return activate(self.nn, self.activation, self.dense(x))


class FeedForward(Layer):
    """One of the feed-forward networks before the last."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        self.intermediate = self.nn.make(MobileBertIntermediate, c)
        self.output = self.nn.make(Narrowed, c.intermediate_size, c.inner_size, c, c.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, inner) -> the same shape."""
        return self.output(self.intermediate(x), x)


class MobileBertOutput(Narrowed):
    """The end of the last feed-forward network, and the way out of the bottleneck."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__(c.intermediate_size, c.inner_size, c, _EPS)
        self.bottleneck = (
            self.nn.make(Dropped, c.inner_size, c.hidden_size, c, c.layer_norm_eps)
            if c.use_bottleneck
            else None
        )

    def forward(self, x: Tensor, residual: Tensor, outer: Tensor) -> Tensor:  # type: ignore[override]  # two residuals
        """(B, T, intermediate_size) -> (B, T, hidden_size)."""
        if self.bottleneck is None:
            return self.LayerNorm(self.dropout(self.dense(x)) + residual)
        return self.bottleneck(self.LayerNorm(self.dense(x) + residual), outer)


class Bottleneck(Layer):
    """The way in."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        sizes = (c.hidden_size, c.intra_bottleneck_size, c, c.layer_norm_eps)
        self.input = self.nn.make(Narrowed, *sizes)
        self.attention = self.nn.make(Narrowed, *sizes) if c.key_query_shared_bottleneck else None
        self.for_attention = c.use_bottleneck_attention

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, hidden_size) -> what queries and keys, values, and the residual come from."""
        narrow = self.input(x)
        if self.for_attention:
            return narrow, narrow, narrow
        return (x if self.attention is None else self.attention(x)), x, narrow


class MobileBertLayer(Layer):
    """Attention, then several feed-forward networks."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        nn = self.nn
        self.attention = nn.make(MobileBertAttention, c)
        self.intermediate = nn.make(MobileBertIntermediate, c)
        self.output = nn.make(MobileBertOutput, c)
        self.bottleneck = nn.make(Bottleneck, c) if c.use_bottleneck else None
        self.ffn = nn.stack(FeedForward, c.num_feedforward_networks - 1, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        asked, given, residual = (x, x, x) if self.bottleneck is None else self.bottleneck(x)
        y = self.attention(asked, given, residual, mask, trace)
        for network in self.ffn:
            y = network(y)
        return self.output(self.intermediate(y), y, x)


class MobileBertEncoder(BertEncoder):
    """The stack of layers."""

    layer_class = MobileBertLayer


class MobileBertPooler(Layer):
    """The first token, projected where the config says so."""

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        projects = c.classifier_activation
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size) if projects else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        first = hidden[:, 0]
        return first if self.dense is None else self.nn.tanh(self.dense(first))


class MobileBertModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = MobileBertEmbeddings
    encoder_class = MobileBertEncoder

    def __init__(self, c: MobileBertConfig, *, pooler: bool = True) -> None:
        super().__init__(c, pooler=False)
        self.pooler = self.nn.make(MobileBertPooler, c) if pooler else None  # type: ignore[assignment]  # its own


class MobileBertForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = MobileBertModel
    prefix = "mobilebert"


class MobileBertPredictions(Layer):
    """A transform, then the words, whose rows are made as wide as the hidden states."""

    bias: Tensor

    def __init__(self, c: MobileBertConfig) -> None:
        super().__init__()
        nn = self.nn
        self.transform = nn.make(Transform, c, c.hidden_size, c.hidden_act)
        self.dense = nn.Linear(c.vocab_size, c.hidden_size - c.embedding_size, bias=False)
        nn.weight(self, "bias", (c.vocab_size,))
        self.narrow = c.embedding_size
        self.decoder = None if ties_words(c) else nn.Linear(self.narrow, c.vocab_size)

    def forward(self, hidden: Tensor, words: Any) -> Tensor:
        """(B, T, hidden_size), the table of words -> (B, T, vocab_size)."""
        x = self.transform(hidden)
        near, more = x[..., : self.narrow], x[..., self.narrow :] @ self.dense.weight
        if self.decoder is not None:
            return self.decoder(near) + more
        return self.nn.unembed(near, words) + more + self.bias


class MobileBertMaskedWords(ClsMaskedLM):
    """Masked words, under ``cls.predictions``."""

    predictions_class = MobileBertPredictions


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="mobilebert",
    config=MobileBertConfig,
    prefix="mobilebert",
    class_prefix="MobileBert",
    tasks={
        ENCODER: MobileBertModel,
        SEQUENCE_CLASSIFICATION: MobileBertForSequenceClassification,
        **heads(
            __name__,
            "MobileBert",
            MobileBertModel,
            "mobilebert",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=MobileBertMaskedWords,
            choices=MultipleChoice,
        ),
    },
)
