"""BART (Lewis et al., 2019): encoder and decoder, post-norm, learned positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    flag,
    share,
    size,
    token,
)
from hubloader.architectures._entry import (
    ENCODER,
    MASKED_LM,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import QuestionAnswering, heads
from hubloader.architectures._seq2seq import (
    Seq2SeqForSequenceClassification,
    Seq2SeqMaskedLM,
    Seq2SeqModel,
    shifted,
    tied_words,
)
from hubloader.nn.blocks import (
    activate,
    backward_mask,
    check_length,
    key_mask,
    merge_heads,
    split_heads,
)
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.nn.layer import Tensor, Trace

_OFFSET = 2  # rows of the table of positions before the first token's


@dataclass(frozen=True, kw_only=True)
class BartConfig(Config):
    """Source: transformers 5.23, ``configuration_bart.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
    }
    usual_labels = 3
    norms_first: ClassVar[bool] = False
    """Whether a layer normalises what it gets, not what it gives."""

    vocab_size: int = size(50265, most=MAX_ROWS)
    max_position_embeddings: int = size(1024, most=MAX_ROWS)
    encoder_layers: int = size(12, least=0, most=MAX_LAYERS)
    encoder_ffn_dim: int = size(4096)
    encoder_attention_heads: int = size(16)
    decoder_layers: int = size(12, least=0, most=MAX_LAYERS)
    decoder_ffn_dim: int = size(4096)
    decoder_attention_heads: int = size(16)
    activation_function: str = activation("gelu")
    d_model: int = size(1024)
    dropout: float = share(0.1)
    attention_dropout: float = share(0.0)
    activation_dropout: float = share(0.0)
    classifier_dropout: float = share(0.0)
    scale_embedding: bool = flag(False)
    pad_token_id: int | None = token(1)
    eos_token_id: int | None = token(2)
    decoder_start_token_id: int | None = token(2)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``d_model``."""
        return self.d_model

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``encoder_attention_heads``."""
        return self.encoder_attention_heads

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``encoder_layers``."""
        return self.encoder_layers

    def faults(self) -> list[str]:
        """Heads divide the width; the padding token has a row."""
        return [
            *super().faults(),
            *self.must_divide("d_model", "encoder_attention_heads"),
            *self.must_divide("d_model", "decoder_attention_heads"),
            *self.must_have_row("pad_token_id", "vocab_size"),
        ]


class BartAttention(Layer):
    """Tokens look at others, their own text's or the encoder's."""

    def __init__(self, c: BartConfig, heads: int) -> None:
        super().__init__()
        self.k_proj = self.nn.Linear(c.d_model, c.d_model)
        self.v_proj = self.nn.Linear(c.d_model, c.d_model)
        self.q_proj = self.nn.Linear(c.d_model, c.d_model)
        self.out_proj = self.nn.Linear(c.d_model, c.d_model)
        self.dropout = self.nn.Dropout(c.attention_dropout)
        self.heads = heads

    def forward(self, x: Tensor, at: Tensor, mask: Tensor | None, trace: Trace) -> Tensor:
        """X (B, T, d_model), looking at (B, S, d_model) -> the shape of x."""
        nn, heads = self.nn, self.heads
        q = split_heads(nn, self.q_proj(x), heads)
        k, v = (split_heads(nn, f(at), heads) for f in (self.k_proj, self.v_proj))
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, mask, dropout=dropout, trace=trace)
        return self.out_proj(merge_heads(nn, context))


class BartEncoderLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: BartConfig, heads: int, wide: int) -> None:
        super().__init__()
        nn = self.nn
        self.self_attn = nn.make(BartAttention, c, heads)
        self.self_attn_layer_norm = nn.LayerNorm(c.d_model)
        self.fc1 = nn.Linear(c.d_model, wide)
        self.fc2 = nn.Linear(wide, c.d_model)
        self.final_layer_norm = nn.LayerNorm(c.d_model)
        self.dropout = nn.Dropout(c.dropout)
        self.inner_dropout = nn.Dropout(c.activation_dropout)
        self.act, self.norms_first = c.activation_function, c.norms_first

    def network(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        return self.fc2(self.inner_dropout(activate(self.nn, self.act, self.fc1(x))))

    def added(self, x: Tensor, norm: Layer, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Add to x what a part makes of it, with the norm before or after: the same shape."""
        if self.norms_first:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace) -> Tensor:
        """(B, S, d_model) -> the same shape."""
        x = self.added(x, self.self_attn_layer_norm, lambda x: self.self_attn(x, x, mask, trace))
        return self.added(x, self.final_layer_norm, self.network)


