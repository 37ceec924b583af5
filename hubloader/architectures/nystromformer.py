"""Nyströmformer (Xiong et al., 2021): attention by way of landmarks, and a convolution.

A landmark is the mean of a segment of the text. Tokens look at landmarks, landmarks at tokens, and
a pseudo-inverse of how landmarks see each other stands between: so texts are all of one length.
Published checkpoints have as many landmarks as tokens in ``segment_means_seq_len``; theirs is
ordinary attention, of texts of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, activation, amount, flag, size, token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    PreClassifiedChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM
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
from hubloader.errors import UnfitLength
from hubloader.nn.blocks import merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Kit, Tensor, Trace

_FIRST = 2  # position of the first token, as in the tables that the weights were made with
_STEPS = 6  # towards the pseudo-inverse


@dataclass(frozen=True, kw_only=True)
class NystromformerConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_nystromformer.py``."""

    vocab_size: int = size(30000, most=MAX_ROWS)
    hidden_act: str = activation("gelu_new")
    max_position_embeddings: int = size(510, most=MAX_ROWS)
    segment_means_seq_len: int = size(64, most=MAX_ROWS)
    num_landmarks: int = size(64, most=MAX_ROWS)
    conv_kernel_size: int = size(65, most=4095)
    inv_coeff_init_option: bool = flag(False)
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

    @property
    def segment(self) -> int | None:
        """Tokens that a landmark stands for; None where tokens look at each other."""
        if self.num_landmarks == self.segment_means_seq_len:
            return None
        return self.segment_means_seq_len // self.num_landmarks

    def faults(self) -> list[str]:
        """The convolution keeps the length; a landmark stands for a token at the least."""
        found = super().faults()
        if not self.conv_kernel_size % 2:
            found.append(f"conv_kernel_size: {self.conv_kernel_size} would change the length")
        if self.segment == 0:
            tokens = self.segment_means_seq_len
            found.append(f"num_landmarks: {self.num_landmarks} are more than {tokens} tokens")
        return found


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


def segment_means(nn: Kit, x: Tensor, landmarks: int, segment: int) -> Tensor:
    """(B, H, landmarks * segment, D) -> (B, H, landmarks, D)."""
    b, h, _, width = nn.shape(x)
    return nn.sum(nn.reshape(x, (b, h, landmarks, segment, width)), 3) / segment


def pseudo_inverse(nn: Kit, x: Tensor, *, alone: bool) -> Tensor:
    """Approach the Moore-Penrose inverse of x (B, H, N, N), whose rows are probabilities.

    Args:
        nn: the kit.
        x: the matrices.
        alone: begin with each by its own largest sum of a column, not with all by that of all.

    Source: transformers 5.23, ``modeling_nystromformer.py``, ``iterative_inv``.

    """
    n = nn.shape(x)[-1]
    place = nn.arange(n, x)
    one = nn.cast_like(place[:, None] == place[None, :], x)
    columns = nn.sum(x, 2)
    if alone:
        largest = nn.top(columns, 1)[0][..., None]
    else:
        largest = nn.top(nn.reshape(columns, (-1,)), 1)[0]
    inverse = nn.transpose(x, (0, 1, 3, 2)) / largest
    for _ in range(_STEPS):
        near = x @ inverse
        inverse = 0.25 * inverse @ (13 * one - near @ (15 * one - near @ (7 * one - near)))
    return inverse


class NystromformerSelfAttention(BertSelfAttention):
    """BERT's or that by landmarks, and the convolved values added; no probability is dropped."""

    def __init__(self, c: NystromformerConfig) -> None:
        super().__init__(c)
        self.conv = self.nn.make(HeadConv, c.num_attention_heads, c.conv_kernel_size)
        self.landmarks, self.segment = c.num_landmarks, c.segment
        self.begins_alone = c.inv_coeff_init_option

    def by_landmarks(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, trace: Trace, segment: int
    ) -> Tensor:
        """(B, H, T, D) -> the same shape."""
        nn, scale = self.nn, self.nn.shape(q)[-1] ** -0.25
        q, k = q * scale, k * scale
        q_means, k_means = (segment_means(nn, x, self.landmarks, segment) for x in (q, k))
        k_means = nn.transpose(k_means, (0, 1, 3, 2))
        between = pseudo_inverse(nn, nn.softmax(q_means @ k_means), alone=self.begins_alone)
        seen = nn.softmax(q @ k_means) @ between
        trace.attention(seen)
        return seen @ nn.attention(q_means, k, v, mask, scale=1.0)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads, values = self.nn, self.heads, self.value(x)
        q, k, v = (split_heads(nn, part, heads) for part in (self.query(x), self.key(x), values))
        if self.segment is None:
            context = nn.attention(q, k, v, mask, trace=trace)
        else:
            context = self.by_landmarks(q, k, v, mask, trace, self.segment)
        return merge_heads(nn, context) + self.conv(values)


class NystromformerModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = NystromformerEmbeddings
    encoder_class = encoder_by(__name__, "Nystromformer", NystromformerSelfAttention)

    def __init__(self, c: NystromformerConfig, *, pooler: bool = False) -> None:
        super().__init__(c, pooler=pooler)
        self.only_length = c.segment and c.segment * c.num_landmarks

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        length, only = self.nn.shape(input_ids)[1], self.only_length
        if only is not None and isinstance(length, int) and length != only:
            raise UnfitLength(
                f"texts of {length} tokens were given to a model whose landmarks are of {only}",
                hint="pad and truncate each to that length: padding='max_length', "
                f"truncation=True, max_length={only} in the tokenizer's call",
            )
        return super().embed(input_ids, token_type_ids)


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
