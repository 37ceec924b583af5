"""Nomic BERT (Nussbaum et al., 2024): post-norm encoder, turned heads, gated feed-forward network.

Checkpoints made by the repository's own code join queries, keys and values in one matrix, and have
other names; both are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    optional,
    share,
    size,
    token,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import TokenClassification, heads
from hubloader.architectures._masked_words import ClsMaskedLM, Predictions
from hubloader.architectures._rope_config import RotaryConfig
from hubloader.architectures.bert import BertForSequenceClassification, BertPooler
from hubloader.nn.blocks import activate, key_mask, merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.rotary import Rotary, turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.nn.layer import Tensor, Trace
    from hubloader.nn.rotary import Angles


@dataclass(frozen=True, kw_only=True)
class NomicBertConfig(RotaryConfig):
    """Source: transformers 5.23, ``configuration_nomic_bert.py``."""

    default_theta = 1000.0
    aliases: ClassVar[Mapping[str, str]] = {
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_inner": "intermediate_size",
        "n_positions": "max_position_embeddings",
        "layer_norm_epsilon": "layer_norm_eps",
        "rotary_emb_base": "rope_theta",
    }
    """As the repository's own code wrote them."""

    vocab_size: int = size(30528, most=MAX_ROWS)
    hidden_size: int = size(768)
    num_hidden_layers: int = size(12, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(12)
    intermediate_size: int = size(3072)
    hidden_act: str = activation("silu")
    hidden_dropout_prob: float = share(0.0)
    attention_probs_dropout_prob: float = share(0.0)
    max_position_embeddings: int = size(2048, most=MAX_ROWS)
    type_vocab_size: int = size(2, least=0)
    layer_norm_eps: float = amount(1e-12, positive=False)
    pad_token_id: int | None = token(0)
    classifier_dropout: float | None = share(None)
    head_dim: int | None = optional(size(64))

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read a config.json; by its old names, null is what is usual, four times the width.

        What today's names say wins, as in transformers, which knows no others.
        """
        old = {k: v for k, v in raw.items() if k in cls.aliases and cls.aliases[k] not in raw}
        given = {k: v for k, v in raw.items() if k not in cls.aliases or old.get(k) is not None}
        width = raw.get("n_embd")
        if "n_inner" in old and "n_inner" not in given and isinstance(width, int):
            given["n_inner"] = 4 * width
        return super().from_json(given)

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def head_dropout(self) -> float:
        """The classifier's dropout, which falls back to that of the hidden states."""
        if self.classifier_dropout is None:
            return self.hidden_dropout_prob
        return self.classifier_dropout

    @property
    def attention_bias(self) -> bool:
        """Whether the projections of attention have one."""
        return False

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    def faults(self) -> list[str]:
        """Heads fit the width and are made of pairs; the padding token has a row."""
        found = [*super().faults(), *self.must_have_row("pad_token_id", "vocab_size")]
        if self.head_dim is None:
            found += self.must_divide("hidden_size", "num_attention_heads")
        return found or self.rope_faults(self.head_width)


class NomicBertEmbeddings(Layer):
    """Words and, where there are any, token types, added and normalised."""

    def __init__(self, c: NomicBertConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.word_embeddings = nn.Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.token_type_embeddings = (
            nn.Embedding(c.type_vocab_size, width) if c.type_vocab_size else None
        )
        self.LayerNorm = nn.LayerNorm(width, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.word_embeddings(input_ids)
        if self.token_type_embeddings is not None:
            if token_type_ids is None:
                token_type_ids = self.nn.zeros_like(input_ids)
            x = x + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(x))


class NomicBertAttention(Layer):
    """Every token looks at every other, with turned queries and keys."""

    def __init__(self, c: NomicBertConfig) -> None:
        super().__init__()
        nn, inner, bias = self.nn, c.num_attention_heads * c.head_width, c.attention_bias
        self.q_proj = nn.Linear(c.hidden_size, inner, bias=bias)
        self.k_proj = nn.Linear(c.hidden_size, inner, bias=bias)
        self.v_proj = nn.Linear(c.hidden_size, inner, bias=bias)
        self.o_proj = nn.Linear(inner, c.hidden_size, bias=bias)
        self.dropout = nn.Dropout(c.attention_probs_dropout_prob)
        self.heads = c.num_attention_heads

    def forward(self, x: Tensor, mask: Tensor | None, angles: Angles, trace: Trace) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = turn(nn, q, angles), turn(nn, k, angles)
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, mask, dropout=dropout, trace=trace)
        return self.o_proj(merge_heads(nn, context))


class NomicBertMLP(Layer):
    """The feed-forward network, one half of which opens and shuts the other."""

    output_bias: ClassVar[bool] = False

    def __init__(self, c: NomicBertConfig) -> None:
        super().__init__()
        nn, wide = self.nn, c.intermediate_size
        self.gate_proj = nn.Linear(c.hidden_size, wide, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, wide, bias=False)
        self.down_proj = nn.Linear(wide, c.hidden_size, bias=self.output_bias)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)
        self.activation = c.hidden_act

    def gated(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, intermediate_size)."""
        return activate(self.nn, self.activation, self.gate_proj(x)) * self.up_proj(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.down_proj(self.gated(x))


class NomicBertLayer(Layer):
    """Attention and norm, feed-forward network and norm."""

    mlp_class: ClassVar[type[Layer]] = NomicBertMLP

    def __init__(self, c: NomicBertConfig) -> None:
        super().__init__()
        nn = self.nn
        self.self_attn = nn.make(NomicBertAttention, c)
        self.mlp = nn.make(self.mlp_class, c)
        self.post_attention_layernorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.post_mlp_layernorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None, angles: Angles, trace: Trace) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        attended = self.dropout(self.self_attn(x, mask, angles, trace))
        x = self.post_attention_layernorm(x + attended)
        return self.post_mlp_layernorm(x + self.dropout(self.mlp(x)))


class NomicBertModel(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    layer_class: ClassVar[type[Layer]] = NomicBertLayer

    def __init__(self, c: NomicBertConfig, *, pooler: bool = False) -> None:
        super().__init__()
        nn = self.nn
        self.embeddings = nn.make(NomicBertEmbeddings, c)
        self.layers = nn.stack(self.layer_class, c.num_hidden_layers, c)
        self.pooler = nn.make(BertPooler, c) if pooler else None  # type: ignore[arg-type]  # its width
        self.rotary = nn.make(Rotary, c.rope(), c.head_width)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.embeddings(input_ids, token_type_ids)
        mask, angles = key_mask(self.nn, attention_mask), self.rotary(x)
        trace.hidden(x)
        for layer in self.layers:
            x = layer(x, mask, angles, trace)
            trace.hidden(x)
        return x

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return None if self.pooler is None else self.pooler(hidden)


class NomicBertForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = NomicBertModel
    prefix = "nomic_bert"


_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


class NomicPredictions(Predictions):
    """BERT's, by another name of the norm."""

    norm = "layer_norm"


