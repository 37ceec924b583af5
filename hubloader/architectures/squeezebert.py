"""SqueezeBERT (Iandola et al., 2020): BERT whose projections are grouped convolutions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import size
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
    BertForSequenceClassification,
    BertModel,
    BertSelfAttention,
)
from hubloader.nn.blocks import activate
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

_EPS = 1e-12  # of the layers' norms, whatever the config says


@dataclass(frozen=True, kw_only=True)
class SqueezeBertConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_squeezebert.py``."""

    embedding_size: int = size(768)
    q_groups: int = size(4)
    k_groups: int = size(4)
    v_groups: int = size(4)
    post_attention_groups: int = size(1)
    intermediate_groups: int = size(4)
    output_groups: int = size(4)

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    def faults(self) -> list[str]:
        """Groups divide the widths on both their sides."""
        groups = ("q_groups", "k_groups", "v_groups", "post_attention_groups")
        found = super().faults()
        for name in (*groups, "intermediate_groups", "output_groups"):
            found += self.must_divide("hidden_size", name)
        for name in ("intermediate_groups", "output_groups"):
            found += self.must_divide("intermediate_size", name)
        if self.embedding_size != self.hidden_size:
            found.append(f"embedding_size: {self.embedding_size} is not hidden_size")
        return found


class SqueezeBertSelfAttention(BertSelfAttention):
    """BERT's, on grouped projections."""

    def __init__(self, c: SqueezeBertConfig) -> None:
        super().__init__(c)
        width = c.hidden_size
        self.query = self.nn.Conv1d(width, width, 1, groups=c.q_groups)
        self.key = self.nn.Conv1d(width, width, 1, groups=c.k_groups)
        self.value = self.nn.Conv1d(width, width, 1, groups=c.v_groups)


class ConvResidual(Layer):
    """Project by groups, drop, add the residual, normalise."""

    def __init__(self, n_in: int, groups: int, c: SqueezeBertConfig) -> None:
        super().__init__()
        self.conv1d = self.nn.Conv1d(n_in, c.hidden_size, 1, groups=groups)
        self.layernorm = self.nn.LayerNorm(c.hidden_size, eps=_EPS)
        self.dropout = self.nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, T, n_in) and (B, T, hidden_size) -> (B, T, hidden_size)."""
        return self.layernorm(self.dropout(self.conv1d(x)) + residual)


class ConvIntermediate(Layer):
    """The wide half of the feed-forward network, by groups."""

    def __init__(self, c: SqueezeBertConfig) -> None:
        super().__init__()
        self.conv1d = self.nn.Conv1d(
            c.hidden_size, c.intermediate_size, 1, groups=c.intermediate_groups
        )
        self.activation = c.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, intermediate_size)."""
        return activate(self.nn, self.activation, self.conv1d(x))


class SqueezeBertLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: SqueezeBertConfig) -> None:
        super().__init__()
        nn = self.nn
        self.attention = nn.make(SqueezeBertSelfAttention, c)
        self.post_attention = nn.make(ConvResidual, c.hidden_size, c.post_attention_groups, c)
        self.intermediate = nn.make(ConvIntermediate, c)
        self.output = nn.make(ConvResidual, c.intermediate_size, c.output_groups, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = self.post_attention(self.attention(x, mask, trace), x)
        return self.output(self.intermediate(x), x)


class SqueezeBertEncoder(Layer):
    """The stack of layers."""

    def __init__(self, c: SqueezeBertConfig) -> None:
        super().__init__()
        self.layers = self.nn.stack(SqueezeBertLayer, c.num_hidden_layers, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        trace.hidden(x)
        for layer in self.layers:
            x = layer(x, mask, trace)
            trace.hidden(x)
        return x


class SqueezeBertModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class = SqueezeBertEncoder


class SqueezeBertForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = SqueezeBertModel
    prefix = "transformer"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="squeezebert",
    config=SqueezeBertConfig,
    prefix="transformer",
    class_prefix="SqueezeBert",
    tasks={
        ENCODER: SqueezeBertModel,
        SEQUENCE_CLASSIFICATION: SqueezeBertForSequenceClassification,
        **heads(
            __name__,
            "SqueezeBert",
            SqueezeBertModel,
            "transformer",
            pooler=True,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=MultipleChoice,
        ),
    },
)
