"""XLM (Conneau and Lample, 2019): post-norm encoder; positions and languages added to words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures._beams import BeamAnswers
from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    amount,
    flag,
    share,
    size,
    token,
)
from hubloader.architectures._encoder import Encoder, NamedSelfAttention
from hubloader.architectures._entry import (
    ENCODER,
    MASKED_LM,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import (
    Head,
    QuestionAnswering,
    SummaryMultipleChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import Bias, MaskedLM
from hubloader.architectures._summary import SequenceSummary, activation_or_none, summary_type
from hubloader.nn.blocks import backward_mask, check_length
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class XLMConfig(Config):
    """Source: transformers 5.23, ``configuration_xlm.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "emb_dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "n_words": "vocab_size",
        "pad_index": "pad_token_id",
    }

    vocab_size: int = size(30145, most=MAX_ROWS)
    emb_dim: int = size(2048)
    n_layers: int = size(12, least=0, most=MAX_LAYERS)
    n_heads: int = size(16)
    dropout: float = share(0.1)
    attention_dropout: float = share(0.1)
    gelu_activation: bool = flag(True)
    causal: bool = flag(False)
    n_langs: int = size(1)
    use_lang_emb: bool = flag(True)
    max_position_embeddings: int = size(512, most=MAX_ROWS)
    layer_norm_eps: float = amount(1e-12, positive=False)
    is_encoder: bool = flag(True)
    start_n_top: int = size(5)
    end_n_top: int = size(5)
    pad_token_id: int | None = token(2)
    summary_type: str = summary_type("first")
    summary_use_proj: bool = flag(True)
    summary_activation: str | None = activation_or_none(None)
    summary_proj_to_labels: bool = flag(True)
    summary_first_dropout: float = share(0.1)
    summary_last_dropout: float = share(0.0)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``emb_dim``."""
        return self.emb_dim

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``n_heads``."""
        return self.n_heads

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``n_layers``."""
        return self.n_layers

    @property
    def languages(self) -> int:
        """How many languages have an embedding; 0 where none is used."""
        return self.n_langs if self.use_lang_emb and self.n_langs > 1 else 0

    @property
    def normalises_first(self) -> bool:
        """Whether a layer normalises what comes in, and not what goes out."""
        return False

    @property
    def decodes(self) -> bool:
        """Never: ``causal`` says it here, and the layers know it."""
        return False

    def faults(self) -> list[str]:
        """Heads divide the width; the padding token has a row."""
        return [
            *super().faults(),
            *self.must_divide("emb_dim", "n_heads"),
            *self.must_have_row("pad_token_id", "vocab_size"),
        ]

    def beyond(self) -> list[str]:
        """Encoders alone."""
        found = ["is_encoder: this family's decoder is not implemented here"]
        return [*super().beyond(), *([] if self.is_encoder else found)]


class XLMFeedForward(Layer):
    """Four times as wide, bent, and back."""

    def __init__(self, c: XLMConfig) -> None:
        super().__init__()
        self.lin1 = self.nn.Linear(c.emb_dim, 4 * c.emb_dim)
        self.lin2 = self.nn.Linear(4 * c.emb_dim, c.emb_dim)
        self.dropout = self.nn.Dropout(c.dropout)
        self.smooth = c.gelu_activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, emb_dim) -> the same shape."""
        x = self.lin1(x)
        x = self.nn.gelu(x) if self.smooth else self.nn.relu(x)
        return self.dropout(self.lin2(x))


