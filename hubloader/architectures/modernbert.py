"""ModernBERT (Warner et al., 2024): pre-norm, rotary, gated MLP, attention mostly local."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import Head, MultipleChoice, heads
from hubloader.architectures._masked_words import Bias, MaskedLM
from hubloader.architectures._modernbert_config import GLOBAL, LOCAL, ModernBertConfig
from hubloader.nn.blocks import (
    activate,
    key_mask,
    mean_of_tokens,
    merge_heads,
    rotary_frequencies,
    rotary_tables,
    rotate,
    window_mask,
)
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


class ModernBertEmbeddings(Layer):
    """Words, normalised; positions come with the attention."""

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__()
        nn = self.nn
        self.tok_embeddings = nn.Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.norm = nn.LayerNorm(c.hidden_size, eps=c.norm_eps, bias=c.norm_bias)
        self.drop = nn.Dropout(c.embedding_dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        return self.drop(self.norm(self.tok_embeddings(input_ids)))


class ModernBertMLP(Layer):
    """The gated feed-forward network."""

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__()
        self.Wi = self.nn.Linear(c.hidden_size, 2 * c.intermediate_size, bias=c.mlp_bias)
        self.Wo = self.nn.Linear(c.intermediate_size, c.hidden_size, bias=c.mlp_bias)
        self.drop = self.nn.Dropout(c.mlp_dropout)
        self.activation = c.hidden_activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        value, gate = self.nn.split(self.Wi(x), 2)
        return self.Wo(self.drop(activate(self.nn, self.activation, value) * gate))


class ModernBertAttention(Layer):
    """Self-attention with rotated queries and keys."""

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__()
        self.Wqkv = self.nn.Linear(c.hidden_size, 3 * c.hidden_size, bias=c.attention_bias)
        self.Wo = self.nn.Linear(c.hidden_size, c.hidden_size, bias=c.attention_bias)
        self.out_drop = self.nn.Dropout(c.attention_dropout)
        self.heads = c.num_attention_heads

    def forward(
        self, x: Tensor, mask: Tensor | None, rope: tuple[Tensor, Tensor], trace: Trace
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn = self.nn
        b, t, width = nn.shape(x)
        qkv = nn.reshape(self.Wqkv(x), (b, t, 3, self.heads, width // self.heads))
        qkv = nn.transpose(qkv, (2, 0, 3, 1, 4))  # (3, B, H, T, D)
        q, k, v = rotate(nn, qkv[0], rope), rotate(nn, qkv[1], rope), qkv[2]
        dropout = self.out_drop.p if self.training else 0.0
        context = nn.attention(q, k, v, mask, dropout=dropout, trace=trace)
        return self.out_drop(self.Wo(merge_heads(nn, context)))


class ModernBertEncoderLayer(Layer):
    """Norm and attention, norm and MLP; the first layer's input is normalised already."""

    def __init__(self, c: ModernBertConfig, index: int) -> None:
        super().__init__()
        nn = self.nn
        self.attn_norm = (
            nn.LayerNorm(c.hidden_size, eps=c.norm_eps, bias=c.norm_bias)
            if index
            else nn.Identity()
        )
        self.attn = nn.make(ModernBertAttention, c)
        self.mlp_norm = nn.LayerNorm(c.hidden_size, eps=c.norm_eps, bias=c.norm_bias)
        self.mlp = nn.make(ModernBertMLP, c)

    def forward(
        self, x: Tensor, mask: Tensor | None, rope: tuple[Tensor, Tensor], trace: Trace
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = x + self.attn(self.attn_norm(x), mask, rope, trace)
        return x + self.mlp(self.mlp_norm(x))


class ModernBertModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    global_frequencies: Tensor
    local_frequencies: Tensor

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__()
        nn = self.nn
        self.embeddings = nn.make(ModernBertEmbeddings, c)
        self.layers = nn.ModuleList(
            [nn.make(ModernBertEncoderLayer, c, i) for i in range(c.num_hidden_layers)]
        )
        self.final_norm = nn.LayerNorm(c.hidden_size, eps=c.norm_eps, bias=c.norm_bias)
        width = c.hidden_size // c.num_attention_heads
        nn.buffer(self, "global_frequencies", rotary_frequencies(width, c.theta(GLOBAL)))
        nn.buffer(self, "local_frequencies", rotary_frequencies(width, c.theta(LOCAL)))
        self.reaches = c.reaches
        self.window = c.near

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size); the last hidden states kept are normalised."""
        nn, x = self.nn, self.embeddings(input_ids)
        mask = key_mask(nn, attention_mask)
        masks = {GLOBAL: mask, LOCAL: window_mask(nn, x, self.window, mask)}
        ropes = {
            GLOBAL: rotary_tables(nn, self.global_frequencies, x),
            LOCAL: rotary_tables(nn, self.local_frequencies, x),
        }
        for layer, reach in zip(self.layers, self.reaches, strict=True):
            trace.hidden(x)
            x = layer(x, masks[reach], ropes[reach], trace)
        x = self.final_norm(x)
        trace.hidden(x)
        return x


class ModernBertPredictionHead(Layer):
    """One more layer, normalised."""

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size, bias=c.classifier_bias)
        self.norm = self.nn.LayerNorm(c.hidden_size, eps=c.norm_eps, bias=c.norm_bias)
        self.activation = c.classifier_activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, hidden_size) -> the same shape."""
        return self.norm(activate(self.nn, self.activation, self.dense(x)))


