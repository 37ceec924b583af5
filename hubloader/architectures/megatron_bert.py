"""Megatron-BERT (Shoeybi et al., 2019): BERT that normalises before each half of a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM
from hubloader.architectures.bert import (
    BertConfig,
    BertEmbeddings,
    BertEncoder,
    BertForSequenceClassification,
    BertIntermediate,
    BertModel,
    BertSelfAttention,
)
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class MegatronBertConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_megatron_bert.py``."""

    vocab_size: int = size(29056, most=MAX_ROWS)
    hidden_size: int = size(1024)
    num_hidden_layers: int = size(24, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(16)
    intermediate_size: int = size(4096)

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob


class MegatronBertEmbeddings(BertEmbeddings):
    """Words, positions and token types, added and not yet normalised."""

    def __init__(self, c: MegatronBertConfig) -> None:
        super().__init__(c)
        self.LayerNorm = self.nn.Identity()


class PlainResidual(Layer):
    """Project, drop, add the residual: both halves of a pre-norm block end so."""

    def __init__(self, n_in: int, c: BertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(n_in, c.hidden_size)
        self.dropout = self.nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, T, n_in) and (B, T, hidden_size) -> (B, T, hidden_size)."""
        return residual + self.dropout(self.dense(x))


class MegatronBertAttention(Layer):
    """Norm, self-attention, residual; a family names its norm, and how its tokens look."""

    norm: ClassVar[str] = "ln"
    self_class: ClassVar[type[Layer]] = BertSelfAttention

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        setattr(self, self.norm, self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps))
        self.self = self.nn.make(self.self_class, c)
        self.output = self.nn.make(PlainResidual, c.hidden_size, c)

    def forward(self, x: Tensor, *view: Any) -> Tensor:
        """(B, T, hidden_size), and what the attention looks through -> the same shape."""
        return self.output(self.self(getattr(self, self.norm)(x), *view), x)


class MegatronBertLayer(Layer):
    """Attention, then norm and the feed-forward network."""

    norm: ClassVar[str] = "ln"
    attention_class: ClassVar[type[Layer]] = MegatronBertAttention

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.attention = self.nn.make(self.attention_class, c)
        setattr(self, self.norm, self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps))
        self.intermediate = self.nn.make(BertIntermediate, c)
        self.output = self.nn.make(PlainResidual, c.intermediate_size, c)

    def forward(self, x: Tensor, *view: Any) -> Tensor:
        """(B, T, hidden_size), and what the attention looks through -> the same shape."""
        x = self.attention(x, *view)
        return self.output(self.intermediate(getattr(self, self.norm)(x)), x)


class MegatronBertEncoder(BertEncoder):
    """The stack of layers, and the norm that ends it."""

    layer_class = MegatronBertLayer
    norm: ClassVar[str] = "ln"

    def __init__(self, c: BertConfig) -> None:
        super().__init__(c)
        setattr(self, self.norm, self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps))

    def view(self, x: Tensor, mask: Tensor | None) -> tuple[Any, ...]:
        """What the layers look through: x (B, T, hidden_size), and the mask."""
        del x
        return (mask,)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape; the last hidden states kept are normalised."""
        view = self.view(x, mask)
        for layer in self.layer:
            trace.hidden(x)
            x = layer(x, *view, trace)
        x = getattr(self, self.norm)(x)
        trace.hidden(x)
        return x


class MegatronBertModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = MegatronBertEmbeddings
    encoder_class = MegatronBertEncoder


class MegatronBertForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = MegatronBertModel


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="megatron-bert",
    config=MegatronBertConfig,
    class_prefix="MegatronBert",
    tasks={
        ENCODER: MegatronBertModel,
        SEQUENCE_CLASSIFICATION: MegatronBertForSequenceClassification,
        **heads(
            __name__,
            "MegatronBert",
            MegatronBertModel,
            "bert",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=MultipleChoice,
        ),
    },
)