class XLMModel(Encoder):
    """input_ids, attention_mask, token_type_ids, langs (B, T) -> hidden states (B, T, emb_dim).

    Where no attention mask is given, a text is as long as it has tokens that are no padding.
    Token types are rows of the table of words; languages are by number.
    """

    def __init__(self, c: XLMConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.emb_dim
        self.position_embeddings = nn.Embedding(c.max_position_embeddings, width)
        self.lang_embeddings = nn.Embedding(c.languages, width) if c.languages else None
        self.embeddings = nn.Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.layer_norm_emb = nn.LayerNorm(width, eps=c.layer_norm_eps)
        self.attentions = nn.stack(
            NamedSelfAttention, c.n_layers, width, c.n_heads, c.attention_dropout
        )
        norms = [nn.LayerNorm(width, eps=c.layer_norm_eps) for _ in range(2 * c.n_layers)]
        self.layer_norm1 = nn.ModuleList(norms[::2])
        self.ffns = nn.stack(XLMFeedForward, c.n_layers, c)
        self.layer_norm2 = nn.ModuleList(norms[1::2])
        self.dropout = nn.Dropout(c.dropout)
        self.length, self.padding = c.max_position_embeddings, c.pad_token_id
        self.looks_back, self.normalises_first = c.causal, c.normalises_first

    def real(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """Which tokens are no padding: bool (B, T), or None for all."""
        nn = self.nn
        if attention_mask is not None:
            real = nn.cast_bool(attention_mask)
        else:
            count = nn.sum(nn.cast_int(input_ids != self.padding), 1)
            real = nn.cast_int(nn.arange(nn.shape(input_ids)[1], input_ids))[None] < count[:, None]
        return None if nn.masks_nothing(real) else real

    def embed(
        self, input_ids: Tensor, token_type_ids: Tensor | None, langs: Tensor | None
    ) -> Tensor:
        """(B, T) -> (B, T, emb_dim)."""
        nn = self.nn
        check_length(nn, input_ids, self.length)
        x = self.embeddings(input_ids)
        x = x + self.position_embeddings(nn.arange(nn.shape(input_ids)[1], input_ids))
        if langs is not None and self.lang_embeddings is not None:
            x = x + self.lang_embeddings(langs)
        if token_type_ids is not None:
            x = x + self.embeddings(token_type_ids)
        return self.dropout(self.layer_norm_emb(x))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        langs: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, emb_dim); padding is zero."""
        nn, real = self.nn, self.real(input_ids, attention_mask)
        x = self.embed(input_ids, token_type_ids, langs)
        kept = None if real is None else nn.cast_like(real, x)[:, :, None]
        mask = None if real is None else real[:, None, None, :]
        if self.looks_back:
            mask = backward_mask(nn, x, None)
        x = x if kept is None else x * kept
        trace.hidden(x)
        layers = zip(self.attentions, self.layer_norm1, self.ffns, self.layer_norm2, strict=True)
        for attention, norm1, network, norm2 in layers:
            if self.normalises_first:
                x = x + self.dropout(attention(norm1(x), mask, trace))
                x = x + network(norm2(x))
            else:
                x = norm1(x + self.dropout(attention(x, mask, trace)))
                x = norm2(x + network(x))
            x = x if kept is None else x * kept
            trace.hidden(x)
        return x


class XLMForSequenceClassification(Head):
    """input_ids, attention_mask, token_type_ids, langs (B, T) -> logits (B, num_labels)."""

    model_class: ClassVar[type[Layer]] = XLMModel
    prefix = "transformer"
    pools = None

    def __init__(self, c: XLMConfig) -> None:
        super().__init__(c)
        self.sequence_summary = self.nn.make(SequenceSummary, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, emb_dim) -> (B, num_labels)."""
        return self.sequence_summary(hidden)


class XLMPredictions(Layer):
    """What holds the words' biases."""

    def __init__(self, c: XLMConfig) -> None:
        super().__init__()
        self.proj = self.nn.make(Bias, c, c.emb_dim)


class XLMMaskedWords(MaskedLM):
    """Masked words, of the hidden states as they are."""

    pools = None

    def __init__(self, c: XLMConfig) -> None:
        super().__init__(c)
        self.pred_layer = self.nn.make(XLMPredictions, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, emb_dim) -> (B, T, vocab_size)."""
        return self.pred_layer.proj(hidden, self.body.embeddings)


class XLMBeamAnswers(BeamAnswers):
    """Answers by beams."""

    held = "qa_outputs"


ARCHITECTURE = Architecture(
    model_type="xlm",
    config=XLMConfig,
    prefix="transformer",
    class_prefix="XLM",
    suffixes={MASKED_LM: "WithLMHeadModel", QUESTION_ANSWERING: "ForQuestionAnsweringSimple"},
    tasks={
        ENCODER: XLMModel,
        SEQUENCE_CLASSIFICATION: XLMForSequenceClassification,
        **heads(
            __name__,
            "XLM",
            XLMModel,
            "transformer",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=XLMMaskedWords,
            choices=SummaryMultipleChoice,
            beams=XLMBeamAnswers,
        ),
    },
    takes_besides=("inputs_embeds",),
)
