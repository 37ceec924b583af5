"""DeBERTa v2's config: its switches, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    MAX_WIDTH,
    activation,
    amount,
    flag,
    optional,
    share,
    size,
    split_words,
    words,
)
from hubloader.architectures.bert import BertConfig

__all__ = ["DebertaV2Config"]


@dataclass(frozen=True, kw_only=True)
class DebertaV2Config(BertConfig):
    """Source: transformers 5.23, ``configuration_deberta_v2.py``."""

    vocab_size: int = size(128100, most=MAX_ROWS)
    hidden_size: int = size(1536)
    num_hidden_layers: int = size(24, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(24)
    intermediate_size: int = size(6144)
    type_vocab_size: int = size(0, least=0)
    layer_norm_eps: float = amount(1e-7, positive=False)
    relative_attention: bool = flag(False)
    max_relative_positions: int = size(-1, least=-1, most=MAX_WIDTH)
    max_position_embeddings: int = size(512, most=MAX_WIDTH)
    position_buckets: int = size(-1, least=-1, most=MAX_WIDTH)
    position_biased_input: bool = flag(True)
    pos_att_type: tuple[str, ...] | str | None = words((), ("p2c", "c2p", "p2p", "none"))
    share_att_key: bool = flag(False)
    norm_rel_ebd: tuple[str, ...] | str | None = words((), ("layer_norm", "none"))
    conv_kernel_size: int = size(0, least=0, most=1023)
    conv_groups: int = size(1)
    conv_act: str = activation("tanh")
    embedding_size: int | None = optional(size(1))
    attention_head_size: int | None = optional(size(1))
    pooler_hidden_size: int | None = optional(size(1))
    pooler_hidden_act: str = activation("gelu")
    pooler_dropout: float = share(0.0)
    cls_dropout: float | None = share(None)

    @property
    def embedding_width(self) -> int:
        """The width of the embeddings."""
        return self.embedding_size or self.hidden_size

    @property
    def attention_width(self) -> int:
        """The width of queries, keys and values, all heads together."""
        each = self.attention_head_size or self.hidden_size // self.num_attention_heads
        return each * self.num_attention_heads

    @property
    def head_dropout(self) -> float:
        """The classifier's dropout, which falls back to that of the hidden states."""
        return self.hidden_dropout_prob if self.cls_dropout is None else self.cls_dropout

    @property
    def terms(self) -> tuple[str, ...]:
        """Which of ``c2p`` (content for position) and ``p2c`` the scores have."""
        asked = split_words(self.pos_att_type) or ()
        return tuple(term for term in ("c2p", "p2c") if term in asked)

    @property
    def reach(self) -> int:
        """The distance, in tokens, from which on positions are not told apart."""
        given = self.max_relative_positions
        return self.max_position_embeddings if given < 1 else given

    @property
    def span(self) -> int:
        """How many relative positions there are in each direction."""
        return self.position_buckets if self.position_buckets > 0 else self.reach

    @property
    def normalises_positions(self) -> bool:
        """Whether the relative embeddings are normalised before use."""
        return "layer_norm" in (split_words(self.norm_rel_ebd) or ())

    def faults(self) -> list[str]:
        """The parts fit: projections, convolution, buckets."""
        found = super().faults()
        if self.attention_width != self.hidden_size:
            found.append("attention_head_size: heads together are not as wide as hidden_size")
        if self.conv_kernel_size and not self.conv_kernel_size % 2:
            found.append(f"conv_kernel_size: {self.conv_kernel_size} would change the length")
        if self.conv_kernel_size and self.hidden_size % self.conv_groups:
            found.append("conv_groups: they do not divide hidden_size")
        return found

    def beyond(self) -> list[str]:
        """Buckets are spaced, which needs a few; what the pooler reads is as wide as it is."""
        found = super().beyond()
        if self.pooler_hidden_size not in {None, self.hidden_size}:
            found.append(f"pooler_hidden_size: {self.pooler_hidden_size} is not hidden_size")
        if self.position_buckets > 0 and (self.position_buckets < 4 or self.reach < 3):
            found.append("position_buckets: too few to be spaced here")
        elif self.position_buckets > 0 and self.reach - 1 <= self.position_buckets // 2:
            found.append("position_buckets: the exact ones reach as far as all of them")
        return found
