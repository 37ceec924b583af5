"""What a call keeps on its way through a model, if it is asked to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["UNTRACED", "Tensor", "Trace"]

Tensor = Any
"""A framework's own tensor. The frameworks share no type that a checker could hold them to."""


@dataclass
class Trace:
    """What one call should keep on its way through a model, and what it kept.

    Args:
        hidden_states: keep the embeddings' output and every layer's, each (B, T, hidden_size).
        attentions: keep every layer's attention probabilities, each (B, H, T, T); that call
            computes attention in the open, without a fused kernel.

    Of a model with an encoder and a decoder, the lists hold the decoder's, ``encoder`` the
    encoder's, and ``encoded`` its last hidden states.

    """

    hidden_states: bool = False
    attentions: bool = False
    kept_hidden_states: list[Tensor] = field(default_factory=list)
    kept_attentions: list[Tensor] = field(default_factory=list)
    kept_cross_attentions: list[Tensor] = field(default_factory=list)
    kept_global_attentions: list[Tensor] = field(default_factory=list)
    kept_memories: list[Tensor] = field(default_factory=list)
    encoder: Trace | None = None
    encoded: Tensor = None

    def hidden(self, x: Tensor) -> None:
        """Keep hidden states (B, T, hidden_size), if asked to."""
        if self.hidden_states:
            self.kept_hidden_states.append(x)

    def attention(self, probabilities: Tensor) -> None:
        """Keep attention probabilities (B, H, T, T), if asked to."""
        if self.attentions:
            self.kept_attentions.append(probabilities)

    def global_attention(self, probabilities: Tensor) -> None:
        """Keep what global tokens see, (B, H, T, globals), if asked for attentions."""
        if self.attentions:
            self.kept_global_attentions.append(probabilities)

    def memory(self, x: Tensor) -> None:
        """Keep what a layer remembers for later texts, (M, B, hidden_size); a model says when."""
        if self is not UNTRACED:
            self.kept_memories.append(x)

    def across(self) -> Trace:
        """Return what keeps a decoder's attention to its encoder, (B, H, T, S), for this one."""
        return Trace(attentions=self.attentions, kept_attentions=self.kept_cross_attentions)

    def of_encoder(self) -> Trace:
        """Return what keeps the same of an encoder, where this one is its decoder's."""
        beside = Trace(hidden_states=self.hidden_states, attentions=self.attentions)
        if self is not UNTRACED:
            self.encoder = beside
        return beside

    def encoding(self, x: Tensor) -> None:
        """Keep what a decoder looks at: the encoder's last hidden states (B, S, hidden_size)."""
        if self is not UNTRACED:
            self.encoded = x


UNTRACED = Trace()
"""Keeps nothing: what a model is called with when nobody asked."""
