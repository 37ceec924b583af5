"""Funnel Transformer (Dai et al., 2020): blocks of layers, each on half as many tokens.

Between blocks, neighbours are pooled in pairs, and the first token is kept by itself. A classifier
stands on the shortest sequence; the bare model brings it back to all tokens in a small decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import (
    ENCODER,
    MULTIPLE_CHOICE,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._funnel_attention import FunnelAttention, Level, Pooling
from hubloader.architectures._funnel_config import FunnelConfig
from hubloader.architectures._heads import (
    Head,
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import Bias, MaskedLM
from hubloader.nn.blocks import activate
from hubloader.nn.layer import UNTRACED, Layer, Trace

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


class FunnelFeedForward(Layer):
    """Wider, bent, and back; normalised after the residual."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn = self.nn
        self.linear_1 = nn.Linear(c.d_model, c.d_inner)
        self.linear_2 = nn.Linear(c.d_inner, c.d_model)
        self.activation_dropout = nn.Dropout(c.activation_dropout)
        self.dropout = nn.Dropout(c.hidden_dropout)
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.activation = c.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        wide = self.activation_dropout(activate(self.nn, self.activation, self.linear_1(x)))
        return self.layer_norm(x + self.dropout(self.linear_2(wide)))


class FunnelLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.attention = self.nn.make(FunnelAttention, c)
        self.ffn = self.nn.make(FunnelFeedForward, c)

    def forward(self, x: Tensor, keys: Tensor, asking: Level, asked: Level, trace: Trace) -> Tensor:
        """Queries (B, T, d_model), keys (B, S, d_model) -> (B, T, d_model)."""
        return self.ffn(self.attention(x, keys, asking, asked, trace))


class FunnelEncoder(Layer):
    """The blocks, and the pooling between them."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn = self.nn
        self.blocks = nn.ModuleList([nn.stack(FunnelLayer, n, c) for n in c.block_sizes])
        self.pooling = nn.make(Pooling, c)
        self.repeats, self.queries_alone = c.repeats, c.pool_q_only
        self.first_block = c.block_sizes[0]

    def passed(
        self, index: int, x: Tensor, level: Level, trace: Trace, *, pools: bool
    ) -> tuple[Tensor, Level]:
        """Run through one block, whose first layer may pool: hidden states, and their level."""
        keys, asked = x, level
        if pools:
            x, level = self.pooling.hidden(x), self.pooling.level(level)
            keys, asked = (keys, asked) if self.queries_alone else (x, level)
        for layer in self.blocks[index]:
            for _ in range(self.repeats[index]):
                x = layer(x, keys, level, asked, trace)
                keys, asked = x, level
                trace.hidden(x)
        return x, level

    def pooled(self, index: int, x: Tensor, level: Level, trace: Trace) -> tuple[Tensor, Level]:
        """Run through a later block, which pools a text that is long enough."""
        calls = len(self.blocks[index]) * self.repeats[index]

        def flat(*, pools: bool) -> list[Tensor]:
            kept = Trace(hidden_states=trace.hidden_states, attentions=trace.attentions)
            found, then = self.passed(index, x, level, kept, pools=pools)
            known = [part for part in then if part is not None]
            return [found, *known, *kept.kept_hidden_states, *kept.kept_attentions]

        long_enough = self.nn.shape(x)[1] > self.pooling.shortest
        found, *rest = self.nn.choose(
            long_enough, lambda: flat(pools=True), lambda: flat(pools=False)
        )
        parts = iter(rest)
        level = Level(*(None if part is None else next(parts) for part in level))
        for _ in range(calls if trace.hidden_states else 0):
            trace.hidden(next(parts))
        for _ in range(calls if trace.attentions else 0):
            trace.attention(next(parts))
        return found, level

    def forward(self, x: Tensor, level: Level, trace: Trace) -> tuple[Tensor, Tensor]:
        """(B, T, d_model) -> the shortest hidden states, and those after the first block."""
        kept = Trace(hidden_states=True, attentions=trace.attentions)
        kept.hidden(x)
        x, level = self.passed(0, x, level, kept, pools=False)
        for hidden in kept.kept_hidden_states:
            trace.hidden(hidden)
        for probabilities in kept.kept_attentions:
            trace.attention(probabilities)
        for index in range(1, len(self.repeats)):
            x, level = self.pooled(index, x, level, trace)
        return x, kept.kept_hidden_states[self.first_block]


class FunnelDecoder(Layer):
    """All tokens again: what the first block made of them, and the shortest sequence spread out."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.layers = self.nn.stack(FunnelLayer, c.num_decoder_layers, c)
        self.stride = 2 ** (len(c.block_sizes) - 1)
        self.separate, self.truncate = c.separate_cls, c.truncate_seq

    def lengthened(self, x: Tensor, tokens: Any) -> Tensor:
        """(B, S, d_model) -> (B, tokens, d_model)."""
        nn, first = self.nn, x[:, :1]
        if self.stride == 1:
            return x
        rest = x[:, 1:] if self.separate else x
        b, s, width = nn.shape(rest)
        rest = nn.reshape(
            nn.concat([rest[:, :, None]] * self.stride, 2), (b, s * self.stride, width)
        )
        if not self.separate:
            return rest[:, :tokens]
        if self.truncate:
            rest = nn.concat([rest, *([nn.zeros_like(first)] * (self.stride - 1))], 1)
        return nn.concat([first, rest[:, : tokens - 1]], 1)

    def forward(self, short: Tensor, x: Tensor, level: Level, trace: Trace) -> Tensor:
        """(B, S, d_model), (B, T, d_model) -> (B, T, d_model)."""
        x = self.lengthened(short, self.nn.shape(x)[1]) + x
        trace.hidden(x)
        for layer in self.layers:
            x = layer(x, x, level, level, trace)
            trace.hidden(x)
        return x


