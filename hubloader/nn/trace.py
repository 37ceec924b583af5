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

    """

    hidden_states: bool = False
    attentions: bool = False
    kept_hidden_states: list[Tensor] = field(default_factory=list)
    kept_attentions: list[Tensor] = field(default_factory=list)

    def hidden(self, x: Tensor) -> None:
        """Keep hidden states (B, T, hidden_size), if asked to."""
        if self.hidden_states:
            self.kept_hidden_states.append(x)

    def attention(self, probabilities: Tensor) -> None:
        """Keep attention probabilities (B, H, T, T), if asked to."""
        if self.attentions:
            self.kept_attentions.append(probabilities)


UNTRACED = Trace()
"""Keeps nothing: what a model is called with when nobody asked."""