class NomicMaskedWords(ClsMaskedLM):
    """Masked words, under ``cls.predictions``."""

    predictions_class = NomicPredictions


ARCHITECTURE = Architecture(
    model_type="nomic_bert",
    config=NomicBertConfig,
    prefix="nomic_bert",
    class_prefix="NomicBert",
    tasks={
        ENCODER: NomicBertModel,
        SEQUENCE_CLASSIFICATION: NomicBertForSequenceClassification,
        **heads(
            __name__,
            "NomicBert",
            NomicBertModel,
            "nomic_bert",
            tokens=TokenClassification,
            words=NomicMaskedWords,
        ),
    },
    renames=(
        (r"^bert\.", ""),  # the body of a classifier, in the repository's own code
        (r"(^|\.)encoder\.layers\.", r"\1layers."),
        (r"(^|\.)emb_ln\.", r"\1embeddings.LayerNorm."),
        (r"\.attn\.out_proj\.", ".self_attn.o_proj."),
        (r"\.fc11\.", ".up_proj."),
        (r"\.fc12\.", ".gate_proj."),
        (r"\.fc2\.", ".down_proj."),
        (r"\.norm1\.", ".post_attention_layernorm."),
        (r"\.norm2\.", ".post_mlp_layernorm."),
    ),
    splits=((r"\.attn\.Wqkv\.", tuple(f".{part}." for part in _ATTENTION)),),
    ignored_unexpected=(r"inv_freq$",),
    takes_besides=("inputs_embeds",),
)