class BartDecoderLayer(BartEncoderLayer):
    """Attention back, attention to the encoder, then the feed-forward network."""

    def __init__(self, c: BartConfig, heads: int, wide: int) -> None:
        super().__init__(c, heads, wide)
        self.encoder_attn = self.nn.make(BartAttention, c, heads)
        self.encoder_attn_layer_norm = self.nn.LayerNorm(c.d_model)

    def forward(  # type: ignore[override]  # it looks at the encoder too
        self,
        x: Tensor,
        mask: Tensor | None,
        memory: Tensor,
        memory_mask: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        """X (B, T, d_model), memory (B, S, d_model) -> the shape of x."""
        across = trace.across()
        x = self.added(x, self.self_attn_layer_norm, lambda x: self.self_attn(x, x, mask, trace))
        x = self.added(
            x,
            self.encoder_attn_layer_norm,
            lambda x: self.encoder_attn(x, memory, memory_mask, across),
        )
        return self.added(x, self.final_layer_norm, self.network)


class BartHalf(Layer):
    """What encoder and decoder have in common: words, positions, the norms around the layers."""

    def __init__(self, c: BartConfig, shared: Layer) -> None:
        super().__init__()
        nn = self.nn
        self.embed_tokens = shared
        self.embed_positions = nn.Embedding(c.max_position_embeddings + _OFFSET, c.d_model)
        self.layernorm_embedding = nn.LayerNorm(c.d_model)
        self.layer_norm = nn.LayerNorm(c.d_model) if c.norms_first else nn.Identity()
        self.dropout = nn.Dropout(c.dropout)
        self.scale = c.d_model**0.5 if c.scale_embedding else 1.0
        self.length = c.max_position_embeddings

    def embed(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, d_model)."""
        check_length(self.nn, input_ids, self.length)
        positions = self.nn.arange(self.nn.shape(input_ids)[1], input_ids) + _OFFSET
        x = self.embed_tokens(input_ids) * self.scale + self.embed_positions(positions)
        return self.dropout(self.layernorm_embedding(x))


class BartEncoder(BartHalf):
    """Every token looks at every other."""

    def __init__(self, c: BartConfig, shared: Layer) -> None:
        super().__init__(c, shared)
        sizes = (c.encoder_attention_heads, c.encoder_ffn_dim)
        self.layers = self.nn.stack(BartEncoderLayer, c.encoder_layers, c, *sizes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, trace: Trace) -> Tensor:
        """(B, S) -> (B, S, d_model)."""
        x = self.embed(input_ids)
        mask = key_mask(self.nn, attention_mask)
        for layer in self.layers:
            trace.hidden(x)
            x = layer(x, mask, trace)
        x = self.layer_norm(x)
        trace.hidden(x)
        return x


class BartDecoder(BartHalf):
    """Every token looks back, and at all that the encoder made."""

    def __init__(self, c: BartConfig, shared: Layer) -> None:
        super().__init__(c, shared)
        sizes = (c.decoder_attention_heads, c.decoder_ffn_dim)
        self.looks_ahead = c.looks_ahead
        self.layers = self.nn.stack(BartDecoderLayer, c.decoder_layers, c, *sizes)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        memory: Tensor,
        memory_mask: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        """(B, T), memory (B, S, d_model), its mask (B, S) -> (B, T, d_model)."""
        nn, x = self.nn, self.embed(input_ids)
        mask = key_mask(nn, attention_mask)
        mask = mask if self.looks_ahead else backward_mask(nn, x, mask)
        memory_mask = key_mask(nn, memory_mask)
        for layer in self.layers:
            trace.hidden(x)
            x = layer(x, mask, memory, memory_mask, trace)
        x = self.layer_norm(x)
        trace.hidden(x)
        return x


class BartModel(Seq2SeqModel):
    """input_ids (B, S), decoder_input_ids (B, T) -> the decoder's hidden states (B, T, d_model)."""

    def __init__(self, c: BartConfig) -> None:
        super().__init__()
        nn = self.nn
        self.shared = nn.Embedding(c.vocab_size, c.d_model, padding_idx=c.pad_token_id)
        self.encoder = nn.make(BartEncoder, c, self.words(c))
        self.decoder = nn.make(BartDecoder, c, self.words(c))
        self.first = c.decoder_start_token_id

    def words(self, c: BartConfig) -> Any:
        """Return the table of words of one half: the common one, unless the config says not so."""
        if c.extra.get("tie_word_embeddings", True):
            return self.shared
        return self.nn.Embedding(c.vocab_size, c.d_model, padding_idx=c.pad_token_id)

    def decoder_ids(self, input_ids: Tensor) -> Tensor:
        """What the decoder reads, if it is not told: the text itself, behind a first token."""
        return shifted(self.nn, input_ids, self.first)


class BartForSequenceClassification(Seq2SeqForSequenceClassification):
    """input_ids (B, T), each text with as many ends -> logits (B, num_labels), at the last end."""

    model_class = BartModel


ARCHITECTURE = Architecture(
    model_type="bart",
    config=BartConfig,
    prefix="model",
    class_prefix="Bart",
    suffixes={MASKED_LM: "ForConditionalGeneration"},
    tasks={
        ENCODER: BartModel,
        SEQUENCE_CLASSIFICATION: BartForSequenceClassification,
        **heads(
            __name__,
            "Bart",
            BartModel,
            "model",
            pooler=None,
            answers=QuestionAnswering,
            words=Seq2SeqMaskedLM,
        ),
    },
    tied=tied_words("model"),
    ignored_missing=("^final_logits_bias$",),
    ignored_unexpected=(r"(en|de)coder\.version$",),
)
