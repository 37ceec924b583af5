"""EuroBERT (Boizard et al., 2025): LLaMA's layers, looking both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.architectures._config import MAX_ROWS, amount, flag, optional, size, token, word
from hubloader.architectures._decoder import Decoder
from hubloader.architectures._decoder_config import DecoderConfig
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import TokenClassification, heads
from hubloader.architectures._masked_words import MaskedLM, ties_words
from hubloader.nn.blocks import mean_of_tokens
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class EuroBertConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_eurobert.py``."""

    vocab_size: int = size(128256, most=MAX_ROWS)
    hidden_size: int = size(768)
    intermediate_size: int = size(3072)
    num_hidden_layers: int = size(12, least=0, most=1024)
    num_attention_heads: int = size(12)
    num_key_value_heads: int | None = optional(size(12))
    max_position_embeddings: int = size(8192, most=MAX_ROWS)
    rms_norm_eps: float = amount(1e-5, positive=False)
    pad_token_id: int | None = token(128001)
    head_dim: int | None = optional(size(64))
    attention_bias: bool = flag(False)
    mlp_bias: bool = flag(False)
    classifier_pooling: str = word("late", ("late", "bos", "mean"))

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.attention_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.attention_bias

    @property
    def looks_ahead(self) -> bool:
        """Every token sees every other."""
        return True

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    def faults(self) -> list[str]:
        """Heads divide the width, even where a config says how wide they are."""
        found = super().faults()
        divided = self.must_divide("hidden_size", "num_attention_heads")
        return found + [fault for fault in divided if fault not in found]


class EuroBertModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""


class EuroBertForSequenceClassification(Layer):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    def __init__(self, c: EuroBertConfig) -> None:
        super().__init__()
        self.model = self.nn.make(EuroBertModel, c)
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.classifier = self.nn.Linear(c.hidden_size, c.num_labels)
        self.pooling = c.classifier_pooling

    def judge(self, x: Tensor) -> Tensor:
        """(..., hidden_size) -> (..., num_labels)."""
        return self.classifier(self.nn.gelu(self.dense(x)))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, num_labels): of the first token, of the mean, or the mean of all."""
        hidden = self.model(input_ids, attention_mask, trace=trace)
        if self.pooling == "late":
            return mean_of_tokens(self.nn, self.judge(hidden), attention_mask)
        if self.pooling == "bos":
            return self.judge(hidden[:, 0])
        return self.judge(mean_of_tokens(self.nn, hidden, attention_mask))


class EuroBertMaskedWords(MaskedLM):
    """Masked words, whose table most checkpoints have of their own."""

    pools = None

    def __init__(self, c: EuroBertConfig) -> None:
        super().__init__(c)
        tied = ties_words(c, default=False)
        self.lm_head = (
            None if tied else self.nn.Linear(c.hidden_size, c.vocab_size, bias=c.mlp_bias)
        )

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        if self.lm_head is not None:
            return self.lm_head(hidden)
        return self.nn.unembed(hidden, self.body.embed_tokens)


ARCHITECTURE = Architecture(
    model_type="eurobert",
    config=EuroBertConfig,
    prefix="model",
    class_prefix="EuroBert",
    tasks={
        ENCODER: EuroBertModel,
        SEQUENCE_CLASSIFICATION: EuroBertForSequenceClassification,
        **heads(
            __name__,
            "EuroBert",
            EuroBertModel,
            "model",
            pooler=None,
            tokens=TokenClassification,
            words=EuroBertMaskedWords,
        ),
    },
    takes_besides=("inputs_embeds",),
)
