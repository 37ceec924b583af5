"""ConvBERT (Jiang et al., 2020): half the heads attend, half convolve, by kernels made of words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubloader.architectures import bert
from hubloader.architectures._config import Config, size, token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    QuestionAnswering,
    SummarisedChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import GeneratorMaskedLM
from hubloader.architectures._summary import SummaryConfig
from hubloader.architectures.bert import (
    BertConfig,
    BertIntermediate,
    BertLayer,
    BertResidual,
    encoder_by,
)
from hubloader.architectures.electra import ElectraModel
from hubloader.architectures.roberta import (
    ConfiguredClassificationHead,
    RobertaForSequenceClassification,
)
from hubloader.nn.blocks import split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class ConvBertConfig(BertConfig, SummaryConfig):
    """Source: transformers 5.23, ``configuration_convbert.py``."""

    embedding_size: int = size(768)
    head_ratio: int = size(2)
    conv_kernel_size: int = size(9, most=1023)
    num_groups: int = size(1)
    pad_token_id: int | None = token(1)

    @property
    def embedding_width(self) -> int:
        """The embeddings may be narrower than the hidden states."""
        return self.embedding_size

    @property
    def heads(self) -> int:
        """How many heads attend, and how many convolve."""
        return max(1, self.num_attention_heads // self.head_ratio)

    @property
    def decodes(self) -> bool:
        """Never: whatever a config says, transformers' attention looks both ways."""
        return False

    def faults(self) -> list[str]:
        """Both kinds of heads fit the layer's width; the convolution keeps the length."""
        found = Config.faults(self) + self.must_have_row("pad_token_id", "vocab_size")
        if self.hidden_size % (2 * self.heads):
            found.append(
                f"hidden_size: {self.hidden_size} is no multiple of {2 * self.heads} heads"
            )
        if not self.conv_kernel_size % 2:
            found.append(f"conv_kernel_size: {self.conv_kernel_size} would change the length")
        for name in ("hidden_size", "intermediate_size"):
            found += self.must_divide(name, "num_groups")
        return found


class SeparableConv(Layer):
    """Over tokens channel by channel, then over channels token by token."""

    bias: Tensor

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        nn = self.nn
        self.depthwise = nn.Conv1d(n_in, n_in, kernel, groups=n_in, bias=False)
        self.pointwise = nn.Conv1d(n_in, n_out, 1, bias=False)
        nn.weight(self, "bias", (n_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_in) -> (B, T, n_out)."""
        return self.pointwise(self.depthwise(x)) + self.bias[:, 0]


class ConvBertSelfAttention(Layer):
    """Heads that attend, then heads that convolve."""

    def __init__(self, c: ConvBertConfig) -> None:
        super().__init__()
        nn, width, half = self.nn, c.hidden_size, c.hidden_size // 2
        self.heads, self.kernel = c.heads, c.conv_kernel_size
        self.query = nn.Linear(width, half)
        self.key = nn.Linear(width, half)
        self.value = nn.Linear(width, half)
        self.key_conv_attn_layer = nn.make(SeparableConv, width, half, self.kernel)
        self.conv_kernel_layer = nn.Linear(half, self.heads * self.kernel)
        self.conv_out_layer = nn.Linear(width, half)
        self.dropout = nn.Dropout(c.attention_probs_dropout_prob)

    def convolve(self, x: Tensor, query: Tensor) -> Tensor:
        """(B, T, hidden_size), queries (B, T, H*D) -> (B, H, T, D)."""
        nn, side = self.nn, self.kernel // 2
        kernels = self.conv_kernel_layer(self.key_conv_attn_layer(x) * query)
        kernels = nn.softmax(split_heads(nn, kernels, self.heads))  # (B, H, T, kernel)
        values = split_heads(nn, self.conv_out_layer(x), self.heads)  # (B, H, T, D)
        tokens = nn.shape(values)[2]
        nothing = nn.concat([nn.zeros_like(values[:, :, :1])] * side, 2) if side else None
        padded = values if nothing is None else nn.concat([nothing, values, nothing], 2)
        parts = [
            padded[:, :, tap : tap + tokens] * kernels[..., tap : tap + 1]
            for tap in range(self.kernel)
        ]
        return sum(parts[1:], parts[0])

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, query = self.nn, self.query(x)
        q, k, v = (split_heads(nn, y, self.heads) for y in (query, self.key(x), self.value(x)))
        dropout = self.dropout.p if self.training else 0.0
        attended = nn.attention(q, k, v, mask, dropout=dropout, trace=trace)
        both = nn.concat([attended, self.convolve(x, query)], 1)  # (B, 2 * H, T, D)
        b, heads, t, d = nn.shape(both)
        return nn.reshape(nn.transpose(both, (0, 2, 1, 3)), (b, t, heads * d))


class GroupedLinear(Layer):
    """A projection of each group of channels by itself."""

    weight: Tensor
    bias: Tensor

    def __init__(self, n_in: int, n_out: int, groups: int) -> None:
        super().__init__()
        self.nn.weight(self, "weight", (groups, n_in // groups, n_out // groups))
        self.nn.weight(self, "bias", (n_out,))
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_in) -> (B, T, n_out)."""
        nn = self.nn
        groups = (
            split_heads(nn, x, self.groups) @ self.weight[None]
        )  # (B, groups, T, n_out / groups)
        b, n, t, width = nn.shape(groups)
        joined = nn.reshape(nn.transpose(groups, (0, 2, 1, 3)), (b, t, n * width))
        return joined + self.bias


def _linear(nn: Any, n_in: int, n_out: int, c: ConvBertConfig) -> Any:
    if c.num_groups == 1:
        return nn.Linear(n_in, n_out)
    return nn.make(GroupedLinear, n_in, n_out, c.num_groups)


class ConvBertIntermediate(BertIntermediate):
    """The wide half of the feed-forward network."""

    def __init__(self, c: ConvBertConfig) -> None:
        super().__init__(c)
        self.dense = _linear(self.nn, c.hidden_size, c.intermediate_size, c)


class ConvBertOutput(BertResidual):
    """The end of the feed-forward network."""

    def __init__(self, n_in: int, c: ConvBertConfig) -> None:
        super().__init__(n_in, c)
        self.dense = _linear(self.nn, n_in, c.hidden_size, c)


class GroupedLayer(BertLayer):
    """Attention, then the feed-forward network, by groups."""

    def __init__(self, c: ConvBertConfig) -> None:
        super().__init__(c)
        self.intermediate = self.nn.make(ConvBertIntermediate, c)
        self.output = self.nn.make(ConvBertOutput, c.intermediate_size, c)


class ConvBertModel(ElectraModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class = encoder_by(__name__, "ConvBert", ConvBertSelfAttention, layer=GroupedLayer)


class ConvBertForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = ConvBertModel
    head_class = ConfiguredClassificationHead
    prefix = "convbert"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="convbert",
    config=ConvBertConfig,
    prefix="convbert",
    class_prefix="ConvBert",
    tasks={
        ENCODER: ConvBertModel,
        SEQUENCE_CLASSIFICATION: ConvBertForSequenceClassification,
        **heads(
            __name__,
            "ConvBert",
            ConvBertModel,
            "convbert",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=GeneratorMaskedLM,
            choices=SummarisedChoice,
        ),
    },
)
