"""FNet (Lee-Thorp et al., 2021): BERT with a Fourier transform in place of attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, Config, activation, size, token
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
    BertResidual,
)
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class FNetConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_fnet.py``."""

    vocab_size: int = size(32000, most=MAX_ROWS)
    hidden_act: str = activation("gelu_new")
    type_vocab_size: int = size(4)
    pad_token_id: int | None = token(3)

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    def faults(self) -> list[str]:
        """There are no heads that could divide anything."""
        return Config.faults(self) + self.must_have_row("pad_token_id", "vocab_size")


class FNetEmbeddings(BertEmbeddings):
    """BERT's, projected."""

    def __init__(self, c: FNetConfig) -> None:
        super().__init__(c)
        self.projection = self.nn.Linear(c.hidden_size, c.hidden_size)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.LayerNorm(self.add_up(input_ids, token_type_ids))
        return self.dropout(self.projection(x))


class FNetMixing(Layer):
    """Every token hears of every other, padding too, and nothing is learned about it."""

    def __init__(self, c: FNetConfig) -> None:
        super().__init__()
        self.output = self.nn.make(Normalised, c)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.output(x + self.nn.fourier(x))


class Normalised(Layer):
    """A norm, where checkpoints have one by this name."""

    def __init__(self, c: FNetConfig) -> None:
        super().__init__()
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden_size) -> the same shape."""
        return self.LayerNorm(x)


class FNetLayer(Layer):
    """The transform, then the feed-forward network."""

    def __init__(self, c: FNetConfig) -> None:
        super().__init__()
        self.fourier = self.nn.make(FNetMixing, c)
        self.intermediate = self.nn.make(BertIntermediate, c)
        self.output = self.nn.make(BertResidual, c.intermediate_size, c)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        del mask, trace  # a transform leaves nothing out, and has no probabilities
        x = self.fourier(x)
        return self.output(self.intermediate(x), x)


class FNetEncoder(BertEncoder):
    """The stack of layers."""

    layer_class = FNetLayer


class FNetModel(BertModel):
    """input_ids, token_type_ids (B, T) -> hidden states (B, T, hidden_size).

    An attention mask is taken and means nothing, as in transformers.
    """

    embeddings_class = FNetEmbeddings
    encoder_class = FNetEncoder


class FNetForSequenceClassification(BertForSequenceClassification):
    """input_ids, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = FNetModel
    prefix = "fnet"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="fnet",
    config=FNetConfig,
    prefix="fnet",
    class_prefix="FNet",
    tasks={
        ENCODER: FNetModel,
        SEQUENCE_CLASSIFICATION: FNetForSequenceClassification,
        **heads(
            __name__,
            "FNet",
            FNetModel,
            "fnet",
            pooler=True,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=MultipleChoice,
        ),
    },
    ignored_unexpected=(r"\.dft_mat_(?:hidden|seq)$",),
)
