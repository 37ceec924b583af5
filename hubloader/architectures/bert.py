"""BERT (Devlin et al., 2018): post-norm encoder, learned absolute positions, token types."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    amount,
    flag,
    share,
    size,
    token,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import (
    Head,
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM
from hubloader.nn.blocks import (
    activate,
    backward_mask,
    check_length,
    key_mask,
    merge_heads,
    split_heads,
)
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class BertConfig(Config):
    """Source: transformers 5.23, ``configuration_bert.py``."""

    vocab_size: int = size(30522, most=MAX_ROWS)
    hidden_size: int = size(768)
    num_hidden_layers: int = size(12, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(12)
    intermediate_size: int = size(3072)
    hidden_act: str = activation("gelu")
    max_position_embeddings: int = size(512, most=MAX_ROWS)
    type_vocab_size: int = size(2)
    layer_norm_eps: float = amount(1e-12, positive=False)
    pad_token_id: int | None = token(0)
    hidden_dropout_prob: float = share(0.1)
    attention_probs_dropout_prob: float = share(0.1)
    classifier_dropout: float | None = share(None)
    is_decoder: bool = flag(False)
    looks_back_alone = True

    @property
    def decodes(self) -> bool:
        """Whether a token may look at those before it alone."""
        return self.is_decoder

    @property
    def embedding_width(self) -> int:
        """The width of the embeddings: that of the hidden states, unless a family has another."""
        return self.hidden_size

    @property
    def head_dropout(self) -> float:
        """The classifier's dropout, which falls back to that of the hidden states."""
        if self.classifier_dropout is None:
            return self.hidden_dropout_prob
        return self.classifier_dropout

    def faults(self) -> list[str]:
        """Heads divide the width; the padding token has a row."""
        return [
            *super().faults(),
            *self.must_divide("hidden_size", "num_attention_heads"),
            *self.must_have_row("pad_token_id", "vocab_size"),
        ]


class BertEmbeddings(Layer):
    """Words, positions and token types, added and normalised."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.embedding_width
        self.word_embeddings = nn.Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.position_embeddings = nn.Embedding(c.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(c.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)
        self.length = c.max_position_embeddings

    def positions(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (T,) or (B, T)."""
        check_length(self.nn, input_ids, self.length)
        return self.nn.arange(self.nn.shape(input_ids)[1], input_ids)

    def add_up(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, width)."""
        if token_type_ids is None:
            token_type_ids = self.nn.zeros_like(input_ids)
        x = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        return x + self.position_embeddings(self.positions(input_ids))

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, width)."""
        return self.dropout(self.LayerNorm(self.add_up(input_ids, token_type_ids)))


