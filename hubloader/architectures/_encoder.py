"""What a task's model can ask of any encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor

__all__ = ["Encoder"]


class Encoder(Layer):
    """input_ids (B, T) int, attention_mask (B, T) -> the last hidden states (B, T, hidden_size)."""

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """Return transformers' ``pooler_output`` (B, hidden_size), None where there is none."""
        del hidden
        return None
