"""T5 (Raffel et al., 2019): encoder and decoder, pre-norm, positions as a bias by distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import (
    ENCODER,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import TokenClassification, heads
from hubloader.architectures._seq2seq import (
    Seq2SeqForSequenceClassification,
    Seq2SeqModel,
    shifted,
    tied_words,
)
from hubloader.architectures._t5_config import T5Config
from hubloader.nn.blocks import (
    activate,
    backward_mask,
    key_mask,
    merge_heads,
    relative_distances,
    split_heads,
    t5_bucket_table,
)
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


class T5Attention(Layer):
    """Tokens look at others, their own text's or the encoder's; scores are not scaled."""

    buckets: Tensor

    def __init__(self, c: T5Config, *, back_alone: bool = False, biased: bool = False) -> None:
        super().__init__()
        nn, inner = self.nn, c.num_heads * c.d_kv
        self.q = nn.Linear(c.d_model, inner, bias=False)
        self.k = nn.Linear(c.d_model, inner, bias=False)
        self.v = nn.Linear(c.d_model, inner, bias=False)
        self.o = nn.Linear(inner, c.d_model, bias=False)
        self.dropout = nn.Dropout(c.dropout_rate)
        self.heads, self.farthest = c.num_heads, c.relative_attention_max_distance
        self.biased = biased
        if biased:
            buckets = c.relative_attention_num_buckets
            self.relative_attention_bias = nn.Embedding(buckets, c.num_heads)
            table = t5_bucket_table(buckets, self.farthest, both_ways=not back_alone)
            nn.buffer(self, "buckets", table)

    def bias(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> (1, H, T, T): what is added to scores, by distance."""
        nn = self.nn
        buckets = nn.take(self.buckets, relative_distances(nn, x, self.farthest))
        return nn.transpose(self.relative_attention_bias(buckets), (2, 0, 1))[None]

    def forward(
        self, x: Tensor, at: Tensor, mask: Tensor | None, bias: Tensor | None, trace: Trace
    ) -> Tensor:
        """X (B, T, d_model), looking at (B, S, d_model) -> the shape of x."""
        nn, heads = self.nn, self.heads
        q = split_heads(nn, self.q(x), heads)
        k, v = split_heads(nn, self.k(at), heads), split_heads(nn, self.v(at), heads)
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, mask, bias, dropout=dropout, scale=1.0, trace=trace)
        return self.o(merge_heads(nn, context))


class T5Network(Layer):
    """The feed-forward network, with or without a gate."""

    def __init__(self, c: T5Config) -> None:
        super().__init__()
        for name in ("wi_0", "wi_1") if c.is_gated else ("wi",):
            setattr(self, name, self.nn.Linear(c.d_model, c.d_ff, bias=False))
        self.wo = self.nn.Linear(c.d_ff, c.d_model, bias=False)
        self.wo.keeps_float32 = True  # published models' sums are beyond float16
        self.dropout = self.nn.Dropout(c.dropout_rate)
        self.act, self.is_gated = c.act, c.is_gated

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        if self.is_gated:
            inner = activate(self.nn, self.act, self.wi_0(x)) * self.wi_1(x)
        else:
            inner = activate(self.nn, self.act, self.wi(x))
        return self.wo(self.nn.as_weights(self.dropout(inner), self.wo))

    if TYPE_CHECKING:
        wi: Layer
        wi_0: Layer
        wi_1: Layer


class T5Part(Layer):
    """A norm and what comes after it, added to what came in."""

    def __init__(self, c: T5Config, name: str, part: Layer) -> None:
        super().__init__()
        setattr(self, name, part)
        self.layer_norm = self.nn.RMSNorm(c.d_model, eps=c.layer_norm_epsilon)
        self.dropout = self.nn.Dropout(c.dropout_rate)
        self.part_name = name

    @property
    def part(self) -> Any:
        """What comes after the norm."""
        return getattr(self, self.part_name)

    def forward(
        self,
        x: Tensor,
        at: Tensor | None = None,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        *,
        trace: Trace | None = None,
    ) -> Tensor:
        """X (B, T, d_model), looking at its own or at others' states -> the shape of x."""
        normed = self.nn.as_weights(self.layer_norm(x), self.layer_norm)
        if trace is None:
            return self.nn.add(x, self.dropout(self.part(normed)))
        made = self.part(normed, normed if at is None else at, mask, bias, trace)
        return self.nn.add(x, self.dropout(made))


class T5Block(Layer):
    """Attention; attention to the encoder, in a decoder; the feed-forward network."""

    def __init__(self, c: T5Config, index: int, *, decodes: bool) -> None:
        super().__init__()
        nn = self.nn
        biased = index == 0 or c.bias_in_every_layer
        own = nn.make(T5Attention, c, back_alone=decodes, biased=biased)
        parts = [nn.make(T5Part, c, "SelfAttention", own)]
        if decodes:
            parts.append(nn.make(T5Part, c, "EncDecAttention", nn.make(T5Attention, c)))
        parts.append(nn.make(T5Part, c, "DenseReluDense", nn.make(T5Network, c)))
        self.layer = nn.ModuleList(parts)

    def bias(self, x: Tensor, before: Tensor | None) -> Tensor | None:
        """Return what is added to scores, (1, H, T, T): its own, or that of the layer before."""
        attention = self.layer[0].part
        return attention.bias(x) if attention.biased else before

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        bias: Tensor | None,
        memory: Tensor | None,
        memory_mask: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        """X (B, T, d_model), memory (B, S, d_model) -> the shape of x."""
        x = self.layer[0](x, None, mask, bias, trace=trace)
        if memory is not None:
            x = self.layer[1](x, memory, memory_mask, trace=trace.across())
        return self.layer[-1](x)