class ModernBertForSequenceClassification(Layer):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__()
        self.model = self.nn.make(ModernBertModel, c)
        self.head = self.nn.make(ModernBertPredictionHead, c)
        self.drop = self.nn.Dropout(c.classifier_dropout)
        self.classifier = self.nn.Linear(c.hidden_size, c.num_labels)
        self.pooling = c.classifier_pooling

    def pool(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(B, T, hidden_size) -> (B, hidden_size): the first token, or the mean of all."""
        if self.pooling == "cls":
            return hidden[:, 0]
        return mean_of_tokens(self.nn, hidden, attention_mask)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, num_labels)."""
        hidden = self.model(input_ids, attention_mask, trace=trace)
        return self.classifier(self.drop(self.head(self.pool(hidden, attention_mask))))


class _ModernBertHead(Head):
    """Every token through one more layer."""

    pools = None
    outputs: ClassVar[int | None] = None

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__(c)
        self.head = self.nn.make(ModernBertPredictionHead, c)
        self.drop = self.nn.Dropout(c.classifier_dropout)
        self.classifier = self.nn.Linear(c.hidden_size, self.outputs or c.num_labels)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, outputs)."""
        return self.classifier(self.drop(self.head(hidden)))


class ModernBertTokens(_ModernBertHead):
    """Hidden states -> logits of every token: (B, T, num_labels)."""


class ModernBertAnswers(_ModernBertHead):
    """Hidden states -> how well an answer would begin, and end, with each token: (B, T, 2)."""

    outputs = 2


class ModernBertMaskedWords(MaskedLM):
    """Hidden states -> logits of every word at every place: (B, T, vocab_size)."""

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__(c)
        self.head = self.nn.make(ModernBertPredictionHead, c)
        self.decoder = self.nn.make(Bias, c, c.hidden_size)

    @property
    def words(self) -> Any:
        """The table of words."""
        return self.body.embeddings.tok_embeddings

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        return self.decoder(self.head(hidden), self.words)


class ModernBertChoice(MultipleChoice):
    """Inputs (B, choices, T) -> logits of the choices; of the first token that is no padding."""

    pools = None

    def __init__(self, c: ModernBertConfig) -> None:
        super().__init__(c)
        self.head = self.nn.make(ModernBertPredictionHead, c)
        self.pooling = c.classifier_pooling

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """(B, choices, T) -> (B, choices)."""
        nn = self.nn
        asked = dict(zip(("input_ids", "attention_mask"), inputs, strict=False)) | named
        ids, mask = asked["input_ids"], asked.get("attention_mask")
        choices, tokens = nn.shape(ids)[1:]
        if mask is not None:
            mask = nn.reshape(mask, (-1, tokens))
        hidden = self.body(nn.reshape(ids, (-1, tokens)), mask, trace=trace)
        return nn.reshape(self.score(hidden, mask), (-1, choices))

    def score(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(B * choices, T, hidden_size) -> (B * choices, 1)."""
        nn = self.nn
        if self.pooling == "mean":
            pooled = mean_of_tokens(nn, hidden, attention_mask)
        elif attention_mask is None:
            pooled = hidden[:, 0]
        else:
            real = nn.cast_int(nn.cast_bool(attention_mask))
            first = nn.cast_like((nn.cumsum(real, 1) * real) == 1, hidden)
            none = nn.cast_like(nn.sum(real, 1) == 0, hidden)[:, None]  # its first, as it is
            place = nn.cast_like(nn.arange(nn.shape(hidden)[1], hidden) == 0, hidden)[None]
            pooled = nn.sum(hidden * (first + none * place)[:, :, None], 1)
        return self.classifier(self.dropout(self.head(pooled)))


ARCHITECTURE = Architecture(
    model_type="modernbert",
    config=ModernBertConfig,
    prefix="model",
    class_prefix="ModernBert",
    tasks={
        ENCODER: ModernBertModel,
        SEQUENCE_CLASSIFICATION: ModernBertForSequenceClassification,
        **heads(
            __name__,
            "ModernBert",
            ModernBertModel,
            "model",
            pooler=None,
            tokens=ModernBertTokens,
            answers=ModernBertAnswers,
            words=ModernBertMaskedWords,
            choices=ModernBertChoice,
        ),
    },
    takes_besides=("inputs_embeds",),
)
