"""ALBERT (Lan et al., 2019): narrow embeddings, and layers that share their weights in groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, activation, share, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import MaskedLM, Transform, ties_words
from hubloader.architectures.bert import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertSelfAttention,
)
from hubloader.nn.blocks import activate
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class AlbertConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_albert.py``."""

    vocab_size: int = size(30000, most=MAX_ROWS)
    embedding_size: int = size(128)
    hidden_size: int = size(4096)
    num_hidden_layers: int = size(12, most=MAX_LAYERS)
    num_hidden_groups: int = size(1, most=MAX_LAYERS)
    inner_group_num: int = size(1, most=MAX_LAYERS)
    num_attention_heads: int = size(64)
    intermediate_size: int = size(16384)
    hidden_act: str = activation("gelu_new")
    hidden_dropout_prob: float = share(0.0)
    attention_probs_dropout_prob: float = share(0.0)
    classifier_dropout_prob: float = share(0.1)

    @property
    def embedding_width(self) -> int:
        """The embeddings are narrower than the hidden states."""
        return self.embedding_size

    @property
    def head_dropout(self) -> float:
        """The classifier's dropout."""
        return self.classifier_dropout_prob

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    def group(self, layer: int) -> int:
        """Which group's weights a layer uses."""
        return int(layer / (self.num_hidden_layers / self.num_hidden_groups))


class AlbertAttention(BertSelfAttention):
    """BERT's, with the projection, residual and norm that follow it there."""

    def __init__(self, c: AlbertConfig) -> None:
        super().__init__(c)
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.output_dropout = self.nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        context = super().forward(x, mask, trace)
        return self.LayerNorm(x + self.output_dropout(self.dense(context)))


class AlbertLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: AlbertConfig) -> None:
        super().__init__()
        self.attention = self.nn.make(AlbertAttention, c)
        self.ffn = self.nn.Linear(c.hidden_size, c.intermediate_size)
        self.ffn_output = self.nn.Linear(c.intermediate_size, c.hidden_size)
        self.full_layer_layer_norm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.activation = c.hidden_act

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = self.attention(x, mask, trace)
        wide = activate(self.nn, self.activation, self.ffn(x))
        return self.full_layer_layer_norm(self.ffn_output(wide) + x)


class AlbertLayerGroup(Layer):
    """Layers that are run one after another, and again for the next layer of the group."""

    def __init__(self, c: AlbertConfig) -> None:
        super().__init__()
        self.albert_layers = self.nn.stack(AlbertLayer, c.inner_group_num, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        for layer in self.albert_layers:
            x = layer(x, mask, trace)
            trace.hidden(x)
        return x


class AlbertTransformer(Layer):
    """More layers than weights."""

    def __init__(self, c: AlbertConfig) -> None:
        super().__init__()
        self.embedding_hidden_mapping_in = self.nn.Linear(c.embedding_size, c.hidden_size)
        self.albert_layer_groups = self.nn.stack(AlbertLayerGroup, c.num_hidden_groups, c)
        self.order = tuple(c.group(layer) for layer in range(c.num_hidden_layers))

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, embedding_size) -> (B, T, hidden_size)."""
        x = self.embedding_hidden_mapping_in(x)
        trace.hidden(x)
        for group in self.order:
            x = self.albert_layer_groups[group](x, mask, trace)
        return x


class AlbertModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class = AlbertTransformer

    def __init__(self, c: AlbertConfig, *, pooler: bool = True) -> None:
        super().__init__(c, pooler=False)
        self.pooler = self.nn.Linear(c.hidden_size, c.hidden_size) if pooler else None

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return None if self.pooler is None else self.nn.tanh(self.pooler(hidden[:, 0]))


class AlbertForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = AlbertModel
    prefix = "albert"


class AlbertPredictions(Transform):
    """Narrower, bent, normalised; then the words, or a table of its own."""

    bias: Tensor

    def __init__(self, c: AlbertConfig) -> None:
        super().__init__(c, c.embedding_size, c.hidden_act)
        self.nn.weight(self, "bias", (c.vocab_size,))
        self.decoder = None if ties_words(c) else self.nn.Linear(c.embedding_size, c.vocab_size)


class AlbertMaskedWords(MaskedLM):
    """Masked words, under ``predictions``."""

    def __init__(self, c: AlbertConfig) -> None:
        super().__init__(c)
        self.predictions = self.nn.make(AlbertPredictions, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        x = self.predictions(hidden)
        if self.predictions.decoder is not None:
            return self.predictions.decoder(x)
        return self.nn.unembed(x, self.words) + self.predictions.bias


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="albert",
    config=AlbertConfig,
    prefix="albert",
    class_prefix="Albert",
    tasks={
        ENCODER: AlbertModel,
        SEQUENCE_CLASSIFICATION: AlbertForSequenceClassification,
        **heads(
            __name__,
            "Albert",
            AlbertModel,
            "albert",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=AlbertMaskedWords,
            choices=MultipleChoice,
        ),
    },
)
