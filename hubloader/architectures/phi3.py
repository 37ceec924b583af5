"""Phi-3 (Abdin et al., 2024): LLaMA whose projections are stored in one piece each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubloader.architectures._config import (
    MAX_ROWS,
    Beyond,
    amount,
    checked,
    optional,
    share,
    size,
    token,
)
from hubloader.architectures._decoder import (
    Attention,
    Block,
    Decoder,
    DecoderForSequenceClassification,
    record,
)
from hubloader.architectures._decoder_config import FULL, SLIDING, DecoderConfig
from hubloader.architectures._heads import ScoredTokens
from hubloader.architectures._rope_config import rope_fault
from hubloader.nn.blocks import activate, split_heads
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor
    from hubloader.nn.rotary import Rope


def _stretched_fault(given: Any) -> str | None:
    """What is wrong with a table of rotary settings; what is called ``yarn`` here never was."""
    if isinstance(given, Mapping) and "yarn" in {given.get("rope_type"), given.get("type")}:
        given = {**given, "rope_type": "longrope"}
    return rope_fault(given)


@dataclass(frozen=True, kw_only=True)
class Phi3Config(DecoderConfig):
    """Source: transformers 5.23, ``configuration_phi3.py``."""

    vocab_size: int = size(32064, most=MAX_ROWS)
    hidden_size: int = size(3072)
    intermediate_size: int = size(8192)
    max_position_embeddings: int = size(4096, most=MAX_ROWS)
    original_max_position_embeddings: int = size(4096, least=2, most=MAX_ROWS)
    rms_norm_eps: float = amount(1e-5, positive=False)
    pad_token_id: int | None = token(32000)
    sliding_window: int | None = optional(size(2047, most=MAX_ROWS))
    resid_pdrop: float = share(0.0)
    rope_parameters: Mapping[str, Any] | None = checked(None, _stretched_fault)
    rope_scaling: Mapping[str, Any] | None = checked(None, _stretched_fault)

    @property
    def residual_dropout(self) -> float:
        """Share of what a layer adds to drop while training."""
        return self.resid_pdrop

    @property
    def window(self) -> int | None:
        """Tokens that a query sees, itself among them."""
        return self.sliding_window

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every layer looks through the window, if there is one."""
        return (FULL if self.window is None else SLIDING,) * self.num_hidden_layers

    def share_of(self, given: Mapping[str, Any]) -> float:
        """Which share of a head's numbers is turned."""
        return self.partial_share(given)

    def rope(self, kind: str = FULL) -> Rope:
        """Return how the heads are turned; what is called ``yarn`` here never was."""
        found = super().rope(kind)
        native = {"original_max_position_embeddings": self.original_max_position_embeddings}
        kind = "longrope" if found.kind == "yarn" else found.kind
        return replace(found, kind=kind, settings={**found.settings, **native})

    def beyond(self) -> list[str]:
        """Only one way to stretch it is in use."""
        kind = self.rope().kind
        other = (
            [] if kind in {"default", "longrope"} else [f"rope_scaling: {kind!r} of this family"]
        )
        return [*super().beyond(), *map(Beyond, other)]


class Phi3Attention(Attention):
    """Queries, then keys, then values, of one projection."""

    def make_inputs(self, c: Any) -> None:
        """Build what makes queries, keys and values."""
        rows = (self.heads + 2 * self.groups) * self.width
        self.qkv_proj = self.nn.Linear(c.hidden_size, rows, bias=False)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, hidden_size) -> queries (B, heads, T, D), keys and values (B, groups, T, D)."""
        nn, groups, together = self.nn, self.groups, self.qkv_proj(x)
        first = self.heads * self.width
        second = first + groups * self.width
        q, k, v = together[..., :first], together[..., first:second], together[..., second:]
        return (
            split_heads(nn, q, self.heads),
            split_heads(nn, k, groups),
            split_heads(nn, v, groups),
        )


class Phi3MLP(Layer):
    """The gated feed-forward network: the gate, then what it opens and shuts."""

    def __init__(self, c: Phi3Config) -> None:
        super().__init__()
        self.gate_up_proj = self.nn.Linear(c.hidden_size, 2 * c.intermediate_size, bias=False)
        self.down_proj = self.nn.Linear(c.intermediate_size, c.hidden_size, bias=False)
        self.act = c.act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        gate, up = self.nn.split(self.gate_up_proj(x), 2)
        return self.down_proj(up * activate(self.nn, self.act, gate))


class Phi3Block(Block):
    """LLaMA's, of such parts."""

    attention_class = Phi3Attention
    mlp_class = Phi3MLP


class Phi3Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = Phi3Block


class Phi3ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Phi3Model


ARCHITECTURE = record(
    "phi3",
    "Phi3",
    Phi3Config,
    Phi3ForSequenceClassification,
    tokens=ScoredTokens,
)
