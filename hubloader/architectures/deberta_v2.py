"""DeBERTa v2 and v3 (He et al., 2020, 2021): words and relative positions attend apart.

A token's score for another is the sum of content for content, content for position, and position
for content, each over √(d · terms). Distances fall into buckets that widen logarithmically.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import MAX_ROWS
from hubloader.architectures._deberta_v2_config import DebertaV2Config
from hubloader.architectures._disentangled import DisentangledSelfAttention, Positions
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
from hubloader.architectures.bert import BertAttention, BertLayer
from hubloader.errors import UnsupportedArchitecture
from hubloader.nn.blocks import (
    activate,
    check_length,
    log_bucket_table,
    relative_distances,
)
from hubloader.nn.layer import UNTRACED, Layer, Tensor, Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class DebertaV2Embeddings(Layer):
    """Words, and positions and token types where the config has them; padding is zero."""

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__()
        nn, width = self.nn, c.embedding_width
        self.word_embeddings = nn.Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.position_embeddings = (
            nn.Embedding(c.max_position_embeddings, width) if c.position_biased_input else None
        )
        self.token_type_embeddings = (
            nn.Embedding(c.type_vocab_size, width) if c.type_vocab_size else None
        )
        self.embed_proj = (
            nn.Linear(width, c.hidden_size, bias=False) if width != c.hidden_size else None
        )
        self.LayerNorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)
        self.length = c.max_position_embeddings

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None, real: Tensor | None
    ) -> Tensor:
        """(B, T), real (B, T) bool -> (B, T, hidden_size)."""
        nn, x = self.nn, self.word_embeddings(input_ids)
        if self.position_embeddings is not None:
            check_length(nn, input_ids, self.length)
            x = x + self.position_embeddings(nn.arange(nn.shape(input_ids)[1], input_ids))
        if self.token_type_embeddings is not None:
            if token_type_ids is None:
                token_type_ids = nn.zeros_like(input_ids)
            x = x + self.token_type_embeddings(token_type_ids)
        if self.embed_proj is not None:
            x = self.embed_proj(x)
        return self.dropout(_only_real(nn, self.LayerNorm(x), real))


def _only_real(nn: Any, x: Tensor, real: Tensor | None) -> Tensor:
    """Set padding to zero: x (B, T, width), real (B, T) bool."""
    return x if real is None else x * nn.cast_like(real, x)[:, :, None]


class DebertaV2Attention(BertAttention):
    """Self-attention and its residual."""

    self_class: ClassVar[type[Layer]] = DisentangledSelfAttention


class DebertaV2Layer(BertLayer):
    """Attention, then the feed-forward network."""

    attention_class: ClassVar[type[Layer]] = DebertaV2Attention


class ConvLayer(Layer):
    """Neighbours of the embeddings, folded into what the first layer made of them."""

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__()
        nn = self.nn
        self.conv = nn.Conv1d(
            c.hidden_size, c.hidden_size, c.conv_kernel_size, groups=c.conv_groups
        )
        self.LayerNorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)
        self.activation = c.conv_act

    def forward(self, embedded: Tensor, x: Tensor, real: Tensor | None) -> Tensor:
        """(B, T, hidden_size) twice, real (B, T) bool -> (B, T, hidden_size)."""
        near = self.dropout(_only_real(self.nn, self.conv(embedded), real))
        x = self.LayerNorm(x + activate(self.nn, self.activation, near))
        return _only_real(self.nn, x, real)


class DebertaV2Encoder(Layer):
    """The stack of layers, the relative embeddings, and the convolution after the first layer."""

    layer_class: ClassVar[type[Layer]] = DebertaV2Layer
    c2p: Tensor
    p2c: Tensor

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__()
        nn = self.nn
        self.layer = nn.stack(self.layer_class, c.num_hidden_layers, c)
        self.relative = c.relative_attention
        self.span, self.farthest = c.span, 2 * c.reach
        if self.relative:
            self.rel_embeddings = nn.Embedding(2 * c.span, c.hidden_size)
            rows = _rows(c)
            nn.buffer(self, "c2p", rows)
            nn.buffer(self, "p2c", rows[::-1].copy())  # the same distance, seen from the key
        self.LayerNorm = (
            nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps) if c.normalises_positions else None
        )
        self.conv = nn.make(ConvLayer, c) if c.conv_kernel_size else None

    def positions(self, like: Tensor) -> Positions | None:
        """(B, T, …), for its length and place."""
        if not self.relative:
            return None
        nn = self.nn
        embeddings = self.rel_embeddings(nn.arange(2 * self.span, like))
        if self.LayerNorm is not None:
            embeddings = self.LayerNorm(embeddings)
        distances = relative_distances(nn, like, self.farthest)
        return Positions(embeddings, nn.take(self.c2p, distances), nn.take(self.p2c, distances))

    def forward(self, x: Tensor, real: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size), real (B, T) bool -> (B, T, hidden_size)."""
        # Padding looks at nothing, so that its hidden states are transformers' too.
        mask = None if real is None else real[:, None, None, :] & real[:, None, :, None]
        embedded, positions = x, self.positions(x)
        trace.hidden(x)
        for i, layer in enumerate(self.layer):
            x = layer(x, mask, positions, trace)
            if i == 0 and self.conv is not None:
                x = self.conv(embedded, x, real)
            trace.hidden(x)
        return x