class T5Stack(Layer):
    """Encoder or decoder: every token looks at every other, or back and at the encoder."""

    def __init__(self, c: T5Config, shared: Layer, layers: int, *, decodes: bool) -> None:
        super().__init__()
        nn = self.nn
        self.embed_tokens = shared
        self.block = nn.ModuleList([nn.make(T5Block, c, i, decodes=decodes) for i in range(layers)])
        self.final_layer_norm = nn.RMSNorm(c.d_model, eps=c.layer_norm_epsilon)
        self.dropout = nn.Dropout(c.dropout_rate)
        self.looks_ahead = c.looks_ahead

    def run(
        self,
        x: Tensor,
        mask: Tensor | None,
        memory: Tensor | None,
        memory_mask: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        """X (B, T, d_model) -> the same shape."""
        x, bias = self.dropout(x), None
        for block in self.block:
            trace.hidden(x)
            bias = block.bias(x, bias)
            x = block(x, mask, bias, memory, memory_mask, trace)
        x = self.dropout(self.nn.as_weights(self.final_layer_norm(x), self.final_layer_norm))
        trace.hidden(x)
        return x


class T5Encoder(T5Stack):
    """Every token looks at every other."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, trace: Trace) -> Tensor:
        """(B, S) -> (B, S, d_model)."""
        mask = key_mask(self.nn, attention_mask)
        return self.run(self.embed_tokens(input_ids), mask, None, None, trace)


class T5Decoder(T5Stack):
    """Every token looks back, and at all that the encoder made."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        memory: Tensor,
        memory_mask: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        """(B, T), memory (B, S, d_model), its mask (B, S) -> (B, T, d_model)."""
        nn, x = self.nn, self.embed_tokens(input_ids)
        mask = key_mask(nn, attention_mask)
        mask = mask if self.looks_ahead else backward_mask(nn, x, mask)
        return self.run(x, mask, memory, key_mask(nn, memory_mask), trace)


class T5Model(Seq2SeqModel):
    """input_ids (B, S), decoder_input_ids (B, T) -> the decoder's hidden states (B, T, d_model)."""

    def __init__(self, c: T5Config) -> None:
        super().__init__()
        nn = self.nn
        layers = c.num_layers if c.num_decoder_layers is None else c.num_decoder_layers
        self.shared = nn.Embedding(c.vocab_size, c.d_model)
        self.encoder = nn.make(T5Encoder, c, self.shared, c.num_layers, decodes=False)
        self.decoder = nn.make(T5Decoder, c, self.shared, layers, decodes=True)

    def decoder_ids(self, input_ids: Tensor) -> Tensor:
        """Nothing: a bare T5 has to be told what its decoder reads."""
        del input_ids
        raise ValueError("You must specify decoder_input_ids: a bare T5 does not make its own")


class T5EncoderModel(Encoder):
    """input_ids (B, S) -> the encoder's hidden states (B, S, d_model)."""

    def __init__(self, c: T5Config) -> None:
        super().__init__()
        nn = self.nn
        self.shared = nn.Embedding(c.vocab_size, c.d_model)
        self.encoder = nn.make(T5Encoder, c, self.shared, c.num_layers, decodes=False)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, S) -> (B, S, d_model)."""
        return self.encoder(input_ids, attention_mask, trace)


class T5TextModel(T5Model):
    """The same inside a head's model: its decoder reads the text itself, if it is not told."""

    def __init__(self, c: T5Config) -> None:
        super().__init__(c)
        self.first = c.decoder_start_token_id

    def decoder_ids(self, input_ids: Tensor) -> Tensor:
        """The text itself, behind a first token."""
        return shifted(self.nn, input_ids, self.first)


class T5ForSequenceClassification(Seq2SeqForSequenceClassification):
    """input_ids (B, T), each text with as many ends -> logits (B, num_labels), at the last end."""

    prefix = "transformer"
    model_class = T5TextModel


class T5ForQuestionAnswering(T5TextModel):
    """input_ids (B, S), decoder_input_ids (B, T) -> logits of both ends (B, T, 2).

    Encoder and decoder lie beside the head, in no model of their own.
    """

    def __init__(self, c: T5Config) -> None:
        super().__init__(c)
        self.qa_outputs = self.nn.Linear(c.d_model, 2)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, T, 2)."""
        return self.qa_outputs(hidden)


ARCHITECTURE = Architecture(
    model_type="t5",
    config=T5Config,
    prefix="transformer",
    class_prefix="T5",
    tasks={
        ENCODER: T5Model,
        SEQUENCE_CLASSIFICATION: T5ForSequenceClassification,
        **heads(
            __name__, "T5", T5EncoderModel, "transformer", pooler=None, tokens=TokenClassification
        ),
        QUESTION_ANSWERING: T5ForQuestionAnswering,
    },
    tied=tied_words("transformer"),
    ignored_unexpected=(r"EncDecAttention\.relative_attention_bias\.weight$",),
    passes_over={TOKEN_CLASSIFICATION: (r"^(transformer\.)?decoder\.",)},
)