class FunnelEmbeddings(Layer):
    """Words, normalised."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn = self.nn
        self.word_embeddings = nn.Embedding(c.vocab_size, c.d_model, padding_idx=c.pad_token_id)
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, d_model)."""
        return self.dropout(self.layer_norm(self.word_embeddings(input_ids)))


class FunnelBaseModel(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> the shortest hidden states.

    They are (B, S, d_model), S being T halved once for each block after the first.
    """

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.embeddings = self.nn.make(FunnelEmbeddings, c)
        self.encoder = self.nn.make(FunnelEncoder, c)
        self.decoder: FunnelDecoder | None = None

    def level(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None
    ) -> Level:
        """Return what is known of the tokens as they came."""
        nn = self.nn
        types = nn.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        real = None if attention_mask is None else nn.cast_bool(attention_mask)
        if real is not None and nn.masks_nothing(real):
            real = None
        places = nn.arange(nn.shape(input_ids)[1], input_ids)
        return Level(types, real, places, nn.arange(1, input_ids) + 1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, S, d_model)."""
        level = self.level(input_ids, attention_mask, token_type_ids)
        short, first = self.encoder(self.embeddings(input_ids), level, trace)
        return short if self.decoder is None else self.decoder(short, first, level, trace)


class FunnelModel(FunnelBaseModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, d_model).

    Of a checkpoint of the base model, the shortest hidden states.
    """

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        if c.lengthens:
            self.decoder = self.nn.make(FunnelDecoder, c)


class FunnelClassificationHead(Layer):
    """The first token through one more layer."""

    def __init__(self, c: FunnelConfig, answers: int) -> None:
        super().__init__()
        self.linear_hidden = self.nn.Linear(c.d_model, c.d_model)
        self.dropout = self.nn.Dropout(c.hidden_dropout)
        self.linear_out = self.nn.Linear(c.d_model, answers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, d_model) -> (B, answers)."""
        return self.linear_out(self.dropout(self.nn.tanh(self.linear_hidden(x))))


class FunnelForSequenceClassification(Head):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = FunnelBaseModel
    prefix = "funnel"
    pools = None

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        self.classifier = self.nn.make(FunnelClassificationHead, c, c.num_labels)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, num_labels)."""
        return self.classifier(hidden[:, 0])


class FunnelMaskedWords(MaskedLM):
    """Masked words, of the hidden states as they are."""

    pools = None

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        self.lm_head = self.nn.make(Bias, c, c.d_model)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, T, vocab_size)."""
        return self.lm_head(hidden, self.words)


class FunnelForMultipleChoice(MultipleChoice):
    """Inputs (B, choices, T) -> logits of the choices: (B, choices)."""

    model_class = FunnelBaseModel
    prefix = "funnel"
    pools = None

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        self.classifier = self.nn.make(FunnelClassificationHead, c, 1)

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, S, d_model) -> (B * choices, 1)."""
        return self.classifier(hidden[:, 0])


ARCHITECTURE = Architecture(
    model_type="funnel",
    config=FunnelConfig,
    prefix="funnel",
    class_prefix="Funnel",
    tasks={
        ENCODER: FunnelModel,
        SEQUENCE_CLASSIFICATION: FunnelForSequenceClassification,
        **heads(
            __name__,
            "Funnel",
            FunnelModel,
            "funnel",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=FunnelMaskedWords,
        ),
        MULTIPLE_CHOICE: FunnelForMultipleChoice,
    },
    ignored_unexpected=(r"^(?:funnel\.)?decoder\.",),
    takes_besides=("inputs_embeds",),
)