def _rows(c: DebertaV2Config) -> NDArray[np.int64]:
    """Row of the relative embeddings for each distance from -2 * reach to 2 * reach.

    Twice the reach, so that its end has come to the last bucket whatever was rounded on the way.
    """
    import numpy as np  # first use: a model is being built

    far = 2 * c.reach
    buckets: NDArray[np.int64] = (
        log_bucket_table(c.position_buckets, c.reach, far)
        if c.position_buckets > 0
        else np.arange(-far, far + 1)
    )
    return np.clip(buckets + c.span, 0, 2 * c.span - 1)


class DebertaV2Model(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class: ClassVar[type[Layer]] = DebertaV2Encoder

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__()
        self.embeddings = self.nn.make(DebertaV2Embeddings, c)
        self.encoder = self.nn.make(self.encoder_class, c)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        real = None if attention_mask is None else self.nn.cast_bool(attention_mask)
        if real is not None and self.nn.masks_nothing(real):
            real = None
        return self.encoder(self.embeddings(input_ids, token_type_ids, real), real, trace)


class ContextPooler(Layer):
    """The first token through one more layer."""

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.dropout = self.nn.Dropout(c.pooler_dropout)
        self.activation = c.pooler_hidden_act

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return activate(self.nn, self.activation, self.dense(self.dropout(hidden[:, 0])))


class DebertaV2ForSequenceClassification(Head):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class: ClassVar[type[Layer]] = DebertaV2Model
    prefix = "deberta"
    pools = None

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__(c)
        self.pooler = self.nn.make(ContextPooler, c)
        self.classifier = self.nn.Linear(c.hidden_size, c.num_labels)
        self.dropout = self.nn.Dropout(c.head_dropout)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, num_labels)."""
        return self.classifier(self.dropout(self.pooler(hidden)))

    def unnamed_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of a problem without a name: classes, those below 0 left out, or their shares.

        Args:
            logits: (B, num_labels).
            labels: (B,) classes; none of them given is no loss. Or (B, num_labels) probabilities.

        """
        nn = self.nn
        likely = nn.log_softmax(logits)
        if len(labels.shape) > 1 and labels.shape[-1] != 1:
            chosen = nn.sum(likely * nn.cast_like(labels, likely), -1)
            counted = nn.cast_int(nn.zeros_like(chosen)) + 1
        else:
            classes = nn.cast_int(nn.reshape(labels, (-1, 1)))
            counted = nn.cast_int(classes >= 0)[:, 0]
            chosen = nn.take_along(likely, nn.clip(classes, 0, MAX_ROWS))[:, 0]
            chosen = chosen * nn.cast_like(counted, chosen)
        rows = nn.clip(nn.sum(counted, 0), 1, MAX_ROWS)
        return -nn.sum(chosen, 0) / nn.cast_like(rows, chosen)


class DebertaMaskedWords(ClsMaskedLM):
    """Masked words, by the head that all but a few checkpoints have."""

    def __init__(self, c: DebertaV2Config) -> None:
        if c.extra.get("legacy") is False:
            raise UnsupportedArchitecture(
                "legacy: false, a head for masked words that few have, is not implemented here",
                hint="it needs transformers, on PyTorch: pip install transformers",
            )
        super().__init__(c)


class DebertaV2Choice(MultipleChoice):
    """The first token through one more layer."""

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__(c)
        self.pooler = self.nn.make(ContextPooler, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, T, hidden_size) -> (B * choices, 1)."""
        return self.classifier(self.dropout(self.pooler(hidden)))


ARCHITECTURE = Architecture(
    model_type="deberta-v2",
    config=DebertaV2Config,
    prefix="deberta",
    class_prefix="DebertaV2",
    tasks={
        ENCODER: DebertaV2Model,
        SEQUENCE_CLASSIFICATION: DebertaV2ForSequenceClassification,
        **heads(
            __name__,
            "DebertaV2",
            DebertaV2Model,
            "deberta",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=DebertaMaskedWords,
            choices=DebertaV2Choice,
        ),
    },
    ignored_unexpected=("position_embeddings", "mask_predictions"),
    takes_besides=("inputs_embeds", "position_ids"),
)