class BertSelfAttention(Layer):
    """Every token looks at every other."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.query = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.key = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.value = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.dropout = self.nn.Dropout(c.attention_probs_dropout_prob)
        self.heads = c.num_attention_heads

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.query, self.key, self.value))
        dropout = self.dropout.p if self.training else 0.0
        return merge_heads(nn, nn.attention(q, k, v, mask, dropout=dropout, trace=trace))


class BertResidual(Layer):
    """Project, drop, add the residual, normalise: both halves of a post-norm block end so."""

    def __init__(self, n_in: int, c: BertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(n_in, c.hidden_size)
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = self.nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, T, n_in) and (B, T, hidden_size) -> (B, T, hidden_size)."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(Layer):
    """Self-attention and its residual."""

    self_class: ClassVar[type[Layer]] = BertSelfAttention

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.self = self.nn.make(self.self_class, c)
        self.output = self.nn.make(BertResidual, c.hidden_size, c)

    def forward(self, x: Tensor, *view: Any) -> Tensor:
        """(B, T, hidden_size), and what the attention looks through -> the same shape."""
        return self.output(self.self(x, *view), x)


class BertIntermediate(Layer):
    """The wide half of the feed-forward network."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.intermediate_size)
        self.activation = c.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, intermediate_size)."""
        return activate(self.nn, self.activation, self.dense(x))


class BertLayer(Layer):
    """Attention, then the feed-forward network."""

    attention_class: ClassVar[type[Layer]] = BertAttention

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.attention = self.nn.make(self.attention_class, c)
        self.intermediate = self.nn.make(BertIntermediate, c)
        self.output: Layer = self.nn.make(BertResidual, c.intermediate_size, c)

    def forward(self, x: Tensor, *view: Any) -> Tensor:
        """(B, T, hidden_size), and what the attention looks through -> the same shape."""
        x = self.attention(x, *view)
        return self.output(self.intermediate(x), x)


class BertEncoder(Layer):
    """The stack of layers."""

    layer_class: ClassVar[type[Layer]] = BertLayer

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.layer = self.nn.stack(self.layer_class, c.num_hidden_layers, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        trace.hidden(x)
        for layer in self.layer:
            x = layer(x, mask, trace)
            trace.hidden(x)
        return x


def encoder_by(
    module: str,
    class_prefix: str,
    self_class: type[Layer],
    *,
    layer: type[BertLayer] = BertLayer,
    encoder: type[BertEncoder] = BertEncoder,
) -> type[BertEncoder]:
    """Make the stack of a family whose tokens look at each other in their own way.

    Args:
        module: the family's ``__name__``; the classes are put there, so that they can be pickled.
        class_prefix: what transformers' class names begin with, ``"BigBird"``.
        self_class: how they look: what stands in the place of ``BertSelfAttention``.
        layer: what the family's layer is besides.
        encoder: what its stack is besides.

    Returns:
        ``BigBirdEncoder``, of ``BigBirdLayer``, of ``BigBirdAttention``.

    """
    found: Any = self_class
    for suffix, base, part in (
        ("Attention", BertAttention, "self_class"),
        ("Layer", layer, "attention_class"),
        ("Encoder", encoder, "layer_class"),
    ):
        own = {part: found, "__module__": module, "__doc__": base.__doc__}
        found = type(f"{class_prefix}{suffix}", (base,), own)
        setattr(sys.modules[module], found.__name__, found)
    made: type[BertEncoder] = found
    return made


class BertPooler(Layer):
    """The first token, projected."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return self.nn.tanh(self.dense(hidden[:, 0]))


class BertModel(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size).

    Args:
        c: the config.
        pooler: whether to build the pooler; a head that does not use one does not load one.

    """

    embeddings_class: ClassVar[type[Layer]] = BertEmbeddings
    encoder_class: ClassVar[type[Layer]] = BertEncoder

    def __init__(self, c: BertConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.embeddings = self.nn.make(self.embeddings_class, c)
        self.encoder = self.nn.make(self.encoder_class, c)
        self.pooler = self.nn.make(BertPooler, c) if pooler else None
        self.decodes = c.decodes

    def mask(self, x: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """Which keys a query may look at: bool, broadcasts to (B, 1, T, T), or None for all."""
        mask = key_mask(self.nn, attention_mask)
        return backward_mask(self.nn, x, mask) if self.decodes else mask

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        return self.embeddings(input_ids, token_type_ids)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.embed(input_ids, token_type_ids)
        return self.encoder(x, self.mask(x, attention_mask), trace)

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return None if self.pooler is None else self.pooler(hidden)


class BertForSequenceClassification(Head):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels).

    A family whose classifier stands on a pooler too names its encoder and where that sits.
    """

    model_class: ClassVar[type[Layer]] = BertModel
    prefix: ClassVar[str] = "bert"
    pools = True

    def __init__(self, c: BertConfig) -> None:
        super().__init__(c)
        self.dropout = self.nn.Dropout(c.head_dropout)
        self.classifier = self.nn.Linear(c.hidden_size, c.num_labels)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, num_labels)."""
        return self.classifier(self.dropout(self.body.pooled(hidden)))


ARCHITECTURE = Architecture(
    model_type="bert",
    config=BertConfig,
    prefix="bert",
    class_prefix="Bert",
    tasks={
        ENCODER: BertModel,
        SEQUENCE_CLASSIFICATION: BertForSequenceClassification,
        **heads(
            __name__,
            "Bert",
            BertModel,
            "bert",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=MultipleChoice,
        ),
    },
    takes_besides=("inputs_embeds", "position_ids"),
)
