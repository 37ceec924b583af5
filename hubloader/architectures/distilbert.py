"""DistilBERT (Sanh et al., 2019): BERT without token types or pooler, under other names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    share,
    size,
    token,
)
from hubloader.architectures._encoder import Encoder, NamedSelfAttention
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import (
    Head,
    PreClassifiedChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import Bias, MaskedLM
from hubloader.nn.blocks import activate, check_length, key_mask
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor, Trace

_EPS = 1e-12  # not in the config


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(Config):
    """Source: transformers 5.23, ``configuration_distilbert.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    }

    vocab_size: int = size(30522, most=MAX_ROWS)
    dim: int = size(768)
    n_layers: int = size(6, least=0, most=MAX_LAYERS)
    n_heads: int = size(12)
    hidden_dim: int = size(3072)
    activation: str = activation("gelu")
    max_position_embeddings: int = size(512, most=MAX_ROWS)
    pad_token_id: int | None = token(0)
    dropout: float = share(0.1)
    attention_dropout: float = share(0.1)
    seq_classif_dropout: float = share(0.2)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``dim``."""
        return self.dim

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``n_heads``."""
        return self.n_heads

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``n_layers``."""
        return self.n_layers

    def faults(self) -> list[str]:
        """Heads divide the width; the padding token has a row."""
        return [
            *super().faults(),
            *self.must_divide("dim", "n_heads"),
            *self.must_have_row("pad_token_id", "vocab_size"),
        ]


class Embeddings(Layer):
    """Words and positions, added and normalised."""

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = self.nn.Embedding(c.vocab_size, c.dim, padding_idx=c.pad_token_id)
        self.position_embeddings = self.nn.Embedding(c.max_position_embeddings, c.dim)
        self.LayerNorm = self.nn.LayerNorm(c.dim, eps=_EPS)
        self.dropout = self.nn.Dropout(c.dropout)
        self.length = c.max_position_embeddings

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, dim)."""
        check_length(self.nn, input_ids, self.length)
        positions = self.nn.arange(self.nn.shape(input_ids)[1], input_ids)
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class FFN(Layer):
    """The feed-forward network."""

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__()
        self.lin1 = self.nn.Linear(c.dim, c.hidden_dim)
        self.lin2 = self.nn.Linear(c.hidden_dim, c.dim)
        self.dropout = self.nn.Dropout(c.dropout)
        self.activation = c.activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) -> the same shape."""
        return self.dropout(self.lin2(activate(self.nn, self.activation, self.lin1(x))))


class TransformerBlock(Layer):
    """Attention, then the feed-forward network, each added and normalised."""

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__()
        self.attention = self.nn.make(NamedSelfAttention, c.dim, c.n_heads, c.attention_dropout)
        self.sa_layer_norm = self.nn.LayerNorm(c.dim, eps=_EPS)
        self.ffn = self.nn.make(FFN, c)
        self.output_layer_norm = self.nn.LayerNorm(c.dim, eps=_EPS)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, dim) -> the same shape."""
        x = self.sa_layer_norm(self.attention(x, mask, trace) + x)
        return self.output_layer_norm(self.ffn(x) + x)


class Transformer(Layer):
    """The stack of blocks."""

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__()
        self.layer = self.nn.stack(TransformerBlock, c.n_layers, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, dim) -> the same shape."""
        trace.hidden(x)
        for layer in self.layer:
            x = layer(x, mask, trace)
            trace.hidden(x)
        return x


class DistilBertModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, dim)."""

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__()
        self.embeddings = self.nn.make(Embeddings, c)
        self.transformer = self.nn.make(Transformer, c)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, dim)."""
        mask = key_mask(self.nn, attention_mask)
        return self.transformer(self.embeddings(input_ids), mask, trace)


class DistilBertForSequenceClassification(Head):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = DistilBertModel
    prefix = "distilbert"
    pools = None

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__(c)
        self.pre_classifier = self.nn.Linear(c.dim, c.dim)
        self.classifier = self.nn.Linear(c.dim, c.num_labels)
        self.dropout = self.nn.Dropout(c.seq_classif_dropout)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, dim) -> (B, num_labels)."""
        x = self.nn.relu(self.pre_classifier(hidden[:, 0]))
        return self.classifier(self.dropout(x))


class DistilBertMaskedWords(MaskedLM):
    """Masked words."""

    def __init__(self, c: DistilBertConfig) -> None:
        super().__init__(c)
        self.vocab_transform = self.nn.Linear(c.dim, c.dim)
        self.vocab_layer_norm = self.nn.LayerNorm(c.dim, eps=1e-12)
        self.vocab_projector = self.nn.make(Bias, c, c.dim)
        self.activation = c.activation

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, dim) -> (B, T, vocab_size)."""
        x = activate(self.nn, self.activation, self.vocab_transform(hidden))
        return self.vocab_projector(self.vocab_layer_norm(x), self.words)


ARCHITECTURE = Architecture(
    model_type="distilbert",
    config=DistilBertConfig,
    prefix="distilbert",
    class_prefix="DistilBert",
    tasks={
        ENCODER: DistilBertModel,
        SEQUENCE_CLASSIFICATION: DistilBertForSequenceClassification,
        **heads(
            __name__,
            "DistilBert",
            DistilBertModel,
            "distilbert",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=DistilBertMaskedWords,
            choices=PreClassifiedChoice,
        ),
    },
    takes_besides=("inputs_embeds", "position_ids"),
)
