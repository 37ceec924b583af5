"""Nyströmformer (Xiong et al., 2021), as its checkpoints use it: attention and a convolution.

The checkpoints have as many landmarks as segments, and compute ordinary attention; the
approximation that gave the family its name works for one length of text only and is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, activation, amount, size, token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    ClsMaskedLM,
    PreClassifiedChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures.bert import (
    BertConfig,
    BertEmbeddings,
    BertModel,
    BertSelfAttention,
    encoder_by,
)
from hubloader.architectures.roberta import (
    ConfiguredClassificationHead,
    RobertaForSequenceClassification,
)
from hubloader.nn.blocks import merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

_FIRST = 2  # position of the first token, as in the tables that the weights were made with


@dataclass(frozen=True, kw_only=True)
class NystromformerConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_nystromformer.py``."""

    vocab_size: int = size(30000, most=MAX_ROWS)
    hidden_act: str = activation("gelu_new")
    max_position_embeddings: int = size(510, most=MAX_ROWS)
    segment_means_seq_len: int = size(64, most=MAX_ROWS)
    num_landmarks: int = size(64, most=MAX_ROWS)
    conv_kernel_size: int = size(65, most=4095)
    layer_norm_eps: float = amount(1e-5, positive=False)
    pad_token_id: int | None = token(1)

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    def faults(self) -> list[str]:
        """The convolution keeps the length."""
        even = not self.conv_kernel_size % 2
        fault = [f"conv_kernel_size: {self.conv_kernel_size} would change the length"]
        return [*super().faults(), *(fault if even else [])]

    def beyond(self) -> list[str]:
        """No landmarks."""
        fewer = self.num_landmarks != self.segment_means_seq_len
        found = ["num_landmarks: attention by landmarks is not implemented here"]
        return [*super().beyond(), *(found if fewer else [])]


class NystromformerEmbeddings(BertEmbeddings):
    """BERT's, whose positions begin with the third row."""

    def __init__(self, c: NystromformerConfig) -> None:
        super().__init__(c)
        self.position_embeddings = self.nn.Embedding(
            c.max_position_embeddings + _FIRST, c.hidden_size
        )

    def positions(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (T,)."""
        return super().positions(input_ids) + _FIRST


class HeadConv(Layer):
    """One convolution over tokens for each head."""

    weight: Tensor

    def __init__(self, heads: int, kernel: int) -> None:
        super().__init__()
        self.nn.weight(self, "weight", (heads, 1, kernel, 1))
        self.heads, self.kernel = heads, kernel

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H*D) -> the same shape."""
        nn = self.nn
        width = nn.shape(x)[2]
        one = nn.reshape(self.weight, (self.heads, 1, self.kernel))
        taps = nn.concat([one] * (width // self.heads), 1)  # (H, D, kernel)
        return nn.depthwise(x, nn.reshape(taps, (width, self.kernel)))


class NystromformerSelfAttention(BertSelfAttention):
    """BERT's, and the convolved values added; no probability is dropped."""

    def __init__(self, c: NystromformerConfig) -> None:
        super().__init__(c)
        self.conv = self.nn.make(HeadConv, c.num_attention_heads, c.conv_kernel_size)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads, values = self.nn, self.heads, self.value(x)
        q, k, v = (split_heads(nn, part, heads) for part in (self.query(x), self.key(x), values))
        return merge_heads(nn, nn.attention(q, k, v, mask, trace=trace)) + self.conv(values)


class NystromformerModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = NystromformerEmbeddings
    encoder_class = encoder_by(__name__, "Nystromformer", NystromformerSelfAttention)

    def __init__(self, c: NystromformerConfig, *, pooler: bool = False) -> None:
        super().__init__(c, pooler=pooler)


class NystromformerForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = NystromformerModel
    head_class = ConfiguredClassificationHead
    prefix = "nystromformer"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="nystromformer",
    config=NystromformerConfig,
    prefix="nystromformer",
    class_prefix="Nystromformer",
    tasks={
        ENCODER: NystromformerModel,
        SEQUENCE_CLASSIFICATION: NystromformerForSequenceClassification,
        **heads(
            __name__,
            "Nystromformer",
            NystromformerModel,
            "nystromformer",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=PreClassifiedChoice,
        ),
    },
)
