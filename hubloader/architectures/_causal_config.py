"""What every decoder's config says of where its tokens look."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import MAX_ROWS, Config, share, size, token

__all__ = ["CausalConfig"]


@dataclass(frozen=True, kw_only=True)
class CausalConfig(Config):
    """A family whose tokens look back alone, unless its config says otherwise."""

    looks_back_alone = True

    vocab_size: int = size(50257, most=MAX_ROWS)
    pad_token_id: int | None = token(None)
    classifier_dropout: float | None = share(None)

    @property
    def head_dropout(self) -> float:
        """A token classifier's: its own, or the hidden states' in a family that has it."""
        own = self.classifier_dropout
        hidden: float | None = getattr(self, "hidden_dropout", None) if own is None else own
        return 0.1 if hidden is None else hidden

    @property
    def score_width(self) -> int:
        """Of what the classifier looks at: the hidden states' width, by whatever name."""
        width: int = self.hidden_size  # type: ignore[attr-defined]  # every family has it
        return width
